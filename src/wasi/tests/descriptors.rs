//! `fd_…` about the descriptor.

mod program;

use std::{
    fs::{self, File},
    io::{Seek, Write},
    os::{fd::FromRawFd, unix::fs::MetadataExt},
    time::{Duration, UNIX_EPOCH},
};

use program::{
    ALL, BADF, CREAT, DIRECTORY, FAULT, FD_READ, FD_READDIR, FD_WRITE, INVAL, NAMETOOLONG, NOTCAPABLE, Program, ROOT,
    SPIPE, SUCCESS,
};
use wasmedge_shim_wasi::{Descriptor, Reach, preview1::Type};

const NOBODY: u64 = 99;

/// File type, flags, rights and inheriting rights.
fn fdstat(program: &mut Program, fd: u64) -> (u8, u16, u64, u64) {
    let to = program.room(24);
    assert_eq!(program.call("fd_fdstat_get", &[fd, to]), SUCCESS);
    (program.u8(to), program.u16(to + 2), program.u64(to + 8), program.u64(to + 16))
}

#[test]
fn a_descriptor_that_is_not_open_is_told_by_every_function() {
    let mut program = Program::new();
    let to = program.room(64);
    for fd in [NOBODY, u64::from(u32::MAX)] {
        for (name, args) in [
            ("fd_advise", vec![fd, 0, 0, 0]),
            ("fd_allocate", vec![fd, 0, 1]),
            ("fd_close", vec![fd]),
            ("fd_datasync", vec![fd]),
            ("fd_fdstat_get", vec![fd, to]),
            ("fd_fdstat_set_flags", vec![fd, 0]),
            ("fd_fdstat_set_rights", vec![fd, 0, 0]),
            ("fd_filestat_get", vec![fd, to]),
            ("fd_filestat_set_size", vec![fd, 0]),
            ("fd_filestat_set_times", vec![fd, 0, 0, 0]),
            ("fd_pread", vec![fd, 0, 0, 0, to]),
            ("fd_prestat_dir_name", vec![fd, to, 8]),
            ("fd_prestat_get", vec![fd, to]),
            ("fd_pwrite", vec![fd, 0, 0, 0, to]),
            ("fd_read", vec![fd, 0, 0, to]),
            ("fd_readdir", vec![fd, to, 8, 0, to]),
            ("fd_renumber", vec![fd, 0]),
            ("fd_seek", vec![fd, 0, 0, to]),
            ("fd_sync", vec![fd]),
            ("fd_tell", vec![fd, to]),
            ("fd_write", vec![fd, 0, 0, to]),
            ("sock_recv", vec![fd, 0, 0, 0, to, to]),
            ("sock_send", vec![fd, 0, 0, 0, to]),
            ("sock_shutdown", vec![fd, 1]),
            ("sock_accept", vec![fd, 0, to]),
            ("sock_listen", vec![fd, 1]),
        ] {
            assert_eq!(program.call(name, &args), BADF, "{name}");
        }
    }
}

#[test]
fn closing_frees_the_lowest_number_for_the_next() {
    let mut program = Program::new();
    program.write_file("f", "");
    assert_eq!(program.open("f", 0, FD_READ), Ok(4));
    assert_eq!(program.open("f", 0, FD_READ), Ok(5));
    assert_eq!(program.call("fd_close", &[4]), SUCCESS);
    assert_eq!(program.call("fd_close", &[4]), BADF);
    assert_eq!(program.call("fd_close", &[1]), SUCCESS);
    assert_eq!(program.open("f", 0, FD_READ), Ok(1));
    assert_eq!(program.open("f", 0, FD_READ), Ok(4));
}

