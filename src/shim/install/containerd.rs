//! Where and how the runtime handler goes into the configuration of a containerd.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use super::{
    configuration::{Configuration, File, HANDLER},
    edit,
    handler::{Handler, MADE, RUNC, version_line},
    kind::Kind,
    options::Options,
    planner::Planner,
    programs,
    root::Root,
    target::Target,
    version::{self, DROP_INS, MERGES, OLDEST, Version},
};
use crate::options::node;

/// The file with the handler.
pub const DROP_IN: &str = "50-wasmedge.toml";

/// What imports it and nothing else. A missing file stops containerd, a pattern that matches nothing does not.
pub const IMPORT: &str = "50-wasmedge*.toml";

/// The versions of k3s's and RKE2's configurations, and the directories that they import.
pub const RANCHER_DROP_INS: [(i64, &str); 2] = [(3, "config-v3.toml.d"), (2, "config.toml.d")];

/// Where k0s imports from.
pub const K0S_DROP_INS: &str = "/etc/k0s/containerd.d";

/// The first line of a configuration that k0s writes itself.
const K0S_MANAGED: &str = "# k0s_managed=true";

/// Adds what configures `target`.
///
/// # Errors
/// The configuration cannot be read or added to, or containerd is too old.
pub fn plan(planner: &mut Planner, target: &Target, options: &Options) -> Result<()> {
    super::configuration::expect_toml(&target.config)?;
    let configuration = Configuration::read(planner.root(), &target.config)?;
    match target.kind {
        Kind::K3s | Kind::Rke2 => rancher(planner, target, configuration.as_ref(), options),
        Kind::K0s if managed_by_k0s(configuration.as_ref()) => k0s(planner, target, configuration.as_ref(), options),
        Kind::Microk8s => microk8s(planner, target, configuration.as_ref(), options),
        _ => plain(planner, target, configuration.as_ref(), options),
    }
}

/// containerd by itself.
fn plain(
    planner: &mut Planner,
    target: &Target,
    configuration: Option<&Configuration>,
    options: &Options,
) -> Result<()> {
    let containerd = version_of(planner.root(), target, options)?;
    let systemd_cgroup = Some(configuration.is_some_and(Configuration::systemd_cgroup));
    let handler = handler(planner, target, options, systemd_cgroup, Some(containerd));
    let drop_in = drop_in(target, configuration);
    if let Some(configuration) = configuration {
        if configuration.disables_cri() {
            let config = target.config.display();
            planner
                .note(format!("{config} disables the plugin for Kubernetes (disabled_plugins), which has the handler"));
        }
        if let Some(theirs) = by_others(configuration, &drop_in) {
            planner.note(format!("the handler {HANDLER} is in {theirs} already, and stays as it is"));
            return Ok(());
        }
    }
    if containerd < MERGES {
        return within(planner, target, configuration, &handler, 2);
    }
    let version = configuration.map_or(Ok(3), |configuration| configuration.version_of_imports(containerd))?;
    options_of_node(planner, &handler)?;
    planner.own_file(&drop_in, &handler.file(version))?;
    let import = drop_in.with_file_name(IMPORT).display().to_string();
    match configuration.map(Configuration::main) {
        None => {
            planner.own_file(&target.config, &format!("{MADE}\n{}imports = [\"{import}\"]\n", version_line(version)))
        }
        Some(main) if main.would_import(&drop_in) => Ok(()),
        Some(main) => {
            planner.edit(&target.config, &edit::add_import(main, &import)?);
            Ok(())
        }
    }
}

/// The handler for a containerd of this version, if that is known.
fn handler(
    planner: &Planner,
    target: &Target,
    options: &Options,
    systemd_cgroup: Option<bool>,
    containerd: Option<Version>,
) -> Handler {
    let by_path = containerd.is_some_and(|version| (MERGES..DROP_INS).contains(&version));
    Handler {
        runtime_type: match by_path {
            true => RUNC.to_owned(),
            false => programs::runtime_type(planner.root(), &options.prefix, target.process.as_ref()),
        },
        runtime_path: by_path.then(|| options.prefix.join(programs::SHIM)),
        systemd_cgroup,
        options: planner.class().clone(),
    }
}

