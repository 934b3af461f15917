//! The engine host: one process per node and engine version, parent of all containers.
//!
//! Single-threaded, so that it can fork at any moment. It never does anything that could block or that changes it:
//! a request that takes more than a few system calls is done by a worker, a fork that exits afterwards. The container
//! processes that a worker makes are the host's children (`CLONE_PARENT`), it reaps them and tells their shims.

mod anew;
mod canary;
mod child;
mod confine;
mod connection;
mod containers;
mod deletions;
mod endpoint;
mod event_loop;
mod fork;
mod job;
mod left;
mod listener;
mod metrics;
mod newborns;
mod programs;
mod renew;
mod requests;
mod seal;
mod state;
mod stdio;
mod strays;
mod unpacked;
mod watch;
mod work;
mod worker;

use std::{fs, io::Write, os::fd::AsFd, path::Path, time::Duration};

use anyhow::{Context, Result};
use nix::unistd::{ForkResult, fork, setsid};
use wasmedge_shim_protocol::{Location, ensure_private_dir};

use crate::{aot, guest, journal, wasm};
use confine::Confinement;
pub use job::PATIENCE;
use listener::Listener;
use state::Host;

/// Serves until the process is told to end or has outlived its binary. `socket` is where to listen, `patience` how long most
/// requests may take.
///
/// Standard output, when it is a pipe, gets the line `ready` and is closed once shims can connect.
pub fn serve(location: Location, socket: &Path, engine: &Path, patience: Duration) -> Result<()> {
    seal::run_from_sealed_copy().context("cannot run from a sealed copy of the engine")?;
    unpacked::settle(engine).with_context(|| format!("cannot hold {}", engine.display()))?;
    detach_from_starter().context("cannot become a daemon")?;
    ensure_private_dir(location.root()).with_context(|| format!("cannot use {}", location.root().display()))?;
    fix_lookup_order();
    wasm::warm_up();
    aot::warm_up();
    guest::prepare_seccomp().map_err(anyhow::Error::msg)?;
    guest::prepare_title().context("/proc/self/stat")?;
    journal::keep(&location.log());
    let confinement = Confinement::prepare();
    let listener = Listener::new(socket)?;
    announce_ready().context("cannot announce readiness")?;
    // Loading touched most of the libraries once.
    guest::release_program_pages();
    log::info!("engine host {} with WasmEdge {} listens on {}", std::process::id(), wasm::version(), socket.display());
    let mut host = Host::new(location, listener, engine.to_owned(), confinement, patience)?;
    host.expose_as_before();
    host.run()
}

/// Becomes nobody's child that anybody would have to wait for, in a session of its own.
fn detach_from_starter() -> Result<()> {
    // SAFETY: the process has one thread.
    if let ForkResult::Parent { .. } = unsafe { fork()? } {
        // SAFETY: ends the process; the child goes on with what it had.
        unsafe { libc::_exit(0) }
    }
    setsid()?;
    Ok(())
}

/// Lets the starter go and detaches from what it left us: the log stays, as standard error.
fn announce_ready() -> Result<()> {
    // The starter may be gone already, which is no reason not to serve the others.
    let _ = std::io::stdout().write_all(b"ready\n").and_then(|()| std::io::stdout().flush());
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(null.as_fd())?;
    nix::unistd::dup2_stdout(null.as_fd())?;
    std::env::set_current_dir("/")?;
    Ok(())
}

/// Name lookups of guests are made by glibc in this process's image. They use what is built into libc, whatever the
/// image's `/etc/nsswitch.conf` says: it could name a library of the image.
fn fix_lookup_order() {
    unsafe extern "C" {
        fn __nss_configure_lookup(database: *const libc::c_char, services: *const libc::c_char) -> libc::c_int;
    }
    let files = [c"passwd", c"group", c"shadow", c"services", c"protocols", c"networks", c"netgroup", c"initgroups"];
    let databases = files.into_iter().map(|database| (database, c"files")).chain([(c"hosts", c"files dns")]);
    for (database, services) in databases {
        // SAFETY: both strings are static; the process has one thread.
        if unsafe { __nss_configure_lookup(database.as_ptr(), services.as_ptr()) } != 0 {
            log::warn!("cannot fix the lookup order of {database:?}");
        }
    }
}
