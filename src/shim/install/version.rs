//! Versions of containerd and Docker, and the programs that tell them.

use std::{fmt, path::Path, str::FromStr};

use anyhow::{Context, Error, Result};

use super::root::Root;

/// The first containerd that is supported.
pub const OLDEST: Version = Version { major: 1, minor: 7 };
/// The first one that merges what it imports table by table; before, an imported plugin's section replaces the whole.
pub const MERGES: Version = Version { major: 2, minor: 0 };
/// The first one whose own configuration imports `/etc/containerd/conf.d`.
pub const DROP_INS: Version = Version { major: 2, minor: 2 };
/// The first one that converts each imported file by itself; before, the last file's version is that of all.
pub const CONVERTS_EACH: Version = Version { major: 2, minor: 3 };

/// The part of a version that decides anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second.
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = Error;

    /// `2.1`, `v2.1.9`, `2.1.9~ds1-3`, `v2.2.7-k3s1`.
    fn from_str(text: &str) -> Result<Self> {
        let mut numbers = text.trim_start_matches('v').split(|c: char| !c.is_ascii_digit());
        let mut next = || numbers.next().and_then(|number| number.parse().ok());
        let version = next().zip(next()).map(|(major, minor)| Self { major, minor });
        version.with_context(|| format!("\"{text}\" is not a version such as 2.1"))
    }
}

/// What the program at `path` in `root` says of itself.
///
/// # Errors
/// It cannot be run, which may be another machine's, or says no version.
pub fn ask(root: &Root, path: &Path) -> Result<Version> {
    let mut command = root.command(path);
    command.arg("--version").env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let output = command.output().with_context(|| format!("cannot run {} --version", path.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    said(&text).with_context(|| format!("{} --version says no version: {:?}", path.display(), text.trim()))
}

/// The version in `containerd github.com/containerd/containerd/v2 2.1.9~ds1 …` or `Docker version 28.5.2, build …`.
fn said(text: &str) -> Option<Version> {
    let word = |word: &&str| word.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit());
    text.lines().next()?.split_whitespace().filter(word).find_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        let says = |text| said(text).map(|version| version.to_string());
        let debian = "containerd github.com/containerd/containerd/v2 2.1.9~ds1 \n";
        assert_eq!(says(debian).as_deref(), Some("2.1"));
        let k3s = "containerd github.com/k3s-io/containerd v2.2.7-k3s1 0123456";
        assert_eq!(says(k3s).as_deref(), Some("2.2"));
        assert_eq!(says("containerd containerd.io 1.7.28 b98a3aa").as_deref(), Some("1.7"));
        assert_eq!(says("Docker version 28.5.2+dfsg1, build ecc6942").as_deref(), Some("28.5"));
        assert_eq!(says("containerd"), None);
        assert!("two".parse::<Version>().unwrap_err().to_string().contains("\"two\" is not a version such as 2.1"));
    }
}
