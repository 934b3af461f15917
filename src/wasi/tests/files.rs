//! `fd_…` that move bytes.

mod program;

use std::{collections::BTreeSet, fs, io::Write, thread, time::Duration};

use program::{
    AGAIN, BADF, CREAT, DIRECTORY, FAULT, FD_READ, FD_READDIR, FD_WRITE, INVAL, ISDIR, NOTCAPABLE, NOTDIR, PIPE,
    Program, ROOT, SPIPE, SUCCESS,
};
use wasmedge_shim_wasi::preview1::Type;

const FD_SEEK: u64 = 1 << 2;

#[test]
fn bytes_are_read_into_one_piece_after_the_other() {
    let mut program = Program::new();
    program.write_file("f", "0123456789");
    let fd = program.open("f", 0, FD_READ).unwrap();
    let (a, b, c, to) = (program.room(3), program.room(0), program.room(8), program.room(4));
    let list = program.pieces(&[(a, 3), (b, 0), (c, 8)]);
    assert_eq!(program.call("fd_read", &[fd, list, 3, to]), SUCCESS);
    assert_eq!(program.u32(to), 10);
    assert_eq!((program.bytes(a, 3), program.bytes(c, 8)), (&b"012"[..], &b"3456789\xee"[..]));
    assert_eq!(program.read(fd, 5), Ok(Vec::new()));
    assert_eq!(program.call("fd_read", &[fd, 0, 0, to]), SUCCESS);
}

#[test]
fn pieces_may_overlap() {
    let mut program = Program::new();
    program.write_file("f", "0123456789");
    let fd = program.open("f", 0, FD_READ).unwrap();
    let (a, to) = (program.room(6), program.room(4));
    let list = program.pieces(&[(a, 4), (a + 2, 4)]);
    assert_eq!(program.call("fd_read", &[fd, list, 2, to]), SUCCESS);
    assert_eq!((program.u32(to), program.bytes(a, 6)), (8, &b"014567"[..]));
}

#[test]
fn what_is_written_comes_from_one_piece_after_the_other() {
    let mut program = Program::new();
    let fd = program.open("f", CREAT, FD_WRITE).unwrap();
    let (a, b, to) = (program.put("hello "), program.put("world"), program.room(4));
    let list = program.pieces(&[(a, 6), (b, 5)]);
    assert_eq!(program.call("fd_write", &[fd, list, 2, to]), SUCCESS);
    assert_eq!(program.u32(to), 11);
    assert_eq!(fs::read(program.path("f")).unwrap(), b"hello world");
    assert_eq!(program.write(fd, ""), Ok(0));
}

#[test]
fn memory_that_is_not_there_is_a_fault_and_nothing_is_read_or_written() {
    let mut program = Program::new();
    program.write_file("f", "content");
    let fd = program.open("f", 0, FD_READ | FD_WRITE).unwrap();
    let (to, end) = (program.room(4), program.memory.len() as u64);
    let outside = program.pieces(&[(to, 4), (end - 2, 3)]);
    let inside = program.pieces(&[(to, 4)]);
    for name in ["fd_read", "fd_write"] {
        assert_eq!(program.call(name, &[fd, outside, 2, to]), FAULT);
        assert_eq!(program.call(name, &[fd, end - 4, 1, to]), FAULT);
        assert_eq!(program.call(name, &[fd, 0, u64::from(u32::MAX), to]), FAULT);
        assert_eq!(program.call(name, &[fd, inside, 1, end - 3]), FAULT);
    }
    for name in ["fd_pread", "fd_pwrite"] {
        assert_eq!(program.call(name, &[fd, outside, 2, 0, to]), FAULT);
        assert_eq!(program.call(name, &[fd, inside, 1, 0, end]), FAULT);
    }
    assert_eq!(program.read(fd, 9).unwrap(), b"content");
}

#[test]
fn more_pieces_than_the_kernel_takes_are_a_short_read() {
    let mut program = Program::new();
    program.write_file("f", vec![b'x'; 3000]);
    let fd = program.open("f", 0, FD_READ).unwrap();
    let (buffer, to) = (program.room(1), program.room(4));
    let list = program.pieces(&vec![(buffer, 1); 3000]);
    assert_eq!(program.call("fd_read", &[fd, list, 3000, to]), SUCCESS);
    assert_eq!(program.u32(to), 1024);
}

#[test]
fn a_descriptor_is_read_or_written_as_it_was_opened_for() {
    let mut program = Program::new();
    program.write_file("f", "content");
    let (reading, writing) = (program.open("f", 0, FD_READ).unwrap(), program.open("f", 0, FD_WRITE).unwrap());
    assert_eq!(program.write(reading, "x"), Err(BADF));
    assert_eq!(program.read(writing, 1), Err(BADF));
    let directory = program.open(".", DIRECTORY, FD_READ).unwrap();
    assert_eq!(program.read(directory, 1), Err(ISDIR));
    assert_eq!(program.write(directory, "x"), Err(BADF));
}

