//! The cache's files: `DIRECTORY/ENGINE/MODULE-LEVEL.so`, for root only, replaced as a whole and sealed.
//!
//! What a checksum was found right for is remembered until the file changes or the node starts again: a crash may
//! leave a file of which the disk has only a part.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions, Permissions},
    io,
    ops::Deref,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::{stat::futimens, time::TimeSpec},
};
use wasmedge_shim_protocol::{Location, Optimization, ensure_private_dir};

use super::{failures::Failures, history::History, identity, key::Key, sealed, tally::Tally, tenant::Tenant};

/// Survives a reboot.
const DIRECTORY: &str = "/var/lib/containerd-shim-wasmedge/aot";

/// After which time what a killed compilation left is removed.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Native code that is not evicted for as long as this lives.
pub struct InUse {
    file: Flock<File>,
    /// The level that it was compiled at.
    pub level: Optimization,
}

impl Deref for InUse {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

/// Compiled code in the cache.
#[derive(Debug, Clone)]
pub struct Entry {
    path: PathBuf,
    /// What it was compiled for: the digits of [`identity::engine`].
    pub engine: String,
    /// Module and level, as in the file's name.
    pub name: String,
    /// Bytes on disk.
    pub size: u64,
    /// When it was last used or made.
    pub used: SystemTime,
    /// To whom it is charged: who asked for it first.
    owner: sealed::Owner,
}

impl Entry {
    /// Whether this engine can use it.
    pub fn is_current(&self) -> bool {
        self.engine == identity::engine()
    }
}

/// The cache.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
    notes: PathBuf,
    /// Most bytes that it may take.
    size: u64,
}

impl Store {
    /// The node's, of at most `size` bytes.
    pub fn new(location: &Location, size: u64) -> Self {
        Self { directory: DIRECTORY.into(), notes: location.aot(), size }
    }

    fn path(&self, key: &Key, level: Optimization) -> PathBuf {
        self.directory.join(&key.engine).join(format!("{}.so", key.at(level)))
    }

    /// Where notes are that a reboot removes; it is there.
    pub fn notes(&self) -> io::Result<&Path> {
        ensure_private_dir(&self.notes)?;
        Ok(&self.notes)
    }

    /// Modules that could not be compiled.
    pub fn failures(&self) -> Failures {
        Failures::new(&self.notes)
    }

    /// What has been done, counted.
    pub fn tally(&self) -> Tally {
        Tally::new(&self.notes)
    }

    /// Most bytes that it may take.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Who has earned a compilation.
    pub fn history(&self) -> History {
        History::new(&self.notes)
    }

    /// A file about `key` that a reboot removes.
    pub fn note(&self, kind: &str, key: &Key) -> io::Result<PathBuf> {
        ensure_private_dir(&self.notes)?;
        Ok(self.notes.join(format!("{kind}-{}", key.name())))
    }

    /// Native code for `key`, open for reading. While the result lives the entry stays, so that its path can be used. What
    /// is damaged, or not root's alone, is removed.
    pub fn get(&self, key: &Key, level: Optimization) -> Option<InUse> {
        let path = self.path(key, level);
        let mut file = open_in_use(&path).ok()??;
        match self.trust(&mut file, &path) {
            Ok(()) => Some(InUse { file, level }),
            Err(error) => {
                log::warn!("{} is not used and removed: {error}", path.display());
                remove(&self.verified(&path));
                remove(&path);
                None
            }
        }
    }

    /// Whether `file` is sound.
    fn trust(&self, file: &mut File, path: &Path) -> io::Result<()> {
        let meta = file.metadata()?;
        let of_root = meta.is_file() && meta.uid() == nix::unistd::geteuid().as_raw() && meta.mode() & 0o022 == 0;
        if !of_root {
            return Err(io::Error::other("others than root can write to it"));
        }
        let known = self.verified(path);
        let state = state(&meta);
        if fs::read_to_string(&known).is_ok_and(|text| text == state) {
            // By its time the least recently used is found; without, it is just older.
            let _ =
                File::open(&known).and_then(|note| Ok(futimens(&note, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW)?));
            return Ok(());
        }
        sealed::check(file, &seal_name(path))?;
        io::Seek::rewind(file)?;
        // Without it the next start checks again.
        let _ = ensure_private_dir(&self.notes).and_then(|()| fs::write(&known, state));
        Ok(())
    }

