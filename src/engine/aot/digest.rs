//! SHA-256 of modules. That of a large file is remembered until the next reboot, for as long as the file stays what it
//! is: reading and hashing 20 MB takes 15 ms, which each start would pay.
//!
//! A file stays what it is while its device, inode, size and times do: the kernel sets the change time at each write,
//! and nobody can set it back. That holds on the filesystems of [`KEPT`] only: others take the times from what they show,
//! such as an image. Of an overlay it holds where all layers are on one of them, for files that come from the image: those
//! have the inode numbers of their layer, and are older than the container's own layer.

use std::{
    fs::{self, File},
    io::{self, Read, Seek},
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use nix::sys::statfs::{BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, FsType, XFS_SUPER_MAGIC, fstatfs, statfs};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wasmedge_shim_protocol::{Location, RootfsMount, ensure_private_dir};

use super::identity::hex;

/// Files of fewer bytes are hashed as fast as a note is found.
const LARGE: u64 = 1 << 20;

/// How many notes there are at most; a newer one takes the place of an older.
const NOTES: u64 = 1024;

/// Filesystems that keep the change time themselves, by the node's clock.
const KEPT: [FsType; 3] = [EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC];

/// How long a file must not have been changed before it is remembered. What is written through a mapping changes the
/// time only when the page is first written to, until the page has been written back, which takes half a minute.
const SETTLED: Duration = Duration::from_secs(60);

/// The same for the layers of images, in which nobody maps a file for writing.
const UNPACKED: Duration = Duration::from_secs(2);

/// A root filesystem whose files can be told by their inodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layers {
    /// Device number of the overlay.
    overlay: u64,
    /// Device number of its layers.
    real: u64,
    /// When the layer of the container itself was made; none where it has none.
    born: Option<SystemTime>,
}

impl Layers {
    /// Of what is mounted at `root`; `None` where its files cannot be told so, or where that is not worth it for `file`.
    pub fn for_file(file: &File, rootfs: &[RootfsMount], root: &Path) -> Option<Self> {
        if file.metadata().is_ok_and(|meta| meta.len() >= LARGE) { Self::of(rootfs, root) } else { None }
    }

    fn of(rootfs: &[RootfsMount], root: &Path) -> Option<Self> {
        let [RootfsMount { fstype, options, .. }] = rootfs else { return None };
        let option = |name: &str| options.iter().find_map(|option| option.strip_prefix(name));
        if fstype != "overlay" || options.iter().any(|option| option.contains("idmap") || option.contains("redirect")) {
            return None;
        }
        let (upper, lower) = (option("upperdir=").map(Path::new), option("lowerdir=")?);
        let mut devices = lower.split(':').map(Path::new).chain(upper).map(kept_device);
        let real = devices.next()??;
        if devices.any(|device| device != Some(real)) {
            return None;
        }
        let born = upper.map(|upper| fs::metadata(upper)?.created()).transpose().ok()?;
        Some(Self { overlay: fs::metadata(root).ok()?.dev(), real, born })
    }
}

fn kept_device(directory: &Path) -> Option<u64> {
    let kind = statfs(directory).ok()?.filesystem_type();
    (directory.is_absolute() && KEPT.contains(&kind)).then(|| fs::metadata(directory).ok())?.map(|meta| meta.dev())
}

/// SHA-256 of `file`, in hexadecimal digits. `layers` are those of the root filesystem that it may be in.
pub fn sha256(location: &Location, file: &mut File, layers: Option<&Layers>) -> io::Result<String> {
    let before = file.metadata()?;
    let Some(state) = state(file, &before, layers) else { return hash(file) };
    let note = note(location, &before);
    if let Ok(text) = fs::read_to_string(&note)
        && let Some(digest) = text.strip_prefix(&state)
        && digest.len() == 64
    {
        return Ok(digest.to_owned());
    }
    let digest = hash(file)?;
    let after = file.metadata()?;
    if (after.ctime(), after.ctime_nsec(), after.len()) == (before.ctime(), before.ctime_nsec(), before.len()) {
        // Without it the next start hashes again.
        let _ = write(&note, &format!("{state}{digest}"));
    }
    Ok(digest)
}

fn hash(file: &mut File) -> io::Result<String> {
    file.rewind()?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&buffer[..count]);
    }
}

/// What is the same as long as the content of `file` is; `None` where that is not sure, or not worth it.
fn state(file: &File, meta: &fs::Metadata, layers: Option<&Layers>) -> Option<String> {
    if meta.len() < LARGE || !meta.is_file() || meta.uid() != 0 || meta.mode() & 0o022 != 0 {
        return None;
    }
    let changed = SystemTime::UNIX_EPOCH
        + Duration::new(u64::try_from(meta.ctime()).ok()?, u32::try_from(meta.ctime_nsec()).ok()?);
    let age = changed.elapsed().ok()?;
    let device = match layers.filter(|layers| layers.overlay == meta.dev()) {
        Some(layers) if layers.born.is_none_or(|born| changed < born) && age > UNPACKED => layers.real,
        Some(_) => return None,
        None if age > SETTLED && KEPT.contains(&fstatfs(file.as_fd()).ok()?.filesystem_type()) => meta.dev(),
        None => return None,
    };
    let (mtime, ctime) = ((meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()));
    Some(format!("{device} {} {} {}.{:09} {}.{:09} ", meta.ino(), meta.len(), mtime.0, mtime.1, ctime.0, ctime.1))
}

