//! The configurations of src/shim/install/golden as root directories, and the node's containerd in them.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use e2e::{Command, Finished, command};

/// The shim as it is installed in the node.
pub const SHIM: &str = "/usr/local/bin/containerd-shim-wasmedge-v1";

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../src/shim/install/golden");

/// What containerd needs of the node beside its configuration; the rest is the root's own. Without a configuration it starts
/// with its defaults, which 1.7 does not dump.
const ENTER: &str = r#"
mount -t tmpfs none "$NEW"
mkdir "$NEW/usr" "$NEW/dev"
mount --rbind /usr "$NEW/usr"
mount --rbind /dev "$NEW/dev"
for name in bin sbin lib lib64; do [ ! -L "/$name" ] || cp -a "/$name" "$NEW/$name"; done
for name in etc var data opt run; do
    [ ! -d "$ROOT/$name" ] || { mkdir "$NEW/$name"; mount --bind "$ROOT/$name" "$NEW/$name"; }
done
[ -e "$ROOT$CONFIG" ] || [ -L "$ROOT$CONFIG" ] || exec containerd config default
exec chroot "$NEW" containerd --config "$CONFIG" config dump
"#;

/// A configuration, in a directory of its own.
pub struct Root {
    /// Its name in golden.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// The options of `install`.
    pub options: Vec<String>,
    scratch: PathBuf,
}

/// What a directory holds, by its paths.
pub type Tree = BTreeMap<PathBuf, (u32, Vec<u8>)>;

/// The names of all configurations.
pub fn names() -> Vec<String> {
    let entries = fs::read_dir(GOLDEN).expect("the golden configurations").map(|entry| entry.expect("an entry"));
    let directories = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = directories.map(|entry| entry.file_name().into_string().expect("a name")).collect();
    names.sort();
    names
}

/// The first two numbers of the node's containerd.
pub fn containerd() -> (u32, u32) {
    let said = command("containerd").arg("--version").run().stdout;
    let version = said.split_whitespace().find(|word| word.trim_start_matches('v').starts_with(char::is_numeric));
    let version = version.unwrap_or_else(|| panic!("no version: {said}"));
    let mut numbers = version.trim_start_matches('v').split(['.', '-', '+', '~']).map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

impl Root {
    /// A copy below `directory`. The version of containerd that its options tell is the node's.
    pub fn new(name: &str, directory: &Path) -> Self {
        let golden = Path::new(GOLDEN).join(name);
        let path = directory.join(name);
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        copy(&golden.join("before"), &path);
        let scratch = directory.join(format!("{name}.new"));
        fs::create_dir_all(&scratch).expect("a directory");
        let words = e2e::command::read(golden.join("command"));
        let mut words: Vec<String> = words.split_whitespace().map(ToOwned::to_owned).collect();
        if let Some(at) = words.iter().position(|word| word == "--containerd-version") {
            words.drain(at..at + 2);
        }
        if words.iter().any(|word| word == "containerd" || word == "k0s") {
            let (major, minor) = containerd();
            words.extend(["--containerd-version".into(), format!("{major}.{minor}")]);
        }
        Self { name: name.into(), path, options: words, scratch }
    }

    /// The configuration that containerd is given.
    pub fn config(&self) -> String {
        let named = self.options.iter().position(|word| word == "--config").map(|at| self.options[at + 1].clone());
        named.unwrap_or_else(|| {
            let of = |kind: &str| self.name.starts_with(kind);
            let path = match () {
                () if of("k3s") => "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
                () if of("rke2") => "/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
                () if of("k0s") => "/etc/k0s/containerd.toml",
                () if of("microk8s") => "/var/snap/microk8s/current/args/containerd-template.toml",
                () => "/etc/containerd/config.toml",
            };
            path.into()
        })
    }

    /// `install` in it, by the program `shim`.
    pub fn install(&self, shim: &str) -> Command {
        command(shim).args(["install", "--root"]).arg(self.path.display().to_string()).args(self.options.clone())
    }

    /// `uninstall` in it.
    pub fn uninstall(&self, shim: &str) -> Command {
        command(shim).args(["uninstall", "--root"]).arg(self.path.display().to_string())
    }

    /// What containerd makes of it.
    pub fn dump(&self) -> Finished {
        let set = format!("NEW='{}' ROOT='{}' CONFIG='{}'", self.scratch.display(), self.path.display(), self.config());
        command("unshare").args(["-m", "sh", "-ec", &format!("{set}\n{ENTER}")]).finish()
    }

    /// All of it.
    pub fn tree(&self) -> Tree {
        let mut found = Tree::new();
        walk(&self.path, &self.path, &mut found);
        found
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).into_iter().flatten().map(|entry| entry.expect("an entry")) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().expect("a type");
        if kind.is_symlink() {
            symlink(fs::read_link(from).expect("a link"), to).expect("a link");
        } else if kind.is_dir() {
            fs::create_dir(&to).expect("a directory");
            copy(&from, &to);
        } else {
            fs::copy(from, to).expect("a copy");
        }
    }
}

fn walk(root: &Path, directory: &Path, found: &mut Tree) {
    for entry in fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry")) {
        let (path, meta) = (entry.path(), entry.metadata().expect("its data"));
        let holds = if meta.is_dir() {
            walk(root, &path, found);
            Vec::new()
        } else if meta.is_symlink() {
            fs::read_link(&path).expect("a link").into_os_string().into_encoded_bytes()
        } else {
            fs::read(&path).expect("a file")
        };
        let name = path.strip_prefix(root).expect("beneath").to_owned();
        found.insert(name, (meta.permissions().mode(), holds));
    }
}

/// What differs between two trees.
pub fn differences(one: &Tree, other: &Tree) -> Vec<PathBuf> {
    let paths = one.keys().chain(other.keys()).filter(|path| one.get(*path) != other.get(*path));
    let mut paths: Vec<PathBuf> = paths.cloned().collect();
    paths.sort();
    paths.dedup();
    paths
}
