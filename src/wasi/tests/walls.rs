//! Directories with walls: nothing leads out of them.

mod program;

use std::{
    fs,
    os::unix::fs::symlink,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use program::{
    ALL, CREAT, DIRECTORY, FD_READ, FD_READDIR, FD_WRITE, INVAL, NOENT, NOTCAPABLE, PERM, Program, ROOT, SUCCESS,
    TRUNC, exists,
};
use wasmedge_shim_wasi::Reach;

/// With a secret beside the directory, and links that lead there.
fn walled(reach: Reach) -> Program {
    let program = Program::with(reach, false);
    // The directory becomes one in another, so that `..` is this test's own.
    fs::create_dir(program.path("inside")).unwrap();
    fs::create_dir(program.path("outside")).unwrap();
    program.write_file("outside/secret", "secret");
    program.write_file("inside/f", "content");
    fs::create_dir(program.path("inside/d")).unwrap();
    symlink(program.path("outside/secret"), program.path("inside/absolute")).unwrap();
    symlink("../outside/secret", program.path("inside/relative")).unwrap();
    symlink("../outside", program.path("inside/directory")).unwrap();
    symlink("../../outside/secret", program.path("inside/d/up")).unwrap();
    symlink("f", program.path("inside/fine")).unwrap();
    symlink("../f", program.path("inside/d/fine")).unwrap();
    program
}

/// The number of its inner directory, with walls.
fn inside(program: &mut Program) -> u64 {
    program.open("inside", DIRECTORY, ALL & !FD_WRITE).unwrap()
}

const OUT: [&str; 9] = [
    "../outside/secret",
    "absolute",
    "relative",
    "directory/secret",
    "d/up",
    "d/../../outside/secret",
    "./../outside/secret",
    "d/../directory/secret",
    "directory/../inside/../outside/secret",
];

#[test]
fn no_path_leads_out() {
    let mut program = walled(Reach::Beneath);
    let inside = inside(&mut program);
    let to = program.room(64);
    for path in OUT {
        let length = path.len() as u64;
        for (how, rights) in [(0, FD_READ), (CREAT, FD_WRITE), (TRUNC, FD_WRITE), (DIRECTORY, FD_READ), (0, 0)] {
            assert_eq!(program.open_at(inside, path, how, rights, 0), Err(PERM), "{path}");
        }
        let at = program.put(path);
        assert_eq!(program.call("path_filestat_get", &[inside, 1, at, length, to]), PERM, "{path}");
        assert_eq!(program.call("path_filestat_set_times", &[inside, 1, at, length, 0, 0, 4]), PERM, "{path}");
    }
    let absolute = program.path("outside/secret").to_str().unwrap().to_owned();
    assert_eq!(program.open_at(inside, &absolute, 0, FD_READ, 0), Err(PERM));
    assert_eq!(fs::read(program.path("outside/secret")).unwrap(), b"secret");
}

#[test]
fn nothing_is_made_changed_or_removed_outside() {
    let mut program = walled(Reach::Beneath);
    let inside = inside(&mut program);
    for parent in ["..", "../outside", "directory", "d/../..", "directory/"] {
        let path = format!("{parent}/new");
        let secret = format!("{parent}/secret");
        for name in ["path_create_directory", "path_remove_directory", "path_unlink_file"] {
            for path in [&path, &secret] {
                assert_eq!(program.at(name, inside, path), PERM, "{name} {path}");
            }
        }
        let (f, new, said) = (program.put("f"), program.put(&path), program.put("x"));
        let length = path.len() as u64;
        assert_eq!(program.call("path_rename", &[inside, f, 1, inside, new, length]), PERM);
        assert_eq!(program.call("path_link", &[inside, 0, f, 1, inside, new, length]), PERM);
        assert_eq!(program.call("path_symlink", &[said, 1, inside, new, length]), PERM);
        let (old, in_here) = (program.put(&secret), program.put("got"));
        assert_eq!(program.call("path_rename", &[inside, old, secret.len() as u64, inside, in_here, 3]), PERM);
        assert_eq!(program.call("path_link", &[inside, 0, old, secret.len() as u64, inside, in_here, 3]), PERM);
        assert_eq!(program.call("path_readlink", &[inside, old, secret.len() as u64, in_here, 3, f]), PERM);
    }
    assert!(!exists(program.path("new")) && !exists(program.path("outside/new")));
    assert_eq!(fs::read(program.path("outside/secret")).unwrap(), b"secret");
}

#[test]
fn a_slash_after_a_link_leads_nowhere_either() {
    let mut program = walled(Reach::Beneath);
    let inside = inside(&mut program);
    fs::create_dir(program.path("outside/empty")).unwrap();
    symlink("../outside/empty", program.path("inside/empty")).unwrap();
    assert_ne!(program.at("path_remove_directory", inside, "empty/"), SUCCESS);
    assert_ne!(program.at("path_unlink_file", inside, "relative/"), SUCCESS);
    assert_ne!(program.at("path_create_directory", inside, "empty/"), SUCCESS);
    assert_eq!(program.open_at(inside, "empty/", DIRECTORY, FD_READ, 0), Err(PERM));
    assert!(exists(program.path("outside/empty")) && exists(program.path("outside/secret")));
}

#[test]
fn what_is_inside_works_as_anywhere() {
    let mut program = walled(Reach::Beneath);
    let inside = inside(&mut program);
    for path in ["f", "fine", "d/fine", "d/../f", "./d/.././fine"] {
        let fd = program.open_at(inside, path, 0, FD_READ, 0).unwrap_or_else(|errno| panic!("{path}: {errno}"));
        assert_eq!(program.read(fd, 9).unwrap(), b"content");
    }
    let (path, buffer, to) = (program.put("absolute"), program.room(256), program.room(72));
    assert_eq!(program.call("path_readlink", &[inside, path, 8, buffer, 256, to]), SUCCESS);
    assert_eq!(program.call("path_filestat_get", &[inside, 0, path, 8, to]), SUCCESS);
    assert_eq!(program.u8(to + 16), 7);
    let file = program.put("f");
    assert_eq!(program.call("path_readlink", &[inside, file, 1, buffer, 256, to]), INVAL);
    assert_eq!(program.at("path_create_directory", inside, "d/e"), SUCCESS);
    assert_eq!(program.at("path_create_directory", inside, "e/"), SUCCESS);
    assert_eq!(program.at("path_remove_directory", inside, "d/../e/"), SUCCESS);
    let (old, new) = (program.put("fine"), program.put("d/e/moved"));
    assert_eq!(program.call("path_rename", &[inside, old, 4, inside, new, 9]), SUCCESS);
    assert_eq!(program.call("path_link", &[inside, 0, file, 1, inside, old, 4]), SUCCESS);
    assert_eq!(program.at("path_unlink_file", inside, "fine"), SUCCESS);
    assert_eq!(program.call("path_filestat_set_times", &[inside, 1, file, 1, 0, 1, 4]), SUCCESS);
    assert_eq!(program.open_at(inside, "gone", 0, FD_READ, 0), Err(NOENT));
}

#[test]
fn a_directory_that_was_opened_inside_has_walls_of_its_own() {
    let mut program = walled(Reach::Root);
    let d = program.open("inside/d", DIRECTORY, ALL & !FD_WRITE).unwrap();
    for path in ["../f", "fine", "up", ".."] {
        assert_eq!(program.open_at(d, path, 0, FD_READ, 0), Err(PERM), "{path}");
    }
}

#[test]
fn in_a_directory_that_is_the_root_dots_and_absolute_links_stay_inside() {
    let mut program = walled(Reach::Root);
    let root = u64::from(ROOT);
    symlink("/inside/f", program.path("absolute-inside")).unwrap();
    for path in ["absolute-inside", "../../inside/f", "inside/../../../inside/f"] {
        let fd = program.open_at(root, path, 0, FD_READ, 0).unwrap_or_else(|errno| panic!("{path}: {errno}"));
        assert_eq!(program.read(fd, 9).unwrap(), b"content");
    }
    // It names a path of the whole container.
    assert_eq!(program.open_at(root, "inside/absolute", 0, FD_READ, 0), Err(NOENT));
    assert_eq!(program.at("path_create_directory", root, "../../new"), SUCCESS);
    assert!(exists(program.path("new")));
}

#[test]
fn what_is_read_only_stays_as_it_is() {
    let mut program = Program::with(Reach::Beneath, true);
    program.write_file("f", "content");
    fs::create_dir(program.path("d")).unwrap();
    let root = u64::from(ROOT);
    for (how, rights) in [(CREAT, FD_READ), (TRUNC, FD_READ), (0, FD_WRITE), (CREAT, FD_WRITE)] {
        assert_eq!(program.open("f", how, rights), Err(NOTCAPABLE));
    }
    for name in ["path_create_directory", "path_remove_directory", "path_unlink_file"] {
        assert_eq!(program.at(name, root, "d"), NOTCAPABLE, "{name}");
    }
    let (f, new) = (program.put("f"), program.put("n"));
    assert_eq!(program.call("path_rename", &[root, f, 1, root, new, 1]), NOTCAPABLE);
    assert_eq!(program.call("path_link", &[root, 0, f, 1, root, new, 1]), NOTCAPABLE);
    assert_eq!(program.call("path_symlink", &[f, 1, root, new, 1]), NOTCAPABLE);
    assert_eq!(program.call("path_filestat_set_times", &[root, 1, f, 1, 0, 0, 4]), NOTCAPABLE);
    let d = program.open("d", DIRECTORY, ALL & !FD_WRITE).unwrap();
    assert_eq!(program.at("path_create_directory", d, "e"), NOTCAPABLE);
    let everything = program.open(".", DIRECTORY, ALL & !FD_WRITE).unwrap();
    assert_eq!(program.call("fd_fdstat_set_rights", &[everything, ALL, ALL]), NOTCAPABLE);
    let (buffer, to) = (program.room(512), program.room(4));
    assert_eq!(program.call("fd_readdir", &[root, buffer, 512, 0, to]), SUCCESS);
    let listed = program.open(".", DIRECTORY, FD_READDIR).unwrap();
    assert_eq!(program.call("fd_readdir", &[listed, buffer, 512, 0, to]), SUCCESS);
}

#[test]
fn renames_at_the_same_time_open_no_way_out() {
    let mut program = walled(Reach::Beneath);
    let inside = inside(&mut program);
    let (here, there, done) = (program.path("inside/d"), program.path("inside/x"), AtomicBool::new(false));
    let link = program.path("inside/swapped");
    symlink("../outside", &link).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // `d` is a directory and a link out of the walls by turns.
                let _ = fs::rename(&here, &there);
                let _ = fs::rename(&link, &here);
                let _ = fs::rename(&here, &link);
                let _ = fs::rename(&there, &here);
            }
        });
        for _ in 0..5000 {
            if let Ok(fd) = program.open_at(inside, "d/secret", 0, FD_READ, 0) {
                done.store(true, Ordering::Relaxed);
                panic!("read {:?}", program.read(fd, 99));
            }
            program.at("path_unlink_file", inside, "d/secret");
            program.at("path_create_directory", inside, "d/new");
            program.at("path_remove_directory", inside, "d/new");
            let (d, to) = (program.put("d/secret"), program.room(64));
            assert_ne!(program.call("path_filestat_get", &[inside, 1, d, 8, to]), SUCCESS);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(fs::read(program.path("outside/secret")).unwrap(), b"secret");
    assert_eq!(fs::read_dir(program.path("outside")).unwrap().count(), 1);
}

