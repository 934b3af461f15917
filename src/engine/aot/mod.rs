//! Native code for modules, compiled ahead of time: a cache on disk, and the processes that fill it.
//!
//! One module is compiled once per node and engine, however many containers ask: without optimization first, which is
//! soon done, and then as it was asked for, in the background. The compiler is a process without privileges; what it
//! wrote is sealed with a checksum and run by containers only, never by what serves them.

mod builder;
mod compiler;
mod digest;
#[cfg(any(feature = "fuzzing", test))]
pub mod fuzz;
mod identity;
mod key;
mod process;
mod sealed;
mod store;

use std::{
    io,
    thread::sleep,
    time::{Duration, Instant},
};

use wasmedge_shim_protocol::{Aot, AotPolicy, Optimization};

use crate::wasm::code_size;

pub use builder::is_running as compiling;
pub use compiler::compile_apart;
pub use digest::{Layers, sha256};
pub use identity::warm_up;
pub use key::Key;
pub use store::{Entry, InUse, Store};

/// How often somebody who waits for native code looks for it.
const POLL: Duration = Duration::from_millis(2);

/// Bytes of WebAssembly code a second that the compiler gets through without optimization, on a fast and idle machine.
const PACE: u64 = 1_500_000;

/// How a module is read, where it has to be: code that is in the cache is found by the digest alone.
pub type Read<'a> = &'a dyn Fn() -> io::Result<Vec<u8>>;

/// Native code for the module of `key` as `aot` wants it; `None` where it is to be interpreted.
///
/// # Errors
/// Only with [`AotPolicy::Require`]: why there is no native code.
pub fn obtain(store: &Store, aot: &Aot, key: &Key, module: Read<'_>) -> Result<Option<InUse>, String> {
    if aot.policy == AotPolicy::Off {
        return Ok(None);
    }
    if let Some(native) = store.get(key, aot.level) {
        return Ok(Some(native));
    }
    let found = match aot.policy {
        AotPolicy::Tiered => in_tiers(store, aot, key, module),
        _ => at_once(store, aot, key, module),
    };
    match found {
        Err(cause) if aot.policy == AotPolicy::Require => Err(cause),
        Err(cause) => {
            log::warn!("module {} is interpreted: {cause}", key.module);
            Ok(None)
        }
        Ok(found) => Ok(found),
    }
}

/// Lets `module` be compiled as `aot` says, without waiting for it.
///
/// # Errors
/// Why that is not possible.
pub fn obtain_in_background(store: &Store, aot: &Aot, key: &Key, module: Read<'_>) -> Result<(), String> {
    store.set_failure(key, None);
    start(store, key, module, &[aot.level])
}

fn in_tiers(store: &Store, aot: &Aot, key: &Key, module: Read<'_>) -> Result<Option<InUse>, String> {
    let quick = store.get(key, Optimization::O0);
    if store.failure(key).is_some() {
        return Ok(quick);
    }
    let levels = [Optimization::O0, aot.level];
    start(store, key, module, if quick.is_some() { &levels[1..] } else { &levels })?;
    if quick.is_some() {
        return Ok(quick);
    }
    let patience = Duration::from_millis(aot.wait_millis.into());
    // What cannot be there in time is not waited for.
    let code = module().map_or(0, |module| code_size(&module));
    if Duration::from_millis(code * 1000 / PACE) > patience {
        return Ok(None);
    }
    wait(store, key, &levels, Some(Instant::now() + patience))
}

fn at_once(store: &Store, aot: &Aot, key: &Key, module: Read<'_>) -> Result<Option<InUse>, String> {
    // Somebody wants it badly: it is tried again.
    store.set_failure(key, None);
    // The first time, another container's compilation to another level may have been under way.
    for _ in 0..2 {
        start(store, key, module, &[aot.level])?;
        if let Some(native) = wait(store, key, &[aot.level], None)? {
            return Ok(Some(native));
        }
    }
    Err("its compiler was killed".to_owned())
}

fn start(store: &Store, key: &Key, module: Read<'_>, levels: &[Optimization]) -> Result<(), String> {
    builder::start(store, key, module, levels).map_err(|error| format!("cannot start the compiler: {error}"))
}

/// Waits for one of `levels` while somebody compiles.
fn wait(store: &Store, key: &Key, levels: &[Optimization], until: Option<Instant>) -> Result<Option<InUse>, String> {
    loop {
        // In this order: what has ended has left what it made.
        let running = builder::is_running(store, key);
        if let Some(native) = levels.iter().rev().find_map(|level| store.get(key, *level)) {
            return Ok(Some(native));
        }
        if let Some(cause) = store.failure(key) {
            return Err(cause);
        }
        if !running || until.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(None);
        }
        sleep(POLL);
    }
}
