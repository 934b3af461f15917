//! `poll_oneoff`.

mod program;

use std::{
    fs::File,
    io::{Read, Write},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use program::{BADF, DIRECTORY, FAULT, FD_READ, INVAL, Program, ROOT, SUCCESS};
use wasmedge_shim_wasi::preview1::Type;

const CLOCK: u8 = 0;
const READ: u8 = 1;
const WRITE: u8 = 2;

/// User data, error, type, flags of an event.
type Event = (u64, u16, u8, u16);

fn on_file(userdata: u64, kind: u8, fd: u64) -> Vec<u8> {
    let mut record = vec![0; 48];
    record[..8].copy_from_slice(&userdata.to_le_bytes());
    record[8] = kind;
    record[16..20].copy_from_slice(&(fd as u32).to_le_bytes());
    record
}

fn on_clock(userdata: u64, clock: u32, time: u64, absolute: bool) -> Vec<u8> {
    let mut record = vec![0; 48];
    record[..8].copy_from_slice(&userdata.to_le_bytes());
    record[8] = CLOCK;
    record[16..20].copy_from_slice(&clock.to_le_bytes());
    record[24..32].copy_from_slice(&time.to_le_bytes());
    record[40] = absolute.into();
    record
}

fn poll(program: &mut Program, subscriptions: &[Vec<u8>]) -> Result<Vec<Event>, u16> {
    let list = program.put(subscriptions.concat());
    let (events, to) = (program.room(subscriptions.len() * 32), program.room(4));
    match program.call("poll_oneoff", &[list, events, subscriptions.len() as u64, to]) {
        SUCCESS => Ok((0..u64::from(program.u32(to)))
            .map(|index| events + index * 32)
            .map(|at| (program.u64(at), program.u16(at + 8), program.u8(at + 10), program.u16(at + 24)))
            .collect()),
        errno => Err(errno),
    }
}

const MILLISECOND: u64 = 1_000_000;
const HOUR: u64 = 3_600_000 * MILLISECOND;

#[test]
fn a_file_a_directory_and_a_device_are_always_ready() {
    let mut program = Program::new();
    program.write_file("f", "content");
    let file = program.open("f", 0, FD_READ).unwrap();
    let directory = program.open(".", DIRECTORY, FD_READ).unwrap();
    for fd in [file, directory, ROOT.into(), 0] {
        assert_eq!(poll(&mut program, &[on_file(7, READ, fd)]), Ok(vec![(7, 0, READ, 0)]), "{fd}");
        assert_eq!(poll(&mut program, &[on_file(8, WRITE, fd)]), Ok(vec![(8, 0, WRITE, 0)]), "{fd}");
    }
}

#[test]
fn a_pipe_is_ready_when_something_comes_or_nobody_is_left_to_write() {
    let mut program = Program::new();
    let (read, mut write) = std::io::pipe().unwrap();
    let fd = program.insert(read);
    let both = [on_file(1, READ, fd), on_clock(2, 1, MILLISECOND, false)];
    assert_eq!(poll(&mut program, &both), Ok(vec![(2, 0, CLOCK, 0)]));
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(30));
        write.write_all(b"x").unwrap();
        write
    });
    assert_eq!(poll(&mut program, &[on_file(1, READ, fd), on_clock(2, 1, HOUR, false)]), Ok(vec![(1, 0, READ, 0)]));
    drop(writer.join().unwrap());
    program.read(fd, 1).unwrap();
    assert_eq!(poll(&mut program, &[on_file(1, READ, fd)]), Ok(vec![(1, 0, READ, 1)]));
}

#[test]
fn a_pipe_that_is_full_can_be_written_to_when_somebody_reads() {
    let mut program = Program::new();
    let (mut read, write) = std::io::pipe().unwrap();
    let fd = program.insert(write);
    assert_eq!(poll(&mut program, &[on_file(1, WRITE, fd)]), Ok(vec![(1, 0, WRITE, 0)]));
    assert_eq!(program.write(fd, vec![0; 65_536]), Ok(65_536));
    let both = [on_file(1, WRITE, fd), on_clock(2, 1, MILLISECOND, false)];
    assert_eq!(poll(&mut program, &both), Ok(vec![(2, 0, CLOCK, 0)]));
    read.read_exact(&mut [0; 65_536]).unwrap();
    assert_eq!(poll(&mut program, &[on_file(1, WRITE, fd)]), Ok(vec![(1, 0, WRITE, 0)]));
}

