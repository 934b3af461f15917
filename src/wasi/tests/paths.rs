//! `path_…` in a container: what a path is there is what it is for a Linux program.

mod program;

use std::{
    ffi::OsStr,
    fs::{self, Permissions},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
};

use program::{
    ALL, BADF, CREAT, DIRECTORY, EXCL, EXIST, FAULT, FD_FILESTAT_SET_SIZE, FD_READ, FD_WRITE, INVAL, ISDIR, LOOP,
    NAMETOOLONG, NOENT, NOTCAPABLE, NOTDIR, NOTEMPTY, PERM, Program, ROOT, SUCCESS, TRUNC, exists,
};

fn root() -> u64 {
    ROOT.into()
}

#[test]
fn a_file_is_opened_made_emptied_or_refused_as_it_was_asked_for() {
    let mut program = Program::new();
    assert_eq!(program.open("f", 0, FD_READ), Err(NOENT));
    let fd = program.open("f", CREAT, FD_WRITE).unwrap();
    program.write(fd, "content").unwrap();
    assert_eq!(fs::metadata(program.path("f")).unwrap().mode() & 0o111, 0);
    assert_eq!(program.open("f", CREAT | EXCL, FD_WRITE), Err(EXIST));
    assert!(program.open("f", CREAT, FD_READ).is_ok());
    assert_eq!(fs::read(program.path("f")).unwrap(), b"content");
    assert!(program.open("f", TRUNC, FD_WRITE).is_ok());
    assert_eq!(fs::read(program.path("f")).unwrap(), b"");
    assert_eq!(program.open("f", DIRECTORY, FD_READ), Err(NOTDIR));
    assert_eq!(program.open("f/", 0, FD_READ), Err(NOTDIR));
    assert_eq!(program.open("f/x", 0, FD_READ), Err(NOTDIR));
    for how in [16, 1 << 16, u32::MAX] {
        assert_eq!(program.open("f", how, FD_READ), Err(INVAL));
    }
    assert_eq!(program.open_at(root(), "f", 0, FD_READ, 32), Err(INVAL));
}

/// Go asks for all but some rights of a file that it opens to read, `fd_filestat_set_size` among them.
#[test]
fn a_file_that_cannot_be_written_is_opened_by_who_does_not_ask_to_write() {
    let go = ALL & !(FD_WRITE | 1 << 8 | 1 << 19);
    let mut program = Program::new();
    program.write_file("f", "content");
    let lower = fs::File::open(program.path("f")).unwrap();
    // What is executed cannot be opened for writing, by root neither (ETXTBSY).
    fs::copy("/bin/sleep", program.path("running")).unwrap();
    let mut running = std::process::Command::new(program.path("running")).arg("60").spawn().unwrap();
    let fd = program.open("running", 0, go).unwrap();
    assert_eq!(program.read(fd, 4).unwrap(), b"\x7fELF");
    assert_eq!(program.open("running", 0, FD_READ | FD_WRITE), Err(74));
    running.kill().unwrap();
    running.wait().unwrap();
    drop(lower);
}

#[test]
fn a_directory_is_opened_to_list_it_or_for_its_paths_and_never_to_write() {
    let mut program = Program::new();
    fs::create_dir(program.path("d")).unwrap();
    program.write_file("d/f", "content");
    for (how, rights) in [(DIRECTORY, 0), (DIRECTORY, FD_READ), (0, FD_READ), (DIRECTORY, ALL & !FD_WRITE)] {
        let directory = program.open("d", how, rights | 1 << 13).unwrap();
        let fd = program.open_at(directory, "f", 0, FD_READ, 0).unwrap();
        assert_eq!(program.read(fd, 9).unwrap(), b"content");
    }
    assert_eq!(program.open("d", 0, FD_READ | FD_WRITE), Err(ISDIR));
    assert_eq!(program.open("d", CREAT, FD_READ), Err(ISDIR));
    let file = program.open("d/f", 0, ALL & !FD_WRITE).unwrap();
    assert_eq!(program.open_at(file, "x", 0, FD_READ, 0), Err(NOTDIR));
    let without = program.open("d", DIRECTORY, FD_READ).unwrap();
    assert_eq!(program.open_at(without, "f", 0, FD_READ, 0), Err(NOTCAPABLE));
}

