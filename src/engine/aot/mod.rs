//! Native code for modules, compiled ahead of time: a cache on disk, and the processes that fill it.
//!
//! One module is compiled once per node and engine, however many containers ask, and only if it has earned it: by a second
//! start, by going on to run, or by somebody who insists. A tenant has an allowance of small modules that are compiled at
//! their first start. What is compiled waits for its turn, as all compilers together have bounds. The compiler is a process
//! without privileges; what it wrote is sealed with a checksum and run by containers only, never by what serves them.

mod bounds;
mod builder;
mod cell;
mod cgroup;
mod compiler;
mod digest;
mod failures;
mod filter;
#[cfg(any(feature = "fuzzing", test))]
pub mod fuzz;
mod history;
mod identity;
mod key;
mod module;
mod notes;
mod priority;
mod process;
mod queue;
mod sealed;
mod store;
mod tally;
mod tenant;
mod waiting;

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use wasmedge_shim_protocol::{Aot, AotPolicy, Optimization};

use crate::noted;
use crate::wasm::{initial_memory_in, interpreted_size_in, most_interpreted_size, too_large};
use builder::{Begun, Claim, Order};
use queue::Queue;
use waiting::while_compiling;

pub use builder::is_running as compiling;
pub use compiler::compile_apart;
pub use digest::{Layers, sha256};
pub use key::Key;
pub use module::Module;
pub use store::{Entry, InUse, Store};
pub use tally::{Ended, Totals};
pub use tenant::Tenant;
pub use waiting::WAITS_FOR_COMPILER;

/// How often somebody who waits for native code looks for it: at first, and after a while.
const POLL: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(25));

/// How long a first start waits at least.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

/// Largest module that somebody who only waits reads to see how long that takes, in bytes.
const READ: u64 = 64 << 20;

/// How long a start that cannot do without native code tries to get a place in the queue, and how often.
const JOINING: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(1));

/// How often such a start begins anew, and after which pause: what was under way was for another level, or was given up.
const ATTEMPTS: (u32, Duration) = (4, Duration::from_millis(100));

/// Why there is no native code: there is no place in the queue, or a compiler did not come to its end.
const FULL: &str = "too many modules wait to be compiled";
const KILLED: &str = "its compiler was killed, or could not be made";
const LATER: &str = "it is still being compiled, try again later";

/// Who asks, and for whose module.
pub struct Asker<'a> {
    /// To whom compilers and the cache are charged.
    pub tenant: Tenant,
    /// Whether what runs the module still does, asked some time after its start; `None` where that is not known yet. None
    /// at all where it cannot be known.
    pub lasts: Option<&'a dyn Fn() -> Option<bool>>,
    /// Bytes of memory that whatever runs the module leaves it.
    pub room: u64,
}

/// Whether a module of so many bytes can be interpreted in `room` bytes, whatever is in it.
pub fn fits_interpreted(bytes: u64, room: u64) -> bool {
    most_interpreted_size(bytes) <= room
}

/// Does once what every fork of this process would have to do otherwise.
pub fn warm_up() {
    identity::warm_up();
    cgroup::prepare();
}

/// Native code for the module of `key` as `aot` wants it; `None` where it is to be interpreted.
///
/// # Errors
/// Why there is no native code, where it has to be: with [`AotPolicy::Require`], and with [`AotPolicy::Tiered`] for a module
/// that takes more memory to be interpreted than it may have.
pub fn obtain(
    store: &Store,
    aot: &Aot,
    key: &Key,
    module: Module<'_>,
    asker: &Asker<'_>,
) -> Result<Option<InUse>, String> {
    if aot.policy == AotPolicy::Off {
        return Ok(None);
    }
    if let Some(native) = store.get(key, aot.level) {
        noted::looked_up(true);
        return Ok(Some(native));
    }
    let order = Order { store, aot, key, module, asker, levels: &[aot.level], claim: Claim::Waiting };
    let found = match aot.policy {
        AotPolicy::Tiered => in_tiers(order),
        _ => at_once(order),
    };
    match found {
        Err(cause) if aot.policy == AotPolicy::Require => Err(cause),
        Err(cause) if aot.policy == AotPolicy::Tiered => without(order, cause),
        Err(cause) => {
            log::warn!("module {} is interpreted: {cause}", key.module);
            Ok(None)
        }
        Ok(found) => Ok(found),
    }
}

/// Compilers of the node: how many are at work, and how many modules wait for their turn.
pub fn compilers(store: &Store) -> (usize, usize) {
    store.notes().map_or((0, 0), |notes| Queue::new(&notes.join(builder::QUEUE), 0, 0).counts())
}

/// Lets `module` be compiled for the node's people as `aot` says, without waiting for it.
///
/// # Errors
/// Why that is not possible.
pub fn obtain_in_background(store: &Store, aot: &Aot, key: &Key, module: Module<'_>) -> Result<(), String> {
    store.failures().forget(key);
    let asker = Asker { tenant: Tenant::ADMIN, lasts: None, room: u64::MAX };
    start(Order { store, aot, key, module, asker: &asker, levels: &[aot.level], claim: Claim::Waiting }).map(drop)
}

