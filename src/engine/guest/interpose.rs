//! C library functions as libwasmedge finds them: symbols of the executable come before those of libc.
//!
//! Each goes on to the kernel or to libc at once; what differs is said at each. `sigaction` is in `overflow`.

use std::{
    ffi::CStr,
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use libc::{c_int, c_void, size_t};

/// What the engine may allocate beside the guest's linear memories, at least, in bytes: without it a guest that fills
/// its memory to the last page would take from the engine what it needs to tell the guest so.
pub const ENGINE_SLACK: u64 = 1 << 20;

/// Private memory that the engine has when the guest begins, in bytes; 0 while there is no guest.
static ENGINE: AtomicU64 = AtomicU64::new(0);
/// Linear memory that the guest has, in bytes.
static LINEAR: AtomicU64 = AtomicU64::new(0);

/// Linear memory that the guest may have in any case, in bytes.
static MOST: AtomicU64 = AtomicU64::new(u64::MAX);

/// From now on linear memories grow only as far as `RLIMIT_DATA` allows, less [`ENGINE_SLACK`], and up to `most` bytes;
/// `engine` is the private memory that counts for that limit already, in bytes. The limit may change meanwhile.
pub fn bound_linear_memory(engine: u64, most: u64) {
    MOST.store(most, Ordering::Relaxed);
    ENGINE.store(engine, Ordering::Relaxed);
}

/// Bytes of linear memory that the guest has. It never gives any back.
pub fn linear_memory() -> u64 {
    LINEAR.load(Ordering::Relaxed)
}

/// libc's function behind one of ours.
pub fn next(name: &CStr) -> usize {
    // SAFETY: looks a name up.
    unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) }.addr()
}

/// `epoll_wait`(2), which goes on after a signal.
///
/// WasmEdge 0.17.1 sleeps in it and takes `EINTR` for a failure that it tells the guest. The freezer interrupts it so
/// with every pause.
///
/// # Safety
/// As the kernel's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epoll_wait(
    epoll: c_int,
    events: *mut libc::epoll_event,
    count: c_int,
    timeout: c_int,
) -> c_int {
    let deadline = u64::try_from(timeout).ok().map(|millis| Instant::now() + Duration::from_millis(millis));
    let mut left = timeout;
    loop {
        let no_mask = std::ptr::null::<libc::sigset_t>();
        // SAFETY: the caller's arguments, as they came.
        let ready = unsafe { libc::syscall(libc::SYS_epoll_pwait, epoll, events, count, left, no_mask, 0) };
        if ready >= 0 || io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            return ready as c_int;
        }
        if let Some(deadline) = deadline {
            // Rounded up, lest the last millisecond is spent in a loop.
            let millis = deadline.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
            left = c_int::try_from(millis).unwrap_or(c_int::MAX);
        }
    }
}

/// `mmap`(2), which fails with `ENOMEM` where a linear memory would grow beyond its bound: WasmEdge reserves the address
/// space and maps what is used of it, page by page, and `memory.grow` returns -1 when that fails.
///
/// # Safety
/// As the kernel's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mmap(
    address: *mut c_void,
    length: size_t,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: libc::off_t,
) -> *mut c_void {
    let linear = libc::MAP_FIXED | libc::MAP_ANONYMOUS | libc::MAP_PRIVATE;
    let grows =
        protection == libc::PROT_READ | libc::PROT_WRITE && flags == linear && ENGINE.load(Ordering::Relaxed) != 0;
    if grows && !fits(length as u64) {
        // SAFETY: errno is this thread's.
        unsafe { *libc::__errno_location() = libc::ENOMEM };
        return libc::MAP_FAILED;
    }
    // SAFETY: the caller's arguments, as they came.
    let mapped = unsafe { libc::syscall(libc::SYS_mmap, address, length, protection, flags, fd, offset) };
    let mapped = mapped as *mut c_void;
    if grows && mapped != libc::MAP_FAILED {
        LINEAR.fetch_add(length as u64, Ordering::Relaxed);
    }
    mapped
}

fn fits(more: u64) -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes one structure.
    if unsafe { libc::getrlimit(libc::RLIMIT_DATA, &raw mut limit) } != 0 {
        return false;
    }
    let linear = LINEAR.load(Ordering::Relaxed).saturating_add(more);
    let taken = ENGINE.load(Ordering::Relaxed).saturating_add(linear).saturating_add(ENGINE_SLACK);
    taken <= limit.rlim_cur && linear <= MOST.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use nix::sys::{
        epoll::{Epoll, EpollCreateFlags},
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
    };

    use super::*;

    extern "C" fn nothing(_: c_int) {}

    #[test]
    fn a_wait_goes_on_after_a_signal_and_ends_in_time() {
        let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler does nothing.
        unsafe { sigaction(Signal::SIGUSR1, &action).unwrap() };
        let waiter = nix::sys::pthread::pthread_self();
        let interrupter = std::thread::spawn(move || {
            for _ in 0..5 {
                std::thread::sleep(Duration::from_millis(20));
                nix::sys::pthread::pthread_kill(waiter, Signal::SIGUSR1).unwrap();
            }
        });
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        let begin = Instant::now();
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: room for one event.
        let ready = unsafe { epoll_wait(epoll.0.as_raw_fd(), &raw mut event, 1, 200) };
        assert_eq!(ready, 0);
        assert!(begin.elapsed() >= Duration::from_millis(200), "{:?}", begin.elapsed());
        interrupter.join().unwrap();
    }
}