/// Regression test: Go opens a directory (`os.OpenRoot`) without the right to truncate there, and then creates files in it.
#[test]
fn a_file_is_truncated_by_who_may_set_the_sizes_of_the_files_of_a_directory() {
    const PATH_FILESTAT_SET_SIZE: u64 = 1 << 19;
    let mut program = Program::new();
    fs::create_dir(program.path("d")).unwrap();
    program.write_file("d/f", "content");
    let rights = ALL & !FD_WRITE & !PATH_FILESTAT_SET_SIZE;
    let directory = program.open("d", DIRECTORY, rights).unwrap();
    let fd = program.open_at(directory, "f", CREAT | TRUNC, FD_WRITE, 0).unwrap();
    program.write(fd, "new").unwrap();
    assert_eq!(fs::read(program.path("d/f")).unwrap(), b"new");
    assert_eq!(program.call("fd_fdstat_set_rights", &[directory, 1 << 13, ALL & !FD_FILESTAT_SET_SIZE]), SUCCESS);
    assert_eq!(program.open_at(directory, "f", TRUNC, FD_WRITE, 0), Err(NOTCAPABLE));
    assert_eq!(fs::read(program.path("d/f")).unwrap(), b"new");
}

/// Regression test: Zig opens a directory with the same rights for it and for what is in it, without `fd_write`, and then
/// writes files there. Who wants to be held to less says so by `fd_fdstat_set_rights`.
#[test]
fn a_file_is_written_in_a_directory_that_was_opened_with_no_rights_for_its_files() {
    let mut program = Program::new();
    fs::create_dir(program.path("d")).unwrap();
    let (path, to) = (program.put("d"), program.room(4));
    let rights = ALL & !FD_WRITE & !FD_READ;
    let how = DIRECTORY.into();
    assert_eq!(program.call("path_open", &[root(), 1, path, 1, how, rights, rights, 0, to]), SUCCESS);
    let directory = program.u32(to).into();
    let fd = program.open_at(directory, "f", CREAT | TRUNC, FD_READ | FD_WRITE, 0).unwrap();
    program.write(fd, "content").unwrap();
    assert_eq!(fs::read(program.path("d/f")).unwrap(), b"content");
    assert_eq!(program.call("fd_fdstat_set_rights", &[directory, 1 << 13, FD_READ]), SUCCESS);
    assert_eq!(program.open_at(directory, "f", 0, FD_READ | FD_WRITE, 0), Err(NOTCAPABLE));
}

#[test]
fn links_are_followed_wherever_in_the_container_they_lead() {
    let mut program = Program::new();
    fs::create_dir_all(program.path("a/b")).unwrap();
    program.write_file("f", "content");
    symlink(program.path("f"), program.path("absolute")).unwrap();
    symlink("../../f", program.path("a/b/up")).unwrap();
    symlink(program.path("a"), program.path("directory")).unwrap();
    symlink("loop", program.path("loop")).unwrap();
    for number in 0..20 {
        symlink(
            if number == 0 { "f".to_owned() } else { format!("l{}", number - 1) },
            program.path(&format!("l{number}")),
        )
        .unwrap();
    }
    for path in ["absolute", "a/b/up", "directory/b/up", "a/b/../../f", "./a/.././f", "a//b///up", "l19"] {
        let fd = program.open(path, 0, FD_READ).unwrap_or_else(|errno| panic!("{path}: {errno}"));
        assert_eq!(program.read(fd, 9).unwrap(), b"content", "{path}");
    }
    assert_eq!(program.open("loop", 0, FD_READ), Err(LOOP));
    let directory = program.open("a/b", DIRECTORY, ALL & !FD_WRITE).unwrap();
    assert!(program.open_at(directory, "../../f", 0, FD_READ, 0).is_ok());
    let absolute = program.path("f").to_str().unwrap().to_owned();
    assert!(program.open_at(directory, &absolute, 0, FD_READ, 0).is_ok());
}

