//! One container through its life, each step one request to containerd.

use std::cell::OnceCell;

use anyhow::{Context, Result, ensure};
use containerd_client::services::v1::container::Runtime;
use containerd_client::services::v1::snapshots::{PrepareSnapshotRequest, RemoveSnapshotRequest};
use containerd_client::services::v1::{
    Container as Record, CreateContainerRequest, CreateTaskRequest, DeleteContainerRequest, DeleteProcessRequest,
    DeleteTaskRequest, ExecProcessRequest, KillRequest, StartRequest, WaitRequest,
};
use containerd_client::types::Mount;
use nix::sys::signal::Signal;
use prost_types::Any;

use crate::containerd::{Answer, Containerd, request};
use crate::fifos::{Fifos, Output};
use crate::image::{self, Image};
use crate::spec::{self, Process};
use crate::subject::Subject;

const SPEC_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
const PROCESS_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";

/// A subject whose image has been looked up.
#[derive(Clone, Debug)]
pub struct Recipe {
    pub subject: Subject,
    image: Image,
    expected: OnceCell<String>,
}

impl Recipe {
    /// Looks the image up; without arguments of its own the subject takes the image's.
    pub async fn new(containerd: &Containerd, mut subject: Subject) -> Result<Self> {
        let image = image::resolve(containerd, &subject.image).await?;
        if subject.args.is_empty() {
            subject.args = image.args.clone();
        }
        let expected = subject.expected_output().map_or_else(OnceCell::new, OnceCell::from);
        Ok(Self { subject, image, expected })
    }

    /// The same with an annotation more.
    pub fn with_annotation(&self, key: &str, value: &str) -> Self {
        Self { subject: self.subject.with_annotation(key, value), ..self.clone() }
    }

    /// Checks what a task has printed.
    pub fn check(&self, output: &Output) -> Result<()> {
        let Output { stdout, stderr, .. } = output;
        ensure!(!stdout.is_empty(), "it printed nothing; on stderr: {stderr:?}");
        let expected = self.expected.get_or_init(|| stdout.clone());
        ensure!(stdout == expected, "it printed {stdout:?} instead of {expected:?}; on stderr: {stderr:?}");
        Ok(())
    }
}

/// A container: a snapshot, containerd's record, FIFOs, and a task from [`Container::create`] to [`Container::delete`].
/// Dropping it deletes nothing in containerd: what is left after an error is swept at the end of the run.
#[derive(Debug)]
pub struct Container<'a> {
    containerd: &'a Containerd,
    id: String,
    mounts: Vec<Mount>,
    fifos: Fifos,
}

impl<'a> Container<'a> {
    /// Prepares the snapshot and the record. The record keeps containerd's garbage collector off the snapshot; until it
    /// is there, the snapshot's own label does.
    pub async fn prepare(containerd: &'a Containerd, recipe: &Recipe, id: String) -> Result<Self> {
        let snapshot = PrepareSnapshotRequest {
            snapshotter: containerd.snapshotter.clone(),
            key: id.clone(),
            parent: recipe.image.snapshot.clone(),
            labels: [("containerd.io/gc.root".to_owned(), jiff::Timestamp::now().to_string())].into(),
        };
        let snapshot =
            containerd.snapshots().prepare(request(snapshot)).await.doing("preparing the snapshot of its image")?;
        let record = CreateContainerRequest { container: Some(record(containerd, recipe, &id)?) };
        containerd.containers().create(request(record)).await.doing("creating the container's record")?;
        let fifos = Fifos::new(&id)?;
        Ok(Self { containerd, id, mounts: snapshot.mounts, fifos })
    }

    /// Creates the task: the shim starts, the sandbox is made. Returns the pid of the container's init.
    pub async fn create(&self) -> Result<u32> {
        let create = CreateTaskRequest {
            container_id: self.id.clone(),
            rootfs: self.mounts.clone(),
            stdout: self.fifos.stdout(),
            stderr: self.fifos.stderr(),
            ..Default::default()
        };
        Ok(self.containerd.tasks().create(request(create)).await.doing("creating the task")?.pid)
    }

    /// Starts the task.
    pub async fn start(&self) -> Result<()> {
        let start = StartRequest { container_id: self.id.clone(), ..Default::default() };
        self.containerd.tasks().start(request(start)).await.doing("starting the task")?;
        Ok(())
    }

