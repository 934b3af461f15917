//! What has a runtime configuration on a node, and where that is.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::{
    configuration::Configuration,
    kind::{KINDS, Kind},
    options::{Options, Verb},
    process::{self, Process},
    root::Root,
};

/// One of them on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What it is.
    pub kind: Kind,
    /// Its configuration.
    pub config: PathBuf,
    /// The process that has read it.
    pub process: Option<Process>,
    /// Its program, which tells its version.
    pub program: Option<PathBuf>,
}

impl Target {
    /// As messages name it.
    pub fn title(&self) -> String {
        match &self.process {
            Some(process) => format!("{} (pid {}, {})", self.kind.name(), process.pid, self.config.display()),
            None => format!("{} ({})", self.kind.name(), self.config.display()),
        }
    }

    /// The same with a configuration at another place.
    pub fn with(self, config: &Path) -> Self {
        Self { config: config.to_owned(), ..self }
    }

    /// Of what does not run.
    pub fn installed(kind: Kind, root: &Root) -> Self {
        let program = kind.programs().into_iter().find(|program| root.has_program(program));
        Self { kind, config: kind.configuration().into(), process: None, program }
    }

    fn is_there(&self, root: &Root) -> bool {
        self.program.is_some()
            || root.has(&self.config)
            || self.kind.signs().iter().any(|sign| root.has(Path::new(sign)))
    }
}

/// What there is on the node: what runs, or where nothing does what is installed.
pub fn present(root: &Root) -> Vec<Target> {
    let processes = process::all(root);
    let mut running: Vec<Target> = processes.iter().filter_map(|process| of(process, root)).collect();
    running.sort_by_key(|target| target.kind);
    if !running.is_empty() {
        return running;
    }
    KINDS.into_iter().map(|kind| Target::installed(kind, root)).filter(|target| target.is_there(root)).collect()
}

/// All that may be configured, whether it runs or not.
pub fn everywhere(root: &Root) -> Vec<Target> {
    let processes = process::all(root);
    let mut found: Vec<Target> = processes.iter().filter_map(|process| of(process, root)).collect();
    for kind in KINDS {
        let target = Target::installed(kind, root);
        if found.iter().all(|known| known.config != target.config) {
            found.push(target);
        }
    }
    found
}

/// What `options` are about.
///
/// # Errors
/// There is nothing, or more than one and none is named.
pub fn chosen(options: &Options, root: &Root) -> Result<Vec<Target>> {
    let present = present(root);
    if !options.runtimes.is_empty() {
        return options.runtimes.iter().map(|kind| named(*kind, &present, options, root)).collect();
    }
    if let Some(config) = &options.config {
        let same = |target: &&Target| target.config == *config;
        return match present.iter().find(same) {
            Some(target) => Ok(vec![target.clone()]),
            None => bail!("--config {}: say whose it is by --runtime", config.display()),
        };
    }
    match present.as_slice() {
        [] => nothing(root),
        [Target { kind: Kind::Containerd, config, .. }, docker]
        | [docker, Target { kind: Kind::Containerd, config, .. }]
            if docker.kind == Kind::Docker && serves_docker_alone(root, config) =>
        {
            Ok(vec![docker.clone()])
        }
        // To take back and to look, there is no wrong place.
        several if several.len() > 1 && options.verb == Verb::Install => bail!(
            "more than one could be meant: {}; name it with --runtime={}, or several as --runtime=A,B",
            list(several),
            several[0].kind.name()
        ),
        present => Ok(present.to_vec()),
    }
}

fn named(kind: Kind, present: &[Target], options: &Options, root: &Root) -> Result<Target> {
    let mut found: Vec<&Target> = present.iter().filter(|target| target.kind == kind).collect();
    if let Some(config) = &options.config {
        found.retain(|target| target.config == *config);
        let there = found.first().map_or_else(|| Target::installed(kind, root), |target| (*target).clone());
        return Ok(there.with(config));
    }
    match found.as_slice() {
        [] => Ok(Target::installed(kind, root)),
        [target] => Ok((*target).clone()),
        several => {
            let several: Vec<_> = several.iter().map(|target| (*target).clone()).collect();
            bail!("more than one {} runs: {}; name its configuration with --config", kind.name(), list(&several))
        }
    }
}

