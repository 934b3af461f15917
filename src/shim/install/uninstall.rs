//! Takes back what `install` has done: first what configures the runtime, then what that names.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use wasmedge_shim_protocol::Location;

use super::{
    apply::beside,
    configuration::{Configuration, File},
    containerd::{DROP_IN, K0S_DROP_INS, RANCHER_DROP_INS},
    docker, edit,
    handler::MADE,
    kind::Kind,
    options::Options,
    plan::{Change, Plan},
    programs,
    record::{Record, STATE},
    restart,
    root::Root,
    running, stale,
    target::{self, Target},
};
use crate::options::node;

/// What is to be done.
///
/// # Errors
/// Containers run, or a configuration cannot be read.
pub fn plan(options: &Options, root: &Root) -> Result<Plan> {
    let record = Record::read(root)?;
    let (mut chosen, others) = split(options, root, &record)?;
    let mut plan = Plan::default();
    for target in &chosen {
        configuration(&mut plan, target, root, &record)?;
    }
    left_behind(&mut plan, &chosen, &record, root);
    let last = !others.iter().any(|target| is_configured(target, root, &record, &plan));
    let known = record != Record::default() || root.has(&Record::path());
    if plan.changes.is_empty() && !(last && (known || options.purge && leftovers(root).next().is_some())) {
        if last && root.has(Path::new(STATE)) && is_left_empty(&plan, Path::new(STATE), root) {
            plan.changes.push(Change::RemoveDirectory(STATE.into()));
        }
        return Ok(plan);
    }
    refuse_while_containers_run(options, root, &mut plan)?;
    if last {
        own_file(&mut plan, Path::new(node::PATH), root)?;
    }
    directories(&mut plan, &record, root);
    let changes = |target: &Target| plan.changes.iter().any(|change| concerns(target, change));
    chosen.retain(|target| {
        target.process.is_some() && (changes(target) || stale::was_cut_short(target, places(target), root, &record))
    });
    for target in &chosen {
        match options.restart {
            true => plan.changes.extend(restart::unit(target)?.map(Change::Restart)),
            false => plan.notes.push(format!("to take effect: {}", restart::advice(target))),
        }
    }
    match last {
        true => files(&mut plan, &record, root, options),
        false => plan.notes.push("the programs stay, as other runtimes are configured to use them".into()),
    }
    Ok(plan)
}

/// What containers have left on the node: native code and unpacked engines, sockets and the log.
fn leftovers(root: &Root) -> impl Iterator<Item = PathBuf> {
    let directories = [PathBuf::from(STATE), Location::default().root().to_owned()];
    directories.into_iter().filter(|directory| root.has(directory))
}

/// What is named, and all else that may be configured.
fn split(options: &Options, root: &Root, record: &Record) -> Result<(Vec<Target>, Vec<Target>)> {
    let mut everywhere = target::everywhere(root);
    for (config, kind) in &record.targets {
        if everywhere.iter().all(|target| target.config != *config) {
            everywhere.push(Target::installed(Kind::named(kind)?, root).with(config));
        }
    }
    if options.runtimes.is_empty() && options.config.is_none() {
        return Ok((everywhere, Vec::new()));
    }
    let chosen = target::chosen(options, root)?;
    let is_other = |other: &Target| chosen.iter().all(|target| target.config != other.config);
    let others = everywhere.into_iter().filter(is_other).collect();
    Ok((chosen, others))
}

/// Whether there is something of ours for this target that `done` does not take away: configurations in one directory have one
/// drop-in.
fn is_configured(target: &Target, root: &Root, record: &Record, done: &Plan) -> bool {
    let mut plan = Plan::default();
    let read = configuration(&mut plan, target, root, record);
    read.is_err() || plan.changes.iter().any(|change| !done.changes.contains(change))
}

fn concerns(target: &Target, change: &Change) -> bool {
    let directory = target.config.parent().unwrap_or(Path::new("/"));
    let k0s = target.kind == Kind::K0s && change.path().starts_with(K0S_DROP_INS);
    k0s || change.path().starts_with(directory)
}

