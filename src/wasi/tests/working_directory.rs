//! The root and the working directory, which a C library takes for one.

mod program;

use std::{fs, rc::Rc};

use program::{CREAT, DIRECTORY, FD_READ, FD_WRITE, NOENT, Program, SUCCESS, exists};
use wasmedge_shim_wasi::{Descriptor, Preopen, Reach, Twin, system::path};

/// `root` is the root, with a directory `etc`, and `root/work` the working directory; the numbers of `.` and of `/etc`.
fn started_in_work(program: &mut Program) -> (u64, u64) {
    for directory in ["root/etc", "root/work/sub"] {
        fs::create_dir_all(program.path(directory)).unwrap();
    }
    let open = |name: &str| path::directory(program.path(name).as_os_str().as_encoded_bytes()).unwrap();
    let preopen = |name: &str, directory: &str, twin| Preopen {
        name: name.as_bytes().to_vec(),
        directory: open(directory),
        reach: Reach::Container,
        read_only: false,
        twin,
    };
    let (dot, etc) = (
        preopen(".", "root/work", Twin::Root(open("root"))),
        preopen("/etc", "root/etc", Twin::WorkingDirectory(Rc::new(open("root/work")))),
    );
    let mut insert = |preopen| program.wasi.table.insert(Descriptor::of_preopen(preopen).unwrap()).into();
    (insert(dot), insert(etc))
}

/// As wasi-libc calls for a path in the directory that is called `name` there: with a pointer to what comes after it.
fn open(program: &mut Program, fd: u64, path: &str, name: &str, how: u32, rights: u64) -> Result<u64, u16> {
    let (at, to) = (program.put(path) + name.len() as u64, program.room(4));
    let length = (path.len() - name.len()) as u64;
    match program.call("path_open", &[fd, 1, at, length, how.into(), rights, 0, 0, to]) {
        SUCCESS => Ok(program.u32(to).into()),
        errno => Err(errno),
    }
}

fn content(program: &mut Program, fd: Result<u64, u16>) -> Result<Vec<u8>, u16> {
    program.read(fd?, 99)
}

#[test]
fn a_relative_path_is_the_working_directory_s() {
    let mut program = Program::new();
    let (dot, _) = started_in_work(&mut program);
    program.write_file("root/f", "root's");
    program.write_file("root/only-there", "");
    program.write_file("root/work/f", "work's");
    let fd = open(&mut program, dot, "f", "", 0, FD_READ);
    assert_eq!(content(&mut program, fd), Ok(b"work's".to_vec()));
    let fd = open(&mut program, dot, "../f", "", 0, FD_READ);
    assert_eq!(content(&mut program, fd), Ok(b"root's".to_vec()));
    assert_eq!(open(&mut program, dot, "only-there", "", 0, FD_READ), Err(NOENT));
    assert!(open(&mut program, dot, "new", "", CREAT, FD_WRITE).is_ok());
    assert!(exists(program.path("root/work/new")));
}

#[test]
fn an_absolute_path_finds_what_is_directly_in_the_root() {
    let mut program = Program::new();
    let (dot, _) = started_in_work(&mut program);
    program.write_file("root/f", "root's");
    let fd = open(&mut program, dot, "/f", "/", 0, FD_READ);
    assert_eq!(content(&mut program, fd), Ok(b"root's".to_vec()));
    let (at, to) = (program.put("/f") + 1, program.room(64));
    assert_eq!(program.call("path_filestat_get", &[dot, 1, at, 1, to]), SUCCESS);
    assert_eq!(program.u64(to + 32), 6);
    assert_eq!(program.call("path_unlink_file", &[dot, at, 1]), SUCCESS);
    assert!(!exists(program.path("root/f")));
    assert_eq!(open(&mut program, dot, "/f", "/", 0, FD_READ), Err(NOENT));
}

/// With `chdir` linked, wasi-libc makes `/f` of `f`, and after `chdir("sub")` `/sub/f`.
#[test]
fn an_absolute_path_may_have_been_a_relative_one() {
    let mut program = Program::new();
    let (dot, _) = started_in_work(&mut program);
    program.write_file("root/f", "root's");
    program.write_file("root/work/f", "work's");
    program.write_file("root/work/sub/f", "sub's");
    let fd = open(&mut program, dot, "/f", "/", 0, FD_READ);
    assert_eq!(content(&mut program, fd), Ok(b"work's".to_vec()));
    let fd = open(&mut program, dot, "/sub/f", "/", 0, FD_READ);
    assert_eq!(content(&mut program, fd), Ok(b"sub's".to_vec()));
    assert!(open(&mut program, dot, "/new", "/", CREAT, FD_WRITE).is_ok());
    assert!(exists(program.path("root/work/new")));
    assert!(open(&mut program, dot, "/sub", "/", DIRECTORY, FD_READ).is_ok());
}

#[test]
fn a_relative_path_that_begins_with_the_name_of_a_directory_of_the_root_stays_relative() {
    let mut program = Program::new();
    let (_, etc) = started_in_work(&mut program);
    program.write_file("root/etc/passwd", "root's");
    for (path, name) in [("/etc/passwd", "/etc/"), ("//etc//passwd", "//etc//"), ("passwd", "")] {
        let fd = open(&mut program, etc, path, name, 0, FD_READ);
        assert_eq!(content(&mut program, fd), Ok(b"root's".to_vec()), "{path}");
    }
    assert_eq!(open(&mut program, etc, "etc/passwd", "etc/", 0, FD_READ), Err(NOENT));
    fs::create_dir(program.path("root/work/etc")).unwrap();
    assert!(open(&mut program, etc, "etc/passwd", "etc/", CREAT, FD_WRITE).is_ok());
    assert!(exists(program.path("root/work/etc/passwd")));
    program.write_file("root/work/etc/passwd", "work's");
    let fd = open(&mut program, etc, "etc//passwd", "etc//", 0, FD_READ);
    assert_eq!(content(&mut program, fd), Ok(b"work's".to_vec()));
}

/// Go compares names byte by byte: `/etcetera` comes to `/etc` as `etera`.
#[test]
fn a_path_that_only_begins_like_a_directory_of_the_root_is_another_one() {
    let mut program = Program::new();
    let (_, etc) = started_in_work(&mut program);
    let path = program.path("root").join("etcetera");
    let absolute = format!("{}", path.display());
    let directory = path::directory(program.path("root/etc").as_os_str().as_encoded_bytes()).unwrap();
    // The root of this process is the node's, so the directory has its whole path for a name.
    let name = program.path("root/etc").to_str().unwrap().to_owned();
    let twin = Twin::WorkingDirectory(Rc::new(path::directory(b"/").unwrap()));
    let preopen =
        Preopen { name: name.clone().into_bytes(), directory, reach: Reach::Container, read_only: false, twin };
    let fd = program.wasi.table.insert(Descriptor::of_preopen(preopen).unwrap()).into();
    assert!(open(&mut program, fd, &absolute, &name, CREAT, FD_WRITE).is_ok());
    assert!(exists(&path) && !exists(program.path("root/etc/etera")));
    assert!(open(&mut program, etc, "etera", "", CREAT, FD_WRITE).is_ok());
    assert!(exists(program.path("root/etc/etera")));
}
