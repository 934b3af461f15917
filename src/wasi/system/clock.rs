//! Clocks, in nanoseconds.

use rustix::{
    io::Errno,
    time::{ClockId, Timespec},
};

/// What time a clock has.
///
/// # Errors
/// `EOVERFLOW` before 1970 and after 2554.
pub fn now(clock: ClockId) -> Result<u64, Errno> {
    nanoseconds(rustix::time::clock_gettime(clock))
}

/// How fine a clock is.
///
/// # Errors
/// None that is known.
pub fn resolution(clock: ClockId) -> Result<u64, Errno> {
    nanoseconds(rustix::time::clock_getres(clock))
}

/// Since 1970, or since whenever the clock begins.
///
/// # Errors
/// `EOVERFLOW` for what does not fit.
pub fn nanoseconds(time: Timespec) -> Result<u64, Errno> {
    let seconds = u64::try_from(time.tv_sec).map_err(|_| Errno::OVERFLOW)?;
    let fraction = u64::try_from(time.tv_nsec).map_err(|_| Errno::OVERFLOW)?;
    seconds.checked_mul(1_000_000_000).and_then(|whole| whole.checked_add(fraction)).ok_or(Errno::OVERFLOW)
}

/// The kernel's form.
pub fn timespec(nanoseconds: u64) -> Timespec {
    // Both fit, as 2^64 nanoseconds are some 584 years.
    Timespec { tv_sec: (nanoseconds / 1_000_000_000) as i64, tv_nsec: (nanoseconds % 1_000_000_000) as _ }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_there_and_back() {
        for time in [0, 1, 999_999_999, 1_000_000_000, u64::MAX] {
            assert_eq!(nanoseconds(timespec(time)), Ok(time));
        }
        assert_eq!(nanoseconds(Timespec { tv_sec: -1, tv_nsec: 0 }), Err(Errno::OVERFLOW));
        assert_eq!(nanoseconds(Timespec { tv_sec: i64::MAX, tv_nsec: 0 }), Err(Errno::OVERFLOW));
    }
}
