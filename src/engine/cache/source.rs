//! Where the modules to be compiled come from: a file, or an image in containerd.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use oci_spec::{
    image::{ImageConfiguration, ImageManifest},
    runtime::{Process, ProcessBuilder},
};
use wasmedge_shim_protocol::{Location, RootfsMount, ensure_private_dir};

use crate::{
    containerd::{self, Client},
    files::Root,
    guest::{Entrypoint, resolve},
    sandbox::{mount_rootfs, unmount_rootfs},
};

/// Most that the modules of one image may take in memory, in bytes.
const LARGEST: u64 = 1 << 30;

/// Docker's namespace.
const MOBY: &str = "moby";

/// A module to be compiled.
pub struct Source {
    /// For messages.
    pub name: String,
    /// Its content.
    pub module: Vec<u8>,
    /// Whether it is what was asked for: not just another file of the image.
    pub main: bool,
}

/// The module in a file.
pub fn of_file(path: &Path) -> Result<Vec<Source>> {
    let name = path.display().to_string();
    let module = fs::read(path).with_context(|| format!("cannot read {name}"))?;
    Ok(vec![Source { name, module, main: true }])
}

/// The modules of an image: its layers, if it is a Wasm OCI artifact, else its entrypoint and all files called `.wasm`.
pub fn of_image(location: &Location, client: &mut Client, name: &str) -> Result<Vec<Source>> {
    let image = find(client, name)?;
    let manifests = containerd::manifests(client, &image)?;
    let mut sources = match manifests.iter().find(|manifest| !containerd::wasm_layers(manifest).is_empty()) {
        Some(manifest) => layers(client, &image, manifest)?,
        None => {
            let manifest = manifests.first().context("containerd has no manifest of it")?;
            let gone = || format!("containerd does not have its {}", manifest.config().digest());
            let config: ImageConfiguration = client.document(manifest.config())?.with_context(gone)?;
            if config.rootfs().diff_ids().is_empty() {
                bail!("there are no modules in it");
            }
            containerd::view(client, manifest.config(), &config, |mounts| files(location, &image, mounts, &config))?
        }
    };
    ensure!(!sources.is_empty(), "there are no modules in it");
    sources.sort_by_key(|source| !source.main);
    Ok(sources)
}

/// The whole name of the image that is meant.
fn find(client: &mut Client, name: &str) -> Result<String> {
    let names = whole_names(name);
    for name in &names {
        if client.image(name)?.is_some() {
            return Ok(name.clone());
        }
    }
    let asked = client.namespace().to_owned();
    let mut cause = format!("there is no such file, and no such image in containerd's namespace {asked}");
    for other in client.namespaces()?.into_iter().filter(|other| *other != asked) {
        client.set_namespace(&other)?;
        for name in &names {
            if client.image(name)?.is_some() {
                cause += &format!("; there is one in the namespace {other}: --namespace {other}");
            }
        }
    }
    if asked == MOBY {
        cause += "; Docker keeps its images there only with the containerd image store: otherwise take the module out by \
                  \"docker cp\", and name the file";
    }
    bail!(cause)
}

/// What a name may stand for, as Docker takes it.
fn whole_names(name: &str) -> Vec<String> {
    let last = name.rsplit('/').next().unwrap_or(name);
    let tagged = if last.contains([':', '@']) { name.to_owned() } else { format!("{name}:latest") };
    let first = name.split_once('/').map(|(first, _)| first);
    let mut names = vec![name.to_owned(), tagged.clone()];
    match first {
        None => names.push(format!("docker.io/library/{tagged}")),
        Some(first) if !first.contains(['.', ':']) && first != "localhost" => names.push(format!("docker.io/{tagged}")),
        Some(_) => {}
    }
    names.dedup();
    names
}

fn layers(client: &Client, image: &str, manifest: &ImageManifest) -> Result<Vec<Source>> {
    let layers = containerd::wasm_layers(manifest);
    let total: u64 = layers.iter().map(|layer| layer.size()).sum();
    ensure!(total <= LARGEST, "its modules have {total} bytes, too many");
    let source = |layer| {
        let title =
            containerd::title(layer).map_or_else(|| layer.digest().to_string(), |title| title.display().to_string());
        let mut module = Vec::new();
        let found = client.read(layer, &mut module)?;
        ensure!(found, "containerd does not have its layer {}", layer.digest());
        Ok(Source { name: format!("{image}: {title}"), module, main: true })
    };
    layers.into_iter().map(source).collect()
}

