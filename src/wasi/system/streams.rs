//! `/dev/stdout` and its relatives, where there is no `/proc`.
//!
//! In a container they are links into `/proc/self/fd` (runtime-linux.md of the OCI runtime specification, "Dev symbolic
//! links"), and images link their log files to them. A guest has no `/proc`, as that would be its engine's; so where the
//! kernel has found nothing, the links are followed by hand to see whether they lead there.

use std::{collections::VecDeque, os::fd::OwnedFd};

use rustix::{
    fs::{CWD, OFlags},
    io::Errno,
};

use super::path::{Place, Reach};

/// Links that are followed before it is given up, as the kernel does (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// The number of the descriptor that a path leads to by way of `/proc/self/fd`, if it does. To be asked when the path
/// itself was not found.
pub fn behind(place: Place<'_>, path: &[u8]) -> Option<u32> {
    if place.reach != Reach::Container || !may_lead(place, path) {
        return None;
    }
    let mut walk = Walk { here: None, left: VecDeque::new(), links: 0 };
    walk.go_on(path)?;
    loop {
        if let Some(fd) =
            walk.descriptor().filter(|_| walk.links > 0 || is_root(walk.here.as_ref().map_or(place, in_container)))
        {
            return Some(fd);
        }
        let name = walk.left.pop_front()?;
        let here = walk.here.as_ref().map_or(place, in_container);
        match here.read_link(&name) {
            Ok(target) => walk.follow(&target)?,
            Err(_) => walk.here = Some(here.open(&name, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW).ok()?),
        }
    }
}

/// Whether a path that was not found may lead to a descriptor: one system call, since programs ask for many files that are not
/// there. The number of the descriptor comes from the path itself, or from a link at its end.
fn may_lead(place: Place<'_>, path: &[u8]) -> bool {
    let number = path.iter().rev().take_while(|byte| **byte != b'/');
    number.clone().all(u8::is_ascii_digit) || place.read_link(path).is_ok()
}

struct Walk {
    /// Where it is; `None` for where it began.
    here: Option<OwnedFd>,
    /// The names that are left.
    left: VecDeque<Vec<u8>>,
    links: usize,
}

impl Walk {
    /// Comes to a link.
    fn follow(&mut self, target: &[u8]) -> Option<()> {
        self.links += 1;
        if self.links > MOST_LINKS { None } else { self.go_on(target) }
    }

    /// Puts the names of a path before those that are left.
    fn go_on(&mut self, path: &[u8]) -> Option<()> {
        if path.starts_with(b"/") {
            self.here = Some(root().ok()?);
        }
        let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
        names.rev().for_each(|name| self.left.push_front(name.to_vec()));
        Some(())
    }

    /// The descriptor, if what is left of a path is `proc/self/fd/N`.
    fn descriptor(&self) -> Option<u32> {
        let names: Vec<&[u8]> = self.left.iter().take(5).map(Vec::as_slice).collect();
        match names.as_slice() {
            [b"proc", b"self", b"fd", number] if number.iter().all(u8::is_ascii_digit) => {
                std::str::from_utf8(number).ok()?.parse().ok()
            }
            _ => None,
        }
    }
}

fn is_root(place: Place<'_>) -> bool {
    let (here, root) = (place.stat(b".", true), place.stat(b"/", true));
    matches!((here, root), (Ok(here), Ok(root)) if (here.st_dev, here.st_ino) == (root.st_dev, root.st_ino))
}

fn root() -> Result<OwnedFd, Errno> {
    Place { directory: CWD, reach: Reach::Container }.open(b"/", OFlags::PATH | OFlags::DIRECTORY)
}

fn in_container(directory: &OwnedFd) -> Place<'_> {
    use std::os::fd::AsFd;
    Place { directory: directory.as_fd(), reach: Reach::Container }
}

#[cfg(test)]
mod tests {
    use std::os::{fd::AsFd, unix::fs::symlink};

    use super::*;

    #[test]
    fn links_lead_to_a_descriptor_through_any_number_of_others() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        // There is a /proc here, so one that there is not stands for it: only names that are left are looked at.
        symlink("proc/self/fd/1", at("stdout")).unwrap();
        symlink("proc/self/fd", at("fd")).unwrap();
        symlink("stdout", at("log")).unwrap();
        symlink("./log", at("more")).unwrap();
        symlink("loop", at("loop")).unwrap();
        symlink("gone", at("dangling")).unwrap();
        std::fs::create_dir(at("sub")).unwrap();
        symlink("../log", at("sub/up")).unwrap();
        let file = std::fs::File::open(directory.path()).unwrap();
        let behind = |path: &str| behind(Place { directory: file.as_fd(), reach: Reach::Container }, path.as_bytes());
        assert_eq!(behind("stdout"), Some(1));
        assert_eq!(behind("./more"), Some(1));
        assert_eq!(behind("fd/37"), Some(37));
        assert_eq!(behind("sub/up"), Some(1));
        assert_eq!(behind("sub/../log"), Some(1));
        for other in ["loop", "dangling", "gone", "sub", "fd", "fd/", "fd/x", "fd/1/x", "fd/-1", "fd/99999999999", ""] {
            assert_eq!(behind(other), None, "{other}");
        }
        let walled = Place { directory: file.as_fd(), reach: Reach::Beneath };
        assert_eq!(super::behind(walled, b"stdout"), None);
    }
}
