//! TCP for one thread, alike for both: WasmEdge's sockets and `poll_oneoff`, Linux' and poll(2). Nothing blocks but
//! [`poll`]; a call that would says so by `ErrorKind::WouldBlock`.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "wasi")]
mod wasi;

#[cfg(target_os = "linux")]
pub use linux::{Listener, Stream, poll};
#[cfg(target_os = "wasi")]
pub use wasi::{Listener, Stream, poll};

/// What to wait for with one stream.
pub struct Interest<'a> {
    pub stream: &'a Stream,
    pub reading: bool,
    pub writing: bool,
}

/// What has happened.
pub enum Event {
    /// Somebody connects.
    Incoming,
    /// The stream with this index can be read, or has ended.
    Readable(usize),
    /// The stream with this index can be written to.
    Writable(usize),
    /// The stream with this index is of no more use.
    Failed(usize, std::io::Error),
}