fn files(location: &Location, image: &str, mounts: &[RootfsMount], config: &ImageConfiguration) -> Result<Vec<Source>> {
    // In a mount namespace of its own: nothing is left on the node, not even by a process that is killed.
    unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace")?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    let place = location.root().join(format!("warm-{}", std::process::id()));
    ensure_private_dir(&place).with_context(|| format!("cannot use {}", place.display()))?;
    let read = mount_rootfs(mounts, &place).and_then(|()| read_modules(image, &place.join("rootfs"), config));
    let gone = unmount_rootfs(&place).and_then(|()| fs::remove_dir_all(&place));
    let read = read?;
    gone.with_context(|| format!("cannot remove {}", place.display()))?;
    Ok(read)
}

fn read_modules(image: &str, root: &Path, config: &ImageConfiguration) -> Result<Vec<Source>> {
    let main = match resolve(&process(config)?, &|path| Root::new(root)?.open(path)) {
        Ok(Entrypoint::Wasm { path, .. }) => Some(path.components().collect::<PathBuf>()),
        _ => None,
    };
    let mut paths = Vec::new();
    collect(root, Path::new("/"), &mut paths)?;
    if let Some(main) = &main
        && !paths.contains(main)
    {
        paths.push(main.clone());
    }
    let (mut sources, mut left) = (Vec::new(), LARGEST);
    for path in paths {
        let mut module = Vec::new();
        Root::new(root)?.open(&path)?.take(left + 1).read_to_end(&mut module)?;
        left = left.checked_sub(module.len() as u64).context("its modules have more than 1 GiB")?;
        let is_main = main.as_ref() == Some(&path);
        sources.push(Source { name: format!("{image}: {}", path.display()), module, main: is_main });
    }
    Ok(sources)
}

/// What the image runs unless it is told otherwise.
fn process(config: &ImageConfiguration) -> Result<Process> {
    let config = config.config().clone().unwrap_or_default();
    let words = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
    let cwd = config.working_dir().clone().filter(|cwd| !cwd.is_empty()).unwrap_or_else(|| "/".to_owned());
    let args = [words(config.entrypoint()), words(config.cmd())].concat();
    Ok(ProcessBuilder::default().args(args).env(words(config.env())).cwd(cwd).build()?)
}

/// Adds the files called `.wasm` in `directory` of `root` and below. Links are not followed.
fn collect(root: &Path, directory: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    let on_node = root.join(directory.strip_prefix("/").unwrap_or(directory));
    let entries = fs::read_dir(&on_node).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, directory.join(entry.file_name()));
        if kind.is_dir() {
            collect(root, &path, paths)?;
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "wasm") {
            paths.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_docker_does() {
        assert_eq!(whole_names("app"), ["app", "app:latest", "docker.io/library/app:latest"]);
        assert_eq!(whole_names("me/app:1"), ["me/app:1", "docker.io/me/app:1"]);
        assert_eq!(whole_names("localhost/app"), ["localhost/app", "localhost/app:latest"]);
        assert_eq!(whole_names("registry.example:5000/app:1"), ["registry.example:5000/app:1"]);
    }

    #[test]
    fn the_entrypoint_and_the_files_called_wasm_are_found() {
        let root = tempfile::tempdir().unwrap();
        let module = b"\0asm\x01\0\0\0";
        fs::create_dir_all(root.path().join("a/b")).unwrap();
        for path in ["main", "a/b/other.wasm", "a/text.txt"] {
            fs::write(root.path().join(path), module).unwrap();
        }
        std::os::unix::fs::symlink("/etc", root.path().join("link.wasm")).unwrap();
        let config = r#"{"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
            "config": {"Entrypoint": ["./main"], "WorkingDir": "/"}}"#;
        let config: ImageConfiguration = serde_json::from_str(config).unwrap();
        let mut found: Vec<_> = read_modules("i", root.path(), &config)
            .unwrap()
            .into_iter()
            .map(|source| (source.name, source.main))
            .collect();
        found.sort();
        assert_eq!(found, [("i: /a/b/other.wasm".to_owned(), false), ("i: /main".to_owned(), true)]);
    }
}
