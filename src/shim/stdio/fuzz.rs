//! For fuzzing: what output goes to.

use super::uri::Output;

/// A file or program is named absolutely, and a program's arguments are none of them empty.
pub fn log_uris(data: &[u8]) {
    let Ok(uri) = str::from_utf8(data) else { return };
    match Output::parse(uri) {
        Ok(Output::Null) => assert!(uri.is_empty()),
        Ok(Output::Fifo(path)) => assert!(path == uri || path.starts_with('/'), "{path:?}"),
        Ok(Output::File(path)) => assert!(path.is_absolute(), "{path:?}"),
        Ok(Output::Binary(path, args)) => {
            assert!(path.is_absolute() && args.iter().all(|arg| !arg.is_empty()), "{path:?} {args:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
