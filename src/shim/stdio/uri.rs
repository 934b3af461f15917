//! What containerd names as a process's output: a FIFO, a file, or a program that takes it (containerd, `pkg/cio`,
//! `docs/runtime-v2.md`, "Logging").

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use crate::error::{Result, TaskError};

/// Where output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Nowhere.
    Null,
    /// A FIFO that containerd or a client reads.
    Fifo(String),
    /// A file to append to.
    File(PathBuf),
    /// A logging program and its arguments.
    Binary(PathBuf, Vec<String>),
}

impl Output {
    /// What `uri` means; a plain path is a FIFO.
    ///
    /// # Errors
    /// For a scheme that is not known.
    pub fn parse(uri: &str) -> Result<Self> {
        if uri.is_empty() {
            return Ok(Self::Null);
        }
        let Some((scheme, rest)) = uri.split_once("://") else { return Ok(Self::Fifo(uri.to_owned())) };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = percent_decode_str(path).decode_utf8_lossy().into_owned();
        if !path.starts_with('/') {
            return Err(TaskError::invalid(format!("{uri}: the path must be absolute")));
        }
        match scheme {
            "fifo" => Ok(Self::Fifo(path)),
            "file" => Ok(Self::File(path.into())),
            "binary" => {
                let pairs = form_urlencoded::parse(query.as_bytes());
                // A key alone is an argument by itself.
                let words = pairs.flat_map(|(key, value)| [key.into_owned(), value.into_owned()]);
                Ok(Self::Binary(path.into(), words.filter(|word| !word.is_empty()).collect()))
            }
            other => Err(TaskError::invalid(format!("{uri}: output to \"{other}\" is not supported"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_path_is_a_fifo_and_nothing_is_nothing() {
        assert_eq!(Output::parse("/run/a b").unwrap(), Output::Fifo("/run/a b".into()));
        assert_eq!(Output::parse("").unwrap(), Output::Null);
    }

    #[test]
    fn files_and_programs_are_named_by_their_scheme() {
        assert_eq!(Output::parse("file:///var/log/a%20b.log").unwrap(), Output::File("/var/log/a b.log".into()));
        assert_eq!(
            Output::parse("binary:///bin/logger?--to=a%26b&-v").unwrap(),
            Output::Binary("/bin/logger".into(), ["--to", "a&b", "-v"].map(str::to_owned).to_vec())
        );
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        assert!(Output::parse("npipe:///x").unwrap_err().to_string().contains("\"npipe\""));
        assert!(Output::parse("file://relative").unwrap_err().to_string().contains("absolute"));
    }
}
