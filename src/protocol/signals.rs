//! Signals that a module reads.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::words;

/// Signals that are a program's own affair and not the engine's, by name (signal(7)).
const NAMED: [(&str, i32); 14] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("USR1", libc::SIGUSR1),
    ("USR2", libc::SIGUSR2),
    ("TERM", libc::SIGTERM),
    ("CONT", libc::SIGCONT),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("PWR", libc::SIGPWR),
];

/// The first and the last real-time signal that a program can have. glibc keeps the two before for itself; musl's third is no
/// matter, as the engine runs with glibc (signal(7), "Real-time signals").
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// A set of signals. Those that end or stop a process whatever it does are never in it, nor those that are the engine's own:
/// faults, `SIGABRT`, `SIGALRM` (the limit on time), `SIGPIPE` (ignored).
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signals(u64);

/// A word that names no signal that a module can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownSignal;

impl Signals {
    /// What [`Self::add`] takes, for messages.
    pub const NAMES: &str = "a list of signals that a program can handle, such as SIGTERM, HUP, SIGRTMIN+3";

    /// Adds the signal of a name, with or without `SIG`: `SIGTERM`, `TERM`, `SIGRTMIN+3`, `RTMAX-1`.
    ///
    /// # Errors
    /// There is none of that name, or none that can be read.
    pub fn add(&mut self, name: &str) -> Result<(), UnknownSignal> {
        let name = name.strip_prefix("SIG").unwrap_or(name);
        let named = NAMED.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
        let number = named.or_else(|| real_time(name)).ok_or(UnknownSignal)?;
        self.0 |= 1 << (number - 1);
        Ok(())
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their numbers, in ascending order.
    pub fn numbers(self) -> impl Iterator<Item = i32> {
        (1..=*REAL_TIME.end()).filter(move |number| self.0 >> (number - 1) & 1 == 1)
    }
}

fn real_time(name: &str) -> Option<i32> {
    let distance = |text: &str| if text.is_empty() { Some(0) } else { text.get(1..)?.parse::<u8>().ok() };
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) if rest.is_empty() || rest.starts_with('+') => REAL_TIME.start() + i32::from(distance(rest)?),
        (_, Some(rest)) if rest.is_empty() || rest.starts_with('-') => REAL_TIME.end() - i32::from(distance(rest)?),
        _ => return None,
    };
    REAL_TIME.contains(&number).then_some(number)
}

impl FromStr for Signals {
    type Err = UnknownSignal;

    /// Names that commas or spaces separate.
    fn from_str(text: &str) -> Result<Self, UnknownSignal> {
        let mut signals = Self::default();
        words(text).try_for_each(|word| signals.add(word))?;
        Ok(signals)
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.numbers()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Result<Vec<i32>, UnknownSignal> {
        text.parse::<Signals>().map(|signals| signals.numbers().collect())
    }

    #[test]
    fn signals_have_names_with_and_without_sig() {
        assert_eq!(numbers("SIGTERM, HUP,SIGRTMIN+3 RTMAX-1").unwrap(), [1, 15, 37, 63]);
        assert_eq!(numbers("RTMIN RTMAX").unwrap(), [34, 64]);
        assert_eq!(numbers("").unwrap(), []);
        assert!(Signals::default().is_empty() && !"INT".parse::<Signals>().unwrap().is_empty());
    }

    #[test]
    fn what_no_program_can_have_is_refused() {
        let kept = ["SIGKILL", "STOP", "SEGV", "ABRT", "ALRM", "PIPE", "CHLD"];
        let wrong =
            ["15", "sigterm", "SIGSIGTERM", "RTMIN+31", "RTMIN-1", "RTMAX+1", "RTMIN+x", "RTMIN+300", "RTMIN+é"];
        for name in kept.into_iter().chain(wrong) {
            assert_eq!(numbers(name), Err(UnknownSignal), "{name}");
        }
    }
}
