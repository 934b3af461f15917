//! The runtime handler, as containerd's configuration has it.

use std::path::PathBuf;

use super::{class::ClassOptions, configuration::HANDLER};

/// The type of runc, of which alone containerd 2.0 and 2.1 ask what a runtime is able to do
/// (containerd, `introspectRuntimeFeatures` in `internal/cri/server/service.go`); without that no pod has a user namespace.
pub const RUNC: &str = "io.containerd.runc.v2";

/// What a pod may say by annotations. Patterns of Go's `path.Match`.
const ANNOTATIONS: &str = r#"["io.wasmedge.*", "module.wasm.image/*"]"#;

/// That these come with the spec, so that containerd need not be asked for them.
const PASSED: &str = r#"annotations = "spec""#;

/// What is written at the top of files that are made by `install`.
pub const MADE: &str =
    "# Made by `containerd-shim-wasmedge-v1 install`; `containerd-shim-wasmedge-v1 uninstall` takes it away.";

/// The handler of this runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handler {
    /// The runtime's type: a name, by which containerd finds the program in its PATH, or the program's path.
    pub runtime_type: String,
    /// The program's path, where the type has to be that of runc.
    pub runtime_path: Option<PathBuf>,
    /// Whether systemd makes the cgroups; `None` where the distribution decides it.
    pub systemd_cgroup: Option<bool>,
    /// What the node's admin has told beside that.
    pub options: ClassOptions,
}

impl Handler {
    /// Its tables, for a configuration of this version (0 stands for none).
    pub fn section(&self, version: i64) -> String {
        let table = format!("plugins.{}.containerd.runtimes.{HANDLER}", plugin(version));
        let options: String = self.options().iter().map(|line| format!("    {line}\n")).collect();
        let path = self.runtime_path.as_ref().map(|path| format!("  runtime_path = \"{}\"\n", path.display()));
        let path = path.unwrap_or_default();
        let options = if options.is_empty() { options } else { format!("\n  [{table}.options]\n{options}") };
        let runtime_type = &self.runtime_type;
        format!("[{table}]\n  runtime_type = \"{runtime_type}\"\n{path}  pod_annotations = {ANNOTATIONS}\n{options}")
    }

    fn options(&self) -> Vec<String> {
        let cgroup = self.systemd_cgroup.map(|systemd| format!("SystemdCgroup = {systemd}"));
        if self.runtime_path.is_some() {
            // This type has no options but runc's own.
            return self.options.only("SystemdCgroup").or(cgroup).into_iter().collect();
        }
        let decided = cgroup.map(|cgroup| [cgroup, PASSED.to_owned()]);
        self.options.with(decided.as_ref().map_or(&[], |decided| decided))
    }

    /// A file of its own.
    pub fn file(&self, version: i64) -> String {
        format!("{MADE}\n{}\n{}", version_line(version), self.section(version))
    }

    /// Its table in one line.
    pub fn inline(&self) -> String {
        let options = self.options().join(", ");
        let options = if options.is_empty() { options } else { format!(", options = {{ {options} }}") };
        format!("{{ runtime_type = \"{}\", pod_annotations = {ANNOTATIONS}{options} }}", self.runtime_type)
    }
}

/// The table of containerd's default runtime.
pub fn runc(version: i64) -> String {
    let plugin = plugin(version);
    format!("[plugins.{plugin}.containerd.runtimes.runc]\n  runtime_type = \"io.containerd.runc.v2\"\n\n")
}

/// Whether a text holds what [`Handler::inline`] writes.
pub fn is_inline(text: &str) -> bool {
    text.contains("{ runtime_type = \"") && text.contains(&format!("pod_annotations = {ANNOTATIONS}"))
}

/// The line with a configuration's version, where it has one.
pub fn version_line(version: i64) -> String {
    if version > 0 { format!("version = {version}\n") } else { String::new() }
}

/// The plugin with the runtimes, as a key.
fn plugin(version: i64) -> &'static str {
    match version {
        0 | 1 => "cri",
        2 => "\"io.containerd.grpc.v1.cri\"",
        _ => "'io.containerd.cri.v1.runtime'",
    }
}

/// The path of the table with the runtimes.
pub fn runtimes(version: i64) -> [&'static str; 4] {
    ["plugins", plugin(version).trim_matches(['"', '\'']), "containerd", "runtimes"]
}