#[test]
fn what_is_not_open_is_told_at_once_with_what_has_come() {
    let mut program = Program::new();
    let events = poll(&mut program, &[on_file(1, READ, 99), on_clock(2, 1, HOUR, false), on_file(3, WRITE, 0)]);
    assert_eq!(events, Ok(vec![(1, BADF, READ, 0), (3, 0, WRITE, 0)]));
    let events = poll(&mut program, &[on_file(1, WRITE, u64::from(u32::MAX))]);
    assert_eq!(events, Ok(vec![(1, BADF, WRITE, 0)]));
}

#[test]
fn the_first_of_several_times_ends_the_wait() {
    let mut program = Program::new();
    let begin = Instant::now();
    let events = poll(
        &mut program,
        &[on_clock(1, 1, HOUR, false), on_clock(2, 0, 30 * MILLISECOND, false), on_clock(3, 1, HOUR, false)],
    );
    assert_eq!(events, Ok(vec![(2, 0, CLOCK, 0)]));
    assert!((30..5000).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
}

#[test]
fn a_time_is_from_now_on_or_one_of_the_clock() {
    let mut program = Program::new();
    let now = UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let begin = SystemTime::now();
    assert_eq!(poll(&mut program, &[on_clock(1, 0, now + 30 * MILLISECOND, true)]), Ok(vec![(1, 0, CLOCK, 0)]));
    assert!(begin.elapsed().unwrap() < Duration::from_secs(5));
    assert!(UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 >= now + 30 * MILLISECOND);
    for (clock, time) in [(0, 0), (1, 1)] {
        assert_eq!(poll(&mut program, &[on_clock(1, clock, time, true)]), Ok(vec![(1, 0, CLOCK, 0)]));
    }
    assert_eq!(poll(&mut program, &[on_clock(1, 1, 0, false)]), Ok(vec![(1, 0, CLOCK, 0)]));
}

#[test]
fn a_clock_or_a_flag_that_there_is_not_is_the_event_s_error() {
    let mut program = Program::new();
    // The processor's time does not go on while it is waited for.
    for clock in [2, 3, 4, u32::MAX] {
        assert_eq!(poll(&mut program, &[on_clock(1, clock, 0, false)]), Ok(vec![(1, INVAL, CLOCK, 0)]));
    }
    let mut flagged = on_clock(1, 1, 0, false);
    flagged[40] = 2;
    assert_eq!(poll(&mut program, &[flagged]), Ok(vec![(1, INVAL, CLOCK, 0)]));
}

#[test]
fn what_is_no_list_is_refused() {
    let mut program = Program::new();
    assert_eq!(poll(&mut program, &[]), Err(INVAL));
    assert_eq!(poll(&mut program, &[on_file(1, 3, 0)]), Err(INVAL));
    let (list, room) = (program.put(on_clock(1, 1, 0, false)), program.room(64));
    let end = program.memory.len() as u64;
    assert_eq!(program.call("poll_oneoff", &[list, room, u64::from(u32::MAX), room]), INVAL);
    assert_eq!(program.call("poll_oneoff", &[end - 47, room, 1, room]), FAULT);
    assert_eq!(program.call("poll_oneoff", &[list, end - 31, 1, room]), FAULT);
    assert_eq!(program.call("poll_oneoff", &[list, room, 1, end - 3]), FAULT);
    assert_eq!(program.call("poll_oneoff", &[list, room, 1 << 20, room]), FAULT);
}

/// The kernel takes a list no longer than there can be descriptors.
#[test]
fn all_files_can_be_waited_for_in_both_directions() {
    let mut program = Program::new();
    program.memory = vec![0; 8 << 20];
    let (socket, mut other) = std::os::unix::net::UnixStream::pair().unwrap();
    let fd = program.insert(socket);
    let mut all: Vec<_> = (0..5000).map(|number| on_file(number, WRITE, fd)).collect();
    all.extend((5000..20_000).map(|number| on_file(number, READ, fd)));
    assert_eq!(poll(&mut program, &all).map(|events| events.len()), Ok(5000));
    other.write_all(b"x").unwrap();
    assert_eq!(poll(&mut program, &all).map(|events| events.len()), Ok(20_000));
}

#[test]
fn a_peer_that_only_sends_no_more_has_not_hung_up() {
    let mut program = Program::new();
    let (socket, other) = std::os::unix::net::UnixStream::pair().unwrap();
    let fd = program.insert(socket);
    other.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(poll(&mut program, &[on_file(1, READ, fd)]), Ok(vec![(1, 0, READ, 0)]));
    drop(other);
    assert_eq!(poll(&mut program, &[on_file(1, READ, fd)]), Ok(vec![(1, 0, READ, 1)]));
}

#[test]
fn hundreds_of_files_can_be_waited_for() {
    let mut program = Program::new();
    let ends: Vec<_> = (0..400).map(|_| std::io::pipe().unwrap()).collect();
    let mut subscriptions = Vec::new();
    let mut writers = Vec::new();
    for (number, (read, write)) in ends.into_iter().enumerate() {
        let fd = program.insert(read);
        subscriptions.push(on_file(number as u64, READ, fd));
        writers.push(write);
    }
    writers[123].write_all(b"x").unwrap();
    writers[321].write_all(b"x").unwrap();
    assert_eq!(poll(&mut program, &subscriptions), Ok(vec![(123, 0, READ, 0), (321, 0, READ, 0)]));
}

#[test]
fn signals_do_not_end_a_wait() {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: the handler does nothing; without SA_RESTART, though poll(2) is never restarted.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut());
    }
    // SAFETY: asks who this is.
    let waiter = unsafe { libc::pthread_self() };
    let interrupter = thread::spawn(move || {
        for _ in 0..5 {
            thread::sleep(Duration::from_millis(10));
            // SAFETY: the thread waits for this one below.
            unsafe { libc::pthread_kill(waiter, libc::SIGUSR1) };
        }
    });
    let mut program = Program::new();
    let (begin, (read, mut write)) = (Instant::now(), std::io::pipe().unwrap());
    assert_eq!(poll(&mut program, &[on_clock(1, 1, 100 * MILLISECOND, false)]), Ok(vec![(1, 0, CLOCK, 0)]));
    assert!(begin.elapsed() >= Duration::from_millis(100));
    interrupter.join().unwrap();
    let interrupter = thread::spawn(move || {
        // SAFETY: as above.
        (0..3).for_each(|_| unsafe {
            thread::sleep(Duration::from_millis(10));
            libc::pthread_kill(waiter, libc::SIGUSR1);
        });
        write.write_all(b"late").unwrap();
    });
    let fd = program.insert(read);
    assert_eq!(program.read(fd, 9).unwrap(), b"late");
    interrupter.join().unwrap();
}

