//! The command line by which ps(1) shows the daemon, which is a fork of `start`.

use std::{
    ffi::CStr,
    sync::atomic::{AtomicI32, AtomicPtr, Ordering},
};

use libc::{c_char, c_int};

static COUNT: AtomicI32 = AtomicI32::new(0);
static ARGUMENTS: AtomicPtr<*mut c_char> = AtomicPtr::new(std::ptr::null_mut());

/// Called by the C library before `main`, with its arguments (System V ABI as glibc has it).
extern "C" fn note(count: c_int, arguments: *mut *mut c_char, _environment: *mut *mut c_char) {
    COUNT.store(count, Ordering::Relaxed);
    ARGUMENTS.store(arguments, Ordering::Relaxed);
}

#[used]
#[unsafe(link_section = ".init_array")]
static NOTE: extern "C" fn(c_int, *mut *mut c_char, *mut *mut c_char) = note;

/// Takes the last word away, the action.
pub fn drop_action() {
    let (count, arguments) = (COUNT.load(Ordering::Relaxed), ARGUMENTS.load(Ordering::Relaxed));
    if count < 2 || arguments.is_null() {
        return;
    }
    // SAFETY: the C library passed that many strings, which are this process's own and writable for ever. Nothing else
    // looks at the last one any more.
    unsafe {
        let last = *arguments.add(count as usize - 1);
        let length = CStr::from_ptr(last).to_bytes().len();
        std::ptr::write_bytes(last, 0, length);
    }
}
