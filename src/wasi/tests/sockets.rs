//! `sock_…`, between a guest and the node's own sockets.

mod program;

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::FromRawFd,
        unix::net::{UnixDatagram, UnixListener},
    },
    thread,
    time::{Duration, Instant},
};

use program::{
    ADDRINUSE, AFNOSUPPORT, AGAIN, BADF, CONNREFUSED, DESTADDRREQ, FAULT, INPROGRESS, INVAL, ISCONN, NOPROTOOPT,
    NOTCONN, NOTSOCK, PIPE, Program, ROOT, SUCCESS,
};

const V4: u64 = 1;
const V6: u64 = 2;
const UNIX: u64 = 3;
const DATAGRAM: u64 = 1;
const STREAM: u64 = 2;

fn open(program: &mut Program, family: u64, kind: u64) -> u64 {
    let to = program.room(4);
    assert_eq!(program.call("sock_open", &[family, kind, to]), SUCCESS);
    program.u32(to).into()
}

/// A record of an address and its length.
fn address(program: &mut Program, bytes: &[u8]) -> u64 {
    let at = program.put(bytes);
    program.pieces(&[(at, bytes.len() as u32)])
}

/// One with its family, in 128 bytes.
fn with_family(program: &mut Program, family: u8, bytes: &[u8]) -> u64 {
    let mut all = vec![0; 128];
    all[0] = family;
    all[2..2 + bytes.len()].copy_from_slice(bytes);
    address(program, &all)
}

const LOOPBACK: [u8; 4] = [127, 0, 0, 1];
const LOOPBACK6: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// Its address and port, as today's modules ask.
fn local(program: &mut Program, fd: u64) -> (Vec<u8>, u32) {
    let (record, port) = (address(program, &[0; 128]), program.room(4));
    assert_eq!(program.call("sock_getlocaladdr", &[fd, record, port]), SUCCESS);
    let at = u64::from(program.u32(record));
    (program.bytes(at, 18).to_vec(), program.u32(port))
}

fn send(program: &mut Program, fd: u64, bytes: &[u8]) -> Result<u32, u16> {
    let (at, to) = (program.put(bytes), program.room(4));
    let list = program.pieces(&[(at, bytes.len() as u32)]);
    match program.call("sock_send", &[fd, list, 1, 0, to]) {
        SUCCESS => Ok(program.u32(to)),
        errno => Err(errno),
    }
}

/// What was received, and flags.
fn receive(program: &mut Program, fd: u64, length: u32, flags: u64) -> Result<(Vec<u8>, u16), u16> {
    let (at, to, out) = (program.room(length as usize), program.room(4), program.room(2));
    let list = program.pieces(&[(at, length)]);
    match program.call("sock_recv", &[fd, list, 1, flags, to, out]) {
        SUCCESS => Ok((program.bytes(at, program.u32(to) as usize).to_vec(), program.u16(out))),
        errno => Err(errno),
    }
}

/// Listens there; the port.
fn listen(program: &mut Program, fd: u64, record: u64) -> u16 {
    assert_eq!(program.call("sock_bind", &[fd, record, 0]), SUCCESS);
    assert_eq!(program.call("sock_listen", &[fd, 16]), SUCCESS);
    local(program, fd).1 as u16
}

#[test]
fn a_server_accepts_in_both_forms_and_talks() {
    let mut program = Program::new();
    let fd = open(&mut program, V4, STREAM);
    let record = address(&mut program, &LOOPBACK);
    let port = listen(&mut program, fd, record);
    let to = program.room(4);
    for args in [vec![fd, to], vec![fd, 0, to]] {
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        assert_eq!(program.call("sock_accept", &args), SUCCESS);
        let connection = u64::from(program.u32(to));
        client.write_all(b"question").unwrap();
        assert_eq!(receive(&mut program, connection, 99, 0), Ok((b"question".to_vec(), 0)));
        assert_eq!(send(&mut program, connection, b"answer"), Ok(6));
        assert_eq!(program.call("sock_shutdown", &[connection, 2]), SUCCESS);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "answer");
        // A socket is a descriptor like any other.
        client.write_all(b"more").unwrap();
        assert_eq!(program.read(connection, 99).unwrap(), b"more");
        assert_eq!(program.call("fd_close", &[connection]), SUCCESS);
    }
}