/// A descriptor that is no directory has no walls that a path could begin in, and absolute ones begin anywhere.
#[test]
fn no_path_begins_at_what_is_no_directory() {
    let mut program = walled(Reach::Beneath);
    let to = program.room(4);
    assert_eq!(program.call("sock_open", &[1, 2, to]), SUCCESS);
    let socket = u64::from(program.u32(to));
    let file = program.open("inside/f", 0, ALL & !FD_WRITE).unwrap();
    let (secret, new) = (program.path("outside/secret"), program.path("outside/new"));
    let (secret, new) = (secret.to_str().unwrap(), new.to_str().unwrap());
    for fd in [0, 1, 2, socket, file] {
        for (path, how, rights) in
            [(secret, 0, FD_READ), (secret, TRUNC, FD_READ), (new, CREAT, FD_READ), (secret, 0, 0)]
        {
            assert!(program.open_at(fd, path, how, rights, 0).is_err(), "{fd} {path}");
        }
        for name in ["path_create_directory", "path_remove_directory", "path_unlink_file"] {
            assert!([new, secret].iter().all(|path| program.at(name, fd, path) != SUCCESS), "{name} {fd}");
        }
        let (old, here, room) = (program.put(secret), program.put("got"), program.room(64));
        let (length, inside) = (secret.len() as u64, u64::from(ROOT));
        assert_ne!(program.call("path_filestat_get", &[fd, 1, old, length, room]), SUCCESS);
        assert_ne!(program.call("path_filestat_set_times", &[fd, 1, old, length, 0, 0, 4]), SUCCESS);
        assert_ne!(program.call("path_readlink", &[fd, old, length, room, 64, to]), SUCCESS);
        assert_ne!(program.call("path_rename", &[fd, old, length, inside, here, 3]), SUCCESS);
        assert_ne!(program.call("path_rename", &[inside, here, 3, fd, old, length]), SUCCESS);
        assert_ne!(program.call("path_link", &[fd, 0, old, length, inside, here, 3]), SUCCESS);
        assert_ne!(program.call("path_symlink", &[here, 3, fd, old, length]), SUCCESS);
    }
    assert_eq!(fs::read(secret).unwrap(), b"secret");
    assert!(!exists(new));
}

