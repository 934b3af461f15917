//! Processes that workers have made, from the report to the table.
//!
//! A worker makes them next to bytes of guests. So nothing is taken from its report that the kernel can be asked: the
//! process is the one behind the descriptor, which has to be a child of this host's that is nobody's yet, and the cgroups
//! are those that it is in.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
};

use anyhow::{Context, Result, bail, ensure};
use wasmedge_shim_protocol::{ContainerKey, Failure, Outcome, Pidfd, PodName, Reply};

use super::{
    child::{self, Kin},
    containers::Container,
    job::Caller,
    state::Host,
};
use crate::{journal::called, noted::Stages, sandbox::MountedCgroups};

/// A container that a worker has made.
pub struct Newborn {
    /// Its name.
    pub key: ContainerKey,
    /// What Kubernetes calls it, as far as its shim knows.
    pub pod: Option<PodName>,
    /// The stages of its creation, where they are traced.
    pub stages: Option<Stages>,
}

/// A process that was checked.
struct Checked {
    pid: i32,
    pidfd: Pidfd,
    /// The terminal's master, if there is one.
    master: Option<OwnedFd>,
}

impl Checked {
    /// What its shim is sent.
    fn descriptors(&self) -> Result<Vec<OwnedFd>> {
        let copies = [Some(self.pidfd.as_fd()), self.master.as_ref().map(AsFd::as_fd)];
        let copies: std::io::Result<_> = copies.into_iter().flatten().map(|fd| fd.try_clone_to_owned()).collect();
        copies.context("cannot pass on its descriptors")
    }
}

impl Host {
    /// Takes a new container in, for whoever asked for it; whether there is one now.
    pub(super) fn finish_create(
        &mut self,
        Newborn { key, pod, stages }: Newborn,
        caller: Caller,
        outcome: Outcome,
        fds: Vec<OwnedFd>,
    ) -> bool {
        let Ok(Reply::Created(created)) = &outcome else {
            self.reply(caller, outcome, Vec::new());
            return false;
        };
        let cgroups = created.cgroups.clone();
        let checked = self.check(created.pid, fds).and_then(|newborn| {
            let pid = newborn.pid;
            ensure!(child::kin(&newborn.pidfd)? == Kin::Living, "the init of {key}, process {pid}, has ended");
            self.check_cgroups(pid, &cgroups)?;
            Ok((newborn.descriptors()?, newborn))
        });
        match (checked, caller) {
            // Its creation has failed for the shim, and whoever cleaned up after a dead one may have found nothing yet.
            (Ok(_), Caller::Shim { connection, .. }) if !self.is_connected(connection) => {
                log::info!("{} is removed again, its shim is gone", called(&key, pod.as_ref()));
                self.start_delete(Caller::Nobody, key, None);
            }
            (Ok((copies, newborn)), Caller::Shim { connection: owner, .. }) => {
                let (Checked { pid, pidfd, .. }, late_hooks) = (newborn, created.late_hooks);
                self.containers
                    .insert(key, Container { pid, pidfd, status: None, owner, cgroups, pod, stages, late_hooks });
                self.watch_process(pid);
                self.reply(caller, outcome, copies);
                return true;
            }
            (Ok(_), Caller::Nobody) => self.start_delete(caller, key, None),
            (Err(error), _) => self.start_delete(caller, key, Some(Failure::internal(format!("{error:#}")))),
        }
        false
    }

    pub(super) fn finish_exec(&mut self, key: ContainerKey, caller: Caller, outcome: Outcome, fds: Vec<OwnedFd>) {
        let (Ok(Reply::Executed(pid)), Caller::Shim { connection, .. }) = (&outcome, caller) else {
            self.telling.counts.execs_failed += 1;
            return self.reply(caller, outcome, Vec::new());
        };
        match self.check(*pid, fds).and_then(|newborn| Ok((newborn.descriptors()?, newborn))) {
            Ok((copies, Checked { pid, pidfd, .. })) => {
                self.telling.counts.execs += 1;
                if !self.is_connected(connection) {
                    // Nobody would ever know of it.
                    let _ = pidfd.send_signal(libc::SIGKILL);
                }
                self.reply(caller, outcome, copies);
                // It may have ended by now: its end comes after the answer.
                self.containers.insert_program(key, pid, pidfd, connection);
                self.watch_process(pid);
            }
            Err(error) => {
                self.telling.counts.execs_failed += 1;
                self.reply(caller, Err(Failure::internal(format!("{error:#}"))), Vec::new());
            }
        }
    }

