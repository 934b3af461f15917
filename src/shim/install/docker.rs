//! The runtime in Docker's daemon.json.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{
    class::ClassOptions,
    handler::MADE,
    json,
    options::Options,
    planner::Planner,
    programs,
    record::Record,
    root::Root,
    target::Target,
    version::{self, Version},
};

/// Docker passes the name of a file on, but no options that stand in daemon.json.
pub const OPTIONS: &str = "/etc/containerd-shim-wasmedge.toml";

/// The first Docker that starts other shims than runc's.
const OLDEST: Version = Version { major: 23, minor: 0 };

/// Adds what configures Docker.
///
/// # Errors
/// daemon.json cannot be read or added to, or Docker is too old.
pub fn plan(planner: &mut Planner, target: &Target, options: &Options) -> Result<()> {
    if let Some(program) = &target.program
        && let Ok(version) = version::ask(planner.root(), program)
        && version < OLDEST
    {
        bail!("Docker {version} is too old: {OLDEST} is the first that starts other shims than runc's");
    }
    let root = planner.root();
    let path = &target.config;
    let text = root.text(path)?;
    let value = value(&programs::runtime_type(root, &options.prefix, target.process.as_ref()));
    let wrong = || path.display().to_string();
    let without = text.as_deref().and_then(json::remove);
    if without.is_some() && !planner.has_written(path) {
        planner.note(format!("the runtime wasmedge is in {} already, and stays as it is", path.display()));
        return Ok(());
    }
    let options = options_file(systemd_cgroup(root, target, text.as_deref()), planner.class());
    planner.own_file(Path::new(OPTIONS), &options)?;
    let before = without.as_deref().or(text.as_deref());
    let new = json::add(before.unwrap_or("{}\n"), &value).with_context(wrong)?;
    match &text {
        // The same, wherever in the file it stands by now.
        Some(text) if json::same(text, &new) => return Ok(()),
        Some(_) if without.is_some() => {}
        Some(text) => planner.keep_original(path, text),
        None => planner.made(path),
    }
    planner.own_part(path, &new);
    planner.edit(path, &new);
    Ok(())
}

/// The runtime's value in daemon.json.
fn value(runtime_type: &str) -> String {
    format!(
        "{{\n  \"runtimeType\": \"{runtime_type}\",\n  \"options\": {{\n    \
         \"TypeUrl\": \"runtimeoptions.v1.Options\",\n    \"ConfigPath\": \"{OPTIONS}\"\n  }}\n}}"
    )
}

fn options_file(systemd_cgroup: bool, class: &ClassOptions) -> String {
    let lines = class.with(&[format!("SystemdCgroup = {systemd_cgroup}")]).join("\n");
    format!("{MADE}\n# Options of the runtime with Docker. Its cgroup driver decides this one:\n{lines}\n")
}

/// Docker's cgroup driver: as it is told, else systemd where that runs and there is cgroup v2 alone.
fn systemd_cgroup(root: &Root, target: &Target, text: Option<&str>) -> bool {
    let configured: Option<serde_json::Value> =
        text.and_then(|text| serde_json::from_str(text.trim_start_matches('\u{feff}')).ok());
    let listed = configured.as_ref().and_then(|daemon| daemon.get("exec-opts")?.as_array());
    let listed = listed.into_iter().flatten().filter_map(|option| option.as_str());
    let told = listed.chain(target.process.iter().filter_map(|process| process.option(&["exec-opt"])));
    match told.filter_map(|option| option.strip_prefix("native.cgroupdriver=")).next_back() {
        Some(driver) => driver == "systemd",
        None => root.has(Path::new("/run/systemd/system")) && root.has(Path::new("/sys/fs/cgroup/cgroup.controllers")),
    }
}

/// What taking the runtime out of daemon.json leaves; `None` if it is not there, `Some(None)` if the file goes.
///
/// # Errors
/// It cannot be read.
pub fn taken_out(root: &Root, path: &Path, record: &Record) -> Result<Option<Option<String>>> {
    let Some(text) = root.text(path)? else { return Ok(None) };
    let Some(without) = json::remove(&text) else { return Ok(None) };
    if record.wrote(path, &text) {
        return Ok(Some(record.originals.get(path).cloned()));
    }
    // Changed since, or the record is lost.
    let ours = record.written.contains_key(path) || *record == Record::default() && text.contains(OPTIONS);
    Ok(ours.then_some(Some(without)))
}
