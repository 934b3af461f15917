//! What can be seen of a running program from outside: a few numbers at a place of its memory that is known to whoever made
//! its process, who has the same address layout.
//!
//! Nothing is published by the program: its counters are where they are anyway, and somebody who is asked reads them with
//! process_vm_readv(2). So it costs the program nothing, asked for or not. A guest that has broken out of WebAssembly's walls
//! can write there what it likes: whoever reads takes numbers, and follows addresses within that very process only.

use std::{
    io, mem,
    sync::atomic::{AtomicU64, Ordering},
};

use super::statistics;
use crate::noted::unix_nanos;

/// The numbers, in the order in which they lie in memory.
#[repr(C)]
pub struct Gauges {
    /// Bytes of linear memory.
    linear: AtomicU64,
    /// How the program runs: [`Mode`] as a number.
    mode: AtomicU64,
    /// When the program was begun, in nanoseconds since the Unix epoch; 0 before.
    begun: AtomicU64,
    /// Where the counters of instructions and of gas are; 0 where nothing is counted.
    counters: [AtomicU64; 2],
}

/// How a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// By the interpreter.
    Interpreted,
    /// As native code.
    Native,
}

/// Those of the program that this process runs.
static GAUGES: Gauges = Gauges {
    linear: AtomicU64::new(0),
    mode: AtomicU64::new(0),
    begun: AtomicU64::new(0),
    counters: [AtomicU64::new(0), AtomicU64::new(0)],
};

const WORDS: usize = mem::size_of::<Gauges>() / mem::size_of::<u64>();

/// What is seen of a program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Bytes of linear memory.
    pub linear_memory: u64,
    /// How it runs, once it is loaded.
    pub mode: Option<Mode>,
    /// When it was begun, in nanoseconds since the Unix epoch; 0 before.
    pub begun_unix_nanos: u64,
    /// What it has done, where that is counted.
    pub counters: Option<statistics::Counters>,
}

/// Where this process, and whatever is forked from it, has its gauges.
pub fn address() -> u64 {
    (&raw const GAUGES).addr() as u64
}

/// Adds to the linear memory that the guest has, in bytes.
pub fn add_linear_memory(bytes: u64) {
    GAUGES.linear.fetch_add(bytes, Ordering::Relaxed);
}

/// Bytes of linear memory that the guest has. It never gives any back.
pub fn linear_memory() -> u64 {
    GAUGES.linear.load(Ordering::Relaxed)
}

/// Says how the program of this process runs that is about to be loaded; the host, of which it is a fork, has run one.
pub fn set_mode(mode: Mode) {
    GAUGES.begun.store(0, Ordering::Relaxed);
    let number = if mode == Mode::Native { 2 } else { 1 };
    GAUGES.mode.store(number, Ordering::Relaxed);
}

/// Says that the program begins now.
pub(super) fn begin() {
    GAUGES.begun.store(unix_nanos(), Ordering::Relaxed);
}

/// Says where the counters are.
pub(super) fn set_counters(addresses: [u64; 2]) {
    for (gauge, address) in GAUGES.counters.iter().zip(addresses) {
        gauge.store(address, Ordering::Relaxed);
    }
}

/// What process `pid` has at `address`, where its maker had it. The process may have ended, or be another's by now: the caller
/// asks for that afterwards.
///
/// # Errors
/// Those of process_vm_readv(2): `EPERM` without `CAP_SYS_PTRACE`, or where Yama forbids it.
pub fn see(pid: i32, address: u64) -> io::Result<Seen> {
    let words: [u64; WORDS] = read(pid, address)?;
    let [linear_memory, mode, begun_unix_nanos, instructions, gas] = words;
    let mode = match mode {
        1 => Some(Mode::Interpreted),
        2 => Some(Mode::Native),
        _ => None,
    };
    let counted = |address| read::<1>(pid, address).map(|[count]| count);
    let counters = (instructions != 0 && gas != 0)
        .then(|| Ok::<_, io::Error>(statistics::Counters::new(counted(instructions)?, counted(gas)?)))
        // A guest may have written any address there.
        .and_then(Result::ok);
    Ok(Seen { linear_memory, mode, begun_unix_nanos, counters })
}

fn read<const N: usize>(pid: i32, address: u64) -> io::Result<[u64; N]> {
    let mut words = [0_u64; N];
    let length = mem::size_of_val(&words);
    let local = libc::iovec { iov_base: words.as_mut_ptr().cast(), iov_len: length };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: length };
    // SAFETY: writes no more than the array has room for; the other address is another process's.
    match unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) } {
        count if count == length as isize => Ok(words),
        -1 => Err(io::Error::last_os_error()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::{Ending, Features, Invocation, Limits, Program, World};

    /// A child, as containers are, that has done what `work` does.
    fn seen_after(work: impl FnOnce()) -> Seen {
        let (mut done, doer) = io::pipe().unwrap();
        // SAFETY: the child calls `work`, and waits to be killed.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            work();
            let _ = io::Write::write_all(&mut &doer, b"d");
            loop {
                std::thread::park();
            }
        }
        io::Read::read_exact(&mut done, &mut [0]).unwrap();
        let seen = see(child, address()).unwrap();
        // SAFETY: ends and reaps the child.
        unsafe {
            libc::kill(child, libc::SIGKILL);
            libc::waitpid(child, std::ptr::null_mut(), 0);
        }
        seen
    }

    #[test]
    fn a_program_s_memory_and_counters_are_seen_from_outside() {
        let wat = "(module (memory 2) (func (export \"_start\") (local i32)
            (loop (local.set 0 (i32.add (local.get 0) (i32.const 1)))
                  (br_if 0 (i32.lt_u (local.get 0) (i32.const 1000))))))";
        let module = wat::parse_str(wat).unwrap();
        let seen = seen_after(|| {
            set_mode(Mode::Interpreted);
            add_linear_memory(1 << 17);
            let features = Features { counted: true, ..Features::default() };
            let program =
                Program::load(&module, &Invocation::default(), &Limits::default(), features).expect("it loads");
            assert_eq!(program.run(&World::default(), None, |_| {}), Ending::Returned(Vec::new()));
        });
        assert_eq!((seen.linear_memory, seen.mode), (1 << 17, Some(Mode::Interpreted)));
        assert!((unix_nanos() - seen.begun_unix_nanos) < 60_000_000_000);
        let counters = seen.counters.unwrap();
        assert!((4000..20_000).contains(&counters.instructions), "{counters:?}");
        assert!((4000..20_000).contains(&counters.gas), "{counters:?}");
    }

    #[test]
    fn what_a_hostile_guest_writes_is_numbers_or_nothing() {
        let seen = seen_after(|| {
            GAUGES.linear.store(u64::MAX, Ordering::Relaxed);
            GAUGES.mode.store(77, Ordering::Relaxed);
            // Other tests of this process have run programs.
            GAUGES.begun.store(0, Ordering::Relaxed);
            set_counters([8, u64::MAX]);
        });
        assert_eq!(seen, Seen { linear_memory: u64::MAX, ..Seen::default() });
        assert!(see(i32::MAX, address()).is_err());
    }
}