#[test]
fn at_an_offset_the_position_stays() {
    let mut program = Program::new();
    program.write_file("f", "0123456789");
    let fd = program.open("f", 0, FD_READ | FD_WRITE).unwrap();
    let (buffer, to) = (program.room(4), program.room(4));
    let list = program.pieces(&[(buffer, 4)]);
    assert_eq!(program.call("fd_pread", &[fd, list, 1, 8, to]), SUCCESS);
    assert_eq!((program.u32(to), program.bytes(buffer, 4)), (2, &b"89\xee\xee"[..]));
    assert_eq!(program.call("fd_pwrite", &[fd, list, 1, 1, to]), SUCCESS);
    assert_eq!(program.read(fd, 99).unwrap(), b"089\xee\xee56789");
    for name in ["fd_pread", "fd_pwrite"] {
        assert_eq!(program.call(name, &[fd, list, 1, u64::MAX, to]), INVAL);
        assert_eq!(program.call(name, &[fd, list, 1, 1 << 63, to]), INVAL);
    }
    let (read, _write) = std::io::pipe().unwrap();
    let pipe = program.insert(read);
    assert_eq!(program.call("fd_pread", &[pipe, list, 1, 0, to]), SPIPE);
}

#[test]
fn appended_bytes_come_last_wherever_the_position_is() {
    let mut program = Program::new();
    program.write_file("f", "first");
    let fd = program.open_at(ROOT.into(), "f", 0, FD_READ | FD_WRITE | FD_SEEK, 1).unwrap();
    let to = program.room(8);
    assert_eq!(program.call("fd_seek", &[fd, 0, 0, to]), SUCCESS);
    program.write(fd, "second").unwrap();
    assert_eq!(fs::read(program.path("f")).unwrap(), b"firstsecond");
}

#[test]
fn a_position_is_counted_from_the_beginning_from_itself_and_from_the_end() {
    let mut program = Program::new();
    program.write_file("f", "0123456789");
    let fd = program.open("f", 0, FD_READ).unwrap();
    let to = program.room(8);
    let minus = |by: i64| (-by).cast_unsigned();
    for (offset, whence, position) in
        [(4, 0, 4), (2, 1, 6), (minus(3), 1, 3), (minus(1), 2, 9), (5 << 30, 2, (5 << 30) + 10)]
    {
        assert_eq!(program.call("fd_seek", &[fd, offset, whence, to]), SUCCESS);
        assert_eq!(program.u64(to), position);
        assert_eq!(program.call("fd_tell", &[fd, to]), SUCCESS);
        assert_eq!(program.u64(to), position);
    }
    for (offset, whence) in [(minus(1), 0), (minus(11), 2), (0, 3), (0, u64::from(u32::MAX))] {
        assert_eq!(program.call("fd_seek", &[fd, offset, whence, to]), INVAL);
    }
    assert_eq!(program.call("fd_seek", &[fd, 0, 0, u64::from(u32::MAX)]), FAULT);
    assert_eq!(program.call("fd_tell", &[fd, u64::from(u32::MAX)]), FAULT);
    let (read, _write) = std::io::pipe().unwrap();
    let pipe = program.insert(read);
    assert_eq!(program.call("fd_seek", &[pipe, 0, 1, to]), SPIPE);
    assert_eq!(program.call("fd_tell", &[pipe, to]), SPIPE);
}

#[test]
fn old_modules_count_what_a_position_is_counted_from_in_another_order() {
    let mut program = Program::new();
    program.write_file("f", "0123456789");
    let fd = program.open("f", 0, FD_READ).unwrap();
    let to = program.room(8);
    for (whence, position) in [(2, 2), (0, 4), (1, 12)] {
        let params = [Type::I32, Type::I64, Type::I32, Type::I32];
        assert_eq!(program.call_unstable("fd_seek", &params, &[fd, 2, whence, to]), SUCCESS);
        assert_eq!(program.u64(to), position);
    }
}

#[test]
fn a_file_can_be_larger_than_4_gib_and_have_holes() {
    let mut program = Program::new();
    let fd = program.open("f", CREAT, FD_READ | FD_WRITE).unwrap();
    let (to, at) = (program.room(8), (5 << 30) + 3);
    assert_eq!(program.call("fd_seek", &[fd, at, 0, to]), SUCCESS);
    program.write(fd, "end").unwrap();
    let (buffer, list) = (program.room(6), program.pieces(&[(0, 0)]));
    let list_at = program.pieces(&[(buffer, 6)]);
    assert_eq!(program.call("fd_pread", &[fd, list_at, 1, at - 3, to]), SUCCESS);
    assert_eq!(program.bytes(buffer, 6), b"\0\0\0end");
    assert_eq!(program.call("fd_pread", &[fd, list, 1, at, to]), SUCCESS);
}

