//! The cgroups of a new container that nobody but this program makes: a directory of one path in every hierarchy.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use oci_spec::runtime::Spec;

use super::{
    directories, resources,
    v1::{self, Group},
};
use crate::hierarchies::Hierarchy;

/// Settings of the cpuset controller of cgroup v1, which are empty at birth; no process may enter before they are filled.
const CPUSET: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// Where a container's cgroups are to be.
pub struct Place {
    hierarchies: Vec<Hierarchy>,
    below: PathBuf,
}

impl Place {
    /// At the absolute `path` of each hierarchy that is mounted.
    pub fn new(path: &Path) -> io::Result<Self> {
        let below = path.strip_prefix("/").unwrap_or(path).to_owned();
        Ok(Self { hierarchies: directories::mounted()?, below })
    }

    /// The directories, one per hierarchy.
    pub fn directories(&self) -> Vec<PathBuf> {
        self.hierarchies.iter().map(|hierarchy| hierarchy.mount_point.join(&self.below)).collect()
    }

    /// Whether limits are set on cgroup v1.
    fn is_on_v1(&self) -> bool {
        self.hierarchies.iter().any(Hierarchy::has_controllers)
    }

    /// Sets the resources of the container `id`, which `spec` describes, in the cgroups that were made.
    ///
    /// # Errors
    /// Names what cannot be set.
    pub fn limit(&self, spec: &Spec, id: &str) -> Result<()> {
        let Some(resources) = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref()) else { return Ok(()) };
        if !self.is_on_v1() {
            return resources::set(spec, id, resources);
        }
        let with_controllers = self.hierarchies.iter().filter(|hierarchy| hierarchy.has_controllers());
        let group = |hierarchy: &'_ Hierarchy| hierarchy.mount_point.join(&self.below);
        let groups: Vec<_> = with_controllers
            .map(|hierarchy| Group { controllers: &hierarchy.controllers, directory: group(hierarchy) })
            .collect();
        v1::set(&groups, resources)
    }

    /// Makes them, with those above that are missing; where they are. Of hierarchies without controllers those that cannot
    /// be made are left out: nothing is limited there.
    ///
    /// # Errors
    /// Names the directory or file, and the cause.
    pub fn make(&self) -> Result<Vec<PathBuf>> {
        let on_v1 = self.is_on_v1();
        let mut made = Vec::new();
        for hierarchy in &self.hierarchies {
            let directory = hierarchy.mount_point.join(&self.below);
            match make(hierarchy, &directory) {
                Ok(()) => made.push(directory),
                Err(error) if on_v1 && !hierarchy.has_controllers() => {
                    log::warn!("{error:#}");
                    // Made halfway it would stay: what is not among the container's is not removed with it.
                    let _ = fs::remove_dir(&directory);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(made)
    }
}

fn make(hierarchy: &Hierarchy, directory: &Path) -> Result<()> {
    if hierarchy.controllers.is_empty() {
        pass_on_all(&hierarchy.mount_point, directory)
    } else if hierarchy.controllers.split(',').any(|name| name == "cpuset") {
        fill_all(&hierarchy.mount_point, directory)
    } else {
        make_directory(directory)
    }
}

fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot make cgroup {}", path.display()))
}

/// The directories from below `top` to `directory`.
fn path_down<'a>(top: &'a Path, directory: &'a Path) -> Vec<&'a Path> {
    let mut path: Vec<&Path> = directory.ancestors().take_while(|above| *above != top).collect();
    path.reverse();
    path
}

/// Makes the directories with the cpusets of those above.
fn fill_all(top: &Path, directory: &Path) -> Result<()> {
    for path in path_down(top, directory) {
        make_directory(path)?;
        for name in CPUSET {
            let file = path.join(name);
            let read =
                |file: &Path| fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()));
            if read(&file)?.trim().is_empty() {
                let above = read(&path.parent().unwrap_or(top).join(name))?;
                fs::write(&file, above.trim()).with_context(|| format!("cannot write {}", file.display()))?;
            }
        }
    }
    Ok(())
}

/// Makes the directories with all controllers that those above can pass on. One that the kernel does not pass on is
/// missed where a limit needs it.
fn pass_on_all(top: &Path, directory: &Path) -> Result<()> {
    let path = path_down(top, directory);
    for (above, path) in std::iter::once(top).chain(path.iter().copied()).zip(&path) {
        directories::pass_on(above);
        make_directory(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_made_from_the_top_with_what_each_step_needs() {
        let top = tempfile::tempdir().unwrap();
        let directory = top.path().join("a/b");
        assert_eq!(path_down(top.path(), &directory), [top.path().join("a"), directory.clone()]);
        for name in CPUSET {
            fs::write(top.path().join(name), "0-1\n").unwrap();
            for below in ["a", "a/b"] {
                fs::create_dir_all(top.path().join(below)).unwrap();
                fs::write(top.path().join(below).join(name), "").unwrap();
            }
        }
        fs::write(top.path().join("a/cpuset.cpus"), "1\n").unwrap();
        fill_all(top.path(), &directory).unwrap();
        assert_eq!(fs::read_to_string(directory.join("cpuset.cpus")).unwrap(), "1");
        assert_eq!(fs::read_to_string(directory.join("cpuset.mems")).unwrap(), "0-1");
    }
}
