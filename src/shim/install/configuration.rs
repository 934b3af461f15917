//! containerd's configuration as containerd reads it: a file, and what that imports.

use std::{
    collections::VecDeque,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail};
use glob::Pattern;
use toml_edit::{Document, Item};

use super::{
    root::{Root, matches},
    version::{CONVERTS_EACH, MERGES, Version},
};

/// The plugin that has the runtimes, by the versions of configurations.
const PLUGINS: [&str; 3] = ["io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri", "cri"];

/// The runtime handler's name.
pub const HANDLER: &str = "wasmedge";

/// One file of it.
#[derive(Debug)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// What it holds.
    pub text: String,
    /// The same, parsed; its spans are places in `text`.
    pub document: Document<String>,
}

/// All files, in the order in which containerd reads them.
#[derive(Debug)]
pub struct Configuration {
    files: Vec<File>,
}

impl File {
    /// From the text of a file.
    ///
    /// # Errors
    /// It is no TOML.
    pub fn parse(path: &Path, text: String) -> Result<Self> {
        let document = Document::parse(text.clone())
            .map_err(|error| anyhow!("{} is not TOML: {}", path.display(), one_line(&error.to_string())))?;
        Ok(Self { path: path.to_owned(), text, document })
    }

    /// The version that it says it has.
    ///
    /// # Errors
    /// It is no number that a version can be.
    pub fn version(&self) -> Result<Option<i64>> {
        let Some(item) = self.document.get("version") else { return Ok(None) };
        let version = item.as_integer().filter(|version| (0..=4).contains(version));
        let version = version.with_context(|| {
            format!("{}: version = {} is none of 1 to 4", self.path.display(), item.to_string_or_type())
        })?;
        Ok(Some(version))
    }

    /// Its `imports`, as they are written.
    pub fn imports(&self) -> Vec<String> {
        let imports = self.document.get("imports").and_then(Item::as_array);
        imports.into_iter().flatten().filter_map(|import| import.as_str().map(ToOwned::to_owned)).collect()
    }

    /// The same as absolute paths, which may have wildcards.
    pub fn import_paths(&self) -> Vec<PathBuf> {
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        self.imports().iter().map(|import| clean(&directory.join(import))).collect()
    }

    /// Whether a file at `path` would be imported.
    pub fn would_import(&self, path: &Path) -> bool {
        let pattern = |import: &PathBuf| Pattern::new(&import.to_string_lossy()).ok();
        self.import_paths().iter().filter_map(pattern).any(|pattern| matches(&pattern, path))
    }

    /// Whether it has a section of the plugin with the runtimes.
    pub fn has_cri(&self) -> bool {
        self.cri().next().is_some()
    }

    /// The runtime handler of this name.
    pub fn handler(&self, name: &str) -> Option<&Item> {
        self.cri().find_map(|plugin| plugin.get("containerd")?.get("runtimes")?.get(name))
    }

    fn cri(&self) -> impl Iterator<Item = &Item> {
        let plugins = self.document.get("plugins");
        PLUGINS.iter().filter_map(move |plugin| plugins?.get(plugin))
    }

    fn disables_cri(&self) -> bool {
        let disabled = self.document.get("disabled_plugins").and_then(Item::as_array).into_iter().flatten();
        disabled.filter_map(|plugin| plugin.as_str()).any(|plugin| PLUGINS.contains(&plugin))
    }
}

impl Configuration {
    /// Reads the configuration at `path`; `None` if there is none.
    ///
    /// # Errors
    /// containerd could not read it either.
    pub fn read(root: &Root, path: &Path) -> Result<Option<Self>> {
        let Some(text) = root.text(path)? else { return Ok(None) };
        let mut files: Vec<File> = Vec::new();
        let mut pending = VecDeque::from([(path.to_owned(), Some(text))]);
        while let Some((path, text)) = pending.pop_front() {
            if files.iter().any(|file| file.path == path) {
                continue;
            }
            let text = match text {
                Some(text) => text,
                None => root.text(&path)?.with_context(|| {
                    format!("{}, which {} imports, is missing: containerd does not start", path.display(), by(&files))
                })?,
            };
            let file = File::parse(&path, text)?;
            for import in file.import_paths() {
                match import.to_string_lossy().contains('*') {
                    true => pending.extend(root.matching(&import).into_iter().map(|path| (path, None))),
                    false => pending.push_back((import, None)),
                }
            }
            files.push(file);
        }
        Ok(Some(Self { files }))
    }

    /// The file that is named to containerd.
    pub fn main(&self) -> &File {
        &self.files[0]
    }

    /// The files by themselves.
    pub fn into_files(self) -> Vec<File> {
        self.files
    }

    /// All files, the named one first.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// The version that a further import must have, so that the others keep their meaning.
    ///
    /// containerd 1.7 knows up to 2. Of containerd 2.0 to 2.2 the last file's version is that of all, and what has no
    /// version or 1 is converted beforehand. Later ones convert each file by itself.
    ///
    /// # Errors
    /// A file's version is none.
    pub fn version_of_imports(&self, containerd: Version) -> Result<i64> {
        let main = self.main().version()?.unwrap_or_default();
        if containerd < MERGES {
            return Ok(main);
        }
        let decides = if containerd < CONVERTS_EACH { self.files.iter().rev() } else { self.files[..1].iter().rev() };
        for file in decides {
            match file.version()? {
                None | Some(0) if file.path != self.main().path => {}
                Some(version @ 2..) => return Ok(version),
                _ => return Ok(3),
            }
        }
        Ok(3)
    }

    /// With containerd 1.7 an imported section replaces the whole one that came before: the file whose section holds.
    pub fn holds_cri(&self) -> &File {
        self.files.iter().rev().find(|file| file.has_cri()).unwrap_or_else(|| self.main())
    }

    /// The file that has the runtime handler of this name, and its section; the one that holds if several have it.
    pub fn handler(&self, name: &str) -> Option<(&File, &Item)> {
        self.files.iter().rev().find_map(|file| Some((file, file.handler(name)?)))
    }

    /// Whether systemd makes the cgroups of runc's containers.
    pub fn systemd_cgroup(&self) -> bool {
        let systemd = |file: &File| file.handler("runc")?.get("options")?.get("SystemdCgroup")?.as_bool();
        self.files.iter().rev().find_map(systemd).unwrap_or_default()
    }

    /// Whether the plugin for Kubernetes is turned off, as in the configuration that Docker's packages bring.
    pub fn disables_cri(&self) -> bool {
        self.files.iter().any(File::disables_cri)
    }
}

/// As Go's `filepath.Clean` does it for absolute paths.
fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => drop(cleaned.pop()),
            _ => {}
        }
    }
    cleaned
}

/// Those of whose imports the next one is.
fn by(files: &[File]) -> String {
    files.iter().map(|file| file.path.display().to_string()).collect::<Vec<_>>().join(" or ")
}

/// What a parser says in several lines.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains('|'));
    lines.collect::<Vec<_>>().join(": ")
}

trait Describe {
    fn to_string_or_type(&self) -> String;
}

impl Describe for Item {
    fn to_string_or_type(&self) -> String {
        self.as_integer().map_or_else(|| self.type_name().to_owned(), |number| number.to_string())
    }
}

/// Fails where `config` cannot be what containerd is given.
pub fn expect_toml(config: &Path) -> Result<()> {
    if config.extension().is_some_and(|extension| extension == "json") {
        bail!("{} is not containerd's configuration, which is TOML", config.display());
    }
    Ok(())
}