#[test]
fn a_link_is_not_followed_by_who_does_not_ask_for_it() {
    let mut program = Program::new();
    program.write_file("f", "content");
    symlink("f", program.path("link")).unwrap();
    let (path, to) = (program.put("link"), program.room(64));
    assert_eq!(program.call("path_open", &[root(), 0, path, 4, 0, FD_READ, 0, 0, to]), LOOP);
    assert_eq!(program.call("path_open", &[root(), 2, path, 4, 0, FD_READ, 0, 0, to]), INVAL);
    assert_eq!(program.call("path_filestat_get", &[root(), 0, path, 4, to]), SUCCESS);
    assert_eq!(program.u8(to + 16), 7);
    assert_eq!(program.call("path_filestat_get", &[root(), 1, path, 4, to]), SUCCESS);
    assert_eq!((program.u8(to + 16), program.u64(to + 32)), (4, 7));
    assert_eq!(program.call("path_filestat_get", &[root(), 3, path, 4, to]), INVAL);
}

#[test]
fn a_path_is_bytes() {
    let mut program = Program::new();
    let name = b"n\xff\xfe:\n";
    let (path, to) = (program.put(name), program.room(64));
    let args = [root(), 0, path, name.len() as u64, CREAT.into(), FD_WRITE, 0, 0, to];
    assert_eq!(program.call("path_open", &args), SUCCESS);
    assert!(exists(program.directory.path().join(OsStr::from_bytes(name))));
}

#[test]
fn paths_that_cannot_be_said_are_refused() {
    let mut program = Program::new();
    let to = program.room(64);
    for (path, errno) in [
        (String::new(), NOENT),
        ("a\0b".to_owned(), INVAL),
        ("n".repeat(256), NAMETOOLONG),
        ("d/".repeat(3000), NAMETOOLONG),
        ("x".repeat(100_000), NAMETOOLONG),
    ] {
        assert_eq!(program.open(&path, CREAT, FD_WRITE), Err(errno));
        for name in ["path_create_directory", "path_remove_directory", "path_unlink_file"] {
            assert_eq!(program.at(name, root(), &path), errno, "{name}");
        }
        let at = program.put(&path);
        assert_eq!(program.call("path_filestat_get", &[root(), 0, at, path.len() as u64, to]), errno);
    }
    assert_eq!(program.call("path_open", &[root(), 0, u64::from(u32::MAX), 2, 0, 0, 0, 0, to]), FAULT);
    assert_eq!(program.call("path_open", &[root(), 0, to, 1, 0, 0, 0, 0, u64::from(u32::MAX)]), FAULT);
    assert_eq!(program.call("path_unlink_file", &[root(), 0, u64::from(u32::MAX)]), FAULT);
    assert_eq!(program.call("path_unlink_file", &[99, to, 1]), BADF);
}

#[test]
fn directories_are_made_and_removed() {
    let mut program = Program::new();
    program.write_file("f", "");
    assert_eq!(program.at("path_create_directory", root(), "d"), SUCCESS);
    assert_eq!(program.at("path_create_directory", root(), "d"), EXIST);
    assert_eq!(program.at("path_create_directory", root(), "d/e/"), SUCCESS);
    assert_eq!(program.at("path_create_directory", root(), "x/y"), NOENT);
    assert_eq!(program.at("path_create_directory", root(), "f/y"), NOTDIR);
    assert_eq!(program.at("path_remove_directory", root(), "d"), NOTEMPTY);
    assert_eq!(program.at("path_unlink_file", root(), "d"), ISDIR);
    assert_eq!(program.at("path_remove_directory", root(), "d/e"), SUCCESS);
    assert_eq!(program.at("path_remove_directory", root(), "d/"), SUCCESS);
    assert_eq!(program.at("path_remove_directory", root(), "d"), NOENT);
    assert_eq!(program.at("path_remove_directory", root(), "f"), NOTDIR);
    assert_eq!(program.at("path_remove_directory", root(), "."), INVAL);
}