#[test]
fn a_connection_that_is_accepted_need_not_wait() {
    let mut program = Program::new();
    let fd = open(&mut program, V4, STREAM);
    let record = address(&mut program, &LOOPBACK);
    let port = listen(&mut program, fd, record);
    let (to, nonblock) = (program.room(4), 4);
    assert_eq!(program.call("fd_fdstat_set_flags", &[fd, nonblock]), SUCCESS);
    assert_eq!(program.call("sock_accept", &[fd, 0, to]), AGAIN);
    let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert_eq!(program.call("sock_accept", &[fd, nonblock, to]), SUCCESS);
    let connection = program.u32(to).into();
    assert_eq!(receive(&mut program, connection, 9, 0), Err(AGAIN));
    for flags in [1, 8, 1 << 16] {
        assert_eq!(program.call("sock_accept", &[fd, flags, to]), INVAL);
    }
}

#[test]
fn a_client_connects_over_ipv4_and_ipv6_in_both_forms_of_address() {
    for (family, host, bytes) in [(V4, "127.0.0.1", &LOOPBACK[..]), (V6, "::1", &LOOPBACK6[..])] {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let port = u64::from(listener.local_addr().unwrap().port());
        for with in [false, true] {
            let mut program = Program::new();
            let record = match with {
                true => with_family(&mut program, family as u8, bytes),
                false => address(&mut program, bytes),
            };
            let fd = open(&mut program, family, STREAM);
            assert_eq!(program.call("sock_connect", &[fd, record, port]), SUCCESS);
            assert_eq!(program.call("sock_connect", &[fd, record, port]), ISCONN);
            let (mut peer, from) = listener.accept().unwrap();
            send(&mut program, fd, b"hello").unwrap();
            let mut buffer = [0; 5];
            peer.read_exact(&mut buffer).unwrap();
            assert_eq!(&buffer, b"hello");
            let (bytes_there, port_there) = local(&mut program, fd);
            assert_eq!((&bytes_there[2..2 + bytes.len()], port_there), (bytes, from.port().into()));
            assert_eq!(u64::from(bytes_there[0]), family);
            let (record, port_at) = (address(&mut program, &[0; 128]), program.room(4));
            assert_eq!(program.call("sock_getpeeraddr", &[fd, record, port_at]), SUCCESS);
            assert_eq!(u64::from(program.u32(port_at)), port);
        }
    }
}

#[test]
fn old_modules_learn_addresses_with_the_family_beside_them() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = u64::from(listener.local_addr().unwrap().port());
    let mut program = Program::new();
    let fd = open(&mut program, V4, STREAM);
    let record = address(&mut program, &LOOPBACK);
    assert_eq!(program.call("sock_connect", &[fd, record, port]), SUCCESS);
    let (record, family, to) = (address(&mut program, &[0; 16]), program.room(4), program.room(4));
    assert_eq!(program.call("sock_getpeeraddr", &[fd, record, family, to]), SUCCESS);
    assert_eq!((program.u32(family), u64::from(program.u32(to))), (4, port));
    let at = u64::from(program.u32(record));
    assert_eq!(program.bytes(at, 4), LOOPBACK);
    assert_eq!(program.call("sock_getlocaladdr", &[fd, record, family, to]), SUCCESS);
    assert_eq!(program.bytes(at, 4), LOOPBACK);
}

#[test]
fn a_connection_that_nobody_takes_says_why() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut program = Program::new();
    let record = address(&mut program, &LOOPBACK);
    let fd = open(&mut program, V4, STREAM);
    assert_eq!(program.call("sock_connect", &[fd, record, closed.into()]), CONNREFUSED);
    let fd = open(&mut program, V4, STREAM);
    assert_eq!(program.call("fd_fdstat_set_flags", &[fd, 4]), SUCCESS);
    assert_eq!(program.call("sock_connect", &[fd, record, closed.into()]), INPROGRESS);
    let (value, so_error) = (program.room(4), 2);
    let begin = Instant::now();
    loop {
        assert_eq!(program.call("sock_getsockopt", &[fd, 0, so_error, value, 4]), SUCCESS);
        match program.u32(value) {
            0 => assert!(begin.elapsed() < Duration::from_secs(5)),
            // WASI's number, not Linux'.
            errno => break assert_eq!(errno, CONNREFUSED.into()),
        }
    }
}

