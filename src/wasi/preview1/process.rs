//! `args_…`, `environ_…`, `clock_…`, `random_get`, `sched_yield`, `proc_…`.

use rustix::{
    io::{Errno, retry_on_intr},
    rand::GetRandomFlags,
    time::ClockId,
};

use super::{Outcome, Stop};
use crate::{Wasi, memory::Guest, system::clock};

pub fn args_sizes_get(wasi: &mut Wasi, guest: &mut Guest<'_>, count: u32, size: u32) -> Outcome {
    sizes(&wasi.args, guest, count, size)
}

pub fn args_get(wasi: &mut Wasi, guest: &mut Guest<'_>, list: u32, buffer: u32) -> Outcome {
    strings(&wasi.args, guest, list, buffer)
}

pub fn environ_sizes_get(wasi: &mut Wasi, guest: &mut Guest<'_>, count: u32, size: u32) -> Outcome {
    sizes(&wasi.env, guest, count, size)
}

pub fn environ_get(wasi: &mut Wasi, guest: &mut Guest<'_>, list: u32, buffer: u32) -> Outcome {
    strings(&wasi.env, guest, list, buffer)
}

fn sizes(strings: &[Vec<u8>], guest: &mut Guest<'_>, count: u32, size: u32) -> Outcome {
    let total = strings.iter().map(|string| string.len() + 1).sum::<usize>();
    let fits = |number: usize| u32::try_from(number).map_err(|_| Errno::OVERFLOW);
    guest.check(size, 4)?;
    guest.write_u32(count, fits(strings.len())?)?;
    Ok(guest.write_u32(size, fits(total)?)?)
}

/// The strings one after the other, each with a zero at its end, and a list of where they are.
fn strings(strings: &[Vec<u8>], guest: &mut Guest<'_>, mut list: u32, mut buffer: u32) -> Outcome {
    for string in strings {
        guest.write_u32(list, buffer)?;
        guest.write(buffer, string)?;
        let end = buffer.checked_add(string.len() as u32).ok_or(Errno::FAULT)?;
        guest.write(end, &[0])?;
        (list, buffer) = (list.checked_add(4).ok_or(Errno::FAULT)?, end.checked_add(1).ok_or(Errno::FAULT)?);
    }
    Ok(())
}

/// The kernel's clock for a `clockid`.
pub fn clock_id(id: u32) -> Result<ClockId, Errno> {
    match id {
        0 => Ok(ClockId::Realtime),
        1 => Ok(ClockId::Monotonic),
        2 => Ok(ClockId::ProcessCPUTime),
        3 => Ok(ClockId::ThreadCPUTime),
        _ => Err(Errno::INVAL),
    }
}

pub fn clock_res_get(_: &mut Wasi, guest: &mut Guest<'_>, id: u32, to: u32) -> Outcome {
    let resolution = clock::resolution(clock_id(id)?)?;
    Ok(guest.write_u64(to, resolution)?)
}

/// The precision is how late the answer may be, and none is.
pub fn clock_time_get(_: &mut Wasi, guest: &mut Guest<'_>, id: u32, _precision: u64, to: u32) -> Outcome {
    let now = clock::now(clock_id(id)?)?;
    Ok(guest.write_u64(to, now)?)
}

/// From getrandom(2): nothing is kept in this process, of which there may be copies.
pub fn random_get(_: &mut Wasi, guest: &mut Guest<'_>, buffer: u32, length: u32) -> Outcome {
    let mut left = guest.slice_mut(buffer, length)?;
    while !left.is_empty() {
        let done = retry_on_intr(|| rustix::rand::getrandom(&mut *left, GetRandomFlags::empty()))?;
        left = &mut left[done..];
    }
    Ok(())
}

pub fn sched_yield(_: &mut Wasi, _: &mut Guest<'_>) -> Outcome {
    rustix::thread::sched_yield();
    Ok(())
}

pub fn proc_exit(_: &mut Wasi, _: &mut Guest<'_>, code: u32) -> Outcome {
    Err(Stop::Exit(code))
}

/// What a signal's default is to a process that sends it to itself: its end, told as shells do, or nothing. One that stops
/// has nobody who would let it go on.
pub fn proc_raise(_: &mut Wasi, _: &mut Guest<'_>, signal: u32) -> Outcome {
    /// Linux' numbers of WASI's signals from 0 on (`signal` in witx): without `SIGSTKFLT`, and in another order.
    const NUMBERS: [i32; 31] = [
        0,
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGABRT,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGKILL,
        libc::SIGUSR1,
        libc::SIGSEGV,
        libc::SIGUSR2,
        libc::SIGPIPE,
        libc::SIGALRM,
        libc::SIGTERM,
        libc::SIGCHLD,
        libc::SIGCONT,
        libc::SIGSTOP,
        libc::SIGTSTP,
        libc::SIGTTIN,
        libc::SIGTTOU,
        libc::SIGURG,
        libc::SIGXCPU,
        libc::SIGXFSZ,
        libc::SIGVTALRM,
        libc::SIGPROF,
        libc::SIGWINCH,
        libc::SIGIO,
        libc::SIGPWR,
        libc::SIGSYS,
    ];
    match NUMBERS.get(signal as usize) {
        None => Err(Errno::INVAL.into()),
        Some(0 | &libc::SIGCHLD | &libc::SIGCONT | &libc::SIGURG | &libc::SIGWINCH) => Ok(()),
        Some(&libc::SIGSTOP | &libc::SIGTSTP | &libc::SIGTTIN | &libc::SIGTTOU) => Err(Errno::OPNOTSUPP.into()),
        Some(number) => Err(Stop::Exit(128 + number.cast_unsigned())),
    }
}
