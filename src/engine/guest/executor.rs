//! The entrypoint, in libcontainer's terms: `validate` runs in the finished sandbox before the container counts as
//! created, `exec` when it is started. Both run in the same process, the container's init.

use std::{cell::RefCell, collections::HashMap, fs::File, io::Read, os::fd::RawFd, rc::Rc};

use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use oci_spec::runtime::Spec;

use super::{Entrypoint, Reporter, TRAP_EXIT_CODE, harden, native, resolve, signals, world};
use crate::wasm::{Ending, Limits, Program, World};

/// What the worker decided about the sandbox before it was built.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// Where causes of failures go.
    pub reporter: Reporter,
    /// The sandbox was built for a module: without `/proc` and `/sys`.
    pub for_module: bool,
    /// Bounds for a module.
    pub limits: Limits,
    /// AppArmor profile for a module; for a Linux process libcontainer sets it.
    pub apparmor_profile: Option<String>,
    /// A descriptor of the node's `/proc`, closed before the entrypoint runs.
    pub proc: RawFd,
}

/// Runs modules in WasmEdge and everything else by execve.
#[derive(Clone)]
pub struct GuestExecutor {
    sandbox: Rc<Sandbox>,
    ready: Rc<RefCell<Option<Ready>>>,
}

/// An entrypoint that only needs to be run.
enum Ready {
    Wasm { program: Program, world: World },
    Linux { path: std::path::PathBuf, args: Vec<String> },
}

impl GuestExecutor {
    /// For a sandbox as described.
    pub fn new(sandbox: Sandbox) -> Self {
        Self { sandbox: Rc::new(sandbox), ready: Rc::default() }
    }

    fn prepare(&self, spec: &Spec) -> Result<Ready, String> {
        let process = spec.process().as_ref().ok_or("the spec has no process")?;
        match resolve(process, &|path| File::open(path)).map_err(|error| error.to_string())? {
            Entrypoint::Wasm { path, function, args } => {
                if !self.sandbox.for_module {
                    return Err(format!(
                        "exec: {:?}: the module is reached through a link that leads from one mount into another",
                        args[0]
                    ));
                }
                harden::set_name(&path);
                let program = self.load(&path, &function).map_err(|cause| format!("exec: {:?}: {cause}", args[0]))?;
                Ok(Ready::Wasm { program, world: world::world(process, &args) })
            }
            Entrypoint::Linux { path, args } => {
                native::check_executable(&args[0], &path)?;
                harden::set_name(&path);
                Ok(Ready::Linux { path, args })
            }
        }
    }

    fn load(&self, path: &std::path::Path, function: &str) -> Result<Program, String> {
        let mut bytes = Vec::new();
        File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(|error| error.to_string())?;
        Program::load(&bytes, function, &self.sandbox.limits)
    }

    fn run(&self, program: Program, world: &World) -> ! {
        if let Err(cause) =
            harden::harden(self.sandbox.apparmor_profile.as_deref(), self.sandbox.proc, self.sandbox.limits.memory)
        {
            eprintln!("wasmedge: the module was not run, its sandbox is incomplete: {cause}");
            exit_now(TRAP_EXIT_CODE);
        }
        // What building the sandbox and loading the module took is free now, and would stay this process's for ever.
        // SAFETY: only touches free memory of the allocator.
        unsafe { libc::malloc_trim(0) };
        // A handler that cannot be set costs a message, not the module.
        let _ = signals::end_on_abort(world.args.first().map_or("the module", String::as_str));
        match program.run(world) {
            // POSIX keeps the low eight bits.
            Ending::Exited(code) => exit_now((code & 0xff).cast_signed()),
            Ending::Trapped(cause) => {
                eprintln!("wasmedge: {} trapped: {cause}", world.args.first().map_or("the module", String::as_str));
                exit_now(TRAP_EXIT_CODE)
            }
        }
    }
}

/// Ends the process without destructors: they belong to the host that this process was forked from.
fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

impl Executor for GuestExecutor {
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        match self.prepare(spec) {
            Ok(ready) => {
                self.ready.replace(Some(ready));
                Ok(())
            }
            Err(cause) => {
                self.sandbox.reporter.cause(&cause, true);
                Err(ExecutorValidationError::ArgValidationError(cause))
            }
        }
    }

    /// Each kind of entrypoint is given the spec's environment explicitly.
    fn setup_envs(&self, _: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        Ok(())
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        match self.ready.take() {
            Some(Ready::Wasm { program, world }) => self.run(program, &world),
            Some(Ready::Linux { path, args }) => {
                let env = spec.process().as_ref().and_then(|process| process.env().clone()).unwrap_or_default();
                native::exec(&path, &args, &env)
            }
            None => Err(ExecutorError::Other("the entrypoint was not validated".to_owned())),
        }
    }
}