#[test]
fn datagrams_come_with_their_sender_and_go_where_they_are_sent() {
    for (family, host, bytes) in [(V4, "127.0.0.1", &LOOPBACK[..]), (V6, "::1", &LOOPBACK6[..])] {
        let other = UdpSocket::bind((host, 0)).unwrap();
        let port = other.local_addr().unwrap().port();
        let mut program = Program::new();
        let fd = open(&mut program, family, DATAGRAM);
        let record = address(&mut program, bytes);
        assert_eq!(program.call("sock_bind", &[fd, record, 0]), SUCCESS);
        let own = local(&mut program, fd).1 as u16;
        other.send_to(b"question", (host, own)).unwrap();
        let (at, bytes_to, out) = (program.room(64), program.room(4), program.room(2));
        let (from, from_port) = (address(&mut program, &[0; 128]), program.put([0; 4]));
        let list = program.pieces(&[(at, 64)]);
        assert_eq!(program.call("sock_recv_from", &[fd, list, 1, from, 0, from_port, bytes_to, out]), SUCCESS);
        assert_eq!((program.bytes(at, 8), program.u32(bytes_to), program.u16(out)), (&b"question"[..], 8, 0));
        assert_eq!(program.u32(from_port), port.into());
        let address_at = u64::from(program.u32(from));
        assert_eq!(u64::from(program.u16(address_at)), family);
        assert_eq!(program.bytes(address_at + 2, bytes.len()), bytes);
        // Back, to the address as it came.
        let text = program.put("answer");
        let list = program.pieces(&[(text, 6)]);
        assert_eq!(program.call("sock_send_to", &[fd, list, 1, from, port.into(), 0, bytes_to]), SUCCESS);
        let mut buffer = [0; 16];
        assert_eq!(other.recv(&mut buffer).unwrap(), 6);
        // And to a bare one.
        assert_eq!(program.call("sock_send_to", &[fd, list, 1, record, port.into(), 0, bytes_to]), SUCCESS);
        assert_eq!(other.recv(&mut buffer).unwrap(), 6);
    }
}

/// Regression test: Go's addresses that were looked up are written so, and were of a family that the socket is not.
#[test]
fn an_address_of_ipv4_that_is_written_as_one_of_ipv6_is_reached_by_a_socket_of_ipv4() {
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = u64::from(other.local_addr().unwrap().port());
    let mut program = Program::new();
    let mapped = address(&mut program, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1]);
    let (text, bytes) = (program.put("hello"), program.room(4));
    let list = program.pieces(&[(text, 5)]);
    let mut buffer = [0; 16];
    let fd = open(&mut program, V4, DATAGRAM);
    assert_eq!(program.call("sock_bind", &[fd, mapped, 0]), SUCCESS);
    assert_eq!(program.call("sock_send_to", &[fd, list, 1, mapped, port, 0, bytes]), SUCCESS);
    assert_eq!(other.recv(&mut buffer).unwrap(), 5);
    assert_eq!(program.call("sock_connect", &[fd, mapped, port]), SUCCESS);
    assert_eq!(program.write(fd, "again"), Ok(5));
    assert_eq!(other.recv(&mut buffer).unwrap(), 5);
    // What is of IPv6 alone is not.
    let loopback = address(&mut program, &LOOPBACK6);
    assert_eq!(program.call("sock_send_to", &[fd, list, 1, loopback, port, 0, bytes]), AFNOSUPPORT);
}

#[test]
fn old_modules_receive_datagrams_without_the_port() {
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut program = Program::new();
    let fd = open(&mut program, V4, DATAGRAM);
    let record = address(&mut program, &LOOPBACK);
    assert_eq!(program.call("sock_bind", &[fd, record, 0]), SUCCESS);
    other.send_to(b"hello", ("127.0.0.1", local(&mut program, fd).1 as u16)).unwrap();
    let (at, bytes, out) = (program.room(8), program.room(4), program.room(2));
    let (from, list) = (address(&mut program, &[0; 4]), program.pieces(&[(at, 8)]));
    assert_eq!(program.call("sock_recv_from", &[fd, list, 1, from, 0, bytes, out]), SUCCESS);
    let address_at = u64::from(program.u32(from));
    assert_eq!((program.bytes(at, 5), program.bytes(address_at, 4)), (&b"hello"[..], &LOOPBACK[..]));
}