#[test]
fn a_read_waits_unless_it_must_not() {
    let mut program = Program::new();
    let (read, mut write) = std::io::pipe().unwrap();
    let fd = program.insert(read);
    let nonblock = 4;
    assert_eq!(program.call("fd_fdstat_set_flags", &[fd, nonblock]), SUCCESS);
    assert_eq!(program.read(fd, 4), Err(AGAIN));
    assert_eq!(program.call("fd_fdstat_set_flags", &[fd, 0]), SUCCESS);
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        write.write_all(b"late").unwrap();
    });
    assert_eq!(program.read(fd, 9).unwrap(), b"late");
    writer.join().unwrap();
    assert_eq!(program.read(fd, 9), Ok(Vec::new()));
}

#[test]
fn a_write_to_nobody_is_an_error_and_no_signal() {
    // What the engine does, too: SIGPIPE would end a guest that could have been told.
    // SAFETY: an ignored signal calls nothing.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    let mut program = Program::new();
    let (read, write) = std::io::pipe().unwrap();
    drop(read);
    let fd = program.insert(write);
    assert_eq!(program.write(fd, "x"), Err(PIPE));
}

/// The names in a directory, with their types, by a buffer of `length` bytes.
fn list(program: &mut Program, fd: u64, length: u64) -> Vec<(String, u8)> {
    let (buffer, to) = (program.room(length as usize), program.room(4));
    let (mut names, mut cookie) = (Vec::new(), 0);
    loop {
        assert_eq!(program.call("fd_readdir", &[fd, buffer, length, cookie, to]), SUCCESS);
        let used = u64::from(program.u32(to));
        let mut at = 0;
        while at + 24 <= used {
            let (next, name) = (program.u64(buffer + at), u64::from(program.u32(buffer + at + 16)));
            if at + 24 + name > used {
                break;
            }
            let text = String::from_utf8(program.bytes(buffer + at + 24, name as usize).to_vec()).unwrap();
            names.push((text, program.u8(buffer + at + 20)));
            (at, cookie) = (at + 24 + name, next);
        }
        if used < length {
            return names;
        }
        assert!(at > 0, "not one entry fits into {length} bytes");
    }
}

#[test]
fn a_directory_is_listed_with_the_types_of_its_entries() {
    let mut program = Program::new();
    program.write_file("file", "");
    fs::create_dir(program.path("directory")).unwrap();
    std::os::unix::fs::symlink("file", program.path("link")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(program.path("socket")).unwrap();
    let fd = program.open(".", DIRECTORY, FD_READDIR).unwrap();
    for fd in [fd, ROOT.into()] {
        let found: BTreeSet<_> = list(&mut program, fd, 4096).into_iter().collect();
        let expected = [(".", 3), ("..", 3), ("directory", 3), ("file", 4), ("link", 7), ("socket", 6)];
        assert_eq!(found, expected.map(|(name, kind)| (name.to_owned(), kind)).into());
    }
    drop(socket);
}

#[test]
fn a_buffer_of_any_size_lists_each_entry_once() {
    let mut program = Program::new();
    let mut expected = BTreeSet::from([".".to_owned(), "..".to_owned()]);
    for number in 0..1500 {
        let name = format!("{number}{}", "n".repeat(number % 100));
        program.write_file(&name, "");
        expected.insert(name);
    }
    for length in [128, 129, 500, 4096, 65_536] {
        let names = list(&mut program, ROOT.into(), length);
        assert_eq!(names.len(), expected.len());
        assert_eq!(names.into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>(), expected);
    }
}

#[test]
fn an_entry_that_does_not_fit_fills_the_buffer_and_comes_again() {
    let mut program = Program::new();
    program.write_file(&"n".repeat(255), "");
    let (buffer, to) = (program.room(64), program.room(4));
    for length in [0, 1, 23, 24, 25, 63] {
        assert_eq!(program.call("fd_readdir", &[ROOT.into(), buffer, length, 0, to]), SUCCESS);
        assert_eq!(u64::from(program.u32(to)), length);
        assert_eq!(program.u8(buffer + length), 0xee);
    }
}

#[test]
fn what_cannot_be_listed_says_why() {
    let mut program = Program::new();
    program.write_file("f", "");
    let file = program.open("f", 0, FD_READ | FD_READDIR).unwrap();
    let without = program.open(".", DIRECTORY, FD_READ).unwrap();
    let (buffer, to) = (program.room(64), program.room(4));
    assert_eq!(program.call("fd_readdir", &[file, buffer, 64, 0, to]), NOTDIR);
    assert_eq!(program.call("fd_readdir", &[without, buffer, 64, 0, to]), NOTCAPABLE);
    assert_eq!(program.call("fd_readdir", &[ROOT.into(), buffer, 64, u64::MAX, to]), INVAL);
    assert_eq!(program.call("fd_readdir", &[ROOT.into(), buffer, u64::from(u32::MAX), 0, to]), FAULT);
    assert_eq!(program.call("fd_readdir", &[ROOT.into(), buffer, 64, 0, u64::from(u32::MAX)]), FAULT);
}