/// Writes the admin's options to where they are read whatever a handler carries, if this one cannot carry them.
fn options_of_node(planner: &mut Planner, handler: &Handler) -> Result<()> {
    let lines = match &handler.runtime_path {
        Some(_) => handler.options.with(&[]),
        None => Vec::new(),
    };
    let path = Path::new(node::PATH);
    if lines.is_empty() && !planner.has_written(path) {
        return Ok(());
    }
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    planner.own_file(path, &format!("{MADE}\n{text}"))
}

/// containerd 1.7, with which an imported section would replace the one that is there: into the file itself.
fn within(
    planner: &mut Planner,
    target: &Target,
    configuration: Option<&Configuration>,
    handler: &Handler,
    without: i64,
) -> Result<()> {
    let Some(configuration) = configuration else {
        let empty = File::parse(&target.config, format!("{MADE}\n{}", version_line(without)))?;
        let new = edit::add_handler(&empty, handler, without)?;
        planner.made(&target.config);
        edit_with_part(planner, &target.config, &new);
        return Ok(());
    };
    let file = configuration.holds_cri();
    let versions: Result<Vec<_>> = configuration.files().iter().map(File::version).collect();
    let version = versions?.into_iter().flatten().rfind(|version| *version > 0).unwrap_or_default();
    let new = match edit::remove_handler(&file.text) {
        None => edit::add_handler(file, handler, version)?,
        Some(before) => {
            let path = file.path.display();
            let new = edit::add_handler(&File::parse(&file.path, before)?, handler, version)?;
            if new != file.text && !edit::part(&file.text).is_some_and(|part| planner.wrote(&file.path, part)) {
                planner.note(format!("{path}: the section of the handler was changed by hand and stays as it is"));
                return Ok(());
            }
            new
        }
    };
    edit_with_part(planner, &file.path, &new);
    Ok(())
}

fn edit_with_part(planner: &mut Planner, path: &Path, new: &str) {
    if let Some(part) = edit::part(new) {
        planner.own_part(path, part);
    }
    planner.edit(path, new);
}

/// k3s and RKE2 write the configuration at each start, import drop-ins, and add this runtime themselves where they
/// find the program in their PATH. What is imported is merged with that.
fn rancher(
    planner: &mut Planner,
    target: &Target,
    configuration: Option<&Configuration>,
    options: &Options,
) -> Result<()> {
    let name = target.kind.name();
    let told = target.program.as_ref().and_then(|program| version::ask(planner.root(), program).ok());
    let containerd = options.containerd.or(told);
    let handler = handler(planner, target, options, configuration.map(Configuration::systemd_cgroup), containerd);
    let directory = target.config.parent().unwrap_or(Path::new("/"));
    let drop_ins = RANCHER_DROP_INS.map(|(version, name)| (version, directory.join(name).join(DROP_IN)));
    let Some(main) = configuration.map(Configuration::main) else {
        let (version, path) = &drop_ins[0];
        planner.note(format!("{name} has not run yet: one from before 2026 does not read {}", path.display()));
        options_of_node(planner, &handler)?;
        return planner.own_file(path, &handler.file(*version));
    };
    // With 1.7, which none that imports is known to bring, a drop-in would take the other runtimes away.
    let merges = containerd.is_none_or(|version| version >= MERGES);
    match drop_ins.iter().find(|(_, path)| merges && main.would_import(path)) {
        Some((version, path)) => {
            options_of_node(planner, &handler)?;
            planner.own_file(path, &handler.file(*version))
        }
        None if programs::runtime_type(planner.root(), &options.prefix, target.process.as_ref()) == crate::RUNTIME => {
            planner.note(format!(
                "this {name} imports no drop-ins: at its next start it adds the handler {HANDLER} itself, by the \
                 program in its PATH, but passes neither options nor annotations of pods on"
            ));
            Ok(())
        }
        None => bail!(
            "this {name} imports no drop-ins, and finds the program in its PATH only, which has no {}: use another \
             --prefix, or a later {name}",
            options.prefix.display()
        ),
    }
}

