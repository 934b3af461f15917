//! The node's cache of native code, as far as a measurement has to know its state.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::fcntl::{Flock, FlockArg};

use crate::interrupt;

/// Who compiles a module holds a lock here (engine/aot/builder.rs).
const NOTES: &str = "/run/containerd-shim-wasmedge/aot";

/// What compilations may take that other measurements have left behind.
const PATIENCE: Duration = Duration::from_secs(600);

/// How often to look.
const POLL: Duration = Duration::from_millis(100);

/// Waits until nothing is compiled any more, and empties the cache.
pub async fn empty() -> Result<()> {
    quiet(Instant::now() + PATIENCE).await?;
    engine(&["cache", "prune", "--all"])?;
    let left = levels()?;
    ensure!(left.is_empty(), "the cache of native code is not empty: {left:?}");
    Ok(())
}

/// Waits until nothing is compiled any more.
///
/// # Errors
/// At `end`.
pub async fn quiet(end: Instant) -> Result<()> {
    while is_compiling(Path::new(NOTES)) {
        ensure!(Instant::now() < end, "a module is still being compiled");
        interrupt::sleep(POLL).await?;
    }
    Ok(())
}

/// The levels of optimization of what is in the cache.
pub fn levels() -> Result<Vec<String>> {
    Ok(listed(&engine(&["cache", "list"])?))
}

/// MODULE, ENGINE, LEVEL and more; a header before and a sum after them.
fn listed(table: &str) -> Vec<String> {
    let level = |line: &str| line.split_whitespace().nth(2).filter(|word| word.starts_with('O')).map(String::from);
    table.lines().skip(1).filter_map(level).collect()
}

/// A lock that nobody holds was left by somebody who was killed.
fn is_compiling(notes: &Path) -> bool {
    let locks = fs::read_dir(notes).into_iter().flatten().flatten();
    let locks = locks.filter(|entry| entry.file_name().to_string_lossy().starts_with("lock-"));
    locks
        .filter_map(|entry| File::open(entry.path()).ok())
        .any(|file| Flock::lock(file, FlockArg::LockSharedNonblock).is_err())
}

fn engine(words: &[&str]) -> Result<String> {
    let output = Command::new("wasmedge-engine").args(words).output().context("starting wasmedge-engine")?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "wasmedge-engine {}: {}", words.join(" "), error.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_tells_the_levels() {
        let table = "MODULE           ENGINE           LEVEL       SIZE      LAST USED\n\
                     0123456789abcdef this             O0        80 KiB      1 second ago\n\
                     0123456789abcdef this             O2        60 KiB      1 second ago\n\
                     2 entries, 140 KiB\n";
        assert_eq!(listed(table), ["O0", "O2"]);
        assert!(listed("MODULE ENGINE LEVEL SIZE LAST USED\n0 entries, 0 B\n").is_empty());
    }

    #[test]
    fn a_lock_counts_as_long_as_somebody_holds_it() {
        let notes = std::env::temp_dir().join(format!("bench-notes-{}", std::process::id()));
        fs::create_dir_all(&notes).unwrap();
        let file = File::create(notes.join("lock-a")).unwrap();
        assert!(!is_compiling(&notes));
        let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error).unwrap();
        assert!(is_compiling(&notes));
        drop(lock);
        fs::remove_dir_all(&notes).unwrap();
    }
}