    /// Waits for the exit; returns the exit code. Clients ask before they start the task.
    pub async fn wait(&self) -> Result<u32> {
        let wait = WaitRequest { container_id: self.id.clone(), ..Default::default() };
        Ok(self.containerd.tasks().wait(request(wait)).await.doing("waiting for the task")?.exit_status)
    }

    /// Sends a signal.
    pub async fn kill(&self, signal: Signal) -> Result<()> {
        let kill = KillRequest { container_id: self.id.clone(), signal: signal as u32, ..Default::default() };
        self.containerd.tasks().kill(request(kill)).await.doing("killing the task")?;
        Ok(())
    }

    /// Deletes the task, and with it the shim; returns the exit code, as the shim tells it again.
    pub async fn delete(&self) -> Result<u32> {
        let delete = DeleteTaskRequest { container_id: self.id.clone() };
        Ok(self.containerd.tasks().delete(request(delete)).await.doing("deleting the task")?.exit_status)
    }

    /// Runs another program in the container to its end, which must come with exit code 0.
    pub async fn exec(&self, args: &[String]) -> Result<Output> {
        let id = format!("{}-exec", self.id);
        let fifos = Fifos::new(&id)?;
        let program = serde_json::to_vec(&spec::program(args, &[], "/")).context("writing the program")?;
        let exec = ExecProcessRequest {
            container_id: self.id.clone(),
            exec_id: id.clone(),
            stdout: fifos.stdout(),
            stderr: fifos.stderr(),
            spec: Some(Any { type_url: PROCESS_TYPE.to_owned(), value: program }),
            ..Default::default()
        };
        let mut tasks = self.containerd.tasks();
        tasks.exec(request(exec)).await.doing("adding a program")?;
        let container_id = self.id.clone();
        let start = StartRequest { container_id: container_id.clone(), exec_id: id.clone() };
        tasks.start(request(start)).await.doing("starting the program")?;
        let wait = WaitRequest { container_id: container_id.clone(), exec_id: id.clone() };
        let code = tasks.wait(request(wait)).await.doing("waiting for the program")?.exit_status;
        let delete = DeleteProcessRequest { container_id, exec_id: id };
        tasks.delete_process(request(delete)).await.doing("deleting the program")?;
        let output = fifos.output().await?;
        ensure!(code == 0, "exit code {code} of the program: {output:?}");
        Ok(output)
    }

    /// Removes the record and the snapshot; returns what was written.
    pub async fn remove(self) -> Result<Output> {
        remove(self.containerd, &self.id).await?;
        self.fifos.output().await
    }
}

/// Removes the record and the snapshot of container `id`, which has no task any more.
pub async fn remove(containerd: &Containerd, id: &str) -> Result<()> {
    let record = DeleteContainerRequest { id: id.to_owned() };
    containerd.containers().delete(request(record)).await.doing("deleting the container's record")?;
    remove_snapshot(containerd, id).await
}

/// Removes the snapshot with the name `key`.
pub async fn remove_snapshot(containerd: &Containerd, key: &str) -> Result<()> {
    let snapshot = RemoveSnapshotRequest { snapshotter: containerd.snapshotter.clone(), key: key.to_owned() };
    containerd.snapshots().remove(request(snapshot)).await.doing("removing the snapshot")
}

fn record(containerd: &Containerd, recipe: &Recipe, id: &str) -> Result<Record> {
    let Recipe { subject, image, .. } = recipe;
    let process = Process {
        args: &subject.args,
        env: &image.env,
        working_dir: &image.working_dir,
        annotations: &subject.annotations,
        host_network: subject.host_network,
        seccomp: subject.seccomp,
    };
    let spec = serde_json::to_vec(&spec::spec(id, &process)).context("writing the spec")?;
    Ok(Record {
        id: id.to_owned(),
        image: subject.image.clone(),
        runtime: Some(Runtime { name: subject.runtime.clone(), options: None }),
        spec: Some(Any { type_url: SPEC_TYPE.to_owned(), value: spec }),
        snapshotter: containerd.snapshotter.clone(),
        snapshot_key: id.to_owned(),
        ..Default::default()
    })
}