fn note(location: &Location, meta: &fs::Metadata) -> PathBuf {
    location.aot().join(format!("digest-{}", meta.ino() % NOTES))
}

fn write(note: &Path, text: &str) -> io::Result<()> {
    note.parent().map_or(Ok(()), ensure_private_dir)?;
    let new = note.with_extension(std::process::id().to_string());
    fs::write(&new, text).and_then(|()| fs::rename(&new, note)).inspect_err(|_| drop(fs::remove_file(&new)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, PermissionsExt};

    use super::*;

    /// A large file, and a place for notes.
    fn scene() -> (tempfile::TempDir, Location, File) {
        let top = tempfile::tempdir().unwrap();
        let location = Location::new(top.path().join("run"));
        let path = top.path().join("module");
        fs::write(&path, vec![7; LARGE as usize]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let file = File::options().read(true).write(true).open(path).unwrap();
        (top, location, file)
    }

    fn long_ago(file: &File) -> Layers {
        // As if it were of an overlay whose own layer was made now, and its content long before.
        let meta = file.metadata().unwrap();
        let born = SystemTime::now() + Duration::from_secs(10);
        Layers { overlay: meta.dev(), real: meta.dev(), born: Some(born) }
    }

    #[test]
    fn a_digest_is_remembered_and_forgotten_with_any_change() {
        let (_top, location, mut file) = scene();
        let layers = long_ago(&file);
        let first = sha256(&location, &mut file, Some(&layers)).unwrap();
        assert_eq!(first, hash(&mut file).unwrap());
        let note = note(&location, &file.metadata().unwrap());
        assert!(!note.exists(), "it has just been written");
        std::thread::sleep(UNPACKED + Duration::from_millis(100));
        assert_eq!(sha256(&location, &mut file, Some(&layers)).unwrap(), first);
        // It is the note that is believed.
        let text = fs::read_to_string(&note).unwrap();
        fs::write(&note, text.replace(&first, &"0".repeat(64))).unwrap();
        assert_eq!(sha256(&location, &mut file, Some(&layers)).unwrap(), "0".repeat(64));
        file.write_all_at(b"x", 5).unwrap();
        let second = sha256(&location, &mut file, Some(&layers)).unwrap();
        assert!(second != first && second == hash(&mut file).unwrap());
    }

    #[test]
    fn what_others_may_write_to_is_small_or_is_the_containers_own_is_not_remembered() {
        let (_top, _, file) = scene();
        let (meta, layers) = (file.metadata().unwrap(), long_ago(&file));
        std::thread::sleep(UNPACKED + Duration::from_millis(100));
        let state_of = |layers: &Layers| state(&file, &file.metadata().unwrap(), Some(layers));
        assert!(state_of(&layers).is_some());
        assert!(state_of(&Layers { born: None, ..layers.clone() }).is_some(), "no layer of its own");
        let born = Some(meta.modified().unwrap() - Duration::from_secs(1));
        assert!(state_of(&Layers { born, ..layers.clone() }).is_none(), "changed in the container");
        assert!(state(&file, &meta, None).is_none(), "changed a moment ago");
        file.set_len(LARGE - 1).unwrap();
        std::thread::sleep(UNPACKED + Duration::from_millis(100));
        assert!(state_of(&layers).is_none(), "small");
        file.set_len(LARGE).unwrap();
        file.set_permissions(fs::Permissions::from_mode(0o646)).unwrap();
        std::thread::sleep(UNPACKED + Duration::from_millis(100));
        assert!(state_of(&layers).is_none(), "others may write to it");
    }

    #[test]
    fn layers_of_filesystems_that_keep_their_times_are_told_by_their_inodes() {
        let top = tempfile::tempdir_in("/var/tmp").unwrap();
        for name in ["a", "b", "upper"] {
            fs::create_dir(top.path().join(name)).unwrap();
        }
        let top = top.path().display();
        let mount = |fstype: &str, options: &[&str]| RootfsMount {
            fstype: fstype.to_owned(),
            options: options.iter().map(ToString::to_string).collect(),
            ..RootfsMount::default()
        };
        let of = |mounts: &[RootfsMount]| Layers::of(mounts, Path::new("/"));
        let (lower, upper) = (format!("lowerdir={top}/a:{top}/b"), format!("upperdir={top}/upper"));
        let kept = kept_device(Path::new("/var/tmp")).is_some();
        let whole = of(&[mount("overlay", &[&lower, &upper])]);
        assert_eq!(whole.is_some(), kept);
        assert_eq!(whole.and_then(|layers| layers.born).is_some(), kept);
        assert_eq!(of(&[mount("overlay", &[&lower])]).is_some(), kept);
        assert_eq!(of(&[mount("overlay", &[&lower, &upper, "uidmap=0:1:1", "idmap"])]), None);
        assert_eq!(of(&[mount("overlay", &["lowerdir=a:b"])]), None, "relative");
        assert_eq!(of(&[mount("overlay", &[&format!("{lower}:/proc")])]), None, "of another kind");
        assert_eq!(of(&[mount("erofs", &[])]), None);
    }
}