/// Whether a containerd has no plugin for Kubernetes, as Docker's packages configure it.
fn serves_docker_alone(root: &Root, config: &Path) -> bool {
    let configuration = Configuration::read(root, config).ok().flatten();
    configuration.is_some_and(|configuration| configuration.disables_cri())
}

fn nothing(root: &Root) -> Result<Vec<Target>> {
    if process::all(root).iter().any(|process| process.name() == "crio") {
        Kind::named("crio")?;
    }
    bail!("neither containerd nor Docker, k3s, rke2, k0s or microk8s is found; name what is to be used with --runtime")
}

fn list(targets: &[Target]) -> String {
    targets.iter().map(Target::title).collect::<Vec<_>>().join(", ")
}

/// What a process is, if it is one of these.
fn of(process: &Process, root: &Root) -> Option<Target> {
    let target = |kind: Kind, config: Option<&str>| {
        let config = config.map_or_else(|| kind.configuration().into(), PathBuf::from);
        let program = Some(process.program.clone()).filter(|program| root.has_program(program));
        Some(Target { kind, config, process: Some(process.clone()), program })
    };
    match process.name() {
        "dockerd" => target(Kind::Docker, process.option(&["config-file"])),
        "containerd" => {
            let config = process.option(&["config", "c"]);
            match whose(config.unwrap_or_default(), &process.program) {
                // It follows dockerd, and is not configured by itself.
                None => None,
                // It is given what becomes of the template.
                Some(Kind::Microk8s) => target(Kind::Microk8s, None),
                Some(kind) => target(kind, config),
            }
        }
        _ => None,
    }
}

/// Whose containerd it is that has this configuration and program; `None` for one that dockerd has started.
fn whose(config: &str, program: &Path) -> Option<Kind> {
    let program = program.to_string_lossy();
    let either = |part: &str| config.contains(part) || program.contains(part);
    if config.contains("/run/docker/") {
        None
    } else if either("/snap/microk8s/") {
        Some(Kind::Microk8s)
    } else if either("/rke2/") {
        Some(Kind::Rke2)
    } else if either("/k3s/") || config.ends_with("/agent/etc/containerd/config.toml") {
        Some(Kind::K3s)
    } else if either("/k0s/") {
        Some(Kind::K0s)
    } else {
        Some(Kind::Containerd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_containerd_is_told_by_its_configuration_and_its_program() {
        let whose = |config, program| whose(config, Path::new(program));
        assert_eq!(whose("", "/usr/bin/containerd"), Some(Kind::Containerd));
        assert_eq!(whose("/var/run/docker/containerd/containerd.toml", "/usr/bin/containerd"), None);
        let k3s = "/var/lib/rancher/k3s/data/0123/bin/containerd";
        assert_eq!(whose("/var/lib/rancher/k3s/agent/etc/containerd/config.toml", k3s), Some(Kind::K3s));
        assert_eq!(whose("/data/agent/etc/containerd/config.toml", "/data/data/0123/bin/containerd"), Some(Kind::K3s));
        let rke2 = "/var/lib/rancher/rke2/agent/etc/containerd/config.toml";
        assert_eq!(whose(rke2, "/var/lib/rancher/rke2/data/v1/bin/containerd"), Some(Kind::Rke2));
        assert_eq!(whose("/etc/k0s/containerd.toml", "/var/lib/k0s/bin/containerd"), Some(Kind::K0s));
        let snap = "/var/snap/microk8s/1234/args/containerd.toml";
        assert_eq!(whose(snap, "/snap/microk8s/1234/bin/containerd"), Some(Kind::Microk8s));
    }
}