fn refuse_while_containers_run(options: &Options, root: &Root, plan: &mut Plan) -> Result<()> {
    let running = running::containers(root);
    if running.is_empty() {
        return Ok(());
    }
    let names = running.join(", ");
    if !options.force {
        bail!("containers of this runtime run: {names}; end them first, or use --force, and no more of them can start");
    }
    plan.notes.push(format!("these containers run on, but nothing can be started in them any more: {names}"));
    Ok(())
}

/// The configuration of one target.
fn configuration(plan: &mut Plan, target: &Target, root: &Root, record: &Record) -> Result<()> {
    if target.kind == Kind::Docker {
        if let Some(new) = docker::taken_out(root, &target.config, record)? {
            give_back(plan, &target.config, new, root)?;
        }
        return own_file(plan, Path::new(docker::OPTIONS), root);
    }
    // One that containerd cannot read is no reason to leave what is ours in it.
    let files = match Configuration::read(root, &target.config) {
        Ok(configuration) => configuration.map(Configuration::into_files).unwrap_or_default(),
        Err(_) => {
            let text = root.text(&target.config)?.unwrap_or_default();
            vec![File::parse(&target.config, text)?]
        }
    };
    let mut drop_ins = places(target);
    for file in files {
        drop_ins.extend(file.import_paths().iter().filter_map(|import| Some(import.parent()?.join(DROP_IN))));
        if file.path.file_name().is_some_and(|name| name == DROP_IN) {
            continue;
        }
        if let Some(new) = without(&file)? {
            give_back(plan, &file.path, new, root)?;
        }
    }
    drop_ins.sort();
    drop_ins.dedup();
    drop_ins.iter().try_for_each(|path| own_file(plan, path, root))
}

/// Where `install` may have put a file of its own.
fn places(target: &Target) -> Vec<PathBuf> {
    let directory = target.config.parent().unwrap_or(Path::new("/"));
    match target.kind {
        Kind::K3s | Kind::Rke2 => RANCHER_DROP_INS.map(|(_, name)| directory.join(name).join(DROP_IN)).to_vec(),
        Kind::K0s => vec![Path::new(K0S_DROP_INS).join(DROP_IN), directory.join("conf.d").join(DROP_IN)],
        _ => vec![directory.join("conf.d").join(DROP_IN)],
    }
}

/// What of a file of containerd's is not ours: `None` if all of it, `Some(None)` if nothing.
fn without(file: &File) -> Result<Option<Option<String>>> {
    let mut text = None;
    let current = |text: &Option<String>| File::parse(&file.path, text.clone().unwrap_or_else(|| file.text.clone()));
    for import in file.import_paths().iter().zip(file.imports()).filter(|(path, _)| is_import(path)) {
        text = edit::remove_import(&current(&text)?, &import.1).or(text);
    }
    text = edit::remove_handler(&current(&text)?.text).or(text);
    let Some(text) = text else { return Ok(None) };
    let rest = File::parse(&file.path, text)?;
    let is_empty = rest.document.iter().all(|(name, value)| {
        name == "version" || name == "imports" && value.as_array().is_some_and(toml_edit::Array::is_empty)
    });
    Ok(Some(if rest.text.starts_with(MADE) && is_empty { None } else { Some(rest.text) }))
}

fn is_import(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == super::containerd::IMPORT)
}

fn give_back(plan: &mut Plan, path: &Path, new: Option<String>, root: &Root) -> Result<()> {
    let before = root.read(path)?;
    plan.changes.push(match new {
        Some(text) => Change::Write { path: path.to_owned(), before, after: text.into_bytes(), mode: 0o644 },
        None => Change::Remove { path: path.to_owned(), before },
    });
    Ok(())
}

/// Removes a file that `install` has made.
fn own_file(plan: &mut Plan, path: &Path, root: &Root) -> Result<()> {
    let Some(text) = root.text(path)?.filter(|text| text.starts_with(MADE)) else { return Ok(()) };
    let known = plan.changes.iter().any(|change| change.path() == path);
    if !known {
        plan.changes.push(Change::Remove { path: path.to_owned(), before: Some(text.into_bytes()) });
    }
    Ok(())
}

