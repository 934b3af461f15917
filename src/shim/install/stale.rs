//! Whether what runs has read the configuration that is there.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{configuration::Configuration, kind::Kind, record::Record, root::Root, target::Target};

/// A process's start is known by the tick of 10 ms, a file's time by that of the kernel's clock.
const TICKS: Duration = Duration::from_millis(20);

/// The files that `target` has read, if it could.
pub fn files(target: &Target, root: &Root) -> Vec<PathBuf> {
    if target.kind == Kind::Docker {
        return vec![target.config.clone()];
    }
    let configuration = Configuration::read(root, &target.config).ok().flatten();
    let files = configuration.iter().flat_map(|configuration| configuration.files());
    files.map(|file| file.path.clone()).collect()
}

/// The last one of `paths` that was changed after `target` was started, if it runs.
pub fn changed_since_start<'a>(target: &Target, root: &Root, paths: &'a [PathBuf]) -> Option<&'a Path> {
    let started = target.process.as_ref()?.started()? + TICKS;
    paths.iter().map(PathBuf::as_path).rfind(|path| changed(path, root).is_some_and(|changed| changed > started))
}

/// Whether a run was killed when it had taken our part out of what `target` has read, some of which may have been at `places`,
/// and had not restarted that.
pub fn was_cut_short(target: &Target, places: Vec<PathBuf>, root: &Root, record: &Record) -> bool {
    let files = places.into_iter().chain([target.config.clone()]);
    let directories = files.filter_map(|path| path.parent().map(Path::to_owned));
    let touched: Vec<_> = directories.chain([target.config.clone()]).collect();
    record.targets.contains_key(&target.config) && changed_since_start(target, root, &touched).is_some()
}

/// When what is at `path` came there. Renamed into place, a file keeps the time of its last write.
fn changed(path: &Path, root: &Root) -> Option<SystemTime> {
    let meta = fs::metadata(root.at(path).ok()?).ok()?;
    let seconds = Duration::from_secs(meta.ctime().try_into().ok()?);
    Some(UNIX_EPOCH + seconds + Duration::from_nanos(meta.ctime_nsec().try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::{
        process::{Child, Command},
        thread::sleep,
    };

    use super::*;
    use crate::install::process;

    #[test]
    fn what_was_written_after_the_start_was_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let [before, after] = ["before", "after"].map(|name| directory.path().join(name));
        fs::write(&before, "").unwrap();
        sleep(2 * TICKS);
        let (target, root, mut child) = running();
        fs::write(&after, "").unwrap();
        let late = |paths: &[PathBuf]| changed_since_start(&target, &root, paths).map(Path::to_owned);
        let found = (late(std::slice::from_ref(&before)), late(&[before, after.clone()]));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, (None, Some(after)));
    }

    #[test]
    fn what_does_not_run_has_read_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(Path::new("/")).unwrap();
        let target = Target { process: None, ..Target::installed(Kind::Containerd, &root) };
        assert_eq!(changed_since_start(&target, &root, &[directory.path().to_owned()]), None);
    }
    #[test]
    fn a_run_that_was_killed_before_it_restarted_what_reads_the_configuration_is_known() {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config.toml");
        fs::write(&config, "").unwrap();
        sleep(2 * TICKS);
        let (target, root, mut child) = running();
        let target = target.with(&config);
        let mut record = Record::default();
        record.targets.insert(config.clone(), "containerd".into());
        let cut_short = |record: &Record| was_cut_short(&target, Vec::new(), &root, record);
        let before = cut_short(&record);
        // A drop-in that was removed leaves a directory that has changed.
        let drop_in = directory.path().join("drop-in");
        fs::write(&drop_in, "").and_then(|()| fs::remove_file(&drop_in)).unwrap();
        let after = [&record, &Record::default()].map(cut_short);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!((before, after), (false, [true, false]));
    }

    /// A containerd that is another program.
    fn running() -> (Target, Root, Child) {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        sleep(3 * TICKS);
        let root = Root::new(Path::new("/")).unwrap();
        let process = process::all(&root).into_iter().find(|process| process.pid == child.id().cast_signed());
        (Target { process, ..Target::installed(Kind::Containerd, &root) }, root, child)
    }
}
