//! Why a container cannot be made.
//!
//! libcontainer passes on only the outermost of its errors ("failed to prepare rootfs") and hands the causes to
//! `tracing`. They are caught there. A worker collects them, and those of the processes that it makes: these send texts to
//! the worker, and nothing else is taken from them. The first cause is shown, which is the innermost, and only when
//! the creation fails.

use std::{
    fmt::Write as _,
    io::{self, IoSlice},
    os::fd::{AsRawFd, OwnedFd, RawFd},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI32, Ordering},
    },
};

use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, sendmsg, socketpair},
};
use wasmedge_shim_protocol::{Failure, MAX_TEXT, Reply, cut};

/// What a worker brings forth: a reply and the file descriptors that go with it.
pub type Finished = Result<(Reply, Vec<OwnedFd>), Failure>;

/// Why an init failed that the kernel has killed for want of memory, in runc's words.
pub const INIT_KILLED: &str = "container init was OOM-killed (memory limit too low?)";

/// Most causes that are taken from one process.
const MAX_CAUSES: usize = 64;

const PLAIN: u8 = b'p';
const TRACED: u8 = b't';

/// Where this process sends causes; -1 in a worker, which keeps them.
static SOCKET: AtomicI32 = AtomicI32::new(-1);
static KEPT: Mutex<Kept> = Mutex::new(Kept { plain: None, traced: None });

/// The first cause of each kind.
struct Kept {
    /// Worded for people and complete.
    plain: Option<String>,
    /// Caught from a log.
    traced: Option<String>,
}

/// Tells why something fails, in words for people.
pub fn cause(text: &str) {
    tell(PLAIN, text);
}

fn tell(kind: u8, text: &str) {
    let text = one_line(text);
    match SOCKET.load(Ordering::Relaxed) {
        -1 => keep(kind, text),
        socket => {
            // A worker that is gone has nobody left to tell; one that does not read is not waited for.
            let kind = [kind];
            let parts = [IoSlice::new(&kind), IoSlice::new(text.as_bytes())];
            let _ = sendmsg::<()>(socket, &parts, &[], MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT, None);
        }
    }
}

fn keep(kind: u8, text: String) {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let slot = if kind == PLAIN { &mut kept.plain } else { &mut kept.traced };
    slot.get_or_insert(text);
}

/// One line of at most [`MAX_TEXT`] bytes, without characters that a terminal obeys.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::new();
    for (number, word) in text.split_whitespace().enumerate() {
        if number > 0 {
            line.push(' ');
        }
        for character in word.chars() {
            if character.is_control() { line.extend(character.escape_default()) } else { line.push(character) }
        }
    }
    cut(line)
}

/// Two ends of a socket for causes: a worker's, and that of the processes that it makes.
pub struct Causes {
    ours: OwnedFd,
    theirs: OwnedFd,
}

impl Causes {
    /// A new socket.
    pub fn new() -> io::Result<Self> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok(Self { ours, theirs })
    }

    /// From now on this process sends its causes, and keeps the others' end as this descriptor.
    pub fn send(&self) -> RawFd {
        SOCKET.store(self.theirs.as_raw_fd(), Ordering::Relaxed);
        self.theirs.as_raw_fd()
    }

    /// Keeps what has come; waits for nothing.
    pub fn collect(&self) {
        let mut packet = [0; 1 + MAX_TEXT];
        for _ in 0..MAX_CAUSES {
            match recv(self.ours.as_raw_fd(), &mut packet, MsgFlags::MSG_DONTWAIT) {
                Ok(size @ 2..) => keep(packet[0], one_line(&String::from_utf8_lossy(&packet[1..size]))),
                Ok(0) => return,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }
}

/// Puts the best known cause into a failure.
pub fn explain(failure: Failure) -> Failure {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let message = match (kept.plain.take(), kept.traced.take()) {
        (Some(plain), _) => plain,
        (None, Some(traced)) if !failure.message.contains(&traced) => format!("{}: {traced}", failure.message),
        (None, _) => failure.message,
    };
    Failure::new(failure.kind, one_line(&message))
}

/// From now on errors that libcontainer logs, and panics, are causes.
pub fn capture_errors() {
    std::panic::set_hook(Box::new(|panic| cause(&format!("internal error: {panic}"))));
    // Fails only when called twice in a process.
    let _ = tracing::subscriber::set_global_default(ErrorCapture);
}

struct ErrorCapture;

impl tracing::Subscriber for ErrorCapture {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() == tracing::Level::ERROR
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let text = [line.message, line.details].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        tell(TRACED, &text.join(": "));
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[derive(Default)]
struct Line {
    message: String,
    details: String,
}

impl tracing::field::Visit for Line {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        // Writing to a String cannot fail.
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            let separator = if self.details.is_empty() { "" } else { ", " };
            let _ = write!(self.details, "{separator}{}={value:?}", field.name());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_one_line_of_bounded_length_that_no_terminal_obeys() {
        assert_eq!(one_line("a\nb\t\u{1b}[31mc\r"), "a b \\u{1b}[31mc");
        let long = one_line(&"é".repeat(100_000));
        assert!(long.len() <= MAX_TEXT && long.ends_with("é… (200000 bytes in all)"), "{}", long.len());
        assert_eq!(one_line(&"x".repeat(MAX_TEXT)).len(), MAX_TEXT);
    }
}
