//! The system that is worked on: the running one, or one that is mounted somewhere (`--root`).

use std::{
    ffi::OsString,
    fs, io,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Component, Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use glob::{MatchOptions, Pattern};

/// How many symbolic links a path may lead over, as in the kernel.
const MOST_LINKS: usize = 40;

/// A root directory. Paths are given as that system sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    path: PathBuf,
}

impl Root {
    /// The system at `path`.
    ///
    /// # Errors
    /// It is no directory.
    pub fn new(path: &Path) -> Result<Self> {
        let path = path.canonicalize().with_context(|| format!("--root {} cannot be used", path.display()))?;
        if !path.is_dir() {
            bail!("--root {} is not a directory", path.display());
        }
        Ok(Self { path })
    }

    /// Whether it is the system that this process runs on.
    pub fn is_running(&self) -> bool {
        self.path == Path::new("/")
    }

    /// The root directory, as this process sees it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A program of that system, to be run in it.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        if !self.is_running() {
            let directory = self.path.clone();
            let enter = move || Ok(nix::unistd::chroot(&directory).and_then(|()| nix::unistd::chdir("/"))?);
            // SAFETY: between fork and exec it makes two system calls, and allocates nothing but a short path.
            unsafe { command.pre_exec(enter) };
        }
        command
    }

    /// What tells this root directory from any other: its device and inode.
    pub fn identity(&self) -> io::Result<(u64, u64)> {
        fs::metadata(&self.path).map(|meta| (meta.dev(), meta.ino()))
    }

    /// Where `path` is for this process. Symbolic links are that system's: none leads out of the root. The end of the
    /// path need not exist.
    ///
    /// # Errors
    /// The links go round in circles.
    pub fn at(&self, path: &Path) -> Result<PathBuf> {
        let mut found = PathBuf::new();
        let mut rest = names(path);
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == ".." {
                found.pop();
                continue;
            }
            found.push(name);
            let Ok(target) = fs::read_link(self.path.join(&found)) else { continue };
            links += 1;
            if links > MOST_LINKS {
                bail!("{}: too many symbolic links", path.display());
            }
            found.pop();
            if target.is_absolute() {
                found.clear();
            }
            rest.extend(names(&target));
        }
        Ok(self.path.join(found))
    }

    /// The same of an entry of a directory, which may be a link itself.
    ///
    /// # Errors
    /// The links go round in circles.
    pub fn entry(&self, path: &Path) -> Result<PathBuf> {
        let directory = self.at(path.parent().unwrap_or(Path::new("/")))?;
        Ok(path.file_name().map_or(directory.clone(), |name| directory.join(name)))
    }

    /// The path to which the system's links lead from `path`.
    pub fn resolved(&self, path: &Path) -> PathBuf {
        let at = self.at(path).ok();
        let inside = at.as_ref().and_then(|at| at.strip_prefix(&self.path).ok());
        inside.map_or_else(|| path.to_owned(), |inside| Path::new("/").join(inside))
    }

    /// The bytes of a file; `None` if there is none.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn read(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        match fs::read(self.at(path)?) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// The same of a file that holds text.
    ///
    /// # Errors
    /// It cannot be read, or is no UTF-8.
    pub fn text(&self, path: &Path) -> Result<Option<String>> {
        self.read(path)?
            .map(|bytes| String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", path.display())))
            .transpose()
    }

    /// Whether anything is at `path`.
    pub fn has(&self, path: &Path) -> bool {
        self.at(path).is_ok_and(|path| path.exists())
    }

    /// Whether a program is at `path`.
    pub fn has_program(&self, path: &Path) -> bool {
        let meta = self.at(path).and_then(|path| Ok(fs::metadata(path)?));
        meta.is_ok_and(|meta| meta.is_file() && meta.mode() & 0o111 != 0)
    }

    /// The files that match `pattern`, whose last name may have wildcards, in order: what Go's `filepath.Glob` finds.
    pub fn matching(&self, pattern: &Path) -> Vec<PathBuf> {
        let (Some(directory), Some(name)) = (pattern.parent(), pattern.file_name().and_then(|name| name.to_str()))
        else {
            return Vec::new();
        };
        let Ok(wanted) = Pattern::new(name) else { return Vec::new() };
        let entries = self.at(directory).and_then(|path| Ok(fs::read_dir(path)?)).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name()).filter(|name| matches(&wanted, Path::new(name)));
        let mut found: Vec<PathBuf> = names.map(|name| directory.join(name)).collect();
        found.sort();
        found
    }
}

/// Whether Go's `filepath.Match` says so.
pub fn matches(pattern: &Pattern, path: &Path) -> bool {
    let like_go =
        MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };
    pattern.matches_path_with(path, like_go)
}

/// The names of a path, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    let mut names: Vec<_> = names.collect();
    names.reverse();
    names
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_of_a_mounted_system_stay_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path()).unwrap();
        fs::create_dir_all(dir.path().join("data/etc")).unwrap();
        fs::write(dir.path().join("data/etc/file"), "inside").unwrap();
        symlink("/data/etc", dir.path().join("etc")).unwrap();
        symlink("../../../../data/etc/file", dir.path().join("data/up")).unwrap();
        symlink("/loop", dir.path().join("loop")).unwrap();
        assert_eq!(root.text(Path::new("/etc/file")).unwrap().as_deref(), Some("inside"));
        assert_eq!(root.text(Path::new("/data/up")).unwrap().as_deref(), Some("inside"));
        assert_eq!(root.text(Path::new("/etc/none")).unwrap(), None);
        assert!(root.at(Path::new("/loop")).unwrap_err().to_string().contains("too many symbolic links"));
        assert_eq!(root.matching(Path::new("/etc/f*")), [Path::new("/etc/file")]);
    }
}
