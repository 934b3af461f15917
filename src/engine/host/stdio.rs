//! The standard streams that come with a request.

use std::{fs, io, os::fd::OwnedFd};

use wasmedge_shim_protocol::StdioPresence;

/// The three standard streams, `/dev/null` where none was sent.
pub fn arrange(presence: StdioPresence, fds: Vec<OwnedFd>) -> io::Result<[OwnedFd; 3]> {
    if fds.len() != presence.count() {
        return Err(io::Error::other(format!(
            "{} stdio descriptors were announced, {} came",
            presence.count(),
            fds.len()
        )));
    }
    let mut fds = fds.into_iter();
    let mut stream = |present| match if present { fds.next() } else { None } {
        Some(fd) => Ok(fd),
        None => fs::OpenOptions::new().read(true).write(true).open("/dev/null").map(OwnedFd::from),
    };
    Ok([stream(presence.stdin)?, stream(presence.stdout)?, stream(presence.stderr)?])
}

/// Copies of the streams.
pub fn duplicate(fds: &[OwnedFd; 3]) -> io::Result<[OwnedFd; 3]> {
    let [stdin, stdout, stderr] = fds;
    Ok([stdin.try_clone()?, stdout.try_clone()?, stderr.try_clone()?])
}