#[test]
fn a_name_is_removed_and_the_file_stays_as_long_as_it_is_open() {
    let mut program = Program::new();
    program.write_file("f", "content");
    symlink("gone", program.path("dangling")).unwrap();
    let fd = program.open("f", 0, FD_READ).unwrap();
    assert_eq!(program.at("path_unlink_file", root(), "f/"), NOTDIR);
    assert_eq!(program.at("path_unlink_file", root(), "f"), SUCCESS);
    assert_eq!(program.at("path_unlink_file", root(), "f"), NOENT);
    assert_eq!(program.read(fd, 9).unwrap(), b"content");
    assert_eq!(program.at("path_unlink_file", root(), "dangling"), SUCCESS);
    assert!(!exists(program.path("dangling")));
}

fn two(program: &mut Program, name: &str, from: (u64, &str), to: (u64, &str)) -> u16 {
    let (old, new) = (program.put(from.1), program.put(to.1));
    let mut args = vec![from.0, old, from.1.len() as u64, to.0, new, to.1.len() as u64];
    if name == "path_link" {
        args.insert(1, 0);
    }
    program.call(name, &args)
}

#[test]
fn a_file_gets_another_name_in_place_of_what_had_it() {
    let mut program = Program::new();
    program.write_file("a", "a");
    program.write_file("b", "b");
    fs::create_dir(program.path("d")).unwrap();
    let directory = program.open("d", DIRECTORY, ALL & !FD_WRITE).unwrap();
    assert_eq!(two(&mut program, "path_rename", (root(), "a"), (root(), "b")), SUCCESS);
    assert_eq!(fs::read(program.path("b")).unwrap(), b"a");
    assert_eq!(two(&mut program, "path_rename", (root(), "b"), (directory, "c")), SUCCESS);
    assert_eq!(two(&mut program, "path_rename", (directory, "c"), (directory, "../e")), SUCCESS);
    assert_eq!(two(&mut program, "path_rename", (root(), "a"), (root(), "x")), NOENT);
    assert_eq!(two(&mut program, "path_rename", (root(), "e"), (root(), "d")), ISDIR);
    assert_eq!(two(&mut program, "path_rename", (root(), "d"), (root(), "e")), NOTDIR);
    assert_eq!(two(&mut program, "path_rename", (root(), "d"), (root(), "d/in-itself")), INVAL);
    assert_eq!(two(&mut program, "path_rename", (root(), "e"), (99, "x")), BADF);
}

#[test]
fn a_file_gets_one_more_name() {
    let mut program = Program::new();
    program.write_file("a", "a");
    symlink("a", program.path("link")).unwrap();
    fs::create_dir(program.path("d")).unwrap();
    assert_eq!(two(&mut program, "path_link", (root(), "a"), (root(), "d/b")), SUCCESS);
    assert_eq!(fs::metadata(program.path("a")).unwrap().nlink(), 2);
    assert_eq!(two(&mut program, "path_link", (root(), "a"), (root(), "d/b")), EXIST);
    assert_eq!(two(&mut program, "path_link", (root(), "d"), (root(), "x")), PERM);
    assert_eq!(two(&mut program, "path_link", (root(), "link"), (root(), "copy")), SUCCESS);
    assert!(program.path("copy").is_symlink());
    let (old, new) = (program.put("link"), program.put("followed"));
    assert_eq!(program.call("path_link", &[root(), 1, old, 4, root(), new, 8]), SUCCESS);
    assert!(program.path("followed").is_file() && !program.path("followed").is_symlink());
    assert_eq!(program.call("path_link", &[root(), 2, old, 4, root(), new, 8]), INVAL);
}

