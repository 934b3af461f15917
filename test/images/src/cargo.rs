//! Cargo, for programs that are no members of the workspace.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Where guest modules are for.
pub const WASM: &str = "wasm32-wasip1";
/// Where the programs are for that run beside them.
pub const LINUX: &str = "x86_64-unknown-linux-gnu";

/// Compiles the package in `folder` for `target`, optimized, with cargo's files in `output`: the programs are in
/// `output`/`target`/release. Quick when nothing has changed.
pub fn build(folder: &Path, output: &Path, target: &str, flags: &str) -> Result<()> {
    let mut cargo = command(target, flags);
    cargo.args(["build", "--quiet", "--locked", "--release", "--target", target]).current_dir(folder);
    run(cargo.env("CARGO_TARGET_DIR", output), &format!("compiling {} for {target}", folder.display()))
}

/// Compiles version `version` of `package` from crates.io for wasm32-wasip1, as its users do; its programs are in
/// `output`/bin.
pub fn install(package: &str, version: &str, output: &Path) -> Result<()> {
    let mut cargo = command(WASM, "");
    cargo.args(["install", "--quiet", "--locked", "--target", WASM, "--version", version, package]);
    cargo.arg("--root").arg(output).arg("--target-dir").arg(output.join("target"));
    run(&mut cargo, &format!("installing {package} {version} for {WASM}"))
}

/// Flags meant for the host's programs must not reach these.
fn command(target: &str, flags: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("RUSTFLAGS");
    if !flags.is_empty() {
        command.env(format!("CARGO_TARGET_{}_RUSTFLAGS", target.to_uppercase().replace('-', "_")), flags);
    }
    command
}

fn run(command: &mut Command, what: &str) -> Result<()> {
    let status = command.status().context("starting cargo")?;
    ensure!(status.success(), "{what} failed; is `rustup target add {WASM}` done?");
    Ok(())
}
