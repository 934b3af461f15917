//! The root and the working directory, which a C library takes for one.

mod program;

use std::{fs, os::unix::fs::symlink};

use program::{CREAT, DIRECTORY, FD_READ, FD_WRITE, NOENT, Program, SUCCESS, exists};
use wasmedge_shim_wasi::{Descriptor, Preopen, Reach, system::path};

/// `root` is the root and `root/work` the working directory; its number.
fn started_in_work(program: &mut Program) -> u64 {
    fs::create_dir_all(program.path("root/work")).unwrap();
    fs::create_dir_all(program.path("root/work/sub")).unwrap();
    let open = |name: &str| path::directory(program.path(name).as_os_str().as_encoded_bytes()).unwrap();
    let preopen = Preopen {
        name: b".".to_vec(),
        directory: open("root/work"),
        reach: Reach::Container,
        read_only: false,
        root: Some(open("root")),
    };
    program.wasi.table.insert(Descriptor::of_preopen(preopen).unwrap()).into()
}

/// As wasi-libc calls for an absolute path: with a pointer to what comes after the slash.
fn open_absolute(program: &mut Program, from: u64, path: &str, how: u32, rights: u64) -> Result<u64, u16> {
    let (at, to) = (program.put(path) + 1, program.room(4));
    let length = path.len() as u64 - 1;
    match program.call("path_open", &[from, 1, at, length, how.into(), rights, 0, 0, to]) {
        SUCCESS => Ok(program.u32(to).into()),
        errno => Err(errno),
    }
}

#[test]
fn absolute_paths_are_the_root_s_and_relative_ones_the_working_directory_s() {
    let mut program = Program::new();
    let dot = started_in_work(&mut program);
    program.write_file("root/f", "root's");
    program.write_file("root/work/f", "work's");
    let fd = open_absolute(&mut program, dot, "/f", 0, FD_READ).unwrap();
    assert_eq!(program.read(fd, 9).unwrap(), b"root's");
    let fd = program.open_at(dot, "f", 0, FD_READ, 0).unwrap();
    assert_eq!(program.read(fd, 9).unwrap(), b"work's");
    let fd = program.open_at(dot, "../f", 0, FD_READ, 0).unwrap();
    assert_eq!(program.read(fd, 9).unwrap(), b"root's");
    assert_eq!(open_absolute(&mut program, dot, "/gone", 0, FD_READ), Err(NOENT));
    let (link, to) = (program.put("/link") + 1, program.room(64));
    symlink("f", program.path("root/link")).unwrap();
    assert_eq!(program.call("path_filestat_get", &[dot, 0, link, 4, to]), SUCCESS);
    assert_eq!(program.u8(to + 16), 7);
}

#[test]
fn what_is_made_by_an_absolute_path_is_made_in_the_root() {
    let mut program = Program::new();
    let dot = started_in_work(&mut program);
    assert!(open_absolute(&mut program, dot, "/new", CREAT, FD_WRITE).is_ok());
    assert!(exists(program.path("root/new")) && !exists(program.path("root/work/new")));
    let directory = program.put("/directory") + 1;
    assert_eq!(program.call("path_create_directory", &[dot, directory, 9]), SUCCESS);
    let (old, new) = (program.put("/new") + 1, program.put("/directory/moved") + 1);
    assert_eq!(program.call("path_rename", &[dot, old, 3, dot, new, 15]), SUCCESS);
    assert!(exists(program.path("root/directory/moved")));
    assert!(program.open_at(dot, "relative", CREAT, FD_WRITE, 0).is_ok());
    assert!(exists(program.path("root/work/relative")));
}

/// wasi-libc counts its working directory from `/`: after `chdir("sub")` the path `f` becomes `/sub/f`.
#[test]
fn a_program_that_has_changed_its_directory_goes_on_from_there() {
    let mut program = Program::new();
    let dot = started_in_work(&mut program);
    program.write_file("root/work/sub/f", "content");
    let fd = open_absolute(&mut program, dot, "/sub/f", 0, FD_READ).unwrap();
    assert_eq!(program.read(fd, 9).unwrap(), b"content");
    assert!(open_absolute(&mut program, dot, "/sub/new", CREAT, FD_WRITE).is_ok());
    assert!(exists(program.path("root/work/sub/new")));
    assert!(open_absolute(&mut program, dot, "/sub", DIRECTORY, FD_READ).is_ok());
}
