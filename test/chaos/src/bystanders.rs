//! Containers to which nothing is done, and which nothing may harm.

use std::time::Duration;

use e2e::{
    Kind,
    process::Process,
    shim::{Failure, Shim, Streams},
    within,
};

use crate::{
    faults::shims,
    stage::{LONG_LIVED, Stage},
};

const RUNNING: i32 = 2;

/// Lone ones of each kind, and a pod whose shim serves lifecycles as well.
const ALL: [(&str, Kind, bool); 4] = [
    ("chaos-lone-wasm", Kind::Wasm, false),
    ("chaos-lone-linux", Kind::Linux, false),
    ("chaos-long-lived-0", Kind::Linux, true),
    ("chaos-long-lived-1", Kind::Wasm, true),
];

/// Those that run.
pub struct Bystanders {
    all: Vec<(Kind, Shim, Process)>,
    execs: u32,
}

impl Bystanders {
    /// Starts them.
    pub fn new(stage: &Stage) -> Self {
        let start = |(id, kind, in_pod)| {
            let shim = stage.bystander(id, kind, in_pod).start();
            shim.create().unwrap_or_else(|failure| panic!("creating {id}: {failure:?}"));
            let pid = shim.start().unwrap_or_else(|failure| panic!("starting {id}: {failure:?}"));
            let init = Process::of(pid.cast_signed()).unwrap_or_else(|| panic!("{id} has ended"));
            (kind, shim, init)
        };
        Self { all: ALL.into_iter().map(start).collect(), execs: 0 }
    }

    /// What is wrong with them: each must run as before, and run a program that is asked for.
    pub fn check(&mut self) -> Vec<String> {
        self.execs += 1;
        let exec = format!("check-{}", self.execs);
        let check = |(kind, shim, init): &(Kind, Shim, Process)| {
            let cause = match exit_code(shim, *kind, &exec) {
                Ok((RUNNING, 42)) if init.lives() => return None,
                Ok((status, code)) => format!("status {status}, exit code {code} instead of 42, init {init:?}"),
                Err((code, message)) => format!("{code:?}: {message}"),
            };
            Some(format!("bystander {}: {cause}", shim.id()))
        };
        self.all.iter().filter_map(check).collect()
    }

    /// Ends them: what does not go as it should.
    pub fn end(mut self) -> Vec<String> {
        let mut findings = self.check();
        for (_, shim, init) in &self.all {
            let ended = shim.kill(9).and_then(|()| shim.wait()).and_then(|code| shim.delete().map(|_| code));
            if !matches!(ended, Ok(137)) || init.lives() {
                findings.push(format!("the end of bystander {}: {ended:?}", shim.id()));
            }
        }
        self.all.iter().for_each(|(_, shim, _)| shim.shut_down());
        let ids: Vec<String> = self.all.iter().map(|(_, shim, _)| shim.id().to_owned()).collect();
        if within(Duration::from_secs(15), || shims(&ids).is_empty().then_some(())).is_none() {
            findings.push("shims of bystanders do not end".into());
        }
        findings
    }

    /// The shim that lives on.
    pub fn long_lived(&self) -> Option<Process> {
        shims(&[format!("{LONG_LIVED}-0")]).into_iter().next()
    }
}

/// A container's status, and the exit code of a program in it that ends with 42.
fn exit_code(shim: &Shim, kind: Kind, exec: &str) -> Result<(i32, u32), Failure> {
    let words = kind.exiter(42);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    shim.exec(exec, &shim.bundle().process(&words), &Streams::default())?;
    let code = shim.start_exec(exec).and_then(|_| shim.wait_for_exec(exec));
    // It is removed in any case.
    let deleted = shim.delete_exec(exec);
    let (code, (_, status, _)) = (code?, shim.state()?);
    deleted.map(|_| (status, code))
}
