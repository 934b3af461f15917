//! A stack canary, and random bytes of the kernel's, for each fork of the host: without execve it has those of the host.

/// Gives this process, a fork of the host that never returns to what the host was doing, a stack canary and kernel-made
/// random bytes of its own. Where it cannot, it has the host's.
#[inline(never)]
pub fn change_canary() {
    let mut random = [0_u8; 24];
    // SAFETY: writes as many bytes as there are.
    let count = unsafe { libc::getrandom(random.as_mut_ptr().cast(), random.len(), libc::GRND_NONBLOCK) };
    if count != random.len() as isize {
        return;
    }
    // glibc keeps the first byte zero, so that a string that runs over ends there.
    random[0] = 0;
    let mut canary = [0; 8];
    canary.copy_from_slice(&random[..8]);
    // SAFETY: 16 bytes on the initial stack, which are writable and which nobody reads after the start (getauxval(3)).
    unsafe {
        let at = libc::getauxval(libc::AT_RANDOM) as *mut u8;
        if !at.is_null() {
            std::ptr::copy_nonoverlapping(random[8..].as_ptr(), at, 16);
        }
    }
    set_canary(u64::from_ne_bytes(canary));
}

/// Where the ABI has it (glibc's `tcbhead_t`, `stack_guard`). Frames that were begun before must not return in this process:
/// those of Rust do not look, those of C in between are none.
#[cfg(target_arch = "x86_64")]
fn set_canary(canary: u64) {
    // SAFETY: this thread's own, see above.
    unsafe { std::arch::asm!("mov fs:[0x28], {}", in(reg) canary, options(nostack, preserves_flags)) };
}

/// Elsewhere it is a variable of the dynamic linker that can be read only.
#[cfg(not(target_arch = "x86_64"))]
fn set_canary(_: u64) {}
