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
use crate::{
    engine,
    install::{programs, root::Root},
};

/// A module whose `_start` returns: its type, function, export and code.
const MODULE: &[u8] =
    b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b";

/// Loading libwasmedge and libLLVM from a cold disk takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the engine of the shim at `shim`: the one in its file, beside it, or in `PATH`.
pub fn self_test(root: &Root, shim: &Path) -> Finding {
    match test(root, shim) {
        Ok(()) => Finding::ok(format!("the engine of {} runs a module", shim.display())),
        Err(error) => {
            Finding::fault(format!("{error:#}"), "containerd-shim-wasmedge-v1 install, and what the engine needs")
        }
    }
}

fn test(root: &Root, shim: &Path) -> Result<()> {
    let name = PathBuf::from(format!("/tmp/{}-check-{}.wasm", programs::SHIM, std::process::id()));
    let module = root.at(&name)?;
    let wrong = || format!("cannot write {}", name.display());
    // A name that somebody else has taken is not used.
    let mut file = OpenOptions::new().write(true).create_new(true).open(&module).with_context(wrong)?;
    let ran = file.write_all(MODULE).with_context(wrong).and_then(|()| run(root, shim, &name));
    let _ = fs::remove_file(&module);
    ran
}

fn run(root: &Root, shim: &Path, module: &Path) -> Result<()> {
    let mut command = root.command(shim);
    command.args([engine::NAME, "run"]).arg(module).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {}", shim.display()))?;
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            bail!("the engine of {} does not end a module that does nothing", shim.display());
        }
        thread::sleep(Duration::from_millis(10));
    };
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut said)?;
    }
    if !status.success() {
        let said = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it says nothing").trim();
        bail!("the engine of {} does not work ({status}): {said}", shim.display());
    }
    Ok(())
}
