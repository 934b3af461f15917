//! For fuzzing: the files of a container's cgroups.

use super::{directories, io_stats, stats};

/// One text as each kind of file that is read, of cgroup v1 and of v2.
pub fn cgroup_files(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines = text.lines().count();
    if let Some(number) = directories::number(&text) {
        assert!(
            number == u64::MAX || text.trim().trim_start_matches('+').trim_start_matches('0') == number_text(number)
        );
    }
    for (key, value) in directories::table(&text) {
        assert!(!key.contains(' ') && stats::nanos(value) >= value, "{key:?} {value}");
    }
    let devices = io_stats::partitions(&text);
    assert!(devices.iter().all(|device| device.2.starts_with("/dev/")), "{devices:?}");
    assert!(io_stats::blkio_entries(&text, &devices).len() <= lines);
    assert!(io_stats::io_entries(&text).len() <= lines);
    let _ = io_stats::waiting(&text);
}

fn number_text(number: u64) -> String {
    if number == 0 { String::new() } else { number.to_string() }
}
