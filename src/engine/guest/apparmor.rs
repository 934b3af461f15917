//! The AppArmor profile of a process that no execve names (AppArmor's documentation, `libapparmor`, `aa_change_profile`).

use std::{
    io,
    os::fd::{BorrowedFd, RawFd},
};

use nix::{errno::Errno, fcntl::OFlag, sys::stat::Mode};

/// `lsm_set_self_attr`(2), Linux 6.8: the same number everywhere.
const SYS_LSM_SET_SELF_ATTR: libc::c_long = 460;
/// linux/lsm.h.
const LSM_ID_APPARMOR: u64 = 104;

/// When a profile takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At once.
    Now,
    /// With the next execve.
    AtExec,
}

impl When {
    /// Attribute of linux/lsm.h, file in `/proc/PID/attr`, and the word that is written.
    fn names(self) -> (libc::c_uint, &'static str, &'static str) {
        match self {
            Self::Now => (100, "current", "changeprofile"),
            Self::AtExec => (101, "exec", "exec"),
        }
    }
}

/// Whether the kernel sets a process's profile without `/proc`.
pub fn needs_no_proc() -> bool {
    // SAFETY: a null pointer of no length is refused by a kernel that has the call.
    let called = unsafe { libc::syscall(SYS_LSM_SET_SELF_ATTR, 0, std::ptr::null::<u8>(), 0, 0) };
    called == 0 || Errno::last() != Errno::ENOSYS
}

/// Gives this process the profile. `proc` is a descriptor of a proc filesystem, for kernels that need it.
pub fn set_profile(profile: &str, when: When, proc: Option<RawFd>) -> io::Result<()> {
    let (attribute, file, word) = when.names();
    let text = format!("{word} {profile}");
    let Some(proc) = proc else { return set_by_call(attribute, &text) };
    // SAFETY: kept open by the worker that made this process.
    let proc = unsafe { BorrowedFd::borrow_raw(proc) };
    let open =
        |path: String| nix::fcntl::openat(proc, path.as_str(), OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty());
    let opened = open(format!("self/attr/apparmor/{file}")).or_else(|_| open(format!("self/attr/{file}")))?;
    nix::unistd::write(&opened, text.as_bytes())?;
    Ok(())
}

fn set_by_call(attribute: libc::c_uint, text: &str) -> io::Result<()> {
    // struct lsm_ctx: id, flags, len, ctx_len, then the text.
    let (head, length) = (4 * size_of::<u64>(), text.len());
    let whole = (head + length).next_multiple_of(size_of::<u64>());
    let mut context: Vec<u8> = [LSM_ID_APPARMOR, 0, whole as u64, length as u64].map(u64::to_ne_bytes).concat();
    context.extend_from_slice(text.as_bytes());
    context.resize(whole, 0);
    // SAFETY: reads `whole` bytes.
    match unsafe { libc::syscall(SYS_LSM_SET_SELF_ATTR, attribute, context.as_ptr(), whole as u32, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