#[test]
fn renumbering_closes_what_had_the_number() {
    let mut program = Program::new();
    program.write_file("a", "a");
    program.write_file("b", "b");
    let (a, b) = (program.open("a", 0, FD_READ).unwrap(), program.open("b", 0, FD_READ).unwrap());
    assert_eq!(program.call("fd_renumber", &[a, b]), SUCCESS);
    assert_eq!(program.read(b, 9).unwrap(), b"a");
    assert_eq!(program.read(a, 9), Err(BADF));
    assert_eq!(program.call("fd_renumber", &[b, b]), SUCCESS);
    for (from, to) in [(b, NOBODY), (NOBODY, b), (NOBODY, NOBODY)] {
        assert_eq!(program.call("fd_renumber", &[from, to]), BADF);
    }
    // A directory keeps its name.
    assert_eq!(program.call("fd_renumber", &[ROOT.into(), b]), SUCCESS);
    let to = program.room(8);
    assert_eq!(program.call("fd_prestat_get", &[b, to]), SUCCESS);
}

#[test]
fn a_descriptor_tells_what_it_is() {
    let mut program = Program::new();
    program.write_file("f", "");
    fs::create_dir(program.path("d")).unwrap();
    let file = program.open("f", 0, FD_READ).unwrap();
    let directory = program.open("d", DIRECTORY, FD_READ).unwrap();
    let (read, _write) = std::io::pipe().unwrap();
    let pipe = program.insert(read);
    let stream = program.insert(std::os::unix::net::UnixStream::pair().unwrap().0);
    let datagram = program.insert(std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    // Character device, directory, regular file, sockets; a pipe is nothing that WASI knows.
    for (fd, kind) in [(0, 2), (ROOT.into(), 3), (directory, 3), (file, 4), (datagram, 5), (stream, 6), (pipe, 0)] {
        assert_eq!(fdstat(&mut program, fd).0, kind, "{fd}");
    }
    assert_eq!(program.call("fd_fdstat_get", &[file, u64::from(u32::MAX)]), FAULT);
}

#[test]
fn a_terminal_is_told_from_another_character_device_by_its_rights() {
    const SEEK_AND_TELL: u64 = 1 << 2 | 1 << 5;
    let mut program = Program::new();
    assert_eq!(fdstat(&mut program, 0).2 & SEEK_AND_TELL, SEEK_AND_TELL);
    // SAFETY: opens a terminal.
    let terminal = unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY) };
    assert!(terminal >= 0);
    // SAFETY: it is this one's alone.
    let terminal = program.insert(unsafe { std::os::fd::OwnedFd::from_raw_fd(terminal) });
    let (kind, _, rights, _) = fdstat(&mut program, terminal);
    assert_eq!((kind, rights & SEEK_AND_TELL), (2, 0));
}

#[test]
fn flags_are_told_as_they_were_given_and_two_of_them_can_be_changed() {
    let (append, dsync, nonblock, sync) = (1, 2, 4, 16);
    let mut program = Program::new();
    for flags in [0, append, dsync, nonblock, append | nonblock] {
        let fd = program.open_at(ROOT.into(), "f", CREAT, FD_WRITE, flags).unwrap();
        assert_eq!(fdstat(&mut program, fd).1, flags as u16);
    }
    let fd = program.open_at(ROOT.into(), "f", CREAT, FD_WRITE, sync).unwrap();
    assert_eq!(fdstat(&mut program, fd).1, (sync | dsync) as u16);
    let fd = program.open("f", 0, FD_WRITE).unwrap();
    for flags in [append | nonblock, nonblock, 0] {
        assert_eq!(program.call("fd_fdstat_set_flags", &[fd, flags.into()]), SUCCESS);
        assert_eq!(fdstat(&mut program, fd).1, flags as u16);
    }
    for flags in [32, 1 << 16, u64::from(u32::MAX)] {
        assert_eq!(program.call("fd_fdstat_set_flags", &[fd, flags]), INVAL);
    }
}