#[test]
fn a_message_that_is_too_long_is_cut_and_told_so_and_one_can_be_looked_at_first() {
    let (ours, other) = UnixDatagram::pair().unwrap();
    let mut program = Program::new();
    let fd = program.insert(ours);
    other.send(b"0123456789").unwrap();
    let peek = 1;
    assert_eq!(receive(&mut program, fd, 4, peek), Ok((b"0123".to_vec(), 1)));
    assert_eq!(receive(&mut program, fd, 10, 0), Ok((b"0123456789".to_vec(), 0)));
    for flags in [4, 1 << 16] {
        assert_eq!(receive(&mut program, fd, 4, flags), Err(INVAL));
    }
}

#[test]
fn all_that_was_asked_for_can_be_waited_for() {
    let (ours, mut other) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut program = Program::new();
    let fd = program.insert(ours);
    let sender = thread::spawn(move || {
        for piece in ["01", "23", "45"] {
            other.write_all(piece.as_bytes()).unwrap();
            thread::sleep(Duration::from_millis(20));
        }
    });
    let wait_all = 2;
    assert_eq!(receive(&mut program, fd, 6, wait_all), Ok((b"012345".to_vec(), 0)));
    sender.join().unwrap();
}

#[test]
fn sockets_have_paths_or_names() {
    let mut program = Program::new();
    let path = program.path("s").to_str().unwrap().to_owned();
    let listener = UnixListener::bind(&path).unwrap();
    let fd = open(&mut program, UNIX, STREAM);
    let record = with_family(&mut program, 3, path.as_bytes());
    assert_eq!(program.call("sock_connect", &[fd, record, 0]), SUCCESS);
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"hello").unwrap();
    assert_eq!(receive(&mut program, fd, 9, 0), Ok((b"hello".to_vec(), 0)));
    let server = open(&mut program, UNIX, STREAM);
    let name = format!("\0wasi-test-{}", std::process::id());
    let record = with_family(&mut program, 3, name.as_bytes());
    listen(&mut program, server, record);
    let (bytes, _) = local(&mut program, server);
    assert_eq!(bytes[0], 3);
    assert!(bytes[2..].starts_with(&name.as_bytes()[..name.len().min(16)]));
    let empty = with_family(&mut program, 3, b"");
    assert_eq!(program.call("sock_connect", &[fd, empty, 0]), INVAL);
}

#[test]
fn options_are_told_and_set_with_a_length_or_where_it_is() {
    let mut program = Program::new();
    let fd = open(&mut program, V4, STREAM);
    let (value, length) = (program.put(1_u32.to_le_bytes()), program.put(4_u32.to_le_bytes()));
    // Whether an address can be used again, a broadcast, a connection that is looked after.
    for option in [0, 4, 7] {
        assert_eq!(program.call("sock_setsockopt", &[fd, 0, option, value, 4]), SUCCESS);
        for length in [4, length] {
            let out = program.put(0_u32.to_le_bytes());
            assert_eq!(program.call("sock_getsockopt", &[fd, 0, option, out, length]), SUCCESS);
            assert_eq!(program.u32(out), 1);
        }
    }
    // Its type.
    assert_eq!(program.call("sock_getsockopt", &[fd, 0, 1, value, length]), SUCCESS);
    assert_eq!((u64::from(program.u32(value)), program.u32(length)), (STREAM, 4));
    let time = program.put([5_u64.to_le_bytes(), 250_000_u64.to_le_bytes()].concat());
    assert_eq!(program.call("sock_setsockopt", &[fd, 0, 11, time, 16]), SUCCESS);
    let out = program.room(16);
    assert_eq!(program.call("sock_getsockopt", &[fd, 0, 11, out, 16]), SUCCESS);
    assert_eq!(program.u64(out), 5);
    assert!(program.u64(out + 8) >= 250_000);
    for (level, option) in [(0, 15), (1, 0), (0, u64::from(u32::MAX))] {
        assert_eq!(program.call("sock_getsockopt", &[fd, level, option, value, 4]), NOPROTOOPT);
        assert_eq!(program.call("sock_setsockopt", &[fd, level, option, value, 4]), NOPROTOOPT);
    }
    assert_eq!(program.call("sock_getsockopt", &[fd, 0, 0, u64::from(u32::MAX), 4]), FAULT);
    assert_eq!(program.call("sock_getsockopt", &[fd, 0, 0, value, u64::from(u32::MAX)]), FAULT);
    assert_eq!(program.call("sock_setsockopt", &[fd, 0, 0, value, u64::from(u32::MAX)]), FAULT);
    assert_eq!(program.call("sock_setsockopt", &[fd, 0, 0, value, 1]), INVAL);
}

