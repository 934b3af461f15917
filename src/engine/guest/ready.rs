//! A program in its finished sandbox: found and loaded while an error can still be told, run when it is time.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{BorrowedFd, RawFd},
    path::{Path, PathBuf},
};

use oci_spec::runtime::{LinuxSeccomp, Process};

use super::{
    console, core_dump,
    entrypoint::{Entrypoint, resolve},
    harden::{self, Hardening},
    memory, native, out_of_memory, overflow, pages, readable_signals,
    settings::Settings,
    signals::{self, TRAP_EXIT_CODE},
    statistics, timer, title, world,
};
use crate::{
    files,
    wasm::{CoreDump, Ending, Handed, Invocation, Limits, Program, World, gauges},
};

/// What was decided about the sandbox before it was built.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// Whether the program is a module: the sandbox is without what modules must not see, and the process gets what makes
    /// it fit for one before anything of it is opened.
    pub for_module: bool,
    /// Bounds for a module.
    pub limits: Limits,
    /// AppArmor profile for a module; a Linux process gets its own with its execve.
    pub apparmor_profile: Option<String>,
    /// The container's seccomp profile, where it is loaded last.
    pub seccomp: Option<LinuxSeccomp>,
    /// A descriptor of the node's `/proc`, where the kernel needs one to change the profile of a module's process; closed
    /// before anything of the guest is opened.
    pub proc: Option<RawFd>,
    /// Whether programs of the node's are run in the process's place before the program.
    pub hooks: bool,
    /// The module's native code.
    pub native: Option<Native>,
    /// What a module has of the engine's abilities.
    pub settings: Settings,
}

/// Native code that was compiled for the module.
#[derive(Debug, Clone, Copy)]
pub struct Native {
    /// A descriptor of the file, which can be read only; closed when it has been loaded.
    pub file: RawFd,
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
    /// Descriptors of this process that it needs to prepare the program.
    pub fn descriptors(&self) -> Vec<RawFd> {
        self.native.iter().map(|native| native.file).chain(self.proc).collect()
    }

    /// Finds and checks the program of `process`. The process must have no descriptor of the node any more but
    /// [`Self::descriptors`].
    ///
    /// The order: a module's process loses what its guest must not have, then its last descriptor of the node, and then only
    /// is a path of the guest looked up.
    ///
    /// # Errors
    /// One line, in runc's words where runc has some.
    pub fn prepare(&self, process: &Process) -> Result<Ready, String> {
        if self.for_module {
            harden::before_module(&self.hardening())?;
        }
        close(self.proc);
        match resolve(process, &files::open_inside).map_err(|error| error.to_string())? {
            Entrypoint::Wasm { args, .. } if !self.for_module => {
                let linked = "the module is reached through a link that leads from one mount into another";
                Err(format!("exec: {:?}: {linked}", args[0]))
            }
            Entrypoint::Wasm { path, function, args } => {
                title::set_name(&path);
                // A kernel that cannot do it shows the host's command line.
                let _ = title::set_command_line(&args);
                let invocation = Invocation { function, args: args[1..].to_vec() };
                let failed = |cause| format!("exec: {:?}: {cause}", args[0]);
                let program = self.load(&path, &invocation).map_err(failed)?;
                let world = world::world(process, &args, &self.settings).map_err(failed)?;
                Ok(Ready::Wasm { program: Box::new(program), world })
            }
            Entrypoint::Linux { args, .. } if self.for_module => {
                Err(format!("exec: {:?}: it was a module when the container was made for it, and is none now", args[0]))
            }
            Entrypoint::Linux { path, args } => {
                native::check_executable(&args[0], &path)?;
                title::set_name(&path);
                Ok(Ready::Linux { path, args })
            }
        }
    }

