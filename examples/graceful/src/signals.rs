//! The signals of a container, as its annotation `io.wasmedge.signals` names them.

use std::{
    fs::File,
    io::{Read, Result},
    os::fd::{AsRawFd, FromRawFd, RawFd},
};

pub const SIGTERM: u32 = 15;

/// Length of a `struct signalfd_siginfo` (signalfd(2)), in bytes.
const RECORD: usize = 128;

pub struct Signals(File);

impl Signals {
    /// The file that this program was given for them; `None` if it was given none. To be called once.
    pub fn open() -> Option<Self> {
        let number: RawFd = std::env::var("WASMEDGE_SIGNAL_FD").ok()?.parse().ok()?;
        // SAFETY: the descriptor is there for this, and nobody else owns it.
        Some(Self(unsafe { File::from_raw_fd(number) }))
    }

    /// Waits for a signal; its number.
    pub fn wait(&mut self) -> Result<u32> {
        let mut record = [0; RECORD];
        self.0.read_exact(&mut record)?;
        Ok(u32::from_le_bytes([record[0], record[1], record[2], record[3]]))
    }
}

/// To wait for a signal and for other things at once, by `poll_oneoff`.
impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
