//! strace(1) on a process of the product: its calls fail or wait.

use std::{fs, time::Duration};

use nix::sys::signal::Signal;

use crate::{
    command::{Live, command},
    process::Process,
    within,
};

/// A strace that is attached to a process.
pub struct Tracer(Live);

impl Tracer {
    /// Attaches with these options of strace(1), which say what to inject, and waits for it to be there.
    ///
    /// # Panics
    /// If it is not, after some seconds.
    #[track_caller]
    pub fn attach<'a>(process: &Process, options: impl IntoIterator<Item = &'a str>) -> Self {
        Self::try_attach(process, options).unwrap_or_else(|| panic!("no tracer of process {}", process.pid))
    }

    /// As [`Self::attach`], of a process that may end meanwhile: `None` then.
    pub fn try_attach<'a>(process: &Process, options: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let quiet = ["-qq", "-o", "/dev/null"];
        let tracer = Self(command("strace").args(quiet).args(options).args(["-p", &process.pid.to_string()]).spawn());
        let is_traced = || {
            let status = fs::read_to_string(process.file("status")).ok()?;
            (process.lives() && !status.contains("TracerPid:\t0\n")).then_some(())
        };
        within(Duration::from_secs(5), is_traced).is_some().then_some(tracer)
    }

    /// Lets the process go; whether that was done within some seconds.
    pub fn detach(mut self) -> bool {
        self.0.signal(Signal::SIGINT);
        let ended = self.0.wait(Duration::from_secs(5));
        self.0.end();
        ended
    }
}
