//! Waiting until something can be read or written, or for a time.

use rustix::{
    event::{PollFd, poll},
    io::Errno,
    time::ClockId,
};

use super::clock;

/// When a wait is over at the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// The clock that says so.
    pub clock: ClockId,
    /// Its time then, in nanoseconds.
    pub at: u64,
}

impl Deadline {
    /// Some time from now on.
    ///
    /// # Errors
    /// Of [`clock::now`].
    pub fn after(clock: ClockId, nanoseconds: u64) -> Result<Self, Errno> {
        Ok(Self { clock, at: clock::now(clock)?.saturating_add(nanoseconds) })
    }

    /// How long it takes until then, in nanoseconds.
    ///
    /// # Errors
    /// Of [`clock::now`].
    pub fn left(&self) -> Result<u64, Errno> {
        Ok(self.at.saturating_sub(clock::now(self.clock)?))
    }
}

/// Longest time that is waited at once, in nanoseconds: a clock that is set meanwhile is looked at again then.
const LONGEST: u64 = 3_600_000_000_000;

/// Waits until one of `files` is ready or one of `deadlines` has come; how many files are ready. Without deadlines it waits
/// for files alone, and with neither for ever.
///
/// # Errors
/// Of ppoll(2).
pub fn wait(files: &mut [PollFd<'_>], deadlines: &[Deadline]) -> Result<usize, Errno> {
    loop {
        let mut left = LONGEST;
        for deadline in deadlines {
            left = left.min(deadline.left()?);
        }
        let timeout = (!deadlines.is_empty()).then(|| clock::timespec(left));
        match poll(files, timeout.as_ref()) {
            Ok(0) if left != 0 && deadlines.iter().all(|deadline| deadline.left() != Ok(0)) => {}
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::fd::AsFd, time::Instant};

    use rustix::event::PollFlags;

    use super::*;

    #[test]
    fn a_wait_ends_at_the_first_deadline_and_not_before() {
        let begin = Instant::now();
        let late = Deadline::after(ClockId::Monotonic, 3_600_000_000_000).unwrap();
        let soon = Deadline::after(ClockId::Realtime, 30_000_000).unwrap();
        assert_eq!(wait(&mut [], &[late, soon]), Ok(0));
        assert!((30..2000).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
        let past = Deadline { clock: ClockId::Realtime, at: 0 };
        assert_eq!(wait(&mut [], &[past, late]), Ok(0));
    }

    #[test]
    fn what_is_ready_is_told_at_once() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        rustix::io::write(&write, b"x").unwrap();
        let mut files = [PollFd::from_borrowed_fd(read.as_fd(), PollFlags::IN)];
        assert_eq!(wait(&mut files, &[]), Ok(1));
        assert_eq!(files[0].revents(), PollFlags::IN);
    }
}