#[test]
fn rights_can_only_be_given_up() {
    let mut program = Program::new();
    program.write_file("f", "");
    let fd = program.open("f", 0, FD_READ | FD_WRITE).unwrap();
    assert_eq!(fdstat(&mut program, fd).2, FD_READ | FD_WRITE);
    assert_eq!(program.call("fd_fdstat_set_rights", &[fd, FD_READ, 0]), SUCCESS);
    assert_eq!(fdstat(&mut program, fd).2, FD_READ);
    assert_eq!(program.call("fd_fdstat_set_rights", &[fd, FD_READ | FD_WRITE, 0]), NOTCAPABLE);
    assert_eq!(program.call("fd_fdstat_set_rights", &[fd, FD_READ, 1]), NOTCAPABLE);
    let root = u64::from(ROOT);
    let create_directory = 1 << 9;
    let (_, _, base, inheriting) = fdstat(&mut program, root);
    assert_eq!(program.call("fd_fdstat_set_rights", &[root, base & !create_directory, inheriting]), SUCCESS);
    assert_eq!(program.at("path_create_directory", root, "d"), NOTCAPABLE);
}

#[test]
fn a_preopened_directory_has_a_name_and_nothing_else_has_one() {
    let mut program = Program::new();
    let root = u64::from(ROOT);
    let (to, name) = (program.room(8), program.room(4));
    assert_eq!(program.call("fd_prestat_get", &[root, to]), SUCCESS);
    assert_eq!((program.u32(to), program.u32(to + 4)), (0, 1));
    assert_eq!(program.call("fd_prestat_dir_name", &[root, name, 4]), SUCCESS);
    assert_eq!(program.bytes(name, 2), b"/\xee");
    assert_eq!(program.call("fd_prestat_dir_name", &[root, name, 0]), NAMETOOLONG);
    assert_eq!(program.call("fd_prestat_dir_name", &[root, u64::from(u32::MAX), 1]), FAULT);
    assert_eq!(program.call("fd_prestat_get", &[root, u64::from(u32::MAX)]), FAULT);
    for fd in [0, 4] {
        assert_eq!(program.call("fd_prestat_get", &[fd, to]), BADF);
        assert_eq!(program.call("fd_prestat_dir_name", &[fd, name, 4]), BADF);
    }
}

/// All numbers of a `filestat`.
fn check_filestat(program: &Program, at: u64, meta: &fs::Metadata, kind: u8) {
    let time = |seconds: i64, nanoseconds: i64| (seconds * 1_000_000_000 + nanoseconds).cast_unsigned();
    assert_eq!(program.u64(at), meta.dev());
    assert_eq!(program.u64(at + 8), meta.ino());
    assert_eq!(program.u8(at + 16), kind);
    assert_eq!(program.u64(at + 24), meta.nlink());
    assert_eq!(program.u64(at + 32), meta.size());
    assert_eq!(program.u64(at + 40), time(meta.atime(), meta.atime_nsec()));
    assert_eq!(program.u64(at + 48), time(meta.mtime(), meta.mtime_nsec()));
    assert_eq!(program.u64(at + 56), time(meta.ctime(), meta.ctime_nsec()));
}

#[test]
fn a_file_is_told_with_all_that_there_is_to_tell() {
    let mut program = Program::new();
    program.write_file("f", "content");
    fs::hard_link(program.path("f"), program.path("g")).unwrap();
    let fd = program.open("f", 0, 0).unwrap();
    let to = program.room(72);
    assert_eq!(program.call("fd_filestat_get", &[fd, to]), SUCCESS);
    check_filestat(&program, to, &fs::metadata(program.path("f")).unwrap(), 4);
    assert_eq!(program.u64(to + 64), u64::from_le_bytes([0xee; 8]));
    assert_eq!(program.call("fd_filestat_get", &[ROOT.into(), to]), SUCCESS);
    check_filestat(&program, to, &fs::metadata(program.directory.path()).unwrap(), 3);
    assert_eq!(program.call("fd_filestat_get", &[fd, u64::from(u32::MAX)]), FAULT);
}

#[test]
fn old_modules_have_their_own_form_of_it() {
    let mut program = Program::new();
    program.write_file("f", "content");
    let fd = program.open("f", 0, 0).unwrap();
    let to = program.room(64);
    assert_eq!(program.call_unstable("fd_filestat_get", &[Type::I32; 2], &[fd, to]), SUCCESS);
    assert_eq!((program.u8(to + 16), program.u32(to + 20), program.u64(to + 24)), (4, 1, 7));
    assert_eq!(program.bytes(to + 56, 8), [0xee; 8]);
}

