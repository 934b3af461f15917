//! What the host waits for, each as a number for epoll(7).

use super::connection::ConnectionId;

/// Bits of a number that say which one of its kind it is.
const NUMBER: u32 = 56;

/// Something that the host waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watched {
    /// A new connection.
    Listener,
    /// A signal.
    Signals,
    /// A message of a shim.
    Connection(ConnectionId),
    /// A worker's report.
    Report(u64),
    /// A worker's end.
    Worker(u64),
    /// The end of a process of a container.
    Process(i32),
    /// Somebody who wants metrics, at one of the addresses.
    Metrics(u64),
}

impl Watched {
    /// The number that stands for it.
    pub fn token(self) -> u64 {
        let (kind, number) = match self {
            Self::Listener => (0, 0),
            Self::Signals => (1, 0),
            Self::Connection(id) => (2, id),
            Self::Report(id) => (3, id),
            Self::Worker(id) => (4, id),
            Self::Process(pid) => (5, pid.unsigned_abs().into()),
            Self::Metrics(number) => (6, number),
        };
        (kind << NUMBER) | number
    }

    /// What the number stands for.
    pub fn of(token: u64) -> Self {
        let number = token & ((1 << NUMBER) - 1);
        match token >> NUMBER {
            0 => Self::Listener,
            1 => Self::Signals,
            2 => Self::Connection(number),
            3 => Self::Report(number),
            4 => Self::Worker(number),
            6 => Self::Metrics(number),
            // Process ids have 22 bits at most.
            _ => Self::Process(i32::try_from(number).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_for_one_thing() {
        use Watched::{Connection, Listener, Metrics, Process, Report, Signals, Worker};
        for one in [Listener, Signals, Connection(7), Report(7), Worker(7), Process(4_194_304), Metrics(3)] {
            assert_eq!(Watched::of(one.token()), one);
        }
    }
}
