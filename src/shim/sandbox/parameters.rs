//! Kernel parameters of a pod: which it may have, and setting them.

use std::{collections::HashMap, fs, io, path::PathBuf};

/// Parameters of an IPC namespace (ipc_namespaces(7)), beside those of POSIX message queues.
const OF_IPC: [&str; 8] = [
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/sem",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
    "kernel/shm_rmid_forced",
];

/// What containerd's CRI plugin gives each pod with a network of its own, unless its configuration says otherwise
/// (`enable_unprivileged_ports`, `enable_unprivileged_icmp`): ports below 1024, and ping.
const PORTS: (&str, &str) = ("net/ipv4/ip_unprivileged_port_start", "0");
const PING: (&str, &str) = ("net/ipv4/ping_group_range", "0 2147483647");

/// Whose namespaces a pod has.
#[derive(Clone, Copy)]
pub struct Own {
    /// A network of its own.
    pub net: bool,
    /// IPC of its own.
    pub ipc: bool,
    /// Users of its own.
    pub user: bool,
}

/// The files below `/proc/sys` and what is written to each, for what a pod asks for and what each has.
///
/// # Errors
/// A parameter that is not one of the pod's own namespaces, by its name.
pub fn of_pod(asked: &HashMap<String, String>, own: Own) -> Result<Vec<(String, String)>, String> {
    let mut all = Vec::new();
    for (name, value) in asked {
        let path = path_of(name).filter(|path| belongs(path, own));
        let path = path.ok_or_else(|| format!("sysctl {name:?} is not one of the pod's own namespaces"))?;
        all.push((path, value.clone()));
    }
    let defaults = [Some(PORTS).filter(|_| own.net), Some(PING).filter(|_| own.net && !own.user)];
    for (path, value) in defaults.into_iter().flatten() {
        if all.iter().all(|(asked, _)| asked != path) {
            all.push((path.to_owned(), value.to_owned()));
        }
    }
    Ok(all)
}

/// Sets them, in the namespaces of the calling thread.
pub fn set(parameters: &[(String, String)]) -> io::Result<()> {
    for (path, value) in parameters {
        let file = PathBuf::from("/proc/sys").join(path);
        fs::write(&file, value)
            .map_err(|error| io::Error::other(format!("cannot write {value:?} to {}: {error}", file.display())))?;
    }
    Ok(())
}

fn belongs(path: &str, own: Own) -> bool {
    match path.split_once('/') {
        Some(("net", _)) => own.net,
        Some(("fs", rest)) => own.ipc && rest.starts_with("mqueue/"),
        _ => own.ipc && OF_IPC.contains(&path),
    }
}

/// The file of a parameter (sysctl.d(5)): whichever of `.` and `/` is first in its name separates, the other is part of a
/// name.
fn path_of(name: &str) -> Option<String> {
    let slashes = name.chars().find(|char| ['.', '/'].contains(char)) == Some('/');
    let swap = |char| match char {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    let path: String = if slashes { name.to_owned() } else { name.chars().map(swap).collect() };
    path.split('/').all(|part| !["", ".", ".."].contains(&part)).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Own = Own { net: true, ipc: true, user: false };

    fn asked(name: &str) -> HashMap<String, String> {
        [(name.to_owned(), "1".to_owned())].into()
    }

    #[test]
    fn parameters_of_the_pod_s_own_namespaces_are_set_and_those_of_the_node_are_refused() {
        for name in ["net.core.somaxconn", "net/core/somaxconn", "kernel.shmmax", "fs.mqueue.msg_max"] {
            assert!(of_pod(&asked(name), ALL).is_ok(), "{name}");
            assert!(of_pod(&asked(name), Own { net: false, ipc: false, user: false }).is_err(), "{name}");
        }
        for name in
            ["kernel.core_pattern", "vm.swappiness", "net/../kernel/x", "net", "", "fs.file-max", "kernel.sem.x"]
        {
            let refusal = of_pod(&asked(name), ALL).unwrap_err();
            assert!(refusal.contains(&format!("{name:?}")), "{refusal}");
        }
    }

    #[test]
    fn a_pod_with_a_network_has_all_ports_and_ping_unless_it_says_otherwise() {
        let set = |asked: &HashMap<String, String>, own| of_pod(asked, own).unwrap();
        let none = HashMap::new();
        assert_eq!(set(&none, ALL).len(), 2);
        assert_eq!(set(&none, Own { user: true, ..ALL }).len(), 1, "ping groups are beyond the namespace's");
        assert_eq!(set(&none, Own { net: false, ..ALL }), []);
        let own = set(&asked("net.ipv4.ip_unprivileged_port_start"), ALL);
        assert_eq!(own[0], ("net/ipv4/ip_unprivileged_port_start".into(), "1".into()));
        assert_eq!(own.len(), 2);
    }
}
