//! systemd as the keeper of a container's cgroup, a transient scope.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use libcgroups::common::{AnyCgroupManager, CgroupConfig, CgroupManager, ControllerOpt, create_cgroup_manager};
use oci_spec::runtime::{LinuxCpu, LinuxResources, Spec};

/// Where systemd keeps the scopes that it knows (systemd.unit(5)).
const TRANSIENT: &str = "/run/systemd/transient";

/// Largest number of a processor or memory node that is looked at.
const LARGEST: usize = 8191;

/// libcgroups' manager of the cgroup of container `id`.
pub fn manager(spec: &Spec, id: &str, systemd: bool) -> Result<AnyCgroupManager> {
    let path = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().clone());
    Ok(create_cgroup_manager(CgroupConfig {
        cgroup_path: path.unwrap_or_else(|| format!(":youki:{id}").into()),
        systemd_cgroup: systemd,
        container_name: id.to_owned(),
    })?)
}

fn read_spec(config: &Path) -> Result<Spec> {
    let text = fs::read(config).context("cannot read the container's spec")?;
    serde_json::from_slice(&text).context("cannot read the container's spec")
}

/// Takes the cpuset out of what libcgroups is to tell systemd: it sends it as a type that systemd refuses.
pub fn drop_cpuset(resources: &mut LinuxResources) {
    if let Some(mut cpu) = resources.cpu().clone() {
        cpu.set_cpus(None);
        cpu.set_mems(None);
        resources.set_cpu(Some(cpu));
    }
}

/// Lets systemd know new resources of the container `id`, whose spec is the file `config`, lest it puts the old ones
/// back.
pub fn tell(config: &Path, id: &str, cgroups: &[PathBuf], resources: &LinuxResources) -> Result<()> {
    if let Some(cpu) = resources.cpu() {
        tell_cpuset(cgroups, cpu)?;
    }
    let mut others = resources.clone();
    drop_cpuset(&mut others);
    let options =
        ControllerOpt { resources: &others, disable_oom_killer: false, oom_score_adj: None, freezer_state: None };
    manager(&read_spec(config)?, id, true)?.apply(&options).context("systemd does not take the new resources")
}

/// The same for processors and memory nodes, on cgroup v2.
///
/// # Errors
/// What busctl(1) says.
pub fn tell_cpuset(cgroups: &[PathBuf], cpu: &LinuxCpu) -> Result<()> {
    let [directory] = cgroups else { return Ok(()) };
    let Some(unit) = scope(directory) else { return Ok(()) };
    let given = |set: &Option<String>| set.clone().filter(|set| !set.is_empty());
    let sets = [("AllowedCPUs", given(cpu.cpus())), ("AllowedMemoryNodes", given(cpu.mems()))];
    let mut properties = Vec::new();
    for (name, set) in sets.iter().filter_map(|(name, set)| Some((name, set.as_ref()?))) {
        let mask = mask(set).with_context(|| format!("\"{set}\" is no set of processors or memory nodes"))?;
        properties.extend([(*name).to_owned(), "ay".to_owned(), mask.len().to_string()]);
        properties.extend(mask.iter().map(u8::to_string));
    }
    if properties.is_empty() {
        return Ok(());
    }
    let count = sets.iter().filter(|(_, set)| set.is_some()).count().to_string();
    let manager = ["org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"];
    let output = Command::new("busctl")
        .arg("call")
        .args(manager)
        .args(["SetUnitProperties", "sba(sv)", unit, "true", &count])
        .args(properties)
        .stdin(Stdio::null())
        .output()
        .context("cannot run busctl, which comes with systemd")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "systemd does not take the cpuset: {}", said.trim());
    Ok(())
}

/// Ends the scope of a container whose processes have ended. systemd does so by itself when it sees the cgroup empty,
/// which it cannot where the cgroup is removed first: the scope would stay for ever.
pub fn end(config: &Path, id: &str, cgroups: &[PathBuf]) -> Result<()> {
    let known = |directory: &PathBuf| scope(directory).is_some_and(|unit| Path::new(TRANSIENT).join(unit).exists());
    if !cgroups.iter().any(known) {
        return Ok(());
    }
    manager(&read_spec(config)?, id, true)?.remove().context("systemd does not end the container's scope")
}

/// The unit that a cgroup directory belongs to.
fn scope(directory: &Path) -> Option<&str> {
    directory.file_name()?.to_str().filter(|name| name.ends_with(".scope"))
}

/// A set such as `0-2,7` as bits, the lowest first, eight a byte.
pub fn mask(set: &str) -> Result<Vec<u8>> {
    let mut mask = Vec::new();
    for part in set.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse::<usize>()?, last.trim().parse::<usize>()?);
        if first > last || last > LARGEST {
            bail!("{part} is no range");
        }
        for number in first..=last {
            mask.resize(mask.len().max(number / 8 + 1), 0);
            mask[number / 8] |= 1 << (number % 8);
        }
    }
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sets_are_bits() {
        assert_eq!(mask("0").unwrap(), [1]);
        assert_eq!(mask("1-3,8").unwrap(), [0b1110, 1]);
        assert_eq!(mask("9, 0-0\n").unwrap(), [1, 2]);
        for wrong in ["", "a", "3-1", "1-", "4000000000", "1-99999"] {
            assert!(mask(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn scopes_are_told_from_other_cgroups() {
        assert_eq!(scope(Path::new("/sys/fs/cgroup/system.slice/docker-1.scope")), Some("docker-1.scope"));
        assert_eq!(scope(Path::new("/sys/fs/cgroup/docker/1")), None);
    }

    proptest! {
        #[test]
        fn no_set_makes_it_panic(set in "[0-9, -]{0,20}") {
            let _ = mask(&set);
        }
    }
}
