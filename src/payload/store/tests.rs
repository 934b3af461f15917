//! What becomes of a payload in a directory.

use std::{
    io::Write,
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink},
};

use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use sha2::{Digest, Sha256};

use super::*;
use crate::{Entry, LINKER, ROOM, is_superseded};

/// A packed file: an engine with room for a path, a linker, a library; and what its payload is.
fn packed(library: &[u8]) -> (File, Payload) {
    let engine = [vec![7; 5000], vec![0; ROOM as usize]].concat();
    let files = [(LINKER, true, b"linker".to_vec()), ("libx.so", false, library.to_vec()), (ENGINE, true, engine)];
    let entry = |(name, executable, bytes): &(&str, bool, Vec<u8>)| Entry {
        name: (*name).to_owned(),
        executable: *executable,
        size: bytes.len() as u64,
        sha256: Sha256::digest(bytes).into(),
    };
    let manifest = postcard::to_stdvec(&Manifest { files: files.iter().map(entry).collect() }).unwrap();
    let all: Vec<_> = files.into_iter().flat_map(|(_, _, bytes)| bytes).collect();
    let compressed = compress_to_vec(&all[..], CompressionLevel::Fastest);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[b"program", &manifest[..], &compressed[..]].concat()).unwrap();
    let payload = Payload {
        offset: 7,
        manifest: manifest.len() as u64,
        compressed: compressed.len() as u64,
        digest: Sha256::digest(&manifest).into(),
    };
    (file, payload)
}

fn again(file: &File) -> File {
    file.try_clone().unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_payload_is_unpacked_once_and_names_its_linker() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path().join("a/b"));
    let (file, payload) = packed(b"library");
    drop(store.ensure_from(&payload, again(&file)).unwrap());
    let (place, engine) = (store.place(&payload), store.engine(&payload));
    assert_eq!(names(&place), [".lock", LINKER, "libx.so", ENGINE]);
    let bytes = fs::read(&engine).unwrap();
    let path = place.join(LINKER).into_os_string().into_string().unwrap();
    assert_eq!(&bytes[5000..5000 + path.len() + 1], format!("{path}\0").as_bytes());
    assert_eq!(fs::metadata(&engine).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(fs::metadata(&place).unwrap().mode() & 0o7777, 0o700);
    let inode = fs::metadata(&engine).unwrap().ino();
    drop(store.ensure_from(&payload, again(&file)).unwrap());
    assert_eq!(fs::metadata(&engine).unwrap().ino(), inode);
}

#[test]
fn what_was_damaged_is_unpacked_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let (file, payload) = packed(b"library");
    let place = store.place(&payload);
    let at = |name: &str| place.join(name);
    let other =
        |name: &str, offset: u64| File::options().write(true).open(at(name)).unwrap().write_all_at(b"!", offset);
    let damages: [&dyn Fn(); 8] = [
        &|| other("libx.so", 3).unwrap(),
        &|| other(ENGINE, 4000).unwrap(),
        &|| other(ENGINE, 5001).unwrap(),
        &|| fs::remove_file(at(LINKER)).unwrap(),
        &|| fs::set_permissions(at(LINKER), PermissionsExt::from_mode(0o644)).unwrap(),
        &|| fs::set_permissions(at("libx.so"), PermissionsExt::from_mode(0o666)).unwrap(),
        &|| File::options().write(true).open(at("libx.so")).unwrap().set_len(3).unwrap(),
        &|| fs::rename(at("libx.so"), at("y")).and_then(|()| symlink("y", at("libx.so"))).unwrap(),
    ];
    drop(store.ensure_from(&payload, again(&file)).unwrap());
    for damage in damages {
        damage();
        let (manifest, _) = payload.open(again(&file)).unwrap();
        assert!(fault(&place, &manifest).is_some());
        drop(store.ensure_from(&payload, again(&file)).unwrap());
        assert_eq!(fault(&place, &manifest), None);
    }
}

#[test]
fn a_damaged_file_is_not_unpacked_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let (file, payload) = packed(b"library");
    for offset in [8, 7 + payload.manifest + payload.compressed / 2, 7 + payload.manifest + payload.compressed - 1] {
        let (file, mut byte) = (again(&file), [0]);
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[!byte[0]], offset).unwrap();
        let error = store.ensure_from(&payload, again(&file)).unwrap_err();
        assert!(error.to_string().contains("own file is damaged"), "{offset}: {error}");
        assert_eq!(names(directory.path()), [".lock"]);
        file.write_all_at(&byte, offset).unwrap();
    }
    drop(store.ensure_from(&payload, file).unwrap());
}

#[test]
fn those_who_unpack_at_once_get_one_engine() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let inodes: Vec<_> = std::thread::scope(|scope| {
        let unpack = || {
            let (file, payload) = packed(&[1; 100_000]);
            drop(store.ensure_from(&payload, file).unwrap());
            fs::metadata(store.engine(&payload)).unwrap().ino()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(unpack)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(inodes.iter().all(|inode| *inode == inodes[0]), "{inodes:?}");
}

#[test]
fn what_the_killed_have_left_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let unfinished = directory.path().join(format!("{UNFINISHED}new"));
    fs::create_dir(&unfinished).unwrap();
    fs::write(unfinished.join(LINKER), "half").unwrap();
    let (file, payload) = packed(b"library");
    drop(store.ensure_from(&payload, file).unwrap());
    assert_eq!(names(directory.path()), [".lock".to_owned(), payload.name()]);
}

#[test]
fn another_version_is_removed_or_marked_while_it_is_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    fs::write(directory.path().join("something else"), "").unwrap();
    let ((old_file, old), (new_file, new)) = (packed(b"old"), packed(b"new"));
    let used = store.ensure_from(&old, again(&old_file)).unwrap();
    drop(store.ensure_from(&new, new_file).unwrap());
    assert!(!is_superseded(&store.engine(&old)));
    store.remove_others(&new).unwrap();
    assert!(store.engine(&old).exists() && is_superseded(&store.engine(&old)));
    // It is installed beside the new one, or again, and starts another host.
    let inode = fs::metadata(store.engine(&old)).unwrap().ino();
    drop(store.ensure_from(&old, old_file).unwrap());
    assert!(!is_superseded(&store.engine(&old)));
    assert_eq!(fs::metadata(store.engine(&old)).unwrap().ino(), inode);
    drop(used);
    store.remove_others(&new).unwrap();
    let mut expected = [".lock".to_owned(), new.name(), "something else".to_owned()];
    expected.sort();
    assert_eq!(names(directory.path()), expected);
}

#[test]
fn a_directory_that_others_could_replace_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let open = directory.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).unwrap();
    let (file, payload) = packed(b"library");
    let store = Store::new(open.join("engine"));
    let error = store.ensure_from(&payload, again(&file)).unwrap_err().to_string();
    assert!(error.contains("open: others than its owner"), "{error}");
    fs::set_permissions(&open, PermissionsExt::from_mode(0o1777)).unwrap();
    drop(store.ensure_from(&payload, file).unwrap());
}

#[test]
fn a_name_that_leads_elsewhere_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["../x", "/x", "a/b", "..", ""] {
        let file = Entry { name: name.to_owned(), executable: false, size: 0, sha256: Sha256::digest(b"").into() };
        let stream = compress_to_vec(&b""[..], CompressionLevel::Fastest);
        let error = fill(directory.path(), directory.path(), &Manifest { files: vec![file] }, &stream[..]).unwrap_err();
        assert!(error.to_string().contains("a file named"), "{error}");
    }
    assert!(names(directory.path()).is_empty());
}
