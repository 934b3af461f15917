//! Does what is planned, so that at each moment the files are those of before or those of after.
//!
//! A file is written beside its place, brought to the disk, and renamed. What is left by a process that was killed has a
//! name that nothing reads, and is taken over by the next one.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use rustix::{fs::XattrFlags, io::Errno};
use wasmedge_shim_protocol::gone;

use super::{plan::Change, planner::is_private, restart, root::Root};

/// The extended attribute with a file's label of SELinux (xattr(7)).
const LABEL: &str = "security.selinux";

/// More than labels have: with the most categories some 4 kB.
const LABEL_SIZE: usize = 1 << 14;

/// Lets nobody else change the system's files at the same time, for as long as the lock is held.
///
/// # Errors
/// Somebody does.
pub fn lock(root: &Root) -> Result<Flock<File>> {
    let directory = File::open(root.path())?;
    Flock::lock(directory, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        nix::errno::Errno::EWOULDBLOCK => anyhow::anyhow!("another install or uninstall is under way"),
        errno => anyhow::anyhow!("cannot lock {}: {}", root.path().display(), io::Error::from(errno)),
    })
}

/// Does one change.
///
/// # Errors
/// Names what could not be done.
pub fn apply(root: &Root, change: &Change) -> Result<()> {
    let path = || root.at(change.path());
    match change {
        Change::MakeDirectory(name) => make_directory(name, &path()?),
        Change::Write { after, mode, before, .. } => {
            let place = path()?;
            if fs::read(&place).ok() != *before {
                bail!("{} was changed by somebody else meanwhile: start again", change.path().display());
            }
            let write = |file: &mut File| file.write_all(after);
            replace(&place, *mode, write).with_context(|| format!("cannot write {}", change.path().display()))
        }
        Change::Copy { from, .. } => {
            let copy = |file: &mut File| File::open(from).and_then(|mut from| io::copy(&mut from, file)).map(drop);
            let what = || format!("cannot copy {} to {}", from.display(), change.path().display());
            replace(&path()?, 0o755, copy).with_context(what)
        }
        Change::Link { path, target } => {
            let what = || format!("cannot make {}", path.display());
            link(&root.entry(path)?, target).with_context(what)
        }
        Change::RemoveTree(path) => {
            let what = || format!("cannot remove {}", path.display());
            gone(fs::remove_dir_all(root.entry(path)?)).with_context(what)
        }
        Change::Remove { path, .. } => {
            remove(&root.entry(path)?).with_context(|| format!("cannot remove {}", path.display()))
        }
        Change::RemoveDirectory(_) => match fs::remove_dir(path()?) {
            // Somebody uses it.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            removed => gone(removed).with_context(|| format!("cannot remove {}", change.path().display())),
        },
        Change::Restart(unit) => restart::restart(root, unit),
    }
}

fn make_directory(name: &Path, path: &Path) -> Result<()> {
    let mode = if is_private(name) { 0o700 } else { 0o755 };
    match fs::DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made.with_context(|| format!("cannot make {}", name.display())),
    }
}

/// Where a file is prepared, and what a run that was killed may leave. The name ends in nothing that containerd imports.
pub fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    path.with_file_name(name)
}

/// Puts a file in place by renaming; who has the old one open, or runs it, keeps that.
fn replace(path: &Path, mode: u32, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let new = beside(path);
    gone(fs::remove_file(&new))?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    write(&mut file)?;
    match fs::metadata(path) {
        // A file of others stays theirs.
        Ok(old) => {
            keep_label(path, &file)?;
            if (old.uid(), old.gid()) != file.metadata().map(|new| (new.uid(), new.gid()))? {
                fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
            let mode = if mode & 0o111 == 0 { old.mode() & 0o7777 } else { mode };
            file.set_permissions(fs::Permissions::from_mode(mode))?;
        }
        Err(_) => file.set_permissions(fs::Permissions::from_mode(mode))?,
    }
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_directory(path)
}

/// Gives a new file the label of SELinux that the one at `path` has: one that was set by hand is none that the policy would give,
/// and containerd may read no other.
fn keep_label(path: &Path, new: &File) -> io::Result<()> {
    let (mut old, mut made) = (Vec::with_capacity(LABEL_SIZE), Vec::with_capacity(LABEL_SIZE));
    match rustix::fs::getxattr(path, LABEL, rustix::buffer::spare_capacity(&mut old)) {
        // Of a file system without labels, or none.
        Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(()),
        Err(error) => return Err(error.into()),
        Ok(_) => {}
    }
    let has = rustix::fs::fgetxattr(new, LABEL, rustix::buffer::spare_capacity(&mut made)).is_ok() && made == old;
    if has { Ok(()) } else { Ok(rustix::fs::fsetxattr(new, LABEL, &old, XattrFlags::empty())?) }
}

fn link(path: &Path, target: &str) -> io::Result<()> {
    let new = beside(path);
    gone(fs::remove_file(&new))?;
    std::os::unix::fs::symlink(target, &new)?;
    fs::rename(&new, path)?;
    sync_directory(path)
}

fn remove(path: &Path) -> io::Result<()> {
    gone(fs::remove_file(path))?;
    sync_directory(path)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}
