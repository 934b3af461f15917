//! The first message in each direction, by which the two ends find a version of the messages that both speak.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{Error, FromHost, Result};

/// Newest version of the messages that this program speaks.
///
/// Neighbours talk to each other as long as messages are only added: variants at the end of an enumeration, sent to peers
/// of the version that brought them, and [`FurtherOptions`](crate::FurtherOptions), which are read and sent by those who
/// know them. What else changes a message that exists raises [`OLDEST_PROTOCOL_VERSION`], too.
pub const PROTOCOL_VERSION: u32 = 8;

/// Oldest version of the messages that this program speaks.
pub const OLDEST_PROTOCOL_VERSION: u32 = 6;

/// First message in each direction. All versions can read it: fields are only added, at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The newest version that the sender speaks.
    pub protocol: u32,
    /// The sender's program and version, for people.
    pub program: String,
    /// The oldest version that it speaks. Senders up to version 4 do not say, and speak one version only: 0.
    #[serde(deserialize_with = "zero_where_absent")]
    pub oldest: u32,
}

/// The versions that one end speaks, the first and the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The oldest.
    pub oldest: u32,
    /// The newest.
    pub newest: u32,
}

/// The versions that this program speaks.
const OURS: Versions = Versions { oldest: OLDEST_PROTOCOL_VERSION, newest: PROTOCOL_VERSION };

impl Hello {
    /// The hello of this program, which calls itself `program`.
    pub fn of(program: &str) -> Self {
        Self { protocol: OURS.newest, program: program.to_owned(), oldest: OURS.oldest }
    }

    /// The newest version that the sender and this program speak.
    ///
    /// # Errors
    /// [`Error::Version`] where there is none.
    pub fn common_version(&self) -> Result<u32> {
        let oldest = if self.oldest == 0 { self.protocol } else { self.oldest };
        let theirs = Versions { oldest, newest: self.protocol };
        let program = self.program.chars().filter(|char| !char.is_control()).take(80).collect();
        theirs.common(OURS).ok_or(Error::Version { program, theirs, ours: OURS })
    }
}

impl Versions {
    fn common(self, other: Self) -> Option<u32> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.oldest == self.newest {
            true => write!(f, "{}", self.newest),
            false => write!(f, "{} to {}", self.oldest, self.newest),
        }
    }
}

/// Whether the host's first message is a hello with a version that this program speaks; that version.
pub fn check_hello(message: Option<FromHost>) -> Result<u32> {
    match message {
        Some(FromHost::Hello(hello)) => hello.common_version(),
        Some(_) | None => Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted).into()),
    }
}

fn zero_where_absent<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<u32, D::Error> {
    Ok(u32::deserialize(deserializer).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(oldest: u32, newest: u32) -> Versions {
        Versions { oldest, newest }
    }

    #[test]
    fn neighbours_speak_the_newest_version_that_both_know() {
        assert_eq!(versions(5, 7).common(versions(6, 9)), Some(7));
        assert_eq!(versions(6, 9).common(versions(5, 7)), Some(7));
        assert_eq!(versions(5, 5).common(versions(5, 5)), Some(5));
    }

    #[test]
    fn strangers_speak_none() {
        assert_eq!(versions(5, 6).common(versions(7, 8)), None);
        assert_eq!(versions(7, 8).common(versions(5, 6)), None);
    }

    #[test]
    fn a_hello_of_version_4_is_read_and_its_one_version_named() {
        let bytes = [0, 4, 3, b'o', b'l', b'd'];
        let hello: FromHost = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(hello, FromHost::Hello(Hello { protocol: 4, program: "old".into(), oldest: 0 }));
        let error = check_hello(Some(hello)).unwrap_err();
        assert_eq!(error.to_string(), "old speaks protocol version 4, this program version 6 to 8");
    }

    #[test]
    fn a_program_of_version_4_reads_this_hello() {
        #[derive(Debug, PartialEq, Deserialize)]
        enum Old {
            Hello { protocol: u32, program: String },
        }
        let bytes = postcard::to_stdvec(&FromHost::Hello(Hello::of("new"))).unwrap();
        let read: Old = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(read, Old::Hello { protocol: PROTOCOL_VERSION, program: "new".into() });
    }

    #[test]
    fn ranges_are_named_and_the_program_s_name_is_one_line() {
        let hello = Hello { protocol: 99, program: "x\ny".into(), oldest: 98 };
        let error = hello.common_version().unwrap_err().to_string();
        assert_eq!(error, "xy speaks protocol version 98 to 99, this program version 6 to 8");
    }
}