    /// Checks an entry, whatever is known of it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, entry: &Entry) -> io::Result<()> {
        remove(&self.verified(&entry.path));
        self.trust(&mut open(&entry.path)?, &entry.path)
    }

    fn verified(&self, path: &Path) -> PathBuf {
        self.notes.join(format!("verified-{}", seal_name(path).replace('/', "-")))
    }

    /// Takes native code in, charged to `tenant`, and makes room for it.
    ///
    /// # Errors
    /// Also where there is no room for it beside what others have.
    pub fn put(&self, key: &Key, level: Optimization, tenant: Tenant, native: &mut File) -> io::Result<()> {
        let path = self.path(key, level);
        let directory = path.parent().unwrap_or(&self.directory);
        ensure_private_dir(&self.directory)?;
        ensure_private_dir(directory)?;
        let temporary = directory.join(format!("{}.{}", key.at(level), std::process::id()));
        let written = File::create(&temporary).and_then(|mut file| {
            sealed::write(native, &seal_name(&path), tenant.id(), &mut file)?;
            // Containers' users read it, through a descriptor.
            file.set_permissions(Permissions::from_mode(0o444))?;
            fs::rename(&temporary, &path)
        });
        if written.is_err() {
            remove(&temporary);
        }
        written?;
        self.prune(self.size, Some(&path));
        if path.exists() {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::QuotaExceeded, "its native code is larger than its share of the cache"))
    }

    /// Everything in the cache, the least recently used first.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries: Vec<_> = self.files().filter_map(|path| self.entry(path)).collect();
        entries.sort_by_key(|entry| entry.used);
        entries
    }

    fn files(&self) -> impl Iterator<Item = PathBuf> {
        let engines = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let files = engines.flat_map(|engine| fs::read_dir(engine.path()).into_iter().flatten().flatten());
        files.map(|file| file.path())
    }

    fn entry(&self, path: PathBuf) -> Option<Entry> {
        let name = path.file_name()?.to_str()?.strip_suffix(".so")?.to_owned();
        let engine = path.parent()?.file_name()?.to_str()?.to_owned();
        let meta = fs::symlink_metadata(&path).ok()?;
        let used = fs::metadata(self.verified(&path)).and_then(|meta| meta.modified()).ok();
        let used = meta.modified().ok()?.max(used.unwrap_or(SystemTime::UNIX_EPOCH));
        // What has no seal any more is nobody's, and found to be damaged when it is used.
        let owner = open(&path).ok().and_then(|file| sealed::owner(&file)).unwrap_or_default();
        Some(Entry { engine, name, size: meta.len(), used, owner, path })
    }

    /// Removes entries until no more than `size` bytes are left: always of who has most, what that one used longest ago, so
    /// that nobody who has less than a fair share loses anything to others. `keep` stays, unless others would have to go
    /// for it; and what killed compilations left goes. How many bytes were removed.
    pub fn prune(&self, size: u64, keep: Option<&Path>) -> u64 {
        self.sweep();
        let mut entries = self.entries();
        let mut total: u64 = entries.iter().map(|entry| entry.size).sum();
        let mut removed = 0;
        while total > size
            && let Some(index) = first_to_go(&entries, keep)
        {
            let entry = entries.remove(index);
            if self.evict(&entry) {
                self.tally().evicted(entry.size);
                total -= entry.size;
                removed += entry.size;
            }
        }
        removed
    }

    /// Removes what killed compilations left: half-written files, and locks that nobody holds.
    fn sweep(&self) {
        let half = self.files().filter(|path| path.extension().is_none_or(|extension| extension != "so"));
        for path in half.filter(|path| is_old(path)) {
            remove(&path);
        }
        let notes = fs::read_dir(&self.notes).into_iter().flatten().flatten().map(|entry| entry.path());
        let begins = |path: &PathBuf, kind: &[u8]| {
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(kind))
        };
        let lock = |path: &PathBuf| begins(path, b"lock-") || begins(path, b"watch-");
        for path in notes.filter(lock).filter(|path| is_old(path)) {
            if let Ok(file) = open(&path)
                && let Ok(_lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            {
                remove(&path);
            }
        }
    }

    /// Removes an entry unless a container is about to run it; whether it is gone. Those that run it keep it.
    pub fn evict(&self, entry: &Entry) -> bool {
        let lock = open(&entry.path).map(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock));
        if let Ok(Err((_, Errno::EWOULDBLOCK))) = lock {
            return false;
        }
        self.remove(entry);
        true
    }

    /// Removes an entry, whoever is about to run it.
    pub fn remove(&self, entry: &Entry) {
        remove(&self.verified(&entry.path));
        remove(&entry.path);
        if let Some(engine) = entry.path.parent() {
            // Fails while there are others.
            let _ = fs::remove_dir(engine);
        }
    }
}

