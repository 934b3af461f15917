//! A program in its finished sandbox: found and loaded while an error can still be told, run when it is time.

use std::{
    ffi::CString,
    fs::File,
    io::Read,
    os::{fd::RawFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use oci_spec::runtime::Process;

use super::{
    console,
    entrypoint::{Entrypoint, resolve},
    harden, memory, native, overflow,
    signals::{self, TRAP_EXIT_CODE},
    title, world,
};
use crate::wasm::{Ending, Limits, Program, World};

/// What was decided about the sandbox before it was built.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// Bounds for a module.
    pub limits: Limits,
    /// AppArmor profile for a module; a Linux process gets its own with its execve.
    pub apparmor_profile: Option<String>,
    /// A descriptor of the node's `/proc`, closed before the program runs.
    pub proc: RawFd,
    /// The module's native code.
    pub native: Option<Native>,
}

/// Native code that was compiled for the module.
#[derive(Debug, Clone)]
pub struct Native {
    /// Where it is in the container, until the program runs.
    pub path: PathBuf,
    /// Without it the module is not to be run.
    pub required: bool,
}

/// A program that only needs to be run.
pub enum Ready {
    /// A module, loaded and checked.
    Wasm {
        /// The module.
        program: Box<Program>,
        /// What it sees.
        world: World,
    },
    /// An executable file.
    Linux {
        /// Its absolute path.
        path: PathBuf,
        /// Its arguments.
        args: Vec<String>,
    },
}

impl Sandbox {
    /// Finds and checks the program of `process`. `before_module` is called before a module is loaded.
    ///
    /// # Errors
    /// One line, in runc's words where runc has some.
    pub fn prepare(
        &self,
        process: &Process,
        before_module: impl FnOnce(&str) -> Result<(), String>,
    ) -> Result<Ready, String> {
        match resolve(process, &|path| File::open(path)).map_err(|error| error.to_string())? {
            Entrypoint::Wasm { path, function, args } => {
                before_module(&args[0])?;
                title::set_name(&path);
                // A kernel that cannot do it shows the host's command line.
                let _ = title::set_command_line(&args, self.proc);
                let program = self.load(&path, &function).map_err(|cause| format!("exec: {:?}: {cause}", args[0]))?;
                Ok(Ready::Wasm { program: Box::new(program), world: world::world(process, &args) })
            }
            Entrypoint::Linux { path, args } => {
                native::check_executable(&args[0], &path)?;
                title::set_name(&path);
                Ok(Ready::Linux { path, args })
            }
        }
    }

    fn load(&self, path: &Path, function: &str) -> Result<Program, String> {
        let mut bytes = Vec::new();
        File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(|error| error.to_string())?;
        let bounds = |error: std::io::Error| format!("memory limit: {error}");
        let inherited = memory::in_use(self.proc).map_err(bounds)?;
        let program = match &self.native {
            Some(native) => self.load_native(native, &bytes, function)?,
            None => Program::load(&bytes, function, &self.limits)?,
        };
        drop(bytes);
        memory::bound(&self.limits, inherited).map_err(bounds)?;
        Ok(program)
    }

    fn load_native(&self, native: &Native, bytes: &[u8], function: &str) -> Result<Program, String> {
        let path = CString::new(native.path.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
        match Program::load_native(&path, bytes, function, &self.limits) {
            Err(_) if !native.required => Program::load(bytes, function, &self.limits),
            loaded => loaded,
        }
    }

    /// Runs the program with `env`, to its end or to execve. Returns only if execve fails, with the cause.
    pub fn run(&self, ready: Ready, env: &[String]) -> String {
        match ready {
            Ready::Wasm { program, world } => self.run_module(*program, &world),
            Ready::Linux { path, args } => native::exec(&path, &args, env),
        }
    }

    fn run_module(&self, program: Program, world: &World) -> ! {
        // A module that thinks it has a terminal is no reason not to run it.
        let _ = console::hide_null_input();
        if let Err(cause) = harden::harden(self.apparmor_profile.as_deref(), self.proc) {
            eprintln!("wasmedge: the module was not run, its sandbox is incomplete: {cause}");
            exit_now(TRAP_EXIT_CODE);
        }
        // What building the sandbox and loading the module took is free now, and would stay this process's for ever.
        // SAFETY: only touches free memory of the allocator.
        unsafe { libc::malloc_trim(0) };
        // A handler that cannot be set costs a message, not the module.
        let name = world.args.first().map_or("the module", String::as_str);
        let _ = signals::end_on_abort(name);
        let _ = overflow::end_on_overflow(name);
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
pub fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}