/// What was prepared by a run that was killed.
fn left_behind(plan: &mut Plan, targets: &[Target], record: &Record, root: &Root) {
    let configured = targets.iter().flat_map(|target| [places(target), vec![target.config.clone()]].concat());
    let own = [PathBuf::from(docker::OPTIONS), Record::path()];
    let written = record.made.iter().chain(record.written.keys()).cloned();
    let mut begun: Vec<PathBuf> =
        configured.chain(own).chain(written).map(|path| beside(&root.resolved(&path))).collect();
    begun.sort();
    begun.dedup();
    for path in begun.into_iter().filter(|path| root.has(path)) {
        plan.changes.push(Change::Remove { path, before: None });
    }
}

/// The directories of configurations that were made and are empty then.
fn directories(plan: &mut Plan, record: &Record, root: &Root) {
    let of_programs = |path: &Path| path.starts_with(STATE) || record.made.iter().any(|made| is_program(made, path));
    let made: Vec<_> = record.made.iter().rev().filter(|path| !of_programs(path)).collect();
    empty(plan, &made, root);
}

fn is_program(made: &Path, directory: &Path) -> bool {
    made.starts_with(directory) && made.file_name().is_some_and(|name| name == programs::SHIM)
}

fn is_left_empty(plan: &Plan, directory: &Path, root: &Root) -> bool {
    let entries = root.at(directory).and_then(|path| Ok(std::fs::read_dir(path)?)).into_iter().flatten().flatten();
    let mut left = entries.map(|entry| directory.join(entry.file_name()));
    let goes = |path: &Path, change: &Change| {
        let removes = matches!(change, Change::Remove { .. } | Change::RemoveDirectory(_) | Change::RemoveTree(_));
        removes && change.path() == path
    };
    left.all(|path| plan.changes.iter().any(|change| goes(&path, change)))
}

/// The programs and what they were put into, and in the end the record, without which nothing is known of those.
fn files(plan: &mut Plan, record: &Record, root: &Root, options: &Options) {
    let is_file = |path: &Path| root.entry(path).is_ok_and(|path| path.symlink_metadata().is_ok());
    let named = |path: &Path| [programs::SHIM, programs::ENGINE].iter().any(|name| path.ends_with(name));
    for path in record.made.iter().filter(|path| named(path) && is_file(path)) {
        plan.changes.push(Change::Remove { path: path.clone(), before: None });
    }
    let state = PathBuf::from(STATE);
    // Unpacked again by the next start of a shim that has it in its file; a container that runs may still need it.
    let unpacked = Path::new(wasmedge_shim_payload::DIRECTORY);
    let unused = running::containers(root).is_empty();
    let purge = options.purge && unused;
    if !purge && unused && root.has(unpacked) {
        plan.changes.push(Change::RemoveTree(unpacked.to_owned()));
    }
    let made = record.made.iter().rev().chain(Some(&state).filter(|state| !record.made.contains(*state)));
    let (with_record, others): (Vec<_>, Vec<_>) = made.partition(|path| state.starts_with(path));
    empty(plan, &others, root);
    if root.has(&Record::path()) {
        plan.changes.push(Change::Remove { path: Record::path(), before: None });
    }
    if purge {
        plan.changes.extend(leftovers(root).map(Change::RemoveTree));
    }
    empty(plan, &with_record, root);
    if !purge && root.has(&state.join("aot")) {
        plan.notes.push(format!("native code of modules stays in {STATE}/aot: uninstall --purge removes it"));
    }
}

/// Removes those of the directories that are empty by then.
fn empty(plan: &mut Plan, directories: &[&PathBuf], root: &Root) {
    for directory in directories.iter().filter(|path| root.at(path).is_ok_and(|path| path.is_dir())) {
        let change = Change::RemoveDirectory((*directory).clone());
        if is_left_empty(plan, directory, root) && !plan.changes.contains(&change) {
            plan.changes.push(change);
        }
    }
}
