//! The places in a directory as guests keep them.
//!
//! A kernel's offset has up to 63 bits (ext4's are hashes), and `telldir` of a module returns 32, of which wasi-libc makes a cookie
//! again. So offsets that need more bits are told as numbers, and the last of them are remembered.

use std::collections::VecDeque;

use rustix::io::Errno;

/// Smaller offsets are told as they are; the numbers begin here and have 31 bits.
const FIRST: u64 = 1 << 30;

/// How many are remembered: 2 MiB of them.
const MOST: usize = 1 << 18;

/// Offsets that have been told as numbers.
#[derive(Debug, Default)]
pub(super) struct Cookies {
    offsets: VecDeque<u64>,
    /// How many are forgotten.
    gone: u64,
}

impl Cookies {
    /// The cookie for an offset.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn of(&mut self, offset: u64) -> Result<u64, Errno> {
        if offset < FIRST {
            return Ok(offset);
        }
        if self.offsets.len() == MOST {
            self.offsets.pop_front();
            self.gone += 1;
        }
        self.offsets.try_reserve(1).map_err(|_| Errno::NOMEM)?;
        self.offsets.push_back(offset);
        Ok(FIRST + (self.gone + self.offsets.len() as u64 - 1) % FIRST)
    }

    /// The offset that was told as this cookie.
    ///
    /// # Errors
    /// `EINVAL` where none was, or too long ago.
    pub fn offset(&self, cookie: u64) -> Result<u64, Errno> {
        let Some(number) = cookie.checked_sub(FIRST) else { return Ok(cookie) };
        let at = number.wrapping_sub(self.gone) % FIRST;
        let known = usize::try_from(at).ok().filter(|_| number < FIRST).and_then(|at| self.offsets.get(at));
        known.copied().ok_or(Errno::INVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_comes_back_from_a_cookie_of_31_bits() {
        let mut cookies = Cookies::default();
        for offset in [0, 1, FIRST - 1, FIRST, u64::from(u32::MAX), i64::MAX as u64, u64::MAX] {
            let cookie = cookies.of(offset).unwrap();
            assert!(i32::try_from(cookie).is_ok());
            assert_eq!(cookies.offset(cookie), Ok(offset));
        }
        for cookie in [FIRST + 4, 2 * FIRST, 2 * FIRST + 1, u64::MAX] {
            assert_eq!(cookies.offset(cookie), Err(Errno::INVAL), "{cookie}");
        }
    }

    #[test]
    fn the_last_ones_are_remembered_and_no_more() {
        let mut cookies = Cookies { gone: FIRST - 10, ..Cookies::default() };
        let told: Vec<_> = (0..MOST as u64 + 100).map(|number| cookies.of(FIRST + number).unwrap()).collect();
        for (number, cookie) in told.iter().enumerate() {
            let expected = if number < 100 { Err(Errno::INVAL) } else { Ok(FIRST + number as u64) };
            assert_eq!(cookies.offset(*cookie), expected, "{number}");
        }
        assert_eq!(cookies.offsets.len(), MOST);
    }
}