    fn hardening(&self) -> Hardening<'_> {
        Hardening {
            apparmor_profile: self.apparmor_profile.as_deref(),
            proc: self.proc,
            plugins: !self.settings.plugins.names.is_empty(),
            hooks: self.hooks,
            signals: self.settings.signals,
            profile: self.seccomp.as_ref(),
        }
    }

    fn load(&self, path: &Path, invocation: &Invocation) -> Result<Program, String> {
        let told = |error: io::Error| error.to_string();
        let bounds = |error: io::Error| format!("memory limit: {error}");
        let file = files::open_inside(path).map_err(told)?;
        let inherited = memory::in_use().map_err(memory::explain)?;
        memory::check_room(inherited, file.metadata().map_err(told)?.len())?;
        let program = match &self.native {
            Some(native) => self.load_native(*native, &file, invocation)?,
            None => self.load_plain(&file, invocation)?,
        };
        close(self.native.map(|native| native.file));
        memory::bound(&self.limits, inherited).map_err(bounds)?;
        memory::enforce(self.settings.memory_pages).map_err(bounds)?;
        Ok(program)
    }

    fn load_plain(&self, file: &File, invocation: &Invocation) -> Result<Program, String> {
        let bytes = files::read(file, files::MAX_MODULE).map_err(|error| error.to_string())?;
        gauges::set_mode(gauges::Mode::Interpreted);
        Program::load(&bytes, invocation, &self.settings.limits(&self.limits), self.settings.features())
    }

    fn load_native(&self, native: Native, file: &File, invocation: &Invocation) -> Result<Program, String> {
        let (limits, features) = (self.settings.limits(&self.limits), self.settings.features());
        // SAFETY: kept open by the worker that made this process.
        let code = unsafe { BorrowedFd::borrow_raw(native.file) };
        gauges::set_mode(gauges::Mode::Native);
        match Program::load_native(code, file, invocation, &limits, features) {
            Err(_) if !native.required => self.load_plain(file, invocation),
            loaded => loaded,
        }
    }

    /// Runs the program with `env`, to its end or to execve. Returns only if execve fails, with the cause.
    pub fn run(&self, ready: Ready, env: &[String]) -> String {
        match ready {
            Ready::Wasm { program, world } => self.run_module(*program, &world),
            Ready::Linux { path, args } => native::exec(&path, &args, env, self.seccomp.as_ref()),
        }
    }

    fn run_module(&self, program: Program, world: &World) -> ! {
        // A module that thinks it has a terminal is no reason not to run it.
        let _ = console::hide_null_input();
        let name = world.args.first().map_or("the module", String::as_str);
        // A program that its time limit ends has run for no less than that, as far as it is told.
        let limited = self.settings.time_limit_millis.map(|_| statistics::now());
        let handed = self.confine(name).unwrap_or_else(|cause| {
            eprintln!("wasmedge: the module was not run, its sandbox is incomplete: {cause}");
            exit_now(TRAP_EXIT_CODE)
        });
        // What building the sandbox and loading the module took is free now, and would stay this process's for ever.
        // SAFETY: only touches free memory of the allocator.
        unsafe { libc::malloc_trim(0) };
        pages::release_program_pages();
        out_of_memory::prepare(name);
        // A handler that cannot be set costs a message, not the module.
        let _ = signals::end_on_abort(name);
        let _ = overflow::end_on_overflow(name);
        if self.settings.statistics {
            statistics::begin(name, limited.unwrap_or_else(statistics::now));
        }
        let mut dumped = None;
        let post_mortem = |dump: &CoreDump<'_>| {
            dumped = self.settings.core_dumps.as_ref().map(|to| core_dump::save(dump, to));
        };
        let code = match program.run(world, handed, post_mortem) {
            Ending::Returned(results) => {
                // A reader that is gone does not want them.
                let _ = results.iter().try_for_each(|result| writeln!(io::stdout(), "{result}"));
                0
            }
            // POSIX keeps the low eight bits.
            Ending::Exited(code) => (code & 0xff).cast_signed(),
            Ending::Trapped(cause) => {
                eprintln!("wasmedge: {name} trapped: {cause}");
                if let Some(dumped) = dumped {
                    eprintln!("wasmedge: {name}: {dumped}");
                }
                TRAP_EXIT_CODE
            }
        };
        if code != 0 {
            out_of_memory::tell();
        }
        statistics::tell();
        exit_now(code)
    }

    /// The timer comes first: the filter lets nobody set one. What is handed to the module, if anything.
    fn confine(&self, program: &str) -> Result<Option<Handed>, String> {
        if let Some(millis) = self.settings.time_limit_millis {
            timer::end_after(millis, program).map_err(|error| format!("time limit: {error}"))?;
        }
        let signals = harden::before_run(&self.hardening())?;
        let plugins = &self.settings.plugins;
        for (name, value) in plugins.env.iter().filter(|_| !plugins.names.is_empty()) {
            // SAFETY: the process has one thread. Hardening has removed it with the engine's own.
            unsafe { std::env::set_var(name, value) };
        }
        Ok(signals.map(|file| Handed { variable: readable_signals::VARIABLE, file }))
    }
}

fn close(fd: Option<RawFd>) {
    if let Some(fd) = fd {
        // SAFETY: nobody uses it any more, and its owner is the worker's copy of it.
        unsafe { libc::close(fd) };
    }
}

/// Ends the process without destructors: they belong to the host that this process was forked from.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}