#[test]
fn a_peer_that_is_gone_is_an_end_and_then_a_broken_pipe() {
    let (ours, other) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut program = Program::new();
    let fd = program.insert(ours);
    other.shutdown(Shutdown::Both).unwrap();
    drop(other);
    assert_eq!(receive(&mut program, fd, 9, 0), Ok((Vec::new(), 0)));
    assert_eq!(send(&mut program, fd, b"x"), Err(PIPE));
}

#[test]
fn what_is_no_socket_or_not_connected_says_so() {
    let mut program = Program::new();
    program.write_file("f", "content");
    let file = program.open("f", 0, program::ALL & !program::FD_WRITE).unwrap();
    assert_eq!(receive(&mut program, file, 9, 0), Err(NOTSOCK));
    assert_eq!(send(&mut program, file, b"x"), Err(NOTSOCK));
    assert_eq!(program.call("sock_shutdown", &[file, 1]), NOTSOCK);
    let fd = open(&mut program, V4, STREAM);
    assert_eq!(receive(&mut program, fd, 9, 0), Err(NOTCONN));
    assert_eq!(program.call("sock_shutdown", &[fd, 1]), NOTCONN);
    let datagrams = open(&mut program, V4, DATAGRAM);
    assert_eq!(send(&mut program, datagrams, b"x"), Err(DESTADDRREQ));
    for how in [0, 4, u64::from(u32::MAX)] {
        assert_eq!(program.call("sock_shutdown", &[fd, how]), INVAL);
    }
    let to = program.room(4);
    assert_eq!(program.call("sock_accept", &[ROOT.into(), 0, to]), program::NOTCAPABLE);
    assert_eq!(program.call("sock_accept", &[77, 0, to]), BADF);
    for (family, kind, errno) in [(0, STREAM, AFNOSUPPORT), (4, STREAM, AFNOSUPPORT), (V4, 0, INVAL), (V4, 3, INVAL)] {
        assert_eq!(program.call("sock_open", &[family, kind, to]), errno);
    }
    assert_eq!(program.call("sock_open", &[V4, STREAM, u64::from(u32::MAX)]), FAULT);
}

/// Records for `count` answers, each with room for an address of either family and for a name of 32 bytes.
fn chain(program: &mut Program, count: usize) -> u64 {
    let mut next = 0;
    for _ in 0..count {
        let (data, name) = (program.room(26), program.room(32));
        let mut sockaddr = vec![0; 12];
        sockaddr[4] = 14;
        sockaddr[8..].copy_from_slice(&(data as u32).to_le_bytes());
        let sockaddr = program.put(sockaddr);
        let mut record = vec![0; 28];
        record[12..16].copy_from_slice(&(sockaddr as u32).to_le_bytes());
        record[16..20].copy_from_slice(&(name as u32).to_le_bytes());
        record[20] = 32;
        record[24..].copy_from_slice(&(next as u32).to_le_bytes());
        next = program.put(record);
    }
    program.put((next as u32).to_le_bytes())
}

fn look_up(program: &mut Program, host: &str, service: &str, flags: u8, most: usize) -> Result<(u64, u32), u16> {
    let (node, service_at) = (program.put(host), program.put(service));
    let mut hints = vec![0; 28];
    (hints[0], hints[3]) = (flags, STREAM as u8);
    let (hints, records, to) = (program.put(hints), chain(program, most.max(1)), program.room(4));
    let args = [node, host.len() as u64, service_at, service.len() as u64, hints, records, most as u64, to];
    match program.call("sock_getaddrinfo", &args) {
        SUCCESS => Ok((program.u32(records).into(), program.u32(to))),
        errno => Err(errno),
    }
}

