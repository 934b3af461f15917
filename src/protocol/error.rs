//! What can go wrong: on the wire ([`Error`]) and at the other end ([`Failure`]).

use serde::{Deserialize, Serialize};

use crate::Versions;

/// Shorthand for this crate's results.
pub type Result<T> = std::result::Result<T, Error>;

/// A message could not be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket failed.
    #[error("engine socket: {0}")]
    Io(#[from] std::io::Error),
    /// The bytes are not a message of this protocol version.
    #[error("malformed engine message: {0}")]
    Malformed(#[from] postcard::Error),
    /// The message does not fit a packet.
    #[error("engine message of {size} bytes is larger than the limit of {limit} bytes")]
    TooLarge {
        /// Size of the message, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The peer is not a process of the expected user.
    #[error("peer process {pid} runs as user {uid}, only user {expected} may use this socket")]
    Peer {
        /// The peer's process id.
        pid: i32,
        /// The peer's user id.
        uid: u32,
        /// The user id that was expected.
        expected: u32,
    },
    /// The two ends have no version of the messages in common.
    #[error("{program} speaks protocol version {theirs}, this program version {ours}")]
    Version {
        /// The other end's name.
        program: String,
        /// The other end's versions.
        theirs: Versions,
        /// This end's versions.
        ours: Versions,
    },
    /// The host is there, but stopped, hung or far behind.
    #[error("the engine host{} does not answer", .pid.map(|pid| format!(", process {pid},")).unwrap_or_default())]
    Silent {
        /// Its process id, where that is known.
        pid: Option<i32>,
    },
}

/// Why the host could not do what a request asked; the kinds are those of containerd's `errdefs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// No such container.
    NotFound,
    /// A container with this id exists.
    AlreadyExists,
    /// The bundle, the spec or an option is wrong.
    InvalidArgument,
    /// The container's state does not allow it.
    FailedPrecondition,
    /// Anything else.
    Internal,
}

/// A request failed: the kind for programs, one line for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// One line that names the thing and the cause.
    pub message: String,
}

impl Failure {
    /// A failure of `kind` that says `message`, which is [`cut`].
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: cut(message.into()) }
    }

    /// An [`FailureKind::Internal`] failure.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Internal, message)
    }
}

/// Longest text for people that is passed on, in bytes. A message has room for a few of them.
pub const MAX_TEXT: usize = 4096;

/// A text that is passed on, whole or, with a mark, up to [`MAX_TEXT`].
pub fn cut(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let mark = format!("… ({} bytes in all)", text.len());
        let room = MAX_TEXT - mark.len();
        let end = (0..=room).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
        text.push_str(&mark);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    // Regression test for N3: a cause of 100 kB was lost, and with it all others.
    #[test]
    fn a_long_text_is_cut_where_a_letter_ends_and_says_so() {
        assert_eq!(cut("short".into()), "short");
        let exact = "x".repeat(MAX_TEXT);
        assert_eq!(cut(exact.clone()), exact);
        for letter in ["x", "é", "€", "😀"] {
            let long = Failure::internal(letter.repeat(100_000)).message;
            assert!(long.len() <= MAX_TEXT && long.len() > MAX_TEXT - 8, "{}", long.len());
            assert!(long.ends_with(&format!("… ({} bytes in all)", 100_000 * letter.len())), "{letter}");
        }
    }
}
