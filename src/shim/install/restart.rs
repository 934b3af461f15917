//! Restarts what has read a configuration. Never by a signal: SIGHUP ends containerd.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{kind::Kind, root::Root, target::Target};

/// Restarts a unit of systemd and waits until it serves.
///
/// # Errors
/// There is no systemctl, or the unit does not start.
pub fn restart(root: &Root, unit: &str) -> Result<()> {
    let mut command = root.command(Path::new("systemctl"));
    command.args(["restart", unit]);
    let output = command.output().with_context(|| format!("cannot run systemctl: restart {unit} by hand"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("systemctl restart {unit} failed: {}; see journalctl -u {unit}", said.trim());
    }
    Ok(())
}

/// The unit of a target that runs. k0s restarts its containerd by itself when a drop-in changes.
///
/// # Errors
/// It runs, but systemd does not know it.
pub fn unit(target: &Target) -> Result<Option<String>> {
    let Some(process) = target.process.as_ref().filter(|_| target.kind != Kind::K0s) else { return Ok(None) };
    let unit = process.unit();
    let unit =
        unit.with_context(|| format!("--restart: {} is in no unit of systemd: restart it by hand", target.title()))?;
    Ok(Some(unit))
}

/// What is left to do by people.
pub fn advice(target: &Target) -> String {
    let what = match target.kind {
        Kind::K0s => return "k0s restarts its containerd by itself".into(),
        Kind::Microk8s => "microk8s: microk8s stop; microk8s start".into(),
        Kind::K3s => "k3s: systemctl restart k3s, or k3s-agent".into(),
        Kind::Rke2 => "rke2: systemctl restart rke2-server, or rke2-agent".into(),
        kind => format!("{}: systemctl restart {}", kind.name(), kind.name()),
    };
    format!("{what}; or use --restart")
}
