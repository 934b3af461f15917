//! A container's entrypoint, in libcontainer's terms: `validate` runs in the finished sandbox before the container
//! counts as created, `exec` when it is started. Both run in the same process, the container's init.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use oci_spec::runtime::{Hook, PosixRlimitType, Spec};
use serde_json::Value;

use super::{
    console,
    descriptors::close_the_node_s,
    hook::run as run_hook,
    native,
    ready::{Ready, Sandbox, exit_now},
    report,
};

/// `startContainer` hooks, and the state that they are told, which lacks the pid.
pub type StartHooks = Option<(Vec<Hook>, Value)>;

/// Runs modules in WasmEdge and everything else by execve.
#[derive(Clone)]
pub struct GuestExecutor {
    sandbox: Rc<Sandbox>,
    hooks: Rc<StartHooks>,
    /// Locked memory as the node has it, soft and hard, in bytes; libcgroups raises it for its device rules.
    locked_memory: Option<(u64, u64)>,
    ready: Rc<RefCell<Option<Ready>>>,
}

impl GuestExecutor {
    /// For a sandbox as described.
    pub fn new(sandbox: Sandbox, hooks: StartHooks) -> Self {
        let (sandbox, hooks) = (Rc::new(sandbox), Rc::new(hooks));
        let locked_memory = getrlimit(Resource::RLIMIT_MEMLOCK).ok();
        Self { sandbox, hooks, locked_memory, ready: Rc::default() }
    }

    /// Sets the limit back that libcgroups has raised, unless the spec has one.
    fn restore_locked_memory(&self, spec: &Spec) {
        let of_spec = spec.process().as_ref().and_then(|process| process.rlimits().as_ref());
        let given =
            of_spec.is_some_and(|limits| limits.iter().any(|limit| limit.typ() == PosixRlimitType::RlimitMemlock));
        if let Some((soft, hard)) = self.locked_memory.filter(|_| !given) {
            // Lowering is always allowed.
            let _ = setrlimit(Resource::RLIMIT_MEMLOCK, soft, hard);
        }
    }

    /// Runs the hooks that come before the program, in this process's place.
    fn run_hooks(&self, env: &[String]) -> Result<(), String> {
        let Some((hooks, state)) = self.hooks.as_ref() else { return Ok(()) };
        let mut state = state.clone();
        state["pid"] = std::process::id().into();
        hooks.iter().try_for_each(|hook| run_hook(hook, state.to_string().as_bytes(), env))
    }

    /// From here on the guest is met, so the node's descriptors go first: those that libcontainer has opened since, and where
    /// it made this process itself all of them.
    fn prepare(&self, spec: &Spec) -> Result<Ready, String> {
        close_the_node_s(&self.sandbox.descriptors())
            .map_err(|error| format!("closing inherited descriptors: {error}"))?;
        // A stream without a reader costs nobody anything.
        let _ = console::reopen_null_output();
        let process = spec.process().as_ref().ok_or("the spec has no process")?;
        self.sandbox.prepare(process)
    }
}

impl Executor for GuestExecutor {
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        self.restore_locked_memory(spec);
        match self.prepare(spec) {
            Ok(ready) => {
                self.ready.replace(Some(ready));
                Ok(())
            }
            Err(cause) => {
                report::cause(&cause);
                Err(ExecutorValidationError::ArgValidationError(cause))
            }
        }
    }

    /// Each kind of entrypoint is given the spec's environment explicitly.
    fn setup_envs(&self, _: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        Ok(())
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let ready = self.ready.take();
        let ready = ready.ok_or_else(|| ExecutorError::Other("the entrypoint was not validated".to_owned()))?;
        let env = spec.process().as_ref().and_then(|process| process.env().clone()).unwrap_or_default();
        let cause = match self.run_hooks(&env) {
            Ok(()) => self.sandbox.run(ready, &env),
            Err(cause) => cause,
        };
        // Nobody waits for an answer any more.
        eprintln!("{cause}");
        exit_now(native::EXEC_FAILED)
    }
}