#[test]
fn a_socket_has_no_path_where_there_are_walls() {
    let (mut walled, mut open) = (Program::with(Reach::Beneath, false), Program::new());
    for (program, errno) in [(&mut walled, PERM), (&mut open, SUCCESS)] {
        let to = program.room(4);
        for kind in [1, 2] {
            assert_eq!(program.call("sock_open", &[3, kind, to]), SUCCESS);
            let fd = u64::from(program.u32(to));
            let mut address = vec![0; 128];
            address[0] = 3;
            let path = program.path(&format!("s{kind}"));
            let path = path.to_str().unwrap().as_bytes();
            address[2..2 + path.len()].copy_from_slice(path);
            let at = program.put(&address);
            let record = program.pieces(&[(at, 128)]);
            assert_eq!(program.call("sock_bind", &[fd, record, 0]), errno);
            assert_ne!(program.call("sock_connect", &[fd, record, 1]), if errno == SUCCESS { PERM } else { SUCCESS });
            // A name without a file is no path.
            address[2..].fill(0);
            let name = format!("\0walls-{}-{kind}-{errno}", std::process::id());
            address[2..2 + name.len()].copy_from_slice(name.as_bytes());
            let at = program.put(&address);
            let record = program.pieces(&[(at, 128)]);
            assert_ne!(program.call("sock_bind", &[fd, record, 0]), PERM);
        }
    }
}

#[test]
fn a_link_is_not_followed_for_the_slash_after_it() {
    let mut program = walled(Reach::Beneath);
    let inside = inside(&mut program);
    for target in ["../outside", "../outside/secret", "/nowhere"] {
        let _ = fs::remove_file(program.path("inside/l"));
        symlink(target, program.path("inside/l")).unwrap();
        let (old, new) = (program.put("l/"), program.put("got"));
        assert_eq!(program.call("path_link", &[inside, 0, old, 2, inside, new, 3]), program::NOTDIR, "{target}");
    }
}