#[test]
fn a_file_gets_a_size_and_what_was_not_there_is_zero() {
    let mut program = Program::new();
    program.write_file("f", "content");
    let fd = program.open("f", 0, FD_READ | FD_WRITE | program::FD_FILESTAT_SET_SIZE).unwrap();
    assert_eq!(program.call("fd_filestat_set_size", &[fd, 4]), SUCCESS);
    assert_eq!(program.call("fd_filestat_set_size", &[fd, 6]), SUCCESS);
    assert_eq!(fs::read(program.path("f")).unwrap(), b"cont\0\0");
    assert_eq!(program.call("fd_filestat_set_size", &[fd, 5 << 30]), SUCCESS);
    assert_eq!(fs::metadata(program.path("f")).unwrap().len(), 5 << 30);
    assert_eq!(program.call("fd_filestat_set_size", &[fd, u64::MAX]), INVAL);
    let reading = program.open("f", 0, FD_READ | program::FD_FILESTAT_SET_SIZE).unwrap();
    assert_eq!(program.call("fd_filestat_set_size", &[reading, 0]), INVAL);
    let without = program.open("f", 0, FD_READ | FD_WRITE).unwrap();
    assert_eq!(program.call("fd_filestat_set_size", &[without, 0]), NOTCAPABLE);
}

#[test]
fn times_are_set_to_what_is_given_to_now_or_not_at_all() {
    let (accessed, accessed_now, modified, modified_now) = (1, 2, 4, 8);
    let mut program = Program::new();
    program.write_file("f", "");
    let fd = program.open("f", 0, ALL & !FD_WRITE).unwrap();
    let path = program.path("f");
    let times = || {
        let meta = fs::metadata(&path).unwrap();
        [meta.accessed(), meta.modified()].map(|time| time.unwrap().duration_since(UNIX_EPOCH).unwrap().as_nanos())
    };
    assert_eq!(
        program.call("fd_filestat_set_times", &[fd, 1_000_000_007, 2_000_000_009, accessed | modified]),
        SUCCESS
    );
    assert_eq!(times(), [1_000_000_007, 2_000_000_009]);
    assert_eq!(program.call("fd_filestat_set_times", &[fd, 5, 5, modified]), SUCCESS);
    assert_eq!(times(), [1_000_000_007, 5]);
    assert_eq!(program.call("fd_filestat_set_times", &[fd, 5, 5, accessed_now]), SUCCESS);
    assert_eq!(times()[1], 5);
    let age = UNIX_EPOCH.elapsed().unwrap().as_nanos() - times()[0];
    assert!(age < Duration::from_secs(60).as_nanos());
    assert_eq!(program.call("fd_filestat_set_times", &[fd, 5, 5, 0]), SUCCESS);
    for flags in [accessed | accessed_now, modified | modified_now, 16, u64::from(u32::MAX)] {
        assert_eq!(program.call("fd_filestat_set_times", &[fd, 0, 0, flags]), INVAL);
    }
    // A directory that is open for its paths alone.
    assert_eq!(program.call("fd_filestat_set_times", &[ROOT.into(), 7, 8, accessed | modified]), SUCCESS);
    assert_eq!(fs::metadata(program.directory.path()).unwrap().mtime_nsec(), 8);
}

#[test]
fn what_is_written_is_on_the_disk_afterwards_in_directories_too() {
    let mut program = Program::new();
    fs::create_dir(program.path("d")).unwrap();
    let file = program.open("f", CREAT, FD_WRITE).unwrap();
    let directory = program.open("d", DIRECTORY, FD_READ | FD_READDIR).unwrap();
    let for_paths = program.open("d", DIRECTORY, 0).unwrap();
    for fd in [file, directory, for_paths, ROOT.into()] {
        assert_eq!(program.call("fd_sync", &[fd]), SUCCESS, "{fd}");
        assert_eq!(program.call("fd_datasync", &[fd]), SUCCESS, "{fd}");
    }
    let (_read, write) = std::io::pipe().unwrap();
    let pipe = program.insert(write);
    assert_eq!(program.call("fd_sync", &[pipe]), INVAL);
}

