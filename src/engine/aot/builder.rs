//! Filling the cache: a process that goes on without whoever asked, waits for its turn and lets a compiler work.
//!
//! What it does before it reports costs the asker time, all else does not: it enters the compilers' cgroup, so that even the
//! module's bytes are charged there, reads the module, and decides by its size and by who asks how much of it is earned.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

use nix::{
    fcntl::{Flock, FlockArg},
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use wasmedge_shim_protocol::{Aot, Optimization};

use super::{
    Asker, bounds, cgroup,
    compiler::{Failed, compile_apart},
    key::Key,
    module::Module,
    notes, priority, process,
    queue::{Queue, Ticket},
    store::Store,
    tally::Ended,
    tenant::Tenant,
};
use crate::wasm::{Features, code_size};

/// Whose turn it is to compile.
pub const QUEUE: &str = "queue";

/// How long a module must have run to earn a compilation, and how often that is looked at, while nothing is known.
const EARNED: (Duration, u32) = (Duration::from_millis(500), 20);

/// After which time a builder gives its place in the queue up.
const TURN: Duration = Duration::from_secs(3600);

/// How often a builder looks whether another one has made what it waits for.
const ANOTHER_COMPILES: Duration = Duration::from_millis(100);

/// How often a lock is tried to be had, and after which pause: who only looks has it for a moment.
const LOCKING: (u32, Duration) = (5, Duration::from_millis(2));

/// How long an asker waits for a builder's report. What takes longer is no small module, or this is a busy node.
const REPORT: Duration = Duration::from_secs(2);

/// Bytes of code for each unit of a tenant's allowance.
const UNIT: u64 = 2 << 20;

/// A wish for native code.
#[derive(Clone, Copy)]
pub struct Order<'a> {
    /// Where it goes.
    pub store: &'a Store,
    /// As the runtime's options and the container's annotations have it.
    pub aot: &'a Aot,
    /// What it is for.
    pub key: &'a Key,
    /// The same as bytes.
    pub module: Module<'a>,
    /// Whose wish it is.
    pub asker: &'a Asker<'a>,
    /// One after the other.
    pub levels: &'a [Optimization],
    /// Why it should be fulfilled.
    pub claim: Claim,
}

/// What a compilation is earned by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Nothing yet: a tenant has an allowance for the first level, and the rest is for what goes on running.
    New,
    /// It is not the first start.
    Again,
    /// Somebody waits for it, as long as it takes.
    Waiting,
    /// Somebody cannot run without the first level and waits for that. The rest is for what goes on running.
    Needed,
}

/// What a builder reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// It compiles, or waits for its turn, and is soon done.
    Soon,
    /// The same, but it takes a while.
    Eventually,
    /// Too much waits already.
    Full,
    /// It said nothing; why is in the notes of failures or in the log.
    Nothing,
}

const REPORTS: [(u8, Begun); 3] = [(b's', Begun::Soon), (b'e', Begun::Eventually), (b'f', Begun::Full)];

/// Makes a builder, and waits for its report.
pub fn start(order: Order<'_>) -> io::Result<Begun> {
    let (report, reporter) = io::pipe()?;
    let kept: Vec<_> = order.module.descriptor().into_iter().chain([reporter.as_raw_fd()]).collect();
    process::detach(&kept, || {
        if let Err(error) = order.fulfil(reporter) {
            log::warn!("module {}: no native code: {error}", order.key.module);
        }
    })?;
    // The writer is gone here, with what the builder was made of: its end is the report's.
    hear(report)
}

