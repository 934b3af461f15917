//! std::fs.

use std::{
    fs::{self, File, FileTimes},
    os::unix::fs::symlink,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use e2e::Scene;

use super::FS;

#[test]
fn the_standard_library_does_to_files_what_it_does_on_linux() {
    let scene = Scene::new();
    let outcome = FS.trial(["/data", "a", "", "b c"]).input("one\ntwo\n").same_as_under_runc(&scene);
    assert!(outcome.contents.contains(&"r/passwd -> /etc/passwd".to_owned()), "{:?}", outcome.contents);
}

#[test]
fn a_relative_directory_is_one_of_the_working_directory() {
    let scene = Scene::new();
    let prepare = |volume: &Path| {
        fs::create_dir_all(volume.join("here/below")).unwrap();
        symlink("/data/here", volume.join("link")).unwrap();
    };
    for (cwd, directory) in [("/data/here", "."), ("/data/here", "below"), ("/data/here", ".."), ("/data/link", ".")] {
        FS.trial([directory]).flags(["-w", cwd]).volume(prepare).same_as_under_runc(&scene);
    }
}

#[test]
fn a_read_only_volume_is_refused_alike() {
    let prepare = |volume: &Path| {
        fs::create_dir_all(volume.join("r/a")).unwrap();
        fs::write(volume.join("r/f"), "content").unwrap();
        // What it tells of times must be the same.
        let times =
            FileTimes::new().set_accessed(UNIX_EPOCH).set_modified(UNIX_EPOCH + Duration::from_nanos(1_234_567_891));
        File::options().write(true).open(volume.join("r/f")).unwrap().set_times(times).unwrap();
    };
    FS.trial(["/data"]).volume(prepare).read_only().same_as_under_runc(&Scene::new());
}
