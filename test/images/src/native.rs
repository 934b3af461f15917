//! Native programs for the images: busybox as Debian ships it, and those that the host's C compiler makes from
//! native/*.c.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// A static program without libc, from native/NAME.c.
pub fn program(name: &str, work: &Path) -> Result<Vec<u8>> {
    compile(name, work, name, &["-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector"])
}

/// A static program with libc, from native/NAME.c.
pub fn static_program(name: &str, work: &Path) -> Result<Vec<u8>> {
    compile(name, work, name, &["-static"])
}

/// A shared object from native/NAME.c that leaves the file `mark` behind when it is loaded.
pub fn trap_library(name: &str, mark: &str, work: &Path) -> Result<Vec<u8>> {
    let define = format!("-DMARK=\"{mark}\"");
    compile(name, work, &mark.replace('/', ""), &["-shared", "-fPIC", &define])
}

/// A plugin for WasmEdge from native/plugin.c, in a file of `work`; `include` has WasmEdge's headers.
pub fn plugin(work: &Path, include: &Path) -> Result<()> {
    let include = format!("-I{}", include.display());
    compile("plugin", work, "wasmedge_test.so", &["-shared", "-fPIC", &include]).map(drop)
}

/// Compiles native/SOURCE.c into `work`/OUTPUT, unless that is newer than the source already.
fn compile(source: &str, work: &Path, output: &str, options: &[&str]) -> Result<Vec<u8>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("native/{source}.c"));
    let output = work.join(output);
    if !is_newer(&output, &source) {
        let status = Command::new("cc")
            .args(["-Os", "-s", "-Wall", "-Werror", "-Wl,--build-id=none", "-Wl,-z,noseparate-code"])
            .args(options)
            .arg("-o")
            .args([&output, &source])
            .status()
            .context("starting cc")?;
        ensure!(status.success(), "compiling {} failed", source.display());
    }
    fs::read(&output).with_context(|| format!("reading {}", output.display()))
}

fn is_newer(output: &Path, source: &Path) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|found| found.modified());
    matches!((modified(output), modified(source)), (Ok(output), Ok(source)) if output > source)
}

/// A static busybox with the names of its applets.
pub struct Busybox {
    pub program: Vec<u8>,
    pub applets: Vec<String>,
}

/// Busybox from `root` (a Debian tree with busybox-static), else from the host, else from the package, which is
/// downloaded into `work` once.
pub fn busybox(root: Option<&Path>, work: &Path) -> Result<Busybox> {
    let path = match find_busybox(root.unwrap_or(Path::new("/"))) {
        Some(path) => path,
        None => packaged_busybox(work)?,
    };
    let program = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let list = Command::new(&path).arg("--list").output().with_context(|| format!("starting {}", path.display()))?;
    ensure!(list.status.success(), "{} --list failed", path.display());
    let applets = String::from_utf8(list.stdout)?.lines().filter(|name| *name != "busybox").map(String::from).collect();
    Ok(Busybox { program, applets })
}

fn find_busybox(root: &Path) -> Option<PathBuf> {
    ["usr/bin/busybox", "bin/busybox"].map(|path| root.join(path)).into_iter().find(|path| is_static(path))
}

/// A program that names no interpreter for the dynamic linker needs nothing but itself.
fn is_static(path: &Path) -> bool {
    let Ok(bytes) = fs::read(path) else {
        return false;
    };
    let head = &bytes[..bytes.len().min(4096)];
    !head.windows(6).any(|six| six == b"/ld-li")
}

fn packaged_busybox(work: &Path) -> Result<PathBuf> {
    let folder = work.join("busybox-static");
    if find_busybox(&folder.join("tree")).is_none() {
        fs::create_dir_all(&folder)?;
        let script =
            "apt-get -qq -o APT::Sandbox::User=root download busybox-static && dpkg -x busybox-static_*.deb tree";
        let status =
            Command::new("sh").args(["-c", script]).current_dir(&folder).status().context("starting apt-get")?;
        ensure!(status.success(), "downloading busybox-static failed; name a tree that has it with --root");
    }
    match find_busybox(&folder.join("tree")) {
        Some(path) => Ok(path),
        None => bail!("{} has no static busybox", folder.display()),
    }
}
