//! The container's tree of files as it will be, while its mounts are still to be made: what a path leads to, with the
//! links of the image and of the volumes followed as they would be inside.

use std::{
    collections::VecDeque,
    ffi::OsString,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::{Component, Path, PathBuf},
};

use anyhow::{Result, bail};
use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2, readlinkat},
    sys::stat::{FileStat, Mode, SFlag, fstat},
};

/// As many links as runc follows for one path.
const MAX_LINKS: usize = 255;

/// A mount of the container.
struct Layer {
    at: PathBuf,
    /// What a bind mount shows; any other filesystem is new, so nothing in it is a link to follow.
    source: Option<OwnedFd>,
}

/// The root filesystem and what is mounted in it so far.
pub struct Tree {
    root: OwnedFd,
    layers: Vec<Layer>,
}

/// What a mount covers.
pub enum Cover<'a> {
    /// No mount, so the root filesystem.
    Root,
    /// The mount at this place, a bind mount or not.
    Mount {
        /// Where it is.
        at: &'a Path,
        /// Whether it shows files that are somewhere else, too.
        bind: bool,
    },
}

impl Tree {
    /// The root filesystem in `root`, without mounts.
    pub fn new(root: &Path) -> io::Result<Self> {
        Ok(Self { root: open(root, libc::O_DIRECTORY)?, layers: Vec::new() })
    }

    /// The same with one mount more, at the resolved path `at`: a bind mount of `source` or a new filesystem.
    pub fn mount(&mut self, at: PathBuf, source: Option<&Path>) {
        // What cannot be opened cannot be mounted either, and is told of then.
        let source = source.and_then(|source| open(source, 0).ok());
        self.layers.push(Layer { at, source });
    }

    /// The path without links and `..` that `path` leads to from the container's root; what is not there may be made.
    ///
    /// # Errors
    /// A loop of links.
    pub fn resolve(&self, path: &Path) -> Result<PathBuf> {
        let mut left: VecDeque<OsString> = parts(path).collect();
        let (mut done, mut links) = (PathBuf::from("/"), 0);
        while let Some(part) = left.pop_front() {
            if part == ".." {
                done.pop();
                continue;
            }
            let here = done.join(part);
            match self.link(&here) {
                Some(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        bail!("{}: too many levels of symbolic links", path.display());
                    }
                    if target.is_absolute() {
                        done = PathBuf::from("/");
                    }
                    parts(&target).rev().for_each(|part| left.push_front(part));
                }
                None => done = here,
            }
        }
        Ok(done)
    }

    /// What is at a resolved path; `None` where there is nothing yet.
    pub fn look(&self, path: &Path) -> Option<FileStat> {
        fstat(self.open(path)?).ok()
    }

    /// What a resolved path lies in.
    pub fn cover(&self, path: &Path) -> Cover<'_> {
        match self.layer(path) {
            Some(layer) => Cover::Mount { at: &layer.at, bind: layer.source.is_some() },
            None => Cover::Root,
        }
    }

    /// The last mount that has the path below it: it hides what was mounted there before.
    fn layer(&self, path: &Path) -> Option<&Layer> {
        self.layers.iter().rev().find(|layer| path.starts_with(&layer.at))
    }

    fn link(&self, path: &Path) -> Option<PathBuf> {
        let file = self.open(path)?;
        let kind = SFlag::from_bits_truncate(fstat(&file).ok()?.st_mode & libc::S_IFMT);
        (kind == SFlag::S_IFLNK).then(|| readlinkat(&file, "").ok().map(PathBuf::from)).flatten()
    }

    /// What is at a resolved path, for a look only.
    fn open(&self, path: &Path) -> Option<OwnedFd> {
        let (top, rest) = match self.layer(path) {
            Some(layer) => (layer.source.as_ref()?, path.strip_prefix(&layer.at).ok()?),
            None => (&self.root, path.strip_prefix("/").ok()?),
        };
        let rest = if rest.as_os_str().is_empty() { Path::new(".") } else { rest };
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
            .mode(Mode::empty())
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        match openat2(top.as_fd(), rest, how) {
            Ok(file) => Some(file),
            // A file is mounted here.
            Err(Errno::ENOTDIR) if rest == Path::new(".") => top.try_clone().ok(),
            Err(_) => None,
        }
    }
}

fn parts(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(_) | Component::ParentDir => Some(part.as_os_str().to_owned()),
        _ => None,
    })
}

fn open(path: &Path, flags: libc::c_int) -> io::Result<OwnedFd> {
    std::fs::File::options().read(true).custom_flags(libc::O_PATH | flags).open(path).map(OwnedFd::from)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn links_are_followed_inside_whether_what_they_lead_to_is_there_or_not() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("var/lib")).unwrap();
        for (link, target) in [
            ("localtime", "/usr/share/zoneinfo/UTC"),
            ("var/run", "/run"),
            ("var/chain", "../one/x"),
            ("one", "two"),
            ("out", "../../../etc"),
            ("loop", "loop"),
            ("self", "/"),
        ] {
            symlink(target, root.path().join(link)).unwrap();
        }
        let tree = Tree::new(root.path()).unwrap();
        let resolve = |path: &str| tree.resolve(Path::new(path)).unwrap().display().to_string();
        assert_eq!(resolve("/localtime"), "/usr/share/zoneinfo/UTC");
        assert_eq!(resolve("/var/run/secrets"), "/run/secrets");
        assert_eq!(resolve("/var/chain"), "/two/x");
        assert_eq!(resolve("/out"), "/etc");
        assert_eq!(resolve("relative/./x/../y"), "/relative/y");
        assert_eq!(resolve("/../.."), "/");
        assert_eq!(resolve("/self/var//lib/"), "/var/lib");
        assert!(tree.resolve(Path::new("/loop/x")).is_err());
    }

    #[test]
    fn a_mount_covers_what_is_below_it() {
        let (root, volume) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for top in [root.path(), volume.path()] {
            fs::create_dir(top.join("data")).unwrap();
        }
        symlink("/hidden", root.path().join("data/link")).unwrap();
        symlink("/shown", volume.path().join("link")).unwrap();
        fs::write(volume.path().join("file"), "").unwrap();
        let mut tree = Tree::new(root.path()).unwrap();
        let resolve = |tree: &Tree, path: &str| tree.resolve(Path::new(path)).unwrap().display().to_string();
        assert_eq!(resolve(&tree, "/data/link"), "/hidden");
        tree.mount("/data".into(), Some(volume.path()));
        assert_eq!(resolve(&tree, "/data/link"), "/shown");
        assert!(
            matches!(tree.cover(Path::new("/data/x")), Cover::Mount { at, bind: true } if at == Path::new("/data"))
        );
        tree.mount("/data".into(), None);
        assert_eq!(resolve(&tree, "/data/link"), "/data/link");
        assert!(matches!(tree.cover(Path::new("/dat")), Cover::Root));
        tree.mount("/etc/file".into(), Some(&volume.path().join("file")));
        let file = tree.look(Path::new("/etc/file")).unwrap();
        assert_eq!(file.st_mode & libc::S_IFMT, libc::S_IFREG);
    }
}
