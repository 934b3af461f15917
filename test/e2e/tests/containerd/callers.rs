//! Callers that give up, an engine host that does not answer, shims that share what they should not: what was begun ends,
//! and is told.

mod deadlines;
mod descriptors;
mod pods;
mod shims;
mod silence;
mod sockets;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, Instant},
};

use containerd_shim_protos::{
    api::{CreateTaskRequest, DeleteRequest, ShutdownRequest, StartRequest},
    ttrpc::context::{Context, with_duration},
};
use e2e::{
    Kind, Scene,
    shim::{Bundle, Shim, Streams},
};

/// Numbers of `containerd.types.Status`.
const CREATED: i32 = 1;
const RUNNING: i32 = 2;
const STOPPED: i32 = 3;
const PAUSED: i32 = 4;

/// Calls whose callers do not wait long; each must fail.
struct Hasty<'a>(&'a Shim);

fn haste() -> Context {
    with_duration(Duration::from_millis(300))
}

impl Hasty<'_> {
    fn create(&self) {
        let bundle = self.0.bundle().path("").display().to_string();
        let request = CreateTaskRequest { id: self.0.id().into(), bundle, ..Default::default() };
        self.0.client.create(haste(), &request).expect_err("a Create without an answer");
    }

    fn start(&self, exec: &str) {
        let request = StartRequest { id: self.0.id().into(), exec_id: exec.into(), ..Default::default() };
        self.0.client.start(haste(), &request).expect_err("a Start without an answer");
    }

    fn delete(&self) {
        let request = DeleteRequest { id: self.0.id().into(), ..Default::default() };
        self.0.client.delete(haste(), &request).expect_err("a Delete without an answer");
    }

    fn shut_down(&self) {
        let request = ShutdownRequest { id: self.0.id().into(), ..Default::default() };
        self.0.client.shutdown(haste(), &request).expect_err("a Shutdown without an answer");
    }
}

/// What `call` returns, and panics unless that is soon.
#[track_caller]
fn quick<T>(what: &str, call: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let result = call();
    let (took, limit) = (begin.elapsed(), e2e::patient(Duration::from_millis(1500)));
    assert!(took < limit, "{what} took {took:?}");
    result
}

/// A container whose shim serves others of the pod `group` as well.
fn member(scene: &Scene, kind: Kind, group: &str) -> Bundle {
    let bundle = scene.bundle(kind, &kind.sleeper());
    bundle.configure(|spec| spec["annotations"]["io.kubernetes.cri.sandbox-id"] = group.into());
    bundle
}

/// Standard output that a program takes which is ready after some seconds only.
fn slow_logger(scene: &Scene, seconds: u32) -> Streams {
    let path = scene.directory().join(format!("logger-{seconds}"));
    program(&path, &format!("sleep {seconds}; exec 5>&-; exec cat <&3 >/dev/null"));
    Streams { stdout: format!("binary://{}", path.display()), ..Streams::default() }
}

/// Writes a shell script that can be run.
fn program(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).expect("writing a script");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("making a script executable");
}
