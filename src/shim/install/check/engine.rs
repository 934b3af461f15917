//! Whether the engine works: it runs a module that does nothing.

use std::{
    fs::{self, OpenOptions},
    io::{Read, Write},
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::Finding;
use crate::install::{programs, root::Root};

/// A module whose `_start` returns: its type, function, export and code.
const MODULE: &[u8] =
    b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b";

/// Loading libwasmedge and libLLVM from a cold disk takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the engine that the shim at `shim` would start.
pub fn self_test(root: &Root, shim: &Path) -> Finding {
    match test(root, shim) {
        Ok(engine) => Finding::ok(format!("the engine {} runs a module", engine.display())),
        Err(error) => {
            Finding::fault(format!("{error:#}"), "containerd-shim-wasmedge-v1 install, and what the engine needs")
        }
    }
}

/// The engine of a shim: beside it, or in the `PATH` that containerd hands on.
fn of(root: &Root, shim: &Path) -> Result<PathBuf> {
    let beside = shim.with_file_name(programs::ENGINE);
    let others = programs::search_path(None).into_iter().map(|directory| directory.join(programs::ENGINE));
    let mut candidates = [beside.clone()].into_iter().chain(others);
    candidates
        .find(|path| root.has_program(path))
        .with_context(|| format!("{} is neither at {} nor in PATH", programs::ENGINE, beside.display()))
}

fn test(root: &Root, shim: &Path) -> Result<PathBuf> {
    let engine = of(root, shim)?;
    let name = PathBuf::from(format!("/tmp/{}-check-{}.wasm", programs::SHIM, std::process::id()));
    let module = root.at(&name)?;
    let wrong = || format!("cannot write {}", name.display());
    // A name that somebody else has taken is not used.
    let mut file = OpenOptions::new().write(true).create_new(true).open(&module).with_context(wrong)?;
    let ran = file.write_all(MODULE).with_context(wrong).and_then(|()| run(root, &engine, &name));
    let _ = fs::remove_file(&module);
    ran.map(|()| engine)
}

fn run(root: &Root, engine: &Path, module: &Path) -> Result<()> {
    let mut command = root.command(engine);
    command.arg("run").arg(module).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start the engine {}", engine.display()))?;
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            bail!("the engine {} does not end a module that does nothing", engine.display());
        }
        thread::sleep(Duration::from_millis(10));
    };
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut said)?;
    }
    if !status.success() {
        let said = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it says nothing").trim();
        bail!("the engine {} does not work ({status}): {said}", engine.display());
    }
    Ok(())
}