fn hear(mut report: io::PipeReader) -> io::Result<Begun> {
    let mut fds = [PollFd::new(report.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(REPORT).unwrap_or(PollTimeout::MAX);
    if poll(&mut fds, timeout)? == 0 {
        return Ok(Begun::Eventually);
    }
    let mut byte = [0];
    let count = report.read(&mut byte)?;
    let begun = REPORTS.iter().find(|(letter, _)| count == 1 && *letter == byte[0]);
    Ok(begun.map_or(Begun::Nothing, |(_, begun)| *begun))
}

/// Whether somebody compiles `key`, or a builder of this tenant is about to: it alone has its turn when the tenant has.
pub fn is_running(store: &Store, key: &Key, tenant: Tenant) -> bool {
    let is_taken = |kind: &str| {
        let Ok(file) = store.note(kind, key).and_then(File::open) else { return false };
        Flock::lock(file, FlockArg::LockSharedNonblock).is_err()
    };
    // In this order: a builder takes the second before it leaves the first.
    is_taken(&waits(tenant)) || is_taken(COMPILES)
}

/// The lock of who compiles a module, and that of a tenant's builder from its beginning to its end.
const COMPILES: &str = "lock";

fn waits(tenant: Tenant) -> String {
    format!("{COMPILES}-{tenant}")
}

impl Order<'_> {
    /// What the builder does.
    fn fulfil(self, reporter: io::PipeWriter) -> io::Result<()> {
        let bounds = bounds::of_all(self.aot);
        priority::first_to_be_killed();
        if let Err(error) = cgroup::join(bounds)
            && notes::first("no-cgroup")
        {
            log::warn!("compilers are not all bounded together on this node: {error}");
        }
        let Some(lock) = KeyLock::take(self.store, &waits(self.asker.tenant), self.key)? else {
            // Somebody else was faster.
            self.tell(reporter, Begun::Eventually);
            return Ok(());
        };
        let module = self.read(bounds.memory)?;
        let soon = bounds::is_soon_done(&module, self.aot);
        self.store.tally().bounds(self.store.size(), bounds.processors);
        let queue = self.queue(QUEUE, bounds)?;
        let new = self.claim == Claim::New;
        if new && !(soon && self.can_afford(&module)?) {
            self.tell(reporter, Begun::Eventually);
            // While it watches others may compile it.
            drop(lock);
            return if self.earns(&module, bounds)? { self.compile_all(&queue, &module) } else { Ok(()) };
        }
        let Some(ticket) = queue.join(self.asker.tenant, module.len() as u64)? else {
            self.tell(reporter, Begun::Full);
            return Ok(());
        };
        let worth_waiting = soon || matches!(self.claim, Claim::Waiting | Claim::Needed);
        self.tell(reporter, if worth_waiting { Begun::Soon } else { Begun::Eventually });
        let first_only = new || self.claim == Claim::Needed;
        let (now, later) = self.levels.split_at(if first_only { 1 } else { self.levels.len() });
        let compiled = self.compile(&queue, ticket, &module, now)?;
        drop(lock);
        if compiled && !later.is_empty() && self.earns(&module, bounds)? {
            return self.compile_all(&queue, &module);
        }
        Ok(())
    }

    /// The asker goes on; from here on this process is in nobody's way.
    fn tell(&self, mut reporter: io::PipeWriter, begun: Begun) {
        if let Some((letter, _)) = REPORTS.iter().find(|(_, one)| *one == begun) {
            // Whoever asked may be gone.
            let _ = reporter.write_all(&[*letter]);
        }
        if let Some(fd) = self.module.descriptor() {
            // SAFETY: this process's own copy, which it has read. Held longer, the container's root could not be unmounted.
            unsafe { libc::close(fd) };
        }
        priority::low();
    }

    fn read(&self, memory: u64) -> io::Result<Vec<u8>> {
        let refuse = |cause: String| {
            self.store.failures().add(self.key, &Failed::Verdict(cause.clone()));
            io::Error::other(cause)
        };
        // Its code alone takes many times as much.
        let module = self.module.read(memory / 8).map_err(|error| refuse(error.to_string()))?;
        // What is compiled for a digest must be what has it, whoever writes to the file meanwhile.
        if Key::of(&module, self.key.features) != *self.key {
            return Err(io::Error::other("the module was changed at this moment"));
        }
        let takes = bounds::estimate(code_size(&module));
        if takes > memory {
            let (takes, memory) = (takes >> 20, memory >> 20);
            return Err(refuse(format!("compiling it takes about {takes} MiB, all compilers may have {memory}")));
        }
        Ok(module)
    }

    /// One tenant cannot have each of a row of new modules compiled.
    fn can_afford(&self, module: &[u8]) -> io::Result<bool> {
        let cost = code_size(module).div_ceil(UNIT).max(1);
        self.store.history().afford(self.asker.tenant, cost, self.aot.new_per_minute)
    }

    /// Whether the module goes on running. Of those that wait for that the number is bounded, as is what they hold in memory.
    fn earns(&self, module: &[u8], bounds: cgroup::Bounds) -> io::Result<bool> {
        let Some(lasts) = self.asker.lasts else { return Ok(false) };
        let Some(_watch) = KeyLock::take(self.store, "watch", self.key)? else { return Ok(false) };
        let watched = self.queue("watched", bounds)?;
        let Some(_place) = watched.join(self.asker.tenant, module.len() as u64)? else { return Ok(false) };
        for _ in 0..EARNED.1 {
            sleep(EARNED.0);
            if let Some(lasts) = lasts() {
                return Ok(lasts);
            }
        }
        Ok(false)
    }

    /// Compiles to all levels, unless another builder of the tenant's does.
    fn compile_all(&self, queue: &Queue, module: &[u8]) -> io::Result<()> {
        let Some(_lock) = KeyLock::take(self.store, &waits(self.asker.tenant), self.key)? else { return Ok(()) };
        if let Some(ticket) = queue.join(self.asker.tenant, module.len() as u64)? {
            self.compile(queue, ticket, module, self.levels)?;
        }
        Ok(())
    }

    /// Compiles to `levels`, each in its turn; whether there is native code at all of them.
    fn compile(&self, queue: &Queue, ticket: Ticket, module: &[u8], levels: &[Optimization]) -> io::Result<bool> {
        let mut ticket = Some(ticket);
        for level in levels {
            if self.store.get(self.key, *level).is_some() {
                continue;
            }
            let place = match ticket.take() {
                Some(ticket) => ticket,
                // What is next has to wait like all others.
                None => match queue.join(self.asker.tenant, module.len() as u64)? {
                    Some(ticket) => ticket,
                    None => return Ok(false),
                },
            };
            if !self.compile_in_turn(queue, place, module, *level)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Compiles to `level` when it is this ticket's turn; whether there is native code then. What several tenants wait for is
    /// made by the one whose turn comes first, so that nobody waits behind another's modules.
    fn compile_in_turn(&self, queue: &Queue, place: Ticket, module: &[u8], level: Optimization) -> io::Result<bool> {
        let begin = Instant::now();
        let is_there = || self.store.get(self.key, level).is_some();
        while let Some(slot) = queue.wait(&place, || begin.elapsed() < TURN && !is_there())? {
            if let Some(_lock) = KeyLock::take(self.store, COMPILES, self.key)? {
                drop(place);
                let _slot = slot;
                return Ok(is_there() || self.compile_one(module, level));
            }
            // Somebody compiles it at this moment, and has a slot for that.
            drop(slot);
            sleep(ANOTHER_COMPILES);
        }
        Ok(is_there())
    }

    fn compile_one(&self, module: &[u8], level: Optimization) -> bool {
        let Self { store, key, asker, .. } = *self;
        let begin = Instant::now();
        let made = compile_apart(module, key.features, level).and_then(|mut native| {
            let put = store.put(key, level, asker.tenant, &mut native);
            put.map_err(|error| Failed::Verdict(error.to_string()))
        });
        let ended = match &made {
            Ok(()) => Ended::Done,
            Err(Failed::Verdict(_)) => Ended::Failed,
            Err(_) => Ended::Killed,
        };
        store.tally().compiled(level, ended, begin.elapsed());
        match made {
            Ok(()) => {
                let variant = if key.features == Features::default() { "" } else { " (other features)" };
                let millis = begin.elapsed().as_millis();
                log::info!("module {} was compiled at {level}{variant} in {millis} ms", key.module);
                store.failures().forget(key);
                true
            }
            Err(failed) => {
                log::warn!("module {}: no native code at {level}: {failed}", key.module);
                store.failures().add(key, &failed);
                false
            }
        }
    }

    fn queue(&self, name: &str, bounds: cgroup::Bounds) -> io::Result<Queue> {
        let slots = u32::try_from(bounds.processors).unwrap_or(u32::MAX);
        Ok(Queue::new(&self.store.notes()?.join(name), slots, bounds.memory / 4))
    }
}

/// Says of a module that somebody is at work. The file goes with it; left behind by the dead it is swept away later.
struct KeyLock {
    path: PathBuf,
    _lock: Flock<File>,
}

impl KeyLock {
    /// `None` where somebody else has it.
    fn take(store: &Store, kind: &str, key: &Key) -> io::Result<Option<Self>> {
        let path = store.note(kind, key)?;
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        let mut locked = Flock::lock(file, FlockArg::LockExclusiveNonblock);
        for _ in 1..LOCKING.0 {
            let Err((file, _)) = locked else { break };
            sleep(LOCKING.1);
            locked = Flock::lock(file, FlockArg::LockExclusiveNonblock);
        }
        let Ok(lock) = locked else { return Ok(None) };
        // Who had it before has removed the file meanwhile.
        if lock.metadata()?.nlink() == 0 {
            return Ok(None);
        }
        Ok(Some(Self { path, _lock: lock }))
    }
}

impl Drop for KeyLock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
