//! One lifecycle: containers are made, used and removed while something may happen to them.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    thread,
    time::{Duration, Instant},
};

use containerd_shim_protos::ttrpc::Code;
use e2e::{
    Kind,
    process::Process,
    shim::{Bundle, Failure, Shim, Streams},
};
use nix::sys::stat::Mode;

use crate::{
    calm::Watch,
    faults,
    hasty::Hasty,
    oracle,
    plan::{Container, Fault, Plan, Step},
    stage::{self, Stage},
};

/// A verb that has no answer after this time hangs.
const ANSWER: Duration = Duration::from_secs(18);

/// A lifecycle under way.
pub struct Lifecycle<'a> {
    /// What it is.
    pub plan: &'a Plan,
    /// Its set-up.
    pub stage: &'a Stage,
    /// What is not as it should be.
    pub findings: Vec<String>,
    /// How many verbs were refused, as was to be expected.
    refused: u64,
    watch: Watch,
}

/// A container of it.
pub struct Member {
    /// The container's id.
    pub id: String,
    /// The bundle, while no shim has taken it.
    pub bundle: Option<Bundle>,
    /// The shim that serves it.
    pub shim: Option<Shim>,
    /// Its pid, since the creation.
    pub pid: Option<u32>,
    /// Its first process, when it was last known.
    pub inits: Vec<Process>,
    terminal: Option<File>,
}

/// What became of a lifecycle.
#[derive(Default)]
pub struct Played {
    /// Whether the fault found its victim.
    pub happened: bool,
    /// Whether nothing happened to it, nor to all of them.
    pub undisturbed: bool,
    /// How many verbs were refused, as was to be expected.
    pub refused: u64,
    /// What is wrong.
    pub findings: Vec<String>,
}

/// Plays a plan to its end.
pub fn play(stage: &Stage, plan: &Plan) -> Played {
    let mut lifecycle = Lifecycle { plan, stage, findings: Vec::new(), refused: 0, watch: Watch::new() };
    let mut members = Vec::new();
    for number in 0..plan.containers.len() {
        match stage.bundle(plan, number) {
            Ok(bundle) => members.push(Member::new(stage, bundle, plan.containers[number])),
            Err(error) => lifecycle.findings.push(format!("making a bundle: {error}")),
        }
    }
    let happened = thread::scope(|scope| {
        let fault = scope.spawn(|| faults::happen(plan));
        lifecycle.live(&mut members);
        fault.join().unwrap_or(false)
    });
    oracle::end(&mut lifecycle, &mut members);
    for member in members {
        stage.remove(&member.id);
    }
    let undisturbed = lifecycle.strict();
    Played { happened, undisturbed, refused: lifecycle.refused, findings: lifecycle.findings }
}

impl Member {
    fn new(stage: &Stage, bundle: Bundle, container: Container) -> Self {
        let id = bundle.id.clone();
        let path = stage.fifo(&id);
        // Open at both ends, so that nobody waits for a reader.
        let open = || {
            nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o600)).ok()?;
            OpenOptions::new().read(true).write(true).custom_flags(nix::libc::O_NONBLOCK).open(&path).ok()
        };
        let terminal = container.terminal.then(open).flatten();
        Self { id, bundle: Some(bundle), shim: None, pid: None, inits: Vec::new(), terminal }
    }

    fn streams(&self, stage: &Stage) -> Streams {
        match self.terminal {
            Some(_) => {
                Streams { stdout: stage.fifo(&self.id).display().to_string(), terminal: true, ..Streams::default() }
            }
            None => Streams::default(),
        }
    }
}

