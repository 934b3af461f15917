//! A caller that goes away before it has an answer, once.

use std::time::Duration;

use containerd_shim_protos::{
    api::{CreateTaskRequest, DeleteRequest, KillRequest, PauseRequest, StartRequest},
    ttrpc::context::{Context, with_duration},
};
use e2e::shim::{Shim, Streams};

/// The verb that is not waited for, and for how long it is.
#[derive(Clone, Copy, Debug)]
pub struct Hasty {
    verb: u64,
    time: Duration,
}

impl Hasty {
    /// By a measure.
    pub fn new(measure: u64) -> Self {
        // Short times meet a verb in its middle, long ones its end.
        let limit = [5, 30, 150, 500][usize::try_from(measure / 6 % 4).unwrap_or(0)];
        Self { verb: measure % 6, time: Duration::from_millis(1 + measure / 24 % limit) }
    }

    fn context(&mut self, verb: u64) -> Option<Context> {
        (self.verb == verb).then(|| with_duration(self.time))
    }

    /// `Create`.
    pub fn create(&mut self, shim: &Shim, streams: &Streams) {
        let bundle = shim.bundle().path("").display().to_string();
        let (stdout, terminal) = (streams.stdout.clone(), streams.terminal);
        let request = CreateTaskRequest { id: shim.id().into(), bundle, stdout, terminal, ..Default::default() };
        if let Some(context) = self.context(0) {
            let _ = shim.client.create(context, &request);
        }
    }

    /// `Start`.
    pub fn start(&mut self, shim: &Shim) {
        if let Some(context) = self.context(1) {
            let _ = shim.client.start(context, &StartRequest { id: shim.id().into(), ..Default::default() });
        }
    }

    /// `Start` of an exec.
    pub fn start_exec(&mut self, shim: &Shim, exec: &str) {
        let request = StartRequest { id: shim.id().into(), exec_id: exec.into(), ..Default::default() };
        if let Some(context) = self.context(2) {
            let _ = shim.client.start(context, &request);
        }
    }

    /// `Pause`.
    pub fn pause(&mut self, shim: &Shim) {
        if let Some(context) = self.context(3) {
            let _ = shim.client.pause(context, &PauseRequest { id: shim.id().into(), ..Default::default() });
        }
    }

    /// `Kill`.
    pub fn kill(&mut self, shim: &Shim) {
        if let Some(context) = self.context(4) {
            let request = KillRequest { id: shim.id().into(), signal: 9, ..Default::default() };
            let _ = shim.client.kill(context, &request);
        }
    }

    /// `Delete`.
    pub fn delete(&mut self, shim: &Shim) {
        if let Some(context) = self.context(5) {
            let _ = shim.client.delete(context, &DeleteRequest { id: shim.id().into(), ..Default::default() });
        }
    }
}
