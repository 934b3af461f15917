//! Notes that the node keeps until its next reboot, so that what is the same each time is told once.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt};

use wasmedge_shim_protocol::{Location, ensure_private_dir};

/// Whether this is the first time that somebody asks for `what`.
pub fn first(what: &str) -> bool {
    let directory = Location::default().aot();
    let path = directory.join(format!("told-{what}"));
    // Where no note can be made it is told again.
    let made = ensure_private_dir(&directory)
        .and_then(|()| OpenOptions::new().write(true).create_new(true).mode(0o600).open(path));
    !made.is_err_and(|error| error.kind() == std::io::ErrorKind::AlreadyExists)
}