/// Which of `entries`, the least recently used first, makes room for the others; `None` where none may.
fn first_to_go(entries: &[Entry], keep: Option<&Path>) -> Option<usize> {
    let mut shares = HashMap::<sealed::Owner, u64>::new();
    for entry in entries {
        *shares.entry(entry.owner).or_default() += entry.size;
    }
    let most = shares.iter().max_by_key(|(owner, size)| (**size, **owner)).map(|(owner, _)| *owner)?;
    let kept = |entry: &Entry| keep == Some(&entry.path);
    let goes = |entry: &Entry| entry.owner == most && !kept(entry);
    // Who has most has this one only: either it goes, or something of others.
    let last = || entries.iter().position(kept).filter(|_| shares.len() > 1);
    entries.iter().position(goes).or_else(last)
}

fn is_old(path: &Path) -> bool {
    let age = fs::symlink_metadata(path).and_then(|meta| meta.modified()).map(|time| time.elapsed());
    age.is_ok_and(|age| age.is_ok_and(|age| age > ABANDONED))
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path)
}

/// `None` where it has been evicted at this moment.
fn open_in_use(path: &Path) -> io::Result<Option<Flock<File>>> {
    let file = Flock::lock(open(path)?, FlockArg::LockShared).map_err(|(_, errno)| errno)?;
    Ok((file.metadata()?.nlink() > 0).then_some(file))
}

/// What the seal names: the last two components.
fn seal_name(path: &Path) -> String {
    let last = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!("{}/{}", path.parent().map(last).unwrap_or_default(), last(path))
}