fn in_tiers(order: Order<'_>) -> Result<Option<InUse>, String> {
    let Order { store, aot, key, .. } = order;
    let quick = store.get(key, Optimization::O0);
    noted::looked_up(quick.is_some());
    // Where nothing can be remembered nothing is earned.
    let again = store.notes().is_ok() && store.history().started_before(key).unwrap_or(false) || quick.is_some();
    let needed = quick.is_none() && interpreting(order).is_some_and(|takes| takes.comfortably > order.asker.room);
    match store.failures().get(key) {
        Some(cause) if needed => return Err(cause),
        Some(_) => return Ok(quick),
        None => {}
    }
    let levels = [Optimization::O0, aot.level];
    let levels = if quick.is_some() || aot.level == Optimization::O0 { &levels[1..] } else { &levels };
    let claim = match () {
        () if needed => Claim::Needed,
        () if again => Claim::Again,
        () => Claim::New,
    };
    let order = Order { levels, claim, ..order };
    if needed {
        // Whoever executes a program in a container holds the container meanwhile, which may end.
        let is_exec = order.asker.lasts.is_none();
        let until = is_exec.then(|| Instant::now() + Duration::from_millis(aot.wait_millis.into()));
        return insist(order, JOINING.0, until).map(Some);
    }
    let begun = start(order)?;
    if quick.is_some() || begun != Begun::Soon {
        return Ok(quick);
    }
    while_compiling(|| wait(order, levels, Some(Instant::now() + patience(order))))
}

/// How long a first start waits that could go without: six times what the compiler takes on an idle machine, at least
/// [`LEAST_PATIENCE`]. Other modules may be compiled before, and for a small one that is not worth much.
fn patience(Order { module, aot, .. }: Order<'_>) -> Duration {
    let compiling = bounds::without_optimization(module.size().unwrap_or_default());
    (6 * compiling).max(LEAST_PATIENCE).min(Duration::from_millis(aot.wait_millis.into()))
}

/// Bytes of memory that interpreting a module takes.
struct Interpreting {
    /// With what it runs in.
    comfortably: u64,
    /// Less would not do.
    least: u64,
}

/// What interpreting the module takes, where that may be more than there is.
fn interpreting(order: Order<'_>) -> Option<Interpreting> {
    let Order { module, asker, .. } = order;
    if module.size().is_ok_and(|size| fits_interpreted(size, asker.room)) {
        return None;
    }
    // What is here already is compiled for nobody who runs.
    let Module::File(file) = module else { return None };
    let least = interpreted_size_in(file).ok()?;
    let comfortably = least.saturating_add(least / 8).saturating_add(initial_memory_in(file).ok()?);
    Some(Interpreting { comfortably, least })
}

/// What becomes of a module that has no native code for this `cause`: it is interpreted, unless there is not room enough.
fn without(order: Order<'_>, cause: String) -> Result<Option<InUse>, String> {
    let room = order.asker.room;
    match interpreting(order).filter(|takes| takes.least > room) {
        Some(Interpreting { least, .. }) => Err(format!("{}; {cause}", too_large(least, room))),
        None => {
            log::warn!("module {} is interpreted: {cause}", order.key.module);
            Ok(None)
        }
    }
}

fn at_once(order: Order<'_>) -> Result<Option<InUse>, String> {
    let Order { store, key, .. } = order;
    noted::looked_up(false);
    // Somebody wants it badly: it is tried again.
    store.failures().forget(key);
    insist(order, Duration::ZERO, None).map(Some)
}

/// Native code at one of the order's levels, however long it takes, unless that is longer than `until`. A place in the queue is
/// tried to be had for so long. Of those who wait so the number is bounded, for each tenant and for all.
fn insist(order: Order<'_>, joining: Duration, until: Option<Instant>) -> Result<InUse, String> {
    let begin = Instant::now();
    let notes = order.store.notes().map_err(|error| error.to_string())?;
    let place = Queue::new(&notes.join("askers"), 1, u64::MAX).join(order.asker.tenant, 0);
    let _place = place.map_err(|error| error.to_string())?.ok_or(FULL)?;
    for _ in 0..ATTEMPTS.0 {
        while start(order)? == Begun::Full {
            if begin.elapsed() >= joining {
                return Err(FULL.to_owned());
            }
            sleep(JOINING.1);
        }
        if let Some(native) = while_compiling(|| wait(order, order.levels, until))? {
            return Ok(native);
        }
        if until.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(LATER.to_owned());
        }
        sleep(ATTEMPTS.1);
    }
    Err(KILLED.to_owned())
}

fn start(order: Order<'_>) -> Result<Begun, String> {
    if builder::is_running(order.store, order.key, order.asker.tenant) {
        if order.claim == Claim::Needed {
            return Ok(Begun::Soon);
        }
        // Of another's compilation as much is known as its module tells.
        let soon = |module: Vec<u8>| bounds::is_soon_done(&module, order.aot);
        let soon = order.module.read(READ).is_ok_and(soon);
        return Ok(if soon { Begun::Soon } else { Begun::Eventually });
    }
    builder::start(order).map_err(|error| format!("cannot start the compiler: {error}"))
}

/// Waits for one of `levels` while somebody compiles.
fn wait(order: Order<'_>, levels: &[Optimization], until: Option<Instant>) -> Result<Option<InUse>, String> {
    let Order { store, key, asker, .. } = order;
    let mut pause = POLL.0;
    loop {
        // In this order: what has ended has left what it made.
        let running = builder::is_running(store, key, asker.tenant);
        if let Some(native) = levels.iter().rev().find_map(|level| store.get(key, *level)) {
            return Ok(Some(native));
        }
        if let Some(cause) = store.failures().get(key) {
            return Err(cause);
        }
        if !running || until.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(None);
        }
        sleep(pause);
        pause = (pause + POLL.0 / 20).min(POLL.1);
    }
}
