//! The contents of one image layer, collected in memory and written as a tar that depends on nothing but them.

use std::collections::BTreeMap;
use std::io::Result;

use tar::{EntryType, Header};

/// A layer under construction. Paths are relative to the image's root; parent directories appear by themselves
/// (0755, root). Everything belongs to root unless `own` says otherwise.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    kind: EntryType,
    mode: u32,
    owner: u64,
    bytes: Vec<u8>,
    target: String,
}

impl Layer {
    pub fn directory(&mut self, path: &str, mode: u32) -> &mut Self {
        self.add(path, EntryType::Directory, mode, Vec::new(), "")
    }

    pub fn file(&mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) -> &mut Self {
        self.add(path, EntryType::Regular, mode, bytes.into(), "")
    }

    pub fn symlink(&mut self, path: &str, target: &str) -> &mut Self {
        self.add(path, EntryType::Symlink, 0o777, Vec::new(), target)
    }

    /// `target` is a path in this layer.
    pub fn hard_link(&mut self, path: &str, target: &str) -> &mut Self {
        self.add(path, EntryType::Link, 0o755, Vec::new(), target)
    }

    /// Gives an entry to the user and group `id`.
    pub fn own(&mut self, path: &str, id: u64) -> &mut Self {
        if let Some(entry) = self.entries.get_mut(path) {
            entry.owner = id;
        }
        self
    }

    fn add(&mut self, path: &str, kind: EntryType, mode: u32, bytes: Vec<u8>, target: &str) -> &mut Self {
        for (end, _) in path.match_indices('/') {
            self.entries.entry(path[..end].to_owned()).or_insert_with(Entry::parent);
        }
        let entry = Entry { kind, mode, owner: 0, bytes, target: target.to_owned() };
        self.entries.insert(path.to_owned(), entry);
        self
    }

    /// The layer as an uncompressed tar: sorted (hard links last, after what they link to), every time stamp 0.
    pub fn tar(&self) -> Result<Vec<u8>> {
        let mut archive = tar::Builder::new(Vec::new());
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(path, entry)| (entry.kind == EntryType::Link, *path));
        for (path, entry) in entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(entry.kind);
            header.set_mode(entry.mode);
            header.set_uid(entry.owner);
            header.set_gid(entry.owner);
            header.set_mtime(0);
            header.set_size(entry.bytes.len() as u64);
            if entry.target.is_empty() {
                archive.append_data(&mut header, path, entry.bytes.as_slice())?;
            } else {
                archive.append_link(&mut header, path, &entry.target)?;
            }
        }
        archive.into_inner()
    }
}

impl Entry {
    fn parent() -> Self {
        Self { kind: EntryType::Directory, mode: 0o755, owner: 0, bytes: Vec::new(), target: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(layer: &Layer) -> Vec<String> {
        let bytes = layer.tar().unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
    }

    #[test]
    fn parents_come_first_and_hard_links_last() {
        let mut layer = Layer::default();
        layer.hard_link("bin/[", "bin/busybox").file("bin/busybox", 0o755, "x").file("a/b/c", 0o644, "y");
        assert_eq!(paths(&layer), ["a", "a/b", "a/b/c", "bin", "bin/busybox", "bin/["]);
    }

    #[test]
    fn the_order_of_the_calls_does_not_show() {
        let (mut one, mut other) = (Layer::default(), Layer::default());
        one.file("a", 0o644, "1").directory("tmp", 0o1777);
        other.directory("tmp", 0o1777).file("a", 0o644, "1");
        assert_eq!(one.tar().unwrap(), other.tar().unwrap());
    }

    #[test]
    fn owner_and_mode_are_kept() {
        let mut layer = Layer::default();
        layer.directory("work", 0o750).own("work", 1000);
        let bytes = layer.tar().unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mode().unwrap()), (1000, 1000, 0o750));
        assert_eq!(header.mtime().unwrap(), 0);
    }
}
