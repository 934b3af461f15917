//! Letting a created container go.

use std::io;

use wasmedge_shim_protocol::{ContainerKey, Failure, FailureKind, Location, Pidfd, Reply};

use super::{hooks, state::State};

/// Starts the container. Takes no longer than a few system calls.
pub fn start(location: &Location, key: &ContainerKey) -> Result<Reply, Failure> {
    match State::new(location, key).notify_start() {
        Ok(()) => Ok(Reply::Started),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Failure::new(FailureKind::NotFound, format!("there is no container {key}")))
        }
        Err(error) => Err(Failure::internal(format!("the init of {key} does not wait to be started: {error}"))),
    }
}

/// Starts the container and runs the hooks that are due then; if one fails the container is ended, as runc does.
pub fn start_with_hooks(location: &Location, key: &ContainerKey) -> Result<Reply, Failure> {
    let record = State::new(location, key).record();
    let record = record.map_err(|error| Failure::internal(format!("its late hooks are not known: {error:#}")))?;
    let started = start(location, key)?;
    let Some((record, init)) = record.and_then(|record| Some((record.clone(), record.init?))) else {
        return Ok(started);
    };
    if let Err(cause) = hooks::run(key, &record.bundle, hooks::Moment::Started(init.pid)) {
        if let Ok(pidfd) = Pidfd::open(init.pid)
            && init.exists()
        {
            // It may have ended by now, which is what is wanted.
            let _ = pidfd.send_signal(libc::SIGKILL);
        }
        return Err(Failure::internal(cause));
    }
    Ok(started)
}