#[test]
fn a_host_s_number_is_looked_up_into_the_room_that_there_is() {
    let (numeric_host, numeric_service) = (4, 8);
    let mut program = Program::new();
    let flags = numeric_host | numeric_service;
    for host in ["192.0.2.7", "192.0.2.7\0"] {
        let (record, count) = look_up(&mut program, host, "8080", flags, 3).unwrap();
        assert_eq!(count, 1);
        assert_eq!(program.bytes(record, 5), [0, 0, V4 as u8, STREAM as u8, 1]);
        let sockaddr = u64::from(program.u32(record + 12));
        let data = u64::from(program.u32(sockaddr + 8));
        assert_eq!((program.u8(sockaddr), program.u32(sockaddr + 4)), (1, 14));
        assert_eq!(program.bytes(data, 6), [0x1f, 0x90, 192, 0, 2, 7]);
    }
    let (record, _) = look_up(&mut program, "2001:db8::7", "8080", flags, 1).unwrap();
    let sockaddr = u64::from(program.u32(record + 12));
    let data = u64::from(program.u32(sockaddr + 8));
    assert_eq!((program.u8(sockaddr), program.u8(data + 6), program.u8(data + 21)), (2, 0x20, 7));
}

#[test]
fn what_cannot_be_looked_up_says_why() {
    let mut program = Program::new();
    assert_eq!(look_up(&mut program, "no number", "", 4, 1), Err(84));
    assert_eq!(look_up(&mut program, "", "", 0, 1), Err(84));
    assert_eq!(look_up(&mut program, &"x".repeat(5000), "", 4, 1), Err(84));
    assert_eq!(look_up(&mut program, "192.0.2.7", "", 128, 1), Err(79));
    assert_eq!(look_up(&mut program, "192.0.2.7", "", 4, 0), Err(82));
    let (text, hints, to) = (program.put("192.0.2.7"), program.put([0; 28]), program.room(4));
    let nowhere = program.put(u32::MAX.to_le_bytes());
    assert_eq!(program.call("sock_getaddrinfo", &[text, 9, 0, 0, hints, nowhere, 1, to]), FAULT);
    assert_eq!(program.call("sock_getaddrinfo", &[text, 9, 0, 0, u64::from(u32::MAX), nowhere, 1, to]), FAULT);
}

/// A path that fills all of its room has no zero at its end.
#[test]
fn a_path_may_be_as_long_as_the_kernel_has_it() {
    let directory = tempfile::tempdir_in("/tmp").unwrap();
    let prefix = format!("{}/", directory.path().display());
    let path = format!("{prefix}{}", "s".repeat(108 - prefix.len()));
    // SAFETY: binds a socket to an address without a zero at its end, which the standard library does not.
    let other = unsafe {
        let fd = libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0);
        let mut address: libc::sockaddr_un = std::mem::zeroed();
        address.sun_family = libc::AF_UNIX as u16;
        std::ptr::copy_nonoverlapping(path.as_ptr().cast(), address.sun_path.as_mut_ptr(), 108);
        assert_eq!(libc::bind(fd, (&raw const address).cast(), size_of_val(&address) as u32), 0);
        std::os::fd::OwnedFd::from_raw_fd(fd)
    };
    let other = UnixDatagram::from(other);
    let mut program = Program::new();
    let own = program.path("own");
    let fd = program.insert(UnixDatagram::bind(&own).unwrap());
    other.send_to(b"one", &own).unwrap();
    other.send_to(b"two", &own).unwrap();
    assert_eq!(receive(&mut program, fd, 9, 0), Ok((b"one".to_vec(), 0)));
    let (at, bytes, out) = (program.room(8), program.room(4), program.room(2));
    let (from, port, list) = (address(&mut program, &[0; 128]), program.put([0; 4]), program.pieces(&[(at, 8)]));
    assert_eq!(program.call("sock_recv_from", &[fd, list, 1, from, 0, port, bytes, out]), SUCCESS);
    let from_at = u64::from(program.u32(from));
    assert_eq!(program.bytes(from_at + 2, 108), path.as_bytes());
}