    /// The process behind the first of `fds`, of which its worker says that it has the id `claimed`.
    fn check(&self, claimed: u32, fds: Vec<OwnedFd>) -> Result<Checked> {
        let mut fds = fds.into_iter();
        let pidfd = fds.next().context("the worker has sent no descriptor of the process that it made")?;
        let master = fds.next();
        ensure!(fds.next().is_none(), "the worker has sent more descriptors than there are");
        let kin = child::kin(&pidfd).context("the worker has sent another descriptor than a process's")?;
        ensure!(kin != Kin::Stranger, "the process that the worker has reported is no child of this host");
        let pid = child::pid(&pidfd)?.context("the process that the worker has made is gone")?;
        if self.containers.has_process(pid) || self.worker_of(pid).is_some() {
            bail!("the worker has reported process {pid}, which is another's");
        }
        let pidfd = Pidfd::from(pidfd);
        if pid.unsigned_abs() != claimed {
            // Nobody's, so nobody would end it.
            let _ = pidfd.send_signal(libc::SIGKILL);
            bail!("the worker has made process {pid} and reported process {claimed}");
        }
        Ok(Checked { pid, pidfd, master })
    }

    /// Whether the container's init is in these cgroups, and this host is not.
    fn check_cgroups(&mut self, init: i32, cgroups: &[PathBuf]) -> Result<()> {
        // The table of mounts grows with the containers, the hierarchies in it hardly ever change.
        if let Some(mounted) = &self.mounted
            && mounted.foreign(init, cgroups)?.is_none()
        {
            return Ok(());
        }
        let mounted = MountedCgroups::read().context("cannot read the table of mounts")?;
        if let Some(foreign) = mounted.foreign(init, cgroups)? {
            bail!("the worker has reported {}, which is no cgroup of the container's alone", foreign.display());
        }
        self.mounted = Some(mounted);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        host::{PATIENCE, confine::Confinement, listener::Listener},
        sandbox::MountedCgroups,
    };
    use std::process::{Child, Command};
    use wasmedge_shim_protocol::{ExitStatus, Location};

    /// A host without shims. Its socket is gone with the directory.
    fn host() -> (tempfile::TempDir, Host) {
        let directory = tempfile::tempdir().unwrap();
        let listener = Listener::new(&directory.path().join("host.sock")).unwrap();
        let engine = directory.path().join("engine");
        let host = Host::new(Location::new(directory.path()), listener, engine, Confinement::none(), PATIENCE);
        (directory, host.unwrap())
    }

    fn sleeper() -> (Child, u32, OwnedFd) {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let (pid, pidfd) = (child.id(), descriptor(child.id().cast_signed()));
        (child, pid, pidfd)
    }

    fn descriptor(pid: i32) -> OwnedFd {
        Pidfd::open(pid).unwrap().as_fd().try_clone_to_owned().unwrap()
    }

    fn end(mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn refused(host: &Host, claimed: u32, fds: Vec<OwnedFd>) -> String {
        format!("{:#}", host.check(claimed, fds).err().expect("it is refused"))
    }

    // Regression test for S1: a forged report named another pod's process, which the host then killed as its own.
    #[test]
    fn a_report_is_believed_only_about_a_child_that_is_nobody_s_yet() {
        let (_directory, mut host) = host();
        let (child, pid, pidfd) = sleeper();
        let copy = || pidfd.try_clone().unwrap();
        assert_eq!(host.check(pid, vec![copy()]).unwrap().pid, pid.cast_signed());
        assert!(host.check(pid, vec![copy(), copy()]).unwrap().master.is_some());
        assert!(refused(&host, pid, vec![]).contains("no descriptor"));
        assert!(refused(&host, pid, vec![copy(), copy(), copy()]).contains("more descriptors"));
        let parent = 1;
        let stranger = refused(&host, parent, vec![descriptor(parent.cast_signed())]);
        assert!(stranger.contains("no child of this host"), "{stranger}");
        let file = std::fs::File::open("/dev/null").unwrap().into();
        assert!(refused(&host, pid, vec![file]).contains("another descriptor"));
        let key = ContainerKey { namespace: "default".into(), id: "bystander".into() };
        host.containers.insert_program(key, pid.cast_signed(), copy().into(), 0);
        assert!(refused(&host, pid, vec![copy()]).contains("another's"));
        host.containers.ended(pid.cast_signed(), ExitStatus::now(0)).unwrap();
        assert!(refused(&host, pid + 1, vec![copy()]).contains(&format!("has made process {pid}")));
        // Nobody's process does not run on.
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&{ child }.wait().unwrap()), Some(libc::SIGKILL));
        assert!(refused(&host, pid, vec![copy()]).contains("no child of this host"));
    }

    // Regression test for S1: it named another pod's cgroups as well, whose processes were killed with the container.
    #[test]
    fn cgroups_are_believed_only_if_the_process_is_in_them_and_the_host_is_not() {
        let (_directory, mut host) = host();
        let (child, pid, _) = sleeper();
        let pid = pid.cast_signed();
        host.check_cgroups(pid, &[]).unwrap();
        let mounted = MountedCgroups::read().unwrap();
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        let shared = ["memory", "freezer", ""].iter().find_map(|name| mounted.directory_with(&own, name)).unwrap();
        for forged in
            [shared.as_path(), "/sys/fs/cgroup".as_ref(), &shared.join("other"), &shared.join(".."), "/".as_ref()]
        {
            let error = host.check_cgroups(pid, &[forged.to_owned()]).unwrap_err().to_string();
            assert!(error.contains("is no cgroup of the container's alone"), "{error}");
        }
        end(child);
    }
}
