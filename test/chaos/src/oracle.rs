//! After a fault: each container is in a state that is known, can be removed, and leaves nothing.

use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use containerd_shim_protos::ttrpc::Code;
use e2e::{
    engine,
    process::Process,
    shim::{Failure, Shim},
    within,
};

use crate::{
    calm::Watch,
    faults::shims,
    hasty::Hasty,
    lifecycle::{Lifecycle, Member},
    plan::Fault,
};

/// Numbers of `containerd.types.Status`.
const CREATED: i32 = 1;
const RUNNING: i32 = 2;
const STOPPED: i32 = 3;
const PAUSED: i32 = 4;

/// Exit codes after SIGABRT and SIGSEGV, of which a program may die that gets no memory.
const ABORTED: u32 = 134;
const CRASHED: u32 = 139;

/// How long anything may take while others are disturbed.
const LIMIT: Duration = Duration::from_secs(40);

/// Ends a lifecycle, and notes what is not as it should be.
pub fn end(lifecycle: &mut Lifecycle, members: &mut [Member]) {
    for (number, member) in members.iter_mut().enumerate() {
        let inits: Vec<_> = member.pid.iter().filter_map(|pid| Process::of(pid.cast_signed())).collect();
        if let Some(shim) = &member.shim {
            end_task(lifecycle, shim, lifecycle.hasty(number));
        }
        member.inits = inits;
    }
    let ids: Vec<String> = members.iter().map(|member| member.id.clone()).collect();
    end_shims(lifecycle, members, &ids);
    for member in members.iter_mut() {
        clean_up(lifecycle, member);
        let left = || Some(left_of(member)).filter(Vec::is_empty);
        if within(Duration::from_secs(5), left).is_none() {
            lifecycle.findings.push(format!("left of {}: {}", member.id, left_of(member).join(", ")));
        }
    }
}

/// Repeats a call until it succeeds; what fails while nobody is disturbed is a finding.
fn insist<T>(lifecycle: &mut Lifecycle, what: &str, mut call: impl FnMut() -> Result<T, Failure>) -> Option<T> {
    let begin = Instant::now();
    loop {
        let watch = Watch::new();
        match call() {
            Ok(answer) => return Some(answer),
            Err((code, message)) if watch.undisturbed() || begin.elapsed() > LIMIT => {
                let time = begin.elapsed();
                lifecycle.findings.push(format!("{what} fails after {time:?}: {code:?}: {message}"));
                return None;
            }
            Err(_) => sleep(Duration::from_millis(100)),
        }
    }
}

/// Whether a shim answers no more because it was killed.
fn is_dead(lifecycle: &Lifecycle, shim: &Shim) -> bool {
    let killed = matches!(lifecycle.plan.fault, Some((Fault::KillShim, _))) && !lifecycle.plan.long_lived;
    killed && shim.state().is_err_and(|(code, _)| code == Code::UNKNOWN)
}

fn end_task(lifecycle: &mut Lifecycle, shim: &Shim, mut hasty: Option<Hasty>) {
    if is_dead(lifecycle, shim) {
        return;
    }
    let id = shim.id().to_owned();
    let state = insist(lifecycle, &format!("State of {id}"), || known(shim.state()));
    let Some(Some((pid, status, _))) = state else { return };
    let init = Process::of(pid.cast_signed());
    let state_is_true = |status: i32| match status {
        CREATED | RUNNING | PAUSED => init.as_ref().is_some_and(Process::lives),
        STOPPED => init.as_ref().is_none_or(|init| !init.lives()),
        _ => false,
    };
    // The shim may be about to hear of an end.
    let now = || shim.state().map(|(_, status, _)| status).unwrap_or(STOPPED);
    if !state_is_true(status) && within(Duration::from_secs(5), || state_is_true(now()).then_some(())).is_none() {
        lifecycle.findings.push(format!("{id} has the status {status}, its process {pid} is {init:?}"));
    }
    if let Some(hasty) = &mut hasty {
        hasty.kill(shim);
    }
    insist(lifecycle, &format!("Kill of {id}"), || known(settled(shim.kill(9))));
    if now() == PAUSED {
        insist(lifecycle, &format!("Resume of {id}"), || known(settled(shim.resume())));
    }
    let begin = Instant::now();
    let code = insist(lifecycle, &format!("Wait for {id}"), || known(shim.wait()));
    if let Some(Some(code)) = code
        && ![0, 1, 137, 255].contains(&code)
        && !([ABORTED, CRASHED].contains(&code) && lifecycle.lacks_memory())
    {
        lifecycle.findings.push(format!("{id} ended with {code} after {:?}", begin.elapsed()));
    }
    if let Some(hasty) = &mut hasty {
        hasty.delete(shim);
    }
    insist(lifecycle, &format!("Delete of {id}"), || known(shim.delete()));
}

/// Gone is a state as well.
fn known<T>(result: Result<T, Failure>) -> Result<Option<T>, Failure> {
    crate::lifecycle::allow(result, &[Code::NOT_FOUND])
}

/// What is refused as the task has ended meanwhile.
fn settled(result: Result<(), Failure>) -> Result<(), Failure> {
    crate::lifecycle::allow(result, &[Code::FAILED_PRECONDITION]).map(drop)
}

/// The shims of a lifecycle end when they have no task any more.
fn end_shims(lifecycle: &mut Lifecycle, members: &mut [Member], ids: &[String]) {
    for member in members.iter_mut() {
        if let Some(shim) = &mut member.shim {
            shim.shut_down();
            shim.leave_alone();
        }
    }
    // Events are kept for containerd for some seconds.
    if within(Duration::from_secs(20), || shims(ids).is_empty().then_some(())).is_none() {
        for shim in shims(ids) {
            lifecycle.findings.push(format!("a shim does not end: {} ({})", shim.command, shim.pid));
            shim.kill();
        }
    }
}

/// What containerd runs when a shim is gone.
fn clean_up(lifecycle: &mut Lifecycle, member: &mut Member) {
    let id = member.id.clone();
    let bundle = member.shim.as_ref().map(Shim::bundle).or(member.bundle.as_ref());
    let Some(command) = bundle.map(|bundle| bundle.shim_command("delete")) else { return };
    insist(lifecycle, &format!("clean-up of {id}"), || match command.try_finish() {
        Ok(finished) if finished.code == 0 => Ok(()),
        Ok(finished) => Err((Code::INTERNAL, finished.to_string())),
        Err(finished) => Err((Code::DEADLINE_EXCEEDED, finished.to_string())),
    });
}

/// What still has the name of a container, or is its process.
fn left_of(member: &Member) -> Vec<String> {
    let mut left = Vec::new();
    let state = engine::state_of(&member.id);
    left.extend(state.exists().then(|| state.display().to_string()));
    for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
        let cgroup = hierarchy.path().join("default").join(&member.id);
        left.extend(cgroup.exists().then(|| cgroup.display().to_string()));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    left.extend(mounts.lines().filter(|line| line.contains(&member.id)).map(|line| format!("mount {line}")));
    let alive = member.inits.iter().filter(|init| init.lives());
    left.extend(alive.map(|init| format!("process {} ({})", init.pid, init.command)));
    left
}
