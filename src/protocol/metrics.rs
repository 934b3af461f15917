//! Where the engine host's metrics can be fetched.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize};

/// An address that only this machine reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetricsAddress {
    /// A unix socket, of root alone.
    Unix(PathBuf),
    /// A TCP port of a loopback address.
    Tcp(SocketAddr),
}

/// Longest path of a unix socket, in bytes, less those that a socket needs which takes another's place (unix(7)).
const MAX_PATH: usize = 90;

impl MetricsAddress {
    /// What [`FromStr`] takes, for messages.
    pub const NAMES: &str = "unix:///PATH of at most 90 bytes, or tcp://ADDRESS:PORT with a loopback address";
}

impl FromStr for MetricsAddress {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if let Some(path) = text.strip_prefix("unix://") {
            let sound = path.starts_with('/') && !path.ends_with('/') && path.len() <= MAX_PATH && !path.contains('\0');
            return sound.then(|| Self::Unix(path.into())).ok_or(());
        }
        let address: SocketAddr = text.strip_prefix("tcp://").ok_or(())?.parse().map_err(drop)?;
        (address.ip().is_loopback() && address.port() != 0).then_some(Self::Tcp(address)).ok_or(())
    }
}

impl fmt::Display for MetricsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_alone_reaches_is_taken_and_shown_as_it_was_given() {
        for text in ["unix:///run/a/metrics.sock", "tcp://127.0.0.1:9107", "tcp://127.8.0.1:1", "tcp://[::1]:9107"] {
            assert_eq!(text.parse::<MetricsAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let long = format!("unix:///{}", "x".repeat(MAX_PATH));
        let others = ["", "tcp://0.0.0.0:9107", "tcp://10.0.0.1:9107", "tcp://[::]:9107", "tcp://localhost:9107"];
        let wrong =
            ["tcp://127.0.0.1", "tcp://127.0.0.1:0", "127.0.0.1:9107", "/run/a.sock", "unix://run/a", "unix:///a/"];
        for text in others.into_iter().chain(wrong).chain([&*long]) {
            assert_eq!(text.parse::<MetricsAddress>(), Err(()), "{text}");
        }
    }
}
