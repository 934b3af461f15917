//! Files of a pod: host name, hosts, name servers, shared memory, and notes for whoever cleans up after its shim.
//!
//! They are in a directory of the runtime's own, which root alone may enter: what removes them is the shim or, after it,
//! the action `delete`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
};
use wasmedge_shim_protocol::{PodFile, ensure_private_dir};

use super::config::{Dns, PodConfig};

/// The size of a pod's `/dev/shm`, containerd's.
const SHM_OPTIONS: &str = "mode=1777,size=67108864";

/// The pod's shared memory, a tmpfs.
const SHM: &str = "shm";
/// A file for each container of the pod, named by its id.
const CONTAINERS: &str = "containers";
/// The pod's own cgroups, a path a line.
const CGROUPS: &str = "cgroups";

/// The directory of one pod.
#[derive(Debug, Clone)]
pub struct Files(PathBuf);

impl Files {
    /// The directory at `path`, which may be there or not.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Makes the directory and what is in it; its files belong to `owner`, the user and group of the node that is root in the
    /// pod. With `shm` the pod has shared memory of its own.
    ///
    /// # Errors
    /// Names the file. What was made stays, to be removed by [`Self::remove`].
    pub fn make(&self, config: &PodConfig, shm: bool, owner: (u32, u32)) -> Result<()> {
        if let Some(parent) = self.0.parent() {
            ensure_private_dir(parent).with_context(|| format!("cannot use {}", parent.display()))?;
        }
        fs::create_dir(&self.0).with_context(|| format!("cannot make {}", self.0.display()))?;
        fs::create_dir(self.0.join(CONTAINERS))?;
        let hostname = hostname(config)?;
        self.write("hostname", &format!("{hostname}\n"), owner)?;
        self.write("hosts", &of_the_node("/etc/hosts")?, owner)?;
        let resolv = config.dns.as_ref().map_or_else(|| of_the_node("/etc/resolv.conf"), |dns| Ok(resolv_conf(dns)))?;
        self.write("resolv.conf", &resolv, owner)?;
        if shm {
            let place = self.0.join(SHM);
            fs::create_dir(&place).with_context(|| format!("cannot make {}", place.display()))?;
            let flags = MsFlags::MS_NOEXEC | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
            mount(Some("shm"), &place, Some("tmpfs"), flags, Some(SHM_OPTIONS))
                .with_context(|| format!("cannot mount {}", place.display()))?;
        }
        Ok(())
    }

    fn write(&self, name: &str, text: &str, owner: (u32, u32)) -> Result<()> {
        let path = self.0.join(name);
        fs::write(&path, text)
            .and_then(|()| fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)))
            .and_then(|()| std::os::unix::fs::chown(&path, Some(owner.0), Some(owner.1)))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// What containers see of it.
    pub fn for_containers(&self) -> Vec<PodFile> {
        let places = [
            ("hostname", "/etc/hostname"),
            ("hosts", "/etc/hosts"),
            ("resolv.conf", "/etc/resolv.conf"),
            (SHM, "/dev/shm"),
        ];
        let file =
            |(name, destination): (&str, &str)| PodFile { source: self.0.join(name), destination: destination.into() };
        places.map(file).into_iter().filter(|file| file.source.exists()).collect()
    }

    /// Notes that there is, or is about to be, the container `id`.
    pub fn note(&self, id: &str) -> io::Result<()> {
        fs::write(self.0.join(CONTAINERS).join(id), "")
    }

    /// Notes that nothing is left of the container `id`.
    pub fn forget(&self, id: &str) {
        let _ = fs::remove_file(self.0.join(CONTAINERS).join(id));
    }

    /// The containers that were noted.
    pub fn containers(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.join(CONTAINERS)).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Notes the pod's own cgroups.
    pub fn note_cgroups(&self, cgroups: &[PathBuf]) -> io::Result<()> {
        let lines: String = cgroups.iter().map(|path| format!("{}\n", path.display())).collect();
        fs::write(self.0.join(CGROUPS), lines)
    }

    /// The pod's own cgroups, as they were noted.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        fs::read_to_string(self.0.join(CGROUPS)).unwrap_or_default().lines().map(PathBuf::from).collect()
    }

    /// Gives up the shared memory: containers that still have it keep it.
    ///
    /// # Errors
    /// Names it.
    pub fn unmount(&self) -> Result<()> {
        let place = self.0.join(SHM);
        match umount2(&place, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            // It is not mounted, or not there.
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot unmount {}", place.display())),
        }
    }

    /// Removes all of it, where it is.
    ///
    /// # Errors
    /// Names what cannot be removed.
    pub fn remove(&self) -> Result<()> {
        self.unmount()?;
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.0.display()))
            }
            _ => Ok(()),
        }
    }

    /// Whether there is anything of it.
    pub fn exist(&self) -> bool {
        self.0.exists()
    }
}

/// The pod's host name, which is the node's where none is asked for.
///
/// # Errors
/// Where the node's is not to be had.
pub fn hostname(config: &PodConfig) -> Result<String> {
    if !config.hostname.is_empty() {
        return Ok(config.hostname.clone());
    }
    let name = nix::sys::utsname::uname().context("cannot get the node's host name")?;
    Ok(name.nodename().to_string_lossy().into_owned())
}

fn of_the_node(path: &str) -> Result<String> {
    match fs::read_to_string(Path::new(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        text => text.with_context(|| format!("cannot read {path}")),
    }
}

/// resolv.conf(5), as containerd's CRI plugin writes it.
fn resolv_conf(dns: &Dns) -> String {
    let mut text = String::new();
    if !dns.searches.is_empty() {
        text += &format!("search {}\n", dns.searches.join(" "));
    }
    for server in &dns.servers {
        text += &format!("nameserver {server}\n");
    }
    if !dns.options.is_empty() {
        text += &format!("options {}\n", dns.options.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> (u32, u32) {
        (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw())
    }

    #[test]
    fn names_are_looked_up_as_the_pod_says() {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        let dns = Dns {
            servers: words(&["10.0.0.1", "10.0.0.2"]),
            searches: words(&["a.b", "c"]),
            options: words(&["ndots:5"]),
        };
        let expected = "search a.b c\nnameserver 10.0.0.1\nnameserver 10.0.0.2\noptions ndots:5\n";
        assert_eq!(resolv_conf(&dns), expected);
        assert_eq!(resolv_conf(&Dns::default()), "");
    }

    #[test]
    fn a_pod_s_files_come_and_go() {
        let top = tempfile::tempdir().unwrap();
        let files = Files::new(top.path().join("k8s.io/pod"));
        files.remove().unwrap();
        let config = PodConfig { hostname: "one".into(), dns: Some(Dns::default()), ..PodConfig::default() };
        files.make(&config, false, owner()).unwrap();
        let seen = files.for_containers();
        let places: Vec<_> = seen.iter().map(|file| file.destination.display().to_string()).collect();
        assert_eq!(places, ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"]);
        assert_eq!(fs::read_to_string(&seen[0].source).unwrap(), "one\n");
        files.note("a").unwrap();
        files.note("b").unwrap();
        files.forget("a");
        assert_eq!(files.containers(), ["b"]);
        files.note_cgroups(&["/sys/a".into(), "/sys/b".into()]).unwrap();
        assert_eq!(files.cgroups(), [PathBuf::from("/sys/a"), "/sys/b".into()]);
        files.remove().unwrap();
        assert!(!files.exist());
        assert_eq!(files.containers().len() + files.cgroups().len(), 0);
    }
}
