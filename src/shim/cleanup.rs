//! After a shim that is gone: what its container leaves behind is removed, and its exit status found where anybody
//! still knows it.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use anyhow::{Context, Result};
use containerd_shim::{DeleteResponse, Flags, protos::protobuf::Message};
use wasmedge_shim_protocol::{ContainerKey, Deleted, ExitStatus, Location};

use crate::{
    engine::{EngineClient, Launcher, Source},
    events::timestamp,
    sandbox::{self, Files},
    socket, starting,
};

/// What containerd's Go shim reports for a container whose shim was killed: 128 + SIGKILL.
const KILLED: u32 = 137;

/// The action `delete`: removes what is left of a container and writes what became of it. containerd runs it in the
/// bundle, which it removes itself.
pub fn command(flags: &Flags) -> Result<()> {
    let key = ContainerKey { namespace: flags.namespace.clone(), id: flags.id.clone() };
    let location = Location::default();
    let shim_is_gone = remove_socket();
    starting::sweep(&location);
    let pod = Files::new(location.sandbox(&key.namespace, &key.id));
    if shim_is_gone && pod.exist() {
        end_pod(&key.namespace, &pod)?;
    }
    // Nothing, nearly always: the daemon has deleted it.
    let deleted = match location.namespace_state(&key.namespace).join(&key.id).exists() {
        true => ask_host(&key, shim_is_gone)?,
        false => Deleted { pid: 0, status: None },
    };
    let status = deleted.status.unwrap_or_else(|| ExitStatus::now(KILLED));
    let mut response = DeleteResponse::new();
    response.set_pid(deleted.pid);
    response.set_exit_status(status.code);
    response.set_exited_at(timestamp(status));
    io::stdout().write_all(&response.write_to_bytes()?).context("cannot write the response")
}

/// Removes a pod that its shim held, with the containers in it: containerd asks for the pod alone.
fn end_pod(namespace: &str, pod: &Files) -> Result<()> {
    for id in pod.containers() {
        ask_host(&ContainerKey { namespace: namespace.to_owned(), id: id.clone() }, true)?;
        pod.forget(&id);
    }
    sandbox::clean_up(pod)
}

fn ask_host(key: &ContainerKey, shim_is_gone: bool) -> Result<Deleted> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (engine, _notices) = EngineClient::new(Launcher::new(Source::remembered()), None);
    let deleted = runtime.block_on(async {
        tokio::select! {
            deleted = engine.delete(key, shim_is_gone) => deleted,
            // It will do it when it works again, or the next call of this will.
            error = engine.silence() => Err(error),
        }
    });
    Ok(deleted?)
}

/// Removes the dead shim's socket, named in its bundle; whether it is dead. Where the shim serves other containers of the
/// pod it lives.
fn remove_socket() -> bool {
    let Ok(address) = fs::read_to_string("address") else { return true };
    socket::remove_unserved(Path::new(address.trim().trim_start_matches("unix://")))
}