#[test]
fn a_link_says_anything_and_is_read_as_far_as_there_is_room() {
    let mut program = Program::new();
    let mut link = |target: &str, name: &str| {
        let (said, path) = (program.put(target), program.put(name));
        program.call("path_symlink", &[said, target.len() as u64, root(), path, name.len() as u64])
    };
    assert_eq!(link("/anywhere/at all", "l"), SUCCESS);
    assert_eq!(link("x", "l"), EXIST);
    assert_eq!(link("", "m"), NOENT);
    assert_eq!(link("x", "no/m"), NOENT);
    assert_eq!(fs::read_link(program.path("l")).unwrap().to_str(), Some("/anywhere/at all"));
    let (path, buffer, to) = (program.put("l"), program.room(32), program.room(4));
    assert_eq!(program.call("path_readlink", &[root(), path, 1, buffer, 32, to]), SUCCESS);
    assert_eq!(program.bytes(buffer, program.u32(to) as usize + 1), b"/anywhere/at all\xee");
    assert_eq!(program.call("path_readlink", &[root(), path, 1, buffer, 4, to]), SUCCESS);
    assert_eq!((program.u32(to), program.bytes(buffer, 4)), (4, &b"/any"[..]));
    program.write_file("f", "");
    let file = program.put("f");
    assert_eq!(program.call("path_readlink", &[root(), file, 1, buffer, 32, to]), INVAL);
    assert_eq!(program.call("path_readlink", &[root(), path, 1, u64::from(u32::MAX), 32, to]), FAULT);
    assert_eq!(program.call("path_readlink", &[root(), path, 1, buffer, 32, u64::from(u32::MAX)]), FAULT);
}

#[test]
fn times_are_set_by_path_on_a_file_or_on_the_link_to_it() {
    let mut program = Program::new();
    program.write_file("f", "");
    symlink("f", program.path("l")).unwrap();
    let path = program.put("l");
    assert_eq!(program.call("path_filestat_set_times", &[root(), 1, path, 1, 0, 5_000_000_001, 4]), SUCCESS);
    assert_eq!(program.call("path_filestat_set_times", &[root(), 0, path, 1, 0, 7_000_000_002, 4]), SUCCESS);
    let (file, link) = (fs::metadata(program.path("f")).unwrap(), fs::symlink_metadata(program.path("l")).unwrap());
    assert_eq!((file.mtime(), file.mtime_nsec()), (5, 1));
    assert_eq!((link.mtime(), link.mtime_nsec()), (7, 2));
    let gone = program.put("x");
    assert_eq!(program.call("path_filestat_set_times", &[root(), 1, gone, 1, 0, 0, 4]), NOENT);
    assert_eq!(program.call("path_filestat_set_times", &[root(), 1, path, 1, 0, 0, 12]), INVAL);
}

#[test]
fn a_directory_that_cannot_be_listed_can_be_walked_through() {
    let mut program = Program::new();
    fs::create_dir(program.path("d")).unwrap();
    program.write_file("d/f", "content");
    fs::set_permissions(program.path("d"), Permissions::from_mode(0o311)).unwrap();
    let directory = program.open("d", DIRECTORY, 1 << 13).unwrap();
    let fd = program.open_at(directory, "f", 0, FD_READ, 0).unwrap();
    assert_eq!(program.read(fd, 9).unwrap(), b"content");
    fs::set_permissions(program.path("d"), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_streams_have_names_where_links_lead_to_them() {
    let mut program = Program::new();
    // There is no `/proc` in a module's container, here there is: so one that is not there stands for it.
    symlink("proc/self/fd/1", program.path("stdout")).unwrap();
    symlink("proc/self/fd", program.path("fd")).unwrap();
    symlink("stdout", program.path("log")).unwrap();
    let (mut read, write) = std::io::pipe().unwrap();
    program.call("fd_close", &[1]);
    assert_eq!(program.insert(write), 1);
    for (path, how) in [("stdout", 0), ("log", CREAT | TRUNC), ("fd/1", CREAT)] {
        let fd = program.open(path, how, FD_WRITE).unwrap_or_else(|errno| panic!("{path}: {errno}"));
        program.write(fd, path).unwrap();
        let mut buffer = [0; 64];
        let length = std::io::Read::read(&mut read, &mut buffer).unwrap();
        assert_eq!(&buffer[..length], path.as_bytes());
    }
    assert_eq!(program.open("fd/77", 0, FD_WRITE), Err(NOENT));
    assert_eq!(program.open("stdout", DIRECTORY, FD_READ), Err(NOTDIR));
    assert_eq!(program.open("stdout", CREAT | EXCL, FD_WRITE), Err(EXIST));
    let (path, to) = (program.put("log"), program.room(64));
    assert_eq!(program.call("path_filestat_get", &[root(), 1, path, 3, to]), SUCCESS);
    assert_eq!(program.u8(to + 16), 0);
}