/// k0s imports drop-ins; before 1.36 it merges them itself, into a configuration of version 2.
fn k0s(planner: &mut Planner, target: &Target, configuration: Option<&Configuration>, options: &Options) -> Result<()> {
    let containerd = version_of(planner.root(), target, options);
    let version = match configuration.map(|configuration| configuration.main().version()).transpose()?.flatten() {
        Some(version) => version,
        None if *containerd.as_ref().map_err(|error| anyhow!("{error:#}"))? < MERGES => 2,
        None => 3,
    };
    let systemd_cgroup = Some(configuration.is_some_and(Configuration::systemd_cgroup));
    let handler = handler(planner, target, options, systemd_cgroup, containerd.ok());
    let drop_in = Path::new(K0S_DROP_INS).join(DROP_IN);
    if let Some(theirs) = configuration.and_then(|configuration| by_others(configuration, &drop_in)) {
        planner.note(format!("the handler {HANDLER} is in {theirs} already, and stays as it is"));
        return Ok(());
    }
    options_of_node(planner, &handler)?;
    planner.own_file(&drop_in, &handler.file(version))
}

/// MicroK8s makes the configuration from a template at each start, by replacing variables in it.
fn microk8s(
    planner: &mut Planner,
    target: &Target,
    configuration: Option<&Configuration>,
    options: &Options,
) -> Result<()> {
    let configuration = configuration.with_context(|| format!("{} is missing", target.config.display()))?;
    let handler = Handler {
        // The snap's PATH is its own business.
        runtime_type: options.prefix.join(programs::SHIM).display().to_string(),
        runtime_path: None,
        systemd_cgroup: Some(configuration.systemd_cgroup()),
        options: planner.class().clone(),
    };
    if let Some(theirs) = by_others(configuration, Path::new("")) {
        planner.note(format!("the handler {HANDLER} is in {theirs} already, and stays as it is"));
        return Ok(());
    }
    within(planner, target, Some(configuration), &handler, 2)
}

fn managed_by_k0s(configuration: Option<&Configuration>) -> bool {
    configuration.is_none_or(|configuration| configuration.main().text.lines().next() == Some(K0S_MANAGED))
}

/// The file with a handler of this name that is none of ours.
fn by_others(configuration: &Configuration, drop_in: &Path) -> Option<String> {
    let (file, _) = configuration.handler(HANDLER)?;
    let ours =
        file.path == drop_in || edit::remove_handler(&file.text).is_some_and(|_| edit::part(&file.text).is_some());
    (!ours).then(|| file.path.display().to_string())
}

/// Where the handler's file goes: into a directory that is imported, or else beside the configuration.
fn drop_in(target: &Target, configuration: Option<&Configuration>) -> PathBuf {
    let imported = configuration.and_then(|configuration| {
        let imports = configuration.main().import_paths().into_iter();
        let directories = imports.filter_map(|import| Some(import.parent()?.join(DROP_IN)));
        directories.into_iter().find(|path| configuration.main().would_import(path))
    });
    let beside = || target.config.parent().unwrap_or(Path::new("/")).join("conf.d").join(DROP_IN);
    imported.unwrap_or_else(beside)
}

/// containerd's version: as it is told, or as its program says.
///
/// # Errors
/// It cannot be asked, or is too old.
pub fn version_of(root: &Root, target: &Target, options: &Options) -> Result<Version> {
    let name = target.kind.name();
    let version = match (options.containerd, &target.program) {
        (Some(version), _) => version,
        (None, Some(program)) => version::ask(root, program).with_context(|| {
            format!("the version of {name}'s containerd is not known: tell it by --containerd-version")
        })?,
        (None, None) => bail!("no program of {name} is found: tell its containerd's version by --containerd-version"),
    };
    if version < OLDEST {
        bail!("containerd {version} is too old: {OLDEST} is the first that this runtime works with");
    }
    Ok(version)
}