/// Changes with every change of the file.
fn state(meta: &fs::Metadata) -> String {
    format!("{} {} {} {}.{:09}", meta.dev(), meta.ino(), meta.len(), meta.ctime(), meta.ctime_nsec())
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        log::warn!("cannot remove {}: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmedge_shim_protocol::{Proposal, Proposals};

    use crate::wasm::Features;

    /// What happens to an entry, by its path and that of another.
    type Change = fn(&Path, &Path);

    fn scene() -> (tempfile::TempDir, Store) {
        let top = tempfile::tempdir().unwrap();
        let store = Store { directory: top.path().join("cache"), notes: top.path().join("notes"), size: 10_000 };
        (top, store)
    }

    fn put(store: &Store, module: &[u8], size: usize) -> Key {
        put_of(store, Tenant::ADMIN, module, size).unwrap()
    }

    fn put_of(store: &Store, tenant: Tenant, module: &[u8], size: usize) -> io::Result<Key> {
        let key = Key::of(module, Features::default());
        store.put(&key, Optimization::O2, tenant, &mut content(&vec![7; size]))?;
        // Later ones are later by the clock, too.
        std::thread::sleep(Duration::from_millis(10));
        Ok(key)
    }

    fn content(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, bytes).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        file
    }

    #[test]
    fn what_was_put_in_is_found_at_its_level_only() {
        let (_top, store) = scene();
        let key = put(&store, b"a", 100);
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut &*store.get(&key, Optimization::O2).unwrap(), &mut bytes).unwrap();
        assert_eq!(bytes[..100], [7; 100]);
        assert!(store.get(&key, Optimization::O0).is_none());
        assert!(store.get(&Key::of(b"b", Features::default()), Optimization::O2).is_none());
        let other = Key { engine: "0123456789abcdef".into(), ..key };
        assert!(store.get(&other, Optimization::O2).is_none(), "of another engine");
        let counted = Key::of(b"a", Features { counted: true, ..Features::default() });
        assert!(store.get(&counted, Optimization::O2).is_none(), "with counters");
        let proposals = Proposals::default().without(Proposal::Simd);
        let without = Key::of(b"a", Features { proposals, counted: false });
        assert!(store.get(&without, Optimization::O2).is_none(), "with other proposals");
        assert_ne!(counted.name(), without.name());
    }

    #[test]
    fn what_was_changed_exchanged_or_opened_to_others_is_removed() {
        let (_top, store) = scene();
        let changes: [Change; 3] = [
            |path, _| fs::write(path, "other").unwrap(),
            |path, other| fs::rename(other, path).unwrap(),
            |path, _| fs::set_permissions(path, Permissions::from_mode(0o646)).unwrap(),
        ];
        for change in changes {
            let (key, other) = (put(&store, b"a", 100), put(&store, b"b", 100));
            assert!(store.get(&key, Optimization::O2).is_some());
            let path = store.path(&key, Optimization::O2);
            change(&path, &store.path(&other, Optimization::O2));
            assert!(store.get(&key, Optimization::O2).is_none());
            assert!(!path.exists());
        }
    }

    #[test]
    fn what_was_used_longest_ago_makes_room() {
        let (_top, store) = scene();
        let keys: Vec<Key> = [b"a", b"b", b"c"]
            .iter()
            .map(|module| {
                let key = put(&store, *module, 3000);
                std::thread::sleep(Duration::from_millis(20));
                key
            })
            .collect();
        // The first is used again: now the second is the oldest.
        assert!(store.get(&keys[0], Optimization::O2).is_some());
        let last = put(&store, b"d", 3000);
        let there: Vec<bool> =
            keys.iter().chain([&last]).map(|key| store.get(key, Optimization::O2).is_some()).collect();
        assert_eq!(there, [true, false, true, true]);
        put(&store, b"larger than the cache", 20_000);
        assert_eq!(store.entries().len(), 1, "what was made last stays");
    }

    #[test]
    fn what_is_about_to_be_run_is_not_evicted() {
        let (_top, store) = scene();
        let (used, other) = (put(&store, b"a", 100), put(&store, b"b", 100));
        let in_use = store.get(&used, Optimization::O2).unwrap();
        assert!(store.prune(0, None) > 0);
        assert!(store.path(&used, Optimization::O2).exists() && !store.path(&other, Optimization::O2).exists());
        drop(in_use);
        store.prune(0, None);
        assert!(!store.path(&used, Optimization::O2).exists());
    }

    #[test]
    fn a_tenant_makes_room_for_its_own_and_takes_nothing_of_who_has_less() {
        let (_top, store) = scene();
        let (greedy, modest) = (Tenant::new("greedy"), Tenant::new("modest"));
        let own: Vec<Key> = [b"a", b"b"].iter().map(|module| put_of(&store, modest, *module, 2000).unwrap()).collect();
        let flood: Vec<Key> = (0..20_u8).map(|number| put_of(&store, greedy, &[number, 1], 2000).unwrap()).collect();
        let there = |keys: &[Key]| keys.iter().filter(|key| store.get(key, Optimization::O2).is_some()).count();
        assert_eq!(there(&own), 2);
        assert_eq!(there(&flood), 2);
        // Larger than what is left beside the other's.
        let error = put_of(&store, greedy, b"huge", 9_900).unwrap_err();
        assert!(error.to_string().contains("share of the cache"), "{error}");
        assert_eq!((there(&own), there(&flood)), (2, 0));
        // Who comes later has a share as well.
        put_of(&store, greedy, b"again", 5000).unwrap();
        let third = put_of(&store, Tenant::new("third"), b"new", 3000).unwrap();
        assert!(there(&own) == 2 && there(&[third]) == 1);
    }
}
