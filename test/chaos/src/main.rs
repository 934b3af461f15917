//! Thousands of lifecycles of containers, some with a fault at a random moment. After each, every container must be in a
//! known state and removable, and nothing of it left; bystanders must not notice; memory and descriptors must not grow.
//!
//! README.md beside this has the settings, which are environment variables, and how to read a finding.

mod bystanders;
mod calm;
mod faults;
mod hasty;
mod lifecycle;
mod oracle;
mod plan;
mod settings;
mod slopes;
mod stage;
mod tally;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use e2e::{Scene, leaks::Snapshot, process::Process, within};

use bystanders::Bystanders;
use lifecycle::Played;
use plan::{Fault, Plan};
use settings::Settings;
use stage::Stage;
use tally::Tally;

/// After so many findings the rest tells no more.
const ENOUGH: u64 = 20;

/// The number of the first lifecycle that does not count.
const WARM_UP: u64 = 900_000;

fn main() -> ExitCode {
    let settings = Settings::from_environment();
    println!("{settings}");
    // It requires the node, waits for its services and warms them up.
    drop(Scene::new());
    let mut tally = Tally::default();
    let mut before = Snapshot::settled();
    let stage = Stage::new();
    run(&settings, &stage, &mut tally);
    drop(stage);
    // containerd and Docker find each other again when it has been restarted.
    compare(&mut before, &["-1 process wasmedge-engine"], &mut tally);
    match tally.close(&settings.name) {
        true => ExitCode::SUCCESS,
        false => {
            println!("{}: FAILED, again with {settings}; {}", settings.name, e2e::node::hint());
            ExitCode::FAILURE
        }
    }
}

/// All lifecycles, in batches: between them nothing is under way, so what is there can be counted.
fn run(settings: &Settings, stage: &Stage, tally: &mut Tally) {
    let mut bystanders = Bystanders::new(stage);
    // What a host and a shim set up once is no leak.
    let quiet = Settings { faults: 0, ..settings.clone() };
    batch(&quiet, stage, &(WARM_UP..WARM_UP + 4).collect::<Vec<_>>(), &Mutex::default());
    let mut before = Snapshot::settled();
    let begin = Instant::now();
    let mut next = settings.first;
    let (mut host, mut kills) = (faults::host(), 0);
    while next < settings.first + settings.lifecycles
        && settings.seconds.is_none_or(|seconds| begin.elapsed() < Duration::from_secs(seconds))
        && tally.bad() < ENOUGH
    {
        let end = (next + settings.batch).min(settings.first + settings.lifecycles);
        let sum = Mutex::new(std::mem::take(tally));
        batch(settings, stage, &(next..end).collect::<Vec<_>>(), &sum);
        *tally = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
        next = end;
        tally.found(&host_changed(&mut host, &mut kills, tally));
        tally.found(&bystanders.check());
        compare(&mut before, &[], tally);
        tally.sample(faults::host().as_ref(), bystanders.long_lived().as_ref());
    }
    tally.found(&bystanders.end());
}

/// A host that was not killed must be the same as before: of all else it must not die.
fn host_changed(host: &mut Option<Process>, kills: &mut u64, tally: &Tally) -> Vec<String> {
    let (before, killed) = (host.take(), tally.faults(Fault::KillHost) > *kills);
    (*host, *kills) = (faults::host(), tally.faults(Fault::KillHost));
    let died = before.as_ref().filter(|before| !before.lives() && !killed);
    died.map(|before| format!("the engine host {} died, and nobody had killed it", before.pid)).into_iter().collect()
}

/// Plays some lifecycles, several at a time.
fn batch(settings: &Settings, stage: &Stage, numbers: &[u64], tally: &Mutex<Tally>) {
    let next = AtomicU64::new(0);
    let play = || {
        while let Some(number) =
            numbers.get(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX))
        {
            let plan = Plan::new(settings.seed, *number, settings.faults, spared(settings, *number));
            let played = catch_unwind(AssertUnwindSafe(|| lifecycle::play(stage, &plan)));
            let panicked =
                || Played { findings: vec!["the lifecycle panicked, see above".into()], ..Played::default() };
            let played = played.unwrap_or_else(|_| panicked());
            tally.lock().unwrap_or_else(PoisonError::into_inner).add(&plan, &played);
        }
    };
    thread::scope(|scope| {
        for _ in 0..settings.parallel {
            scope.spawn(play);
        }
    });
}

/// The second half of a run has one host, so that its memory can be followed for long.
fn spared(settings: &Settings, number: u64) -> &'static [Fault] {
    let late = number >= settings.first + settings.lifecycles.div_ceil(2);
    if late { &[Fault::KillHost] } else { &[] }
}

/// Waits until the node holds no more than before, and notes what it holds more, or less but for what was `ended`: once, as
/// it is there `before` what comes next.
fn compare(before: &mut Snapshot, ended: &[&str], tally: &mut Tally) {
    let mut differences = Vec::new();
    within(Duration::from_secs(15), || {
        differences = before.differences(&Snapshot::take());
        differences.retain(|what| !what.contains("/engine.log") && !ended.iter().any(|one| what.starts_with(one)));
        differences.is_empty().then_some(())
    });
    tally.left(&differences);
    if !differences.is_empty() {
        *before = Snapshot::settled();
    }
}
