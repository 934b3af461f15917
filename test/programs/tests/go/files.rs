//! Files, links, directories, time zones and compression.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use e2e::Scene;

use super::FILES;

#[test]
fn files_links_and_directories_are_made_and_changed() {
    let outcome = FILES.trial(["tree", "/data"]).same_as_under_runc(&Scene::new());
    assert!(outcome.contents.contains(&"m/absolute -> /data/m/f".to_owned()), "{:?}", outcome.contents);
}

#[test]
fn relative_paths_are_those_of_the_working_directory() {
    let scene = Scene::new();
    let prepare = |volume: &Path| {
        fs::create_dir_all(volume.join("here/below")).unwrap();
        fs::write(volume.join("here/f"), "here").unwrap();
        fs::write(volume.join("f"), "above").unwrap();
    };
    for cwd in ["/data/here", "/", "/data/here/below"] {
        let read = ["read", "f", "../f", "./below/../f", "data/f", "/data/f", "etc/passwd"];
        FILES.trial(read).flags(["-w", cwd]).volume(prepare).same_as_under_runc(&scene);
    }
    FILES.trial(["tree", "."]).flags(["-w", "/data"]).same_as_under_runc(&scene);
    FILES.trial(["write", "../sibling", "text"]).flags(["-w", "/data/here"]).volume(prepare).same_as_under_runc(&scene);
}

/// As the kubelet mounts a ConfigMap: `key -> ..data/key`, `..data -> ..TIME`.
fn config_map(volume: &Path) {
    fs::create_dir(volume.join("..2026_11_30")).unwrap();
    fs::write(volume.join("..2026_11_30/key"), "value").unwrap();
    symlink("..2026_11_30", volume.join("..data")).unwrap();
    symlink("..data/key", volume.join("key")).unwrap();
    fs::set_permissions(volume, Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_config_map_is_read_and_cannot_be_written() {
    let scene = Scene::new();
    for flags in [["-u", "0"], ["-u", "1000"]] {
        let trial = |arguments: &[&str]| {
            FILES
                .trial(arguments.iter().copied())
                .flags(flags)
                .volume(config_map)
                .read_only()
                .same_as_under_runc(&scene)
        };
        trial(&["read", "/data/key", "/data/..data/key"]).finished.exits(0);
        trial(&["write", "/data/key", "other"]).finished.exits(1);
        trial(&["tree", "/data"]).finished.fails();
        trial(&["walk", "/data"]).finished.exits(0);
    }
}

#[test]
fn a_read_only_root_and_files_of_others_are_read() {
    let scene = Scene::new();
    FILES.trial(["read", "/etc/passwd"]).flags(["--read-only"]).same_as_under_runc(&scene).finished.exits(0);
    FILES.trial(["read", "/etc/passwd", "/etc/shadow"]).flags(["-u", "1000"]).same_as_under_runc(&scene);
    FILES.trial(["write", "/etc/passwd", "x"]).flags(["-u", "1000"]).same_as_under_runc(&scene).finished.exits(1);
    FILES.trial(["write", "/f", "x"]).flags(["--read-only"]).same_as_under_runc(&scene).finished.exits(1);
}

#[test]
fn time_zones_are_found_in_the_image() {
    let zones = ["Europe/Paris", "America/Sao_Paulo", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC", "No/Where"];
    // Go's standard library looks nowhere by itself on WASI.
    let flags = ["-e", "ZONEINFO=/usr/share/zoneinfo"];
    let trial = FILES.trial(["zone"].into_iter().chain(zones)).flags(flags);
    let outcome = trial.same_as_under_runc(&Scene::new());
    assert!(outcome.finished.stdout.starts_with("2026-01-01 13:00:00 +0100 CET\n2026-07-01 14:00:00 +0200 CEST\n"));
}

#[test]
fn standard_input_is_compressed_into_a_file_and_read_again() {
    let input: Vec<u8> = (0..3_000_000_u32).flat_map(|number| (number / 7).to_le_bytes()).collect();
    FILES.trial(["gzip", "/data/input.gz"]).input(input).same_as_under_runc(&Scene::new()).finished.exits(0);
}