#[test]
fn a_message_in_more_pieces_than_the_kernel_takes_is_not_sent_cut() {
    let (ours, other) = UnixDatagram::pair().unwrap();
    let mut program = Program::new();
    let fd = program.insert(ours);
    let (byte, to) = (program.put("x"), program.room(4));
    let list = program.pieces(&vec![(byte, 1); 1025]);
    assert_eq!(program.call("sock_send", &[fd, list, 1025, 0, to]), program::MSGSIZE);
    assert_eq!(program.call("sock_send", &[fd, list, 1024, 0, to]), SUCCESS);
    assert_eq!(other.recv(&mut [0; 2000]).unwrap(), 1024);
}

#[test]
fn a_message_whose_sender_does_not_fit_is_received() {
    let (ours, other) = (UdpSocket::bind("[::1]:0").unwrap(), UdpSocket::bind("[::1]:0").unwrap());
    other.send_to(b"hello", ours.local_addr().unwrap()).unwrap();
    let mut program = Program::new();
    let fd = program.insert(ours);
    let (at, bytes, out) = (program.room(8), program.room(4), program.room(2));
    let (from, port, list) = (address(&mut program, &[0; 4]), program.room(4), program.pieces(&[(at, 8)]));
    assert_eq!(program.call("sock_recv_from", &[fd, list, 1, from, 0, port, bytes, out]), SUCCESS);
    assert_eq!((program.u32(bytes), program.bytes(at, 5)), (5, &b"hello"[..]));
}

#[test]
fn programs_share_a_port_if_they_are_told_to_and_each_accepts() {
    // Not one of those that the kernel gives away.
    let port = u16::try_from(20_000 + std::process::id() % 10_000).unwrap();
    for (family, host) in [(V4, &LOOPBACK[..]), (V6, &LOOPBACK6[..])] {
        let listening = |shares: bool| {
            let mut program = Program::new();
            program.wasi.reuse_port = shares;
            let fd = open(&mut program, family, STREAM);
            let record = address(&mut program, host);
            let bound = program.call("sock_bind", &[fd, record, port.into()]);
            if bound == SUCCESS {
                assert_eq!(program.call("sock_listen", &[fd, 64]), SUCCESS);
            }
            (program, fd, bound)
        };
        let [(first, fd, one), (second, other, two)] = [listening(true), listening(true)];
        assert_eq!((one, two, listening(false).2), (SUCCESS, SUCCESS, ADDRINUSE));
        let host = if family == V4 { "127.0.0.1" } else { "::1" };
        let (nonblock, mut accepted) = (4, [0; 2]);
        let mut listening = [(first, fd), (second, other)];
        for (program, fd) in &mut listening {
            assert_eq!(program.call("fd_fdstat_set_flags", &[*fd, nonblock]), SUCCESS);
        }
        // Which one the kernel chooses depends on the client's port.
        for _ in 0..200 {
            let _client = TcpStream::connect((host, port)).unwrap();
            for ((program, fd), accepted) in listening.iter_mut().zip(&mut accepted) {
                let to = program.room(4);
                *accepted += u32::from(program.call("sock_accept", &[*fd, to]) == SUCCESS);
            }
        }
        assert_eq!(accepted.iter().sum::<u32>(), 200);
        assert!(!accepted.contains(&0), "{accepted:?}");
    }
}

/// The kernel would choose a port that others share, too.
#[test]
fn a_port_of_the_kernel_s_choice_is_not_shared() {
    let mut program = Program::new();
    program.wasi.reuse_port = true;
    let fd = open(&mut program, V4, STREAM);
    let record = address(&mut program, &LOOPBACK);
    let port = listen(&mut program, fd, record);
    let other = open(&mut program, V4, STREAM);
    assert_eq!(program.call("sock_bind", &[other, record, port.into()]), ADDRINUSE);
}

#[test]
fn a_socket_with_a_path_has_no_port_to_share() {
    let mut program = Program::new();
    program.wasi.reuse_port = true;
    let fd = open(&mut program, UNIX, STREAM);
    let path = program.directory.path().join("socket").into_os_string().into_encoded_bytes();
    let record = with_family(&mut program, UNIX as u8, &path);
    assert_eq!(program.call("sock_bind", &[fd, record, 0]), SUCCESS);
}