#[test]
fn advice_is_taken_if_there_is_such_a_one() {
    let mut program = Program::new();
    program.write_file("f", "content");
    let fd = program.open("f", 0, FD_READ).unwrap();
    for advice in 0..6 {
        assert_eq!(program.call("fd_advise", &[fd, 0, 0, advice]), SUCCESS);
    }
    assert_eq!(program.call("fd_advise", &[fd, 0, 100, 6]), INVAL);
    let (read, _write) = std::io::pipe().unwrap();
    let pipe = program.insert(read);
    assert_eq!(program.call("fd_advise", &[pipe, 0, 0, 0]), SPIPE);
}

#[test]
fn room_is_made_for_what_is_to_be_written() {
    let mut program = Program::new();
    let fd = program.open("f", CREAT, ALL).unwrap();
    assert_eq!(program.call("fd_allocate", &[fd, 10, 100]), SUCCESS);
    assert_eq!(fs::metadata(program.path("f")).unwrap().len(), 110);
    assert_eq!(program.call("fd_allocate", &[fd, 0, 5]), SUCCESS);
    assert_eq!(fs::metadata(program.path("f")).unwrap().len(), 110);
    assert_eq!(program.call("fd_allocate", &[fd, 0, 0]), INVAL);
    assert_eq!(program.call("fd_allocate", &[fd, u64::MAX, 1]), INVAL);
    let reading = program.open("f", 0, ALL & !FD_WRITE).unwrap();
    assert_eq!(program.call("fd_allocate", &[reading, 0, 1]), BADF);
}

#[test]
fn through_a_read_only_directory_no_file_can_be_changed() {
    let mut program = Program::with(Reach::Beneath, true);
    program.write_file("f", "content");
    assert_eq!(program.open("f", 0, FD_READ | FD_WRITE), Err(NOTCAPABLE));
    let fd = program.open("f", 0, ALL & !FD_WRITE).unwrap();
    assert_eq!(program.call("fd_filestat_set_size", &[fd, 0]), NOTCAPABLE);
    assert_eq!(program.call("fd_filestat_set_times", &[fd, 0, 0, 1]), NOTCAPABLE);
    assert_eq!(program.call("fd_allocate", &[fd, 0, 1]), NOTCAPABLE);
    assert_eq!(program.call("fd_filestat_set_times", &[ROOT.into(), 0, 0, 1]), NOTCAPABLE);
    assert_eq!(program.read(fd, 9).unwrap(), b"content");
}

#[test]
fn a_file_that_the_guest_was_given_is_read_from_where_it_is() {
    let mut program = Program::new();
    let mut file = File::options().read(true).write(true).create_new(true).open(program.path("f")).unwrap();
    file.write_all(b"0123456789").unwrap();
    file.seek(std::io::SeekFrom::Start(4)).unwrap();
    let fd = program.insert(file);
    assert_eq!(program.read(fd, 3).unwrap(), b"456");
}

/// The file of a module's signals has the inode of all others of its kind on the node.
#[test]
fn a_file_that_is_there_to_be_read_keeps_its_times() {
    let mut program = Program::new();
    program.write_file("f", "content");
    let file = File::open(program.path("f")).unwrap();
    let plain = program.wasi.table.insert(Descriptor::new(file.try_clone().unwrap().into()).unwrap()).into();
    let read_only = program.wasi.table.insert(Descriptor::new(file.into()).unwrap().read_only()).into();
    let both_now = 2 | 8;
    assert_eq!(program.call("fd_filestat_set_times", &[plain, 0, 0, both_now]), SUCCESS);
    assert_eq!(program.call("fd_filestat_set_times", &[read_only, 0, 0, both_now]), NOTCAPABLE);
    assert_eq!(program.read(read_only, 99).unwrap(), b"content");
}
