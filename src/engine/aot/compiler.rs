//! A module to native code, in a process of its own that has no privileges, no network, no
//! files but its input and output, and bounded time and memory.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::{
        memfd::{MFdFlags, memfd_create},
        prctl,
        resource::{Resource, setrlimit},
        signal::Signal,
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Gid, Uid, chdir, chroot, fork, setgid, setgroups, setuid},
};
use wasmedge_shim_protocol::Optimization;

use crate::wasm::{Features, compile};

/// The user that owns nothing.
const NOBODY: u32 = 65_534;

/// Bounds of a compilation. ripgrep, 20 MB of WebAssembly, takes 38 s of CPU time at O2.
const CPU_SECONDS: u64 = 600;
const MEMORY: u64 = 8 << 30;
const OUTPUT: u64 = 1 << 30;

/// Where the compiler's own filesystem is mounted, in its own mount namespace.
const WORKSPACE: &str = "/tmp";

/// Compiles in a child process; the native code, at its start.
pub fn compile_apart(module: &[u8], features: Features, optimization: Optimization) -> Result<File> {
    let mut native = File::from(memfd_create(c"native-code", MFdFlags::MFD_CLOEXEC)?);
    let (mut causes, cause) = io::pipe()?;
    // SAFETY: the process has one thread.
    match unsafe { fork()? } {
        ForkResult::Child => {
            drop(causes);
            let done =
                confine().and_then(|directory| compile_into(module, features, optimization, &directory, &native));
            let code = match done {
                Ok(()) => 0,
                Err(error) => {
                    // The parent that would read it may be gone.
                    let _ = write!(&cause, "{error:#}");
                    1
                }
            };
            // SAFETY: ends the child without the parent's destructors.
            unsafe { libc::_exit(code) }
        }
        ForkResult::Parent { child } => {
            drop(cause);
            let mut text = String::new();
            causes.read_to_string(&mut text)?;
            match waitpid(child, None)? {
                WaitStatus::Exited(_, 0) => {}
                WaitStatus::Signaled(_, Signal::SIGXCPU | Signal::SIGKILL, _) => {
                    bail!("the compiler took more than {CPU_SECONDS} s of CPU time, or was killed")
                }
                WaitStatus::Signaled(_, signal, _) => bail!("the compiler died of {signal}"),
                _ => bail!("{}", if text.is_empty() { "the compiler failed and said nothing" } else { &text }),
            }
            native.rewind()?;
            let mut magic = [0; 4];
            native.read_exact(&mut magic).context("the compiler wrote nothing")?;
            ensure!(&magic == b"\x7fELF", "the compiler wrote something that is no shared library");
            native.rewind()?;
            Ok(native)
        }
    }
}

/// Gives up what a compiler does not need; a directory to work in. Without root, only what is possible without it.
fn confine() -> Result<PathBuf> {
    // A parent that is killed takes its compiler with it.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    for (resource, limit) in [
        (Resource::RLIMIT_CPU, CPU_SECONDS),
        (Resource::RLIMIT_AS, MEMORY),
        (Resource::RLIMIT_FSIZE, OUTPUT),
        (Resource::RLIMIT_NOFILE, 64),
        (Resource::RLIMIT_CORE, 0),
    ] {
        setrlimit(resource, limit, limit).with_context(|| format!("cannot limit {resource:?}"))?;
    }
    let directory = PathBuf::from(WORKSPACE);
    if !Uid::effective().is_root() {
        prctl::set_no_new_privs()?;
        let own = directory.join(format!("wasmedge-compile-{}", std::process::id()));
        fs::create_dir(&own)?;
        return Ok(own);
    }
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC)
        .context("cannot make namespaces")?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    let options = format!("size={},mode=0700,uid={NOBODY},gid={NOBODY}", 2 * OUTPUT);
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), &directory, Some("tmpfs"), flags, Some(options.as_str()))
        .context("cannot mount a workspace")?;
    // All that it will ever open is here; libraries are loaded.
    chroot(&directory).and_then(|()| chdir("/")).context("cannot enter the workspace")?;
    setgroups(&[])?;
    setgid(Gid::from_raw(NOBODY))?;
    setuid(Uid::from_raw(NOBODY))?;
    prctl::set_no_new_privs()?;
    Ok("/".into())
}

fn compile_into(
    module: &[u8],
    features: Features,
    optimization: Optimization,
    directory: &Path,
    native: &File,
) -> Result<()> {
    let path = directory.join("module.so");
    compile(module, features, optimization, &path).map_err(|cause| anyhow!(cause))?;
    io::copy(&mut File::open(&path)?, &mut &*native)?;
    // The other way, the workspace goes with its mount namespace.
    if directory != Path::new("/") {
        fs::remove_dir_all(directory)?;
    }
    Ok(())
}
