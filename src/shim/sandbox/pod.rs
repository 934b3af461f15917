//! One pod, from its creation to its end.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use anyhow::{Context, Result as Made, ensure};
use tokio::sync::watch;
use wasmedge_shim_protocol::{ExitStatus, Location, Pidfd, Pod};

use super::{
    cgroup,
    config::PodConfig,
    files::Files,
    namespaces::{Held, Wanted},
};
use crate::{
    cgroup::Cgroups,
    error::{Result, TaskError},
};

/// Annotations that are for this runtime.
const PREFIX: &str = "io.wasmedge.";

/// Where a pod belongs.
pub struct Place {
    /// containerd's namespace.
    pub namespace: String,
    /// The sandbox's id.
    pub id: String,
    /// Its bundle.
    pub bundle: PathBuf,
}

/// A pod.
pub struct Sandbox {
    id: String,
    bundle: PathBuf,
    config: PodConfig,
    files: Files,
    state: Mutex<State>,
    /// How it ended, once it has.
    end: watch::Sender<Option<ExitStatus>>,
    created_at: SystemTime,
}

enum State {
    /// Nothing is made.
    Created(Wanted),
    /// Something is being made.
    Starting,
    /// Containers can join.
    Ready { held: Held, cgroups: Vec<PathBuf> },
    /// Nothing is left.
    Stopped,
}

impl Sandbox {
    /// Judges what is wanted; nothing is made.
    ///
    /// # Errors
    /// Says what cannot be had.
    pub fn new(place: Place, config: PodConfig, netns: &str) -> Result<Self> {
        let wanted = Wanted::of(&config, netns).map_err(|error| TaskError::invalid(format!("{error:#}")))?;
        let Place { namespace, id, bundle } = place;
        let files = Files::new(Location::default().sandbox(&namespace, &id));
        let state = Mutex::new(State::Created(wanted));
        let (end, _) = watch::channel(None);
        Ok(Self { id, bundle, config, files, state, end, created_at: SystemTime::now() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes it: files, namespaces, cgroup.
    ///
    /// # Errors
    /// Says what cannot be had; nothing is left then.
    pub fn start(&self) -> Result<()> {
        let wanted = match std::mem::replace(&mut *self.state(), State::Starting) {
            State::Created(wanted) => wanted,
            other => {
                *self.state() = other;
                return Err(TaskError::failed_precondition(format!("sandbox {} was started before", self.id)));
            }
        };
        let made = self.make(wanted);
        let mut state = self.state();
        match made {
            // It was stopped meanwhile.
            Ok(_) if self.end.borrow().is_some() => *state = State::Stopped,
            Ok((held, cgroups)) => {
                *state = State::Ready { held, cgroups };
                return Ok(());
            }
            Err(error) => {
                *state = State::Stopped;
                drop(state);
                self.end(KILLED);
                let left = self.files.remove().err().map(|cause| format!(" (and cleaning up failed: {cause:#})"));
                return Err(TaskError::other(format!("{error:#}{}", left.unwrap_or_default())));
            }
        }
        Err(TaskError::failed_precondition(format!("sandbox {} was stopped", self.id)))
    }

    fn make(&self, wanted: Wanted) -> Made<(Held, Vec<PathBuf>)> {
        self.files.make(&self.config, wanted.ipc, wanted.owner())?;
        let held = Held::make(wanted)?;
        let Some(init) = held.init() else { return Ok((held, Vec::new())) };
        let cgroups = cgroup::hold(self.cgroup_parent(), &self.id, init.pid);
        let cgroups = cgroups.context("cannot make the cgroup of the pod's first process")?;
        self.files.note_cgroups(&cgroups)?;
        ensure!(!init.pidfd.has_ended(), "the pod's first process has ended");
        Ok((held, cgroups))
    }

    fn cgroup_parent(&self) -> &str {
        self.config.linux.as_ref().map_or("", |linux| &linux.cgroup_parent)
    }

    /// The cgroup that holds those of its containers.
    pub fn cgroups(&self) -> Cgroups {
        Cgroups::new(cgroup::parent(self.cgroup_parent()).into_iter().filter(|path| path.exists()).collect())
    }

    /// Whether systemd makes the cgroups of its containers: it is asked for in a slice. containerd before 2.3 passes no options on
    /// in such a pod, which would say so.
    pub fn by_systemd(&self) -> bool {
        let parent = self.cgroup_parent();
        !parent.starts_with('/') && parent.ends_with(".slice")
    }

    /// What its containers share.
    ///
    /// # Errors
    /// Where it is not ready.
    pub fn shared(&self) -> Result<Pod> {
        let state = self.state();
        let State::Ready { held, .. } = &*state else {
            return Err(TaskError::failed_precondition(format!("sandbox {} is not ready", self.id)));
        };
        let ours = self.config.annotations.iter().filter(|(name, _)| name.starts_with(PREFIX));
        let annotations: BTreeMap<_, _> = ours.map(|(name, text)| (name.clone(), text.clone())).collect();
        let pid = held.init().map_or(0, |init| init.pid);
        Ok(Pod { pid, namespaces: held.for_containers(), files: self.files.for_containers(), annotations })
    }

    /// The process id of the pod's first process, and its descriptor.
    pub fn init(&self) -> Option<(u32, std::io::Result<Pidfd>)> {
        let state = self.state();
        let State::Ready { held, .. } = &*state else { return None };
        let init = held.init()?;
        let fd = std::os::fd::AsFd::as_fd(&init.pidfd).try_clone_to_owned();
        Some((init.pid, fd.map(Pidfd::from)))
    }

    /// Whether containers can join.
    pub fn is_ready(&self) -> bool {
        matches!(*self.state(), State::Ready { .. })
    }

    /// Gives up what is held, `code` being how it ended. Containers that still run keep what they have of it.
    ///
    /// # Errors
    /// Names what cannot be removed.
    pub fn stop(&self, code: u32) -> Result<()> {
        let state = std::mem::replace(&mut *self.state(), State::Stopped);
        self.end(code);
        if let State::Ready { held, cgroups } = state {
            drop(held);
            cgroup::remove(&cgroups);
        }
        self.files.unmount().map_err(|error| TaskError::other(format!("{error:#}")))
    }

    /// Removes what is left of a pod that has been stopped.
    ///
    /// # Errors
    /// Names what cannot be removed.
    pub fn remove(&self) -> Result<()> {
        self.files.remove().map_err(|error| TaskError::other(format!("{error:#}")))
    }

    fn end(&self, code: u32) {
        self.end.send_if_modified(|end| {
            let first = end.is_none();
            end.get_or_insert_with(|| ExitStatus::now(code));
            first
        });
    }

    /// How it ended, once it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        *self.end.borrow()
    }

    /// Waits for its end.
    pub async fn wait(&self) -> ExitStatus {
        let mut end = self.end.subscribe();
        let ended = end.wait_for(Option::is_some).await.ok().and_then(|end| *end);
        ended.unwrap_or_else(|| ExitStatus::now(KILLED))
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its bundle.
    pub fn bundle(&self) -> &std::path::Path {
        &self.bundle
    }

    /// When it was created.
    pub fn created_at(&self) -> SystemTime {
        self.created_at
    }

    /// The notes of its containers.
    pub fn files(&self) -> &Files {
        &self.files
    }
}

/// How a pod ends that is not stopped: 128 + SIGKILL.
pub const KILLED: u32 = 137;

/// Removes what a pod's shim has left that is gone.
///
/// # Errors
/// Names what cannot be removed.
pub fn clean_up(files: &Files) -> Made<()> {
    cgroup::remove(&files.cgroups());
    files.remove()
}