#[test]
fn old_modules_have_another_form_of_a_clock() {
    let mut program = Program::new();
    let mut record = vec![0; 56];
    record[0] = 9;
    record[24] = 1;
    record[32..40].copy_from_slice(&(20 * MILLISECOND).to_le_bytes());
    let (list, events, to) = (program.put(record), program.room(32), program.room(4));
    let begin = Instant::now();
    let args = [list, events, 1, to];
    assert_eq!(program.call_unstable("poll_oneoff", &[Type::I32; 4], &args), SUCCESS);
    assert!(begin.elapsed() >= Duration::from_millis(20));
    assert_eq!((program.u64(events), program.u16(events + 8), program.u8(events + 10)), (9, 0, CLOCK));
}

#[test]
fn a_terminal_is_ready_when_a_line_was_typed() {
    use std::os::fd::FromRawFd;
    // SAFETY: opens a terminal and unlocks it.
    let (master, name) = unsafe {
        let master = libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY);
        assert_eq!((libc::grantpt(master), libc::unlockpt(master)), (0, 0));
        (master, std::ffi::CStr::from_ptr(libc::ptsname(master)).to_str().unwrap().to_owned())
    };
    // SAFETY: it is this one's alone.
    let mut master = unsafe { File::from_raw_fd(master) };
    let mut program = Program::new();
    let terminal = File::options().read(true).write(true).open(name).unwrap();
    let fd = program.insert(terminal);
    let both = [on_file(1, READ, fd), on_clock(2, 1, MILLISECOND, false)];
    master.write_all(b"half").unwrap();
    assert_eq!(poll(&mut program, &both), Ok(vec![(2, 0, CLOCK, 0)]));
    master.write_all(b" a line\n").unwrap();
    assert_eq!(poll(&mut program, &both[..1]), Ok(vec![(1, 0, READ, 0)]));
    assert_eq!(program.read(fd, 99).unwrap(), b"half a line\n");
}
