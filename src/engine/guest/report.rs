//! Telling the host why a container cannot be made.
//!
//! libcontainer passes on only the outermost of its errors ("failed to prepare rootfs") and hands the causes to
//! `tracing`. They are caught there and sent to the host as they come; the host shows the first, which is the
//! innermost, and only when the creation fails. What the executor itself has to say goes the same way.

use std::{
    fmt::Write as _,
    io::IoSlice,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde::{Deserialize, Serialize};
use wasmedge_shim_protocol::{Failure, Reply, cut};

/// What a worker, and the container processes it makes, tell the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report<T> {
    /// Something failed; more may follow.
    Cause {
        /// One line.
        text: String,
        /// Whether it is worded for people and complete, rather than caught from a log.
        plain: bool,
    },
    /// The worker is done.
    Done(T),
}

/// What a worker brings forth: a reply and the file descriptors that go with it.
pub type Finished = Result<(Reply, Vec<OwnedFd>), Failure>;

/// The socket to the host. Copied into every process that the worker makes; each message is one packet.
#[derive(Debug, Clone, Copy)]
pub struct Reporter {
    socket: RawFd,
}

impl Reporter {
    /// Reports go to `socket`, which must stay open in this process and its children.
    pub fn new(socket: &impl AsFd) -> Self {
        Self { socket: socket.as_fd().as_raw_fd() }
    }

    /// Sends a cause. A host that is gone has nobody left to tell.
    pub fn cause(&self, text: &str, plain: bool) {
        self.send(&Report::<()>::Cause { text: cut(one_line(text)), plain }, &[]);
    }

    /// Sends the outcome and the file descriptors that go with it.
    pub fn done(&self, outcome: impl Serialize, fds: &[OwnedFd]) {
        self.send(&Report::Done(outcome), fds);
    }

    fn send(&self, report: &impl Serialize, fds: &[OwnedFd]) {
        let Ok(bytes) = postcard::to_stdvec(report) else { return };
        let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() { &[][..] } else { &rights[..] };
        let _ = sendmsg::<()>(self.socket, &[IoSlice::new(&bytes)], control, MsgFlags::MSG_NOSIGNAL, None);
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// From now on errors that libcontainer logs, and panics, go to `reporter`.
pub fn capture_errors(reporter: Reporter) {
    std::panic::set_hook(Box::new(move |panic| reporter.cause(&format!("internal error: {panic}"), true)));
    // Fails only when called twice in a process.
    let _ = tracing::subscriber::set_global_default(ErrorCapture { reporter });
}

struct ErrorCapture {
    reporter: Reporter,
}

impl tracing::Subscriber for ErrorCapture {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() == tracing::Level::ERROR
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let text = [line.message, line.details].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        self.reporter.cause(&text.join(": "), false);
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
