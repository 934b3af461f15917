//! The log: one line per message, whatever is in it, on standard error, which the host's starter made a file.
//!
//! What a line quotes may come from a guest: control characters are escaped, so that no message looks like two or like
//! another program's, and what is longer than anybody reads is cut.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use env_logger::{Builder, Env};
use wasmedge_shim_protocol::{ContainerKey, PodName, cut};

/// Size at which the log is begun anew; the one before stays beside it.
const FULL: u64 = 16 << 20;

/// How long a line that is said again is only counted.
const REPEATED: Duration = Duration::from_secs(60);

/// The container that this process works for.
static ABOUT: Mutex<Option<String>> = Mutex::new(None);

/// Where the log is, in the process that keeps it.
static KEPT: Mutex<Option<PathBuf>> = Mutex::new(None);

static LAST: Mutex<Option<Line>> = Mutex::new(None);

/// What was said last.
struct Line {
    text: String,
    first: Instant,
    repeated: u32,
}

/// Begins to log, at the level that `RUST_LOG` says, or else `info`.
pub fn begin() {
    Builder::from_env(Env::default().default_filter_or("info"))
        .format(|line, record| {
            let about = lock(&ABOUT).as_deref().map(|key| format!("{key}: ")).unwrap_or_default();
            let message = escaped(&cut(format!("{about}{}", record.args())));
            let (time, level, target) = (line.timestamp(), record.level(), record.target());
            let is_full = keep_small();
            match say(&message) {
                _ if is_full => Ok(()),
                None => Ok(()),
                Some(0) => writeln!(line, "[{time} {level:<5} {target}] {message}"),
                Some(times) => {
                    writeln!(line, "[{time} INFO  {target}] the line before was said {times} more times")?;
                    writeln!(line, "[{time} {level:<5} {target}] {message}")
                }
            }
        })
        .init();
}

/// Makes this process the one that keeps the log at `path`, its standard error, from growing without end.
pub fn keep(path: &Path) {
    *lock(&KEPT) = Some(path.to_owned());
    keep_small();
}

/// Begins the log anew if it is due and this process keeps it. Whether there is no room for a line: what others write while
/// the one that keeps it is busy is bounded as well.
pub fn keep_small() -> bool {
    let Ok(size) = size_of(io::stderr().as_fd()) else { return false };
    if size < FULL {
        return false;
    }
    match &*lock(&KEPT) {
        // A log that cannot be begun anew is better than none, up to a point.
        Some(path) => begin_anew(path).is_err() && size >= 2 * FULL,
        None => size >= 2 * FULL,
    }
}

/// Bytes in the file; 0 for what is no file.
fn size_of(log: BorrowedFd<'_>) -> io::Result<u64> {
    let meta = File::from(log.try_clone_to_owned()?).metadata()?;
    Ok(if meta.is_file() { meta.len() } else { 0 })
}

/// Puts the log at `path` aside and makes standard error a new one. Where another host has done so already, its new one is
/// used.
fn begin_anew(path: &Path) -> io::Result<()> {
    let mine = File::from(io::stderr().as_fd().try_clone_to_owned()?).metadata()?;
    let is_mine = fs::symlink_metadata(path).is_ok_and(|now| (now.dev(), now.ino()) == (mine.dev(), mine.ino()));
    if is_mine {
        fs::rename(path, path.with_extension("log.old"))?;
    }
    let flags = libc::O_NOFOLLOW;
    let new = OpenOptions::new().create(true).append(true).mode(0o600).custom_flags(flags).open(path)?;
    Ok(nix::unistd::dup2_stderr(&new)?)
}

/// Notes a line; `None` if it is the one before said again, or else how often that one was.
fn say(text: &str) -> Option<u32> {
    let mut last = lock(&LAST);
    if let Some(last) = last.as_mut().filter(|last| last.text == text && last.first.elapsed() < REPEATED) {
        last.repeated += 1;
        return None;
    }
    let before = last.replace(Line { text: text.to_owned(), first: Instant::now(), repeated: 0 });
    Some(before.map_or(0, |line| line.repeated))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets every later line of this process begin with these names.
pub fn about_called(names: &str) {
    *lock(&ABOUT) = Some(names.to_owned());
}

/// Lets every later line of this process begin with the container's names.
pub fn about(key: &ContainerKey, pod: Option<&PodName>) {
    *lock(&ABOUT) = Some(called(key, pod));
}

/// A container's names, as the log has them: containerd's and, where there is a pod, Kubernetes'.
pub fn called(key: &ContainerKey, pod: Option<&PodName>) -> String {
    pod.map_or_else(|| key.to_string(), |pod| format!("{key} ({pod})"))
}

/// Text with what is not printed as `{:?}` shows it; quotes stay.
pub(crate) fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '"' | '\'' | '\\' => line.push(letter),
            _ => line.extend(letter.escape_debug()),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    // Regression test for S11: ESC and CR of a guest passed into the log.
    #[test]
    fn a_message_is_one_line_without_control_characters() {
        let text = "annotation \"a\r\n[2030 INFO forged]\u{1b}[2Jb\u{202e}c\" – 'é'";
        assert_eq!(escaped(text), "annotation \"a\\r\\n[2030 INFO forged]\\u{1b}[2Jb\\u{202e}c\" – 'é'");
    }

    #[test]
    fn what_is_said_again_and_again_is_counted() {
        let first = say("a").unwrap();
        assert_eq!((first, say("a"), say("a"), say("b"), say("a")), (first, None, None, Some(2), Some(0)));
    }
}
