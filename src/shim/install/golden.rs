//! The configurations in `golden/`: what `install` does to each, that it does it once, and that `uninstall` takes
//! every byte of it back.
//!
//! Each directory has `before`, a root directory; `command`, the options of `install`; and `expected`, what its
//! `--dry-run` shows. GOLDEN_WRITE=1 writes `expected` anew, to be read by whoever commits it.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::{
    apply, install,
    options::{Options, Verb},
    plan::Plan,
    programs::{ENGINE, SHIM, Source},
    root::Root,
    uninstall,
};

/// Fewer than that and some were lost.
const LEAST_CASES: usize = 40;

/// One of them, in a directory of its own.
pub struct Case {
    name: String,
    directory: PathBuf,
    /// The root directory.
    pub root: tempfile::TempDir,
    programs: tempfile::TempDir,
}

/// A file or directory: its mode, and what it holds.
pub type Tree = BTreeMap<PathBuf, (u32, Option<Vec<u8>>)>;

impl Case {
    /// The case of this name.
    pub fn named(name: &str) -> Self {
        Self::new(golden().join(name))
    }

    fn new(directory: PathBuf) -> Self {
        let name = directory.file_name().unwrap().to_string_lossy().into_owned();
        let case = Self { name, root: tempfile::tempdir().unwrap(), programs: tempfile::tempdir().unwrap(), directory };
        copy(&case.directory.join("before"), case.root.path());
        for name in [SHIM, ENGINE] {
            fs::write(case.programs.path().join(name), name).unwrap();
        }
        case
    }

    fn root(&self) -> Root {
        Root::new(self.root.path()).unwrap()
    }

    /// The options of the case, for this verb.
    pub fn options(&self, verb: Verb) -> Options {
        let words = if verb == Verb::Install {
            fs::read_to_string(self.directory.join("command")).unwrap()
        } else {
            String::new()
        };
        let root = ["--root".into(), self.root.path().into()];
        Options::parse(verb, root.into_iter().chain(words.split_whitespace().map(Into::into))).unwrap()
    }

    fn install(&self) -> Result<Plan, String> {
        self.install_with(&self.options(Verb::Install))
    }

    /// The file of a program that is to be installed.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.path().join(name)
    }

    /// What `install` would do with these options.
    pub fn install_with(&self, options: &Options) -> Result<Plan, String> {
        let programs = [SHIM, ENGINE].map(|name| (name, Source::File(self.program(name))));
        install(options, &self.root(), &programs).map_err(|error| format!("error: {error:#}\n"))
    }

    /// Installs, and returns what was done.
    pub fn installed(&self) -> Plan {
        let plan = self.install().unwrap();
        self.apply(&plan);
        plan
    }

    /// Takes it back, and returns what was done.
    pub fn uninstalled(&self) -> Plan {
        let plan = uninstall::plan(&self.options(Verb::Uninstall), &self.root()).unwrap();
        self.apply(&plan);
        plan
    }

    /// The text of a file in the root directory.
    pub fn text(&self, path: &str) -> String {
        fs::read_to_string(self.root.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Does what is planned.
    pub fn apply(&self, plan: &Plan) {
        for change in &plan.changes {
            apply::apply(&self.root(), change).unwrap_or_else(|error| panic!("{}: {error:#}", self.name));
        }
    }

    /// All that is there.
    pub fn tree(&self) -> Tree {
        let mut found = Tree::new();
        walk(self.root.path(), self.root.path(), &mut found);
        found
    }

    fn run(&self) {
        let before = self.tree();
        let plan = self.install();
        let shown = plan.as_ref().map_or_else(Clone::clone, ToString::to_string);
        let shown = shown.replace(&format!("{}/", self.programs.path().display()), "");
        let path = self.directory.join("expected");
        if std::env::var_os("GOLDEN_WRITE").is_some() {
            fs::write(&path, &shown).unwrap();
        }
        assert_eq!(shown, fs::read_to_string(&path).unwrap_or_default(), "{}", self.name);
        let Ok(plan) = plan else { return assert_eq!(before, self.tree(), "{}", self.name) };
        assert_eq!(before, self.tree(), "{}: planning changes nothing", self.name);
        self.apply(&plan);
        let again = self.install().unwrap();
        assert!(again.changes.is_empty(), "{}: the second time: {again}", self.name);
        let back = uninstall::plan(&self.options(Verb::Uninstall), &self.root()).unwrap();
        self.apply(&back);
        let after = self.tree();
        for path in before.keys().chain(after.keys()) {
            assert_eq!(before.get(path), after.get(path), "{}: {}", self.name, path.display());
        }
        let again = uninstall::plan(&self.options(Verb::Uninstall), &self.root()).unwrap();
        assert!(again.changes.is_empty(), "{}: uninstalled twice: {again}", self.name);
    }
}

#[test]
fn each_configuration_gets_the_handler_once_and_loses_it_without_a_trace() {
    let entries = fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    cases.sort();
    assert!(cases.len() >= LEAST_CASES, "{} cases", cases.len());
    cases.into_iter().for_each(|case| Case::new(case).run());
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("install/golden")
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).into_iter().flatten().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path()).unwrap(), to).unwrap();
        } else if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).unwrap();
            // Not what git makes of it.
            fs::set_permissions(&to, fs::Permissions::from_mode(0o640)).unwrap();
        }
    }
}

fn walk(root: &Path, directory: &Path, found: &mut Tree) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let meta = entry.metadata().unwrap();
        let path = entry.path();
        let holds = if meta.is_dir() {
            walk(root, &path, found);
            None
        } else if meta.is_symlink() {
            Some(fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes())
        } else {
            Some(fs::read(&path).unwrap())
        };
        found.insert(path.strip_prefix(root).unwrap().to_owned(), (meta.mode() & 0o7777, holds));
    }
}
