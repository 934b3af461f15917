//! fstab-style options, in mount(2)'s terms.

use nix::mount::MsFlags;
use oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder};

/// What a list of options means.
#[derive(Debug, PartialEq, Eq)]
pub struct MountOptions {
    /// For mount(2).
    pub flags: MsFlags,
    /// What the filesystem itself has to understand, joined by commas.
    pub data: String,
    /// Whose files it shows as whose: `uidmap` and `gidmap`, which containerd's own mount code understands.
    pub mappings: Option<IdMappings>,
}

/// Mappings of users and of groups.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct IdMappings {
    /// Of users.
    pub users: Vec<LinuxIdMapping>,
    /// Of groups.
    pub groups: Vec<LinuxIdMapping>,
}

/// Splits options into flags and data, as containerd does (`core/mount`, mount(8)).
pub fn parse(options: &[String]) -> MountOptions {
    let mut flags = MsFlags::empty();
    let mut data: Vec<&str> = Vec::new();
    let mut mappings = None::<IdMappings>;
    for option in options {
        if let Some(users) = option.strip_prefix("uidmap=") {
            mappings.get_or_insert_default().users = id_mappings(users);
            continue;
        }
        if let Some(groups) = option.strip_prefix("gidmap=") {
            mappings.get_or_insert_default().groups = id_mappings(groups);
            continue;
        }
        match flag(option) {
            Some((flag, true)) => flags.insert(flag),
            Some((flag, false)) => flags.remove(flag),
            None if is_for_containerd(option) => {}
            None => data.push(option),
        }
    }
    MountOptions { flags, data: data.join(","), mappings }
}

/// `CONTAINER:HOST:SIZE`, several of them with commas between. A wrong one is left out, and missed by the kernel.
fn id_mappings(text: &str) -> Vec<LinuxIdMapping> {
    let parse = |one: &str| {
        let numbers: Vec<u32> = one.split(':').map_while(|number| number.parse().ok()).collect();
        let [container, host, size] = numbers[..] else { return None };
        let mapping = LinuxIdMappingBuilder::default().container_id(container).host_id(host).size(size);
        mapping.build().ok()
    };
    text.split(',').filter_map(parse).collect()
}

/// Options by which containerd's own mount code is steered, after the mounts have reached us already processed.
fn is_for_containerd(option: &str) -> bool {
    option.is_empty() || option == "loop" || option.starts_with("X-containerd.")
}

/// The flag that an option sets (`true`) or clears.
fn flag(option: &str) -> Option<(MsFlags, bool)> {
    Some(match option {
        "defaults" => (MsFlags::empty(), true),
        "ro" => (MsFlags::MS_RDONLY, true),
        "rw" => (MsFlags::MS_RDONLY, false),
        "nosuid" => (MsFlags::MS_NOSUID, true),
        "suid" => (MsFlags::MS_NOSUID, false),
        "nodev" => (MsFlags::MS_NODEV, true),
        "dev" => (MsFlags::MS_NODEV, false),
        "noexec" => (MsFlags::MS_NOEXEC, true),
        "exec" => (MsFlags::MS_NOEXEC, false),
        "sync" => (MsFlags::MS_SYNCHRONOUS, true),
        "async" => (MsFlags::MS_SYNCHRONOUS, false),
        "dirsync" => (MsFlags::MS_DIRSYNC, true),
        "remount" => (MsFlags::MS_REMOUNT, true),
        "mand" => (MsFlags::MS_MANDLOCK, true),
        "nomand" => (MsFlags::MS_MANDLOCK, false),
        "noatime" => (MsFlags::MS_NOATIME, true),
        "atime" => (MsFlags::MS_NOATIME, false),
        "nodiratime" => (MsFlags::MS_NODIRATIME, true),
        "diratime" => (MsFlags::MS_NODIRATIME, false),
        "relatime" => (MsFlags::MS_RELATIME, true),
        "norelatime" => (MsFlags::MS_RELATIME, false),
        "strictatime" => (MsFlags::MS_STRICTATIME, true),
        "nostrictatime" => (MsFlags::MS_STRICTATIME, false),
        "bind" => (MsFlags::MS_BIND, true),
        "rbind" => (MsFlags::MS_BIND.union(MsFlags::MS_REC), true),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &str) -> MountOptions {
        parse(&words.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn flags_and_data_are_told_apart() {
        let options = parse_words("ro nosuid lowerdir=/a:/b index=off");
        assert_eq!(options.flags, MsFlags::MS_RDONLY | MsFlags::MS_NOSUID);
        assert_eq!(options.data, "lowerdir=/a:/b,index=off");
    }

    #[test]
    fn the_last_of_two_contradicting_options_wins() {
        assert_eq!(parse_words("ro rw").flags, MsFlags::empty());
        assert_eq!(parse_words("rw ro").flags, MsFlags::MS_RDONLY);
    }

    #[test]
    fn mappings_are_told_apart_from_the_filesystem_s_options() {
        let options = parse_words("lowerdir=/a uidmap=0:1000:10 gidmap=0:2000:10,10:5000:1");
        assert_eq!(options.data, "lowerdir=/a");
        let mappings = options.mappings.unwrap();
        assert_eq!(mappings.users[0].host_id(), 1000);
        assert_eq!((mappings.groups.len(), mappings.groups[1].container_id()), (2, 10));
    }

    #[test]
    fn options_for_containerd_itself_do_not_reach_the_filesystem() {
        assert_eq!(parse_words("X-containerd.mkfs=1 volatile").data, "volatile");
    }
}