impl Lifecycle<'_> {
    /// Whether what fails now is a finding: nothing has happened to this lifecycle, nor to all of them.
    pub fn strict(&self) -> bool {
        self.plan.fault.is_none() && self.watch.undisturbed()
    }

    /// Whether its programs may have had too little memory.
    pub fn lacks_memory(&self) -> bool {
        matches!(self.plan.fault, Some((Fault::TightContainer, _))) || self.watch.was_tight()
    }

    /// A verb: what it answers, if it succeeds.
    pub fn verb<T>(&mut self, what: &str, call: impl FnOnce() -> Result<T, Failure>) -> Option<T> {
        let begin = Instant::now();
        let result = call();
        if begin.elapsed() > ANSWER {
            self.findings.push(format!("{what}: no answer for {:?}", begin.elapsed()));
        }
        match result {
            Ok(answer) => Some(answer),
            Err((code, message)) => {
                if self.strict() {
                    self.findings.push(format!("{what}: {code:?}: {message}"));
                } else {
                    self.refused += 1;
                }
                None
            }
        }
    }

    fn live(&mut self, members: &mut [Member]) {
        for member in members.iter_mut() {
            let Some(bundle) = member.bundle.take() else { continue };
            match bundle.try_start() {
                Ok(shim) => self.create(member, shim),
                Err((bundle, cause)) => {
                    member.bundle = Some(bundle);
                    if self.strict() {
                        self.findings.push(format!("the start of a shim for {}: {cause}", member.id));
                    }
                }
            }
        }
        for (number, member) in members.iter().enumerate() {
            let Some(shim) = member.shim.as_ref().filter(|_| member.pid.is_some()) else { continue };
            let container = self.plan.containers[number];
            let hasty = self.hasty(number);
            if let Some(mut hasty) = hasty {
                hasty.start(shim);
            }
            let started = self.verb(&format!("Start of {}", member.id), || match hasty {
                Some(_) => allow(shim.start(), &[Code::FAILED_PRECONDITION]),
                None => shim.start().map(Some),
            });
            if started.is_none() {
                continue;
            }
            for (number, step) in container.steps.into_iter().enumerate() {
                // Nothing else can be done with one that is paused.
                let step = if number == 0 && step == Step::StayPaused { Step::Pause } else { step };
                self.step(step, member, container, hasty);
            }
        }
    }

    /// The caller that goes away, if this is what happens, to this container.
    pub fn hasty(&self, number: usize) -> Option<Hasty> {
        let (measure, count) = (self.plan.measure, self.plan.containers.len() as u64);
        let hit = matches!(self.plan.fault, Some((Fault::Deadline, _))) && measure % count == number as u64;
        hit.then(|| Hasty::new(measure / count))
    }

    fn create(&mut self, member: &mut Member, shim: Shim) {
        let streams = member.streams(self.stage);
        let number = member.id.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        if let Some(mut hasty) = self.hasty(number) {
            hasty.create(&shim, &streams);
        }
        let what = format!("Create of {}", member.id);
        if let Some(response) = self.verb(&what, || shim.create_on(&streams)) {
            member.pid = Some(response.pid);
        } else if matches!(self.plan.fault, Some((Fault::Deadline, _))) {
            // Its caller had gone away, but it goes on.
            member.pid = e2e::within(Duration::from_secs(15), || shim.state().ok()).map(|(pid, ..)| pid);
        }
        member.shim = Some(shim);
    }

    fn step(&mut self, step: Step, member: &Member, container: Container, mut hasty: Option<Hasty>) {
        let Some(shim) = &member.shim else { return };
        let what = format!("{step:?} of {}", member.id);
        match step {
            Step::Exec => self.exec(&what, shim, container, hasty),
            Step::ExecAndKill => self.exec_and_kill(&what, shim, container.kind),
            Step::Pause | Step::StayPaused => {
                if let Some(hasty) = &mut hasty {
                    hasty.pause(shim);
                    let _ = shim.resume();
                }
                self.verb(&what, || shim.pause());
                if step == Step::Pause {
                    self.verb(&what, || shim.resume());
                }
            }
            Step::Update => {
                let limits = serde_json::json!({ "cpu": { "shares": 512 }, "pids": { "limit": 64 } });
                self.verb(&what, || shim.update(&limits));
            }
            Step::Rest => thread::sleep(Duration::from_millis(self.plan.measure % 150)),
        }
    }

    fn exec(&mut self, what: &str, shim: &Shim, container: Container, hasty: Option<Hasty>) {
        let words = stage::exiter(container, 42);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let process = shim.bundle().process(&words);
        let exec = format!("exec-{}", container.steps.iter().position(|step| *step == Step::Exec).unwrap_or(0));
        // The second of two has the same name, free again since the deletion of the first.
        if self.verb(what, || shim.exec(&exec, &process, &Streams::default())).is_none() {
            return;
        }
        if let Some(mut hasty) = hasty {
            hasty.start_exec(shim, &exec);
        }
        if self.verb(what, || shim.start_exec(&exec)).is_some() {
            let code = self.verb(what, || shim.wait_for_exec(&exec));
            if code.is_some_and(|code| code != 42) && self.strict() {
                self.findings.push(format!("{what}: exit code {code:?} instead of 42"));
            }
        }
        self.verb(what, || shim.delete_exec(&exec));
    }

    fn exec_and_kill(&mut self, what: &str, shim: &Shim, kind: Kind) {
        let process = shim.bundle().process(&kind.sleeper());
        if self.verb(what, || shim.exec("killed", &process, &Streams::default())).is_none() {
            return;
        }
        if self.verb(what, || shim.start_exec("killed")).is_some() {
            self.verb(what, || shim.kill_exec("killed", 9));
            let code = self.verb(what, || shim.wait_for_exec("killed"));
            if code.is_some_and(|code| code != 137) && self.strict() {
                self.findings.push(format!("{what}: exit code {code:?} instead of 137"));
            }
        }
        self.verb(what, || shim.delete_exec("killed"));
    }
}

/// What a call answers, or nothing where it was refused with one of these codes.
pub fn allow<T>(result: Result<T, Failure>, codes: &[Code]) -> Result<Option<T>, Failure> {
    match result {
        Ok(answer) => Ok(Some(answer)),
        Err((code, _)) if codes.contains(&code) => Ok(None),
        Err(failure) => Err(failure),
    }
}
