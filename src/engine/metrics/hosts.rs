//! Asking the hosts of the node, each on its own socket.

use std::path::{Path, PathBuf};

use wasmedge_shim_protocol::{
    Channel, Error, FromHost, Hello, Location, Peer, Reply, Request, ToHost, check_hello, check_peer,
};

use super::HostReport;

/// The version of the messages that brought [`Request::Report`].
const TELLS: u32 = 8;

/// What a host has said.
#[derive(Debug)]
pub enum Answer {
    /// Its report.
    Report(Box<HostReport>),
    /// It has none: its process id, and why.
    Silent(i32, String),
}

/// Asks all hosts that listen beneath `location`, but for the one at `but`. `program` is who asks.
///
/// # Errors
/// A socket that cannot be used: its path and the cause. A host that is gone is none.
pub fn ask_all(location: &Location, but: Option<&Path>, program: &str) -> Vec<Result<Answer, (PathBuf, Error)>> {
    let sockets = location.hosts().into_iter().filter(|socket| Some(&**socket) != but);
    let answers = sockets.filter_map(|socket| match ask(&socket, program) {
        Ok(answer) => Some(Ok(answer)),
        Err(Error::Io(error)) if is_gone(&error) => None,
        Err(error) => Some(Err((socket, error))),
    });
    answers.collect()
}

fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused)
}

fn ask(socket: &Path, program: &str) -> Result<Answer, Error> {
    let channel = Channel::open(socket, program)?;
    let Peer { pid, .. } = check_peer(&channel)?;
    let silent = |error| match error {
        Error::Io(io) if io.kind() == std::io::ErrorKind::WouldBlock => Error::Silent { pid: Some(pid) },
        error => error,
    };
    let hello = channel.recv::<FromHost>().map_err(silent)?.map(|received| received.message);
    let theirs = match &hello {
        Some(FromHost::Hello(Hello { program, .. })) => {
            program.chars().filter(|char| !char.is_control()).take(80).collect()
        }
        _ => String::new(),
    };
    if check_hello(hello)? < TELLS {
        return Ok(Answer::Silent(pid, format!("{theirs} does not tell")));
    }
    channel.send(&ToHost::Request { id: 1, request: Request::Report }, &[])?;
    match channel.recv::<FromHost>().map_err(silent)?.map(|received| received.message) {
        Some(FromHost::Reply { outcome: Ok(Reply::Reported(text)), .. }) => Ok(match serde_json::from_str(&text) {
            Ok(report) => Answer::Report(Box::new(report)),
            Err(error) => Answer::Silent(pid, format!("{theirs} is not understood: {error}")),
        }),
        Some(FromHost::Reply { outcome: Err(failure), .. }) => Ok(Answer::Silent(pid, failure.to_string())),
        Some(_) => Ok(Answer::Silent(pid, format!("{theirs} has answered something else"))),
        None => Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted).into()),
    }
}
