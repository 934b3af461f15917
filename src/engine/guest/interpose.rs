//! C library functions as libwasmedge finds them: symbols of the executable come before those of libc.
//!
//! Each goes on to the kernel or to libc at once; what differs is said at each. `sigaction` is in `overflow`.

use std::{
    ffi::CStr,
    sync::atomic::{AtomicU64, Ordering},
};

use libc::{c_int, c_void, size_t};

use super::out_of_memory;
use crate::wasm::{UNLIMITED, gauges};

/// What the engine may allocate beside the guest's linear memories, at least, in bytes: without it a guest that fills
/// its memory to the last page would take from the engine what it needs to tell the guest so.
pub const ENGINE_SLACK: u64 = 1 << 20;

/// Private memory that the engine has when the guest begins, in bytes; 0 while there is no guest.
static ENGINE: AtomicU64 = AtomicU64::new(0);

/// What of the limit on private memory is not the module's, in bytes.
static BASE: AtomicU64 = AtomicU64::new(0);

/// Linear memory that the guest may have in any case, in bytes.
static MOST: AtomicU64 = AtomicU64::new(u64::MAX);

/// From now on linear memories grow only as far as `RLIMIT_DATA` allows, less [`ENGINE_SLACK`], and up to `most` bytes;
/// `engine` is the private memory that counts for that limit already, in bytes. The limit may change meanwhile.
pub fn bound_linear_memory(engine: u64, most: u64) {
    MOST.store(most, Ordering::Relaxed);
    ENGINE.store(engine, Ordering::Relaxed);
}

/// Of `RLIMIT_DATA` this many bytes are not for the module: what it leaves beyond is the container's limit.
pub fn set_base(bytes: u64) {
    BASE.store(bytes, Ordering::Relaxed);
}

/// libc's function behind one of ours.
pub fn next(name: &CStr) -> usize {
    // SAFETY: looks a name up.
    unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) }.addr()
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
        gauges::add_linear_memory(length as u64);
    }
    mapped
}

/// Whether linear memory may have so many `more` bytes. Notes where it is the container's limit that refuses them.
fn fits(more: u64) -> bool {
    let linear = gauges::linear_memory().saturating_add(more);
    if linear > MOST.load(Ordering::Relaxed) {
        return false;
    }
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes one structure.
    if unsafe { libc::getrlimit(libc::RLIMIT_DATA, &raw mut limit) } != 0 {
        return false;
    }
    let taken = ENGINE.load(Ordering::Relaxed).saturating_add(linear).saturating_add(ENGINE_SLACK);
    if taken <= limit.rlim_cur {
        return true;
    }
    // One that was given for the process itself (`--ulimit data`) is the hard one, and none of the container's.
    let data = limit.rlim_cur.saturating_sub(BASE.load(Ordering::Relaxed));
    if limit.rlim_cur < limit.rlim_max && data < UNLIMITED {
        out_of_memory::refuse(data);
    }
    false
}
