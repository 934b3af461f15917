//! Runtime options: what a node's admin sets for this runtime in containerd's or Docker's configuration.
//!
//! containerd hands them over as `runtimeoptions.v1.Options`, whose body is TOML, or as `containerd.runc.v1.Options`
//! where a client treats every runtime like runc.

mod sections;
mod values;

use std::path::PathBuf;

use containerd_shim::{
    api::Options as RuncOptions,
    bootstrap::any_is,
    protos::protobuf::{CodedInputStream, Message, well_known_types::any::Any},
};
use log::warn;
use toml::Table;
use wasmedge_shim_protocol::SandboxOptions;

use sections::{aot, engine, plugins};
use values::{
    Found::{Known, Unknown},
    absolute, boolean, level, section, string,
};

/// Message of a runtime's options that containerd does not know itself (containerd, `api/types/runtimeoptions`).
const TOML_OPTIONS: &str = "runtimeoptions.v1.Options";

/// Options that mean something to runc only and are fine here.
const ACCEPTED: [&str; 9] =
    ["BinaryName", "Root", "ShimCgroup", "NoNewKeyring", "IoUid", "IoGid", "CriuPath", "CriuImagePath", "CriuWorkPath"];

/// The options of one runtime handler.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// How to build the sandbox.
    pub sandbox: SandboxOptions,
    /// `engine.path`: the engine's binary.
    pub engine: Option<PathBuf>,
    /// `engine.directory`: where the engine in the shim's own file is unpacked to.
    pub engine_directory: Option<PathBuf>,
    /// `log.level`: the shim's least severe messages.
    pub log_level: Option<log::LevelFilter>,
}

/// An option that cannot be used; it names the option.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OptionsError {
    /// The body is no TOML.
    #[error("runtime options are not TOML: {0}")]
    Syntax(String),
    /// The message itself is damaged.
    #[error("runtime options of type {0} cannot be decoded: {1}")]
    Encoding(String, String),
    /// The file that the options are in cannot be read.
    #[error("runtime options file {0}: {1}")]
    File(String, String),
    /// Plugins without a place to find them.
    #[error("runtime option plugins.load: plugins.dir must say where they are")]
    NoPluginDirectory,
    /// A value of the wrong type or out of its range.
    #[error("runtime option {name}: {expected} is expected, not {found}")]
    Value {
        /// The option.
        name: String,
        /// What it takes.
        expected: &'static str,
        /// What it was given.
        found: String,
    },
}

impl Options {
    /// From what containerd attached to the start of a shim.
    pub fn from_extensions(extensions: &[Any]) -> Result<Self, OptionsError> {
        extensions.first().map_or_else(|| Ok(Self::default()), Self::from_any)
    }

    /// From what came with a container.
    pub fn from_any(any: &Any) -> Result<Self, OptionsError> {
        let encoding = |error: String| OptionsError::Encoding(any.type_url.clone(), error);
        if any_is::<RuncOptions>(any) {
            let options = RuncOptions::parse_from_bytes(&any.value).map_err(|error| encoding(error.to_string()))?;
            let sandbox = SandboxOptions {
                systemd_cgroup: options.systemd_cgroup,
                no_pivot_root: options.no_pivot_root,
                ..SandboxOptions::default()
            };
            return Ok(Self { sandbox, ..Self::default() });
        }
        if any.type_url.rsplit('/').next() == Some(TOML_OPTIONS) {
            let body = toml_body(&any.value).map_err(|error| match error {
                BodyError::Encoding(cause) => encoding(cause),
                BodyError::File(path, cause) => OptionsError::File(path, cause),
            })?;
            return Self::from_toml(&body);
        }
        if !any.type_url.is_empty() {
            warn!("runtime options of type {} are ignored", any.type_url);
        }
        Ok(Self::default())
    }

    /// From a TOML document. Unknown options are warned about: they may be those of a later version.
    pub fn from_toml(text: &str) -> Result<Self, OptionsError> {
        let table: Table =
            text.parse().map_err(|error: toml::de::Error| OptionsError::Syntax(error.message().to_owned()))?;
        let mut options = Self::default();
        for (name, value) in &table {
            match name.as_str() {
                "SystemdCgroup" => options.sandbox.systemd_cgroup = boolean(name, value)?,
                "NoPivotRoot" => options.sandbox.no_pivot_root = boolean(name, value)?,
                "engine" => section(name, value, |key, name, value| match key {
                    "path" => string(name, value).map(|path| options.engine = Some(path.into())).map(Known),
                    "directory" => absolute(name, value).map(|path| options.engine_directory = Some(path)).map(Known),
                    _ => engine(&mut options.sandbox.engine, key, name, value),
                })?,
                "plugins" => {
                    section(name, value, |key, name, value| plugins(&mut options.sandbox.plugins, key, name, value))?;
                }
                "log" => section(name, value, |key, name, value| match key {
                    "level" => level(name, value).map(|level| options.log_level = Some(level)).map(Known),
                    _ => Ok(Unknown),
                })?,
                "aot" => aot(&mut options.sandbox.aot, name, value)?,
                accepted if ACCEPTED.contains(&accepted) => {}
                unknown => warn!("runtime option {unknown} is not known and ignored"),
            }
        }
        let plugins = &options.sandbox.plugins;
        if !plugins.names.is_empty() && plugins.directory.as_os_str().is_empty() {
            return Err(OptionsError::NoPluginDirectory);
        }
        Ok(options)
    }
}

enum BodyError {
    Encoding(String),
    File(String, String),
}

/// The TOML document in a `runtimeoptions.v1.Options`: field 3, or the file that field 2 names.
fn toml_body(message: &[u8]) -> Result<String, BodyError> {
    let encoding = |error: containerd_shim::protos::protobuf::Error| BodyError::Encoding(error.to_string());
    let (mut path, mut body) = (String::new(), Vec::new());
    let mut input = CodedInputStream::from_bytes(message);
    while let Some(tag) = input.read_raw_tag_or_eof().map_err(encoding)? {
        // Field number and wire type 2, length-delimited.
        match tag {
            0x12 => path = input.read_string().map_err(encoding)?,
            0x1a => body = input.read_bytes().map_err(encoding)?,
            0x0a => drop(input.read_bytes().map_err(encoding)?),
            other => return Err(BodyError::Encoding(format!("unexpected field {}", other >> 3))),
        }
    }
    if body.is_empty() && !path.is_empty() {
        return std::fs::read_to_string(&path).map_err(|error| BodyError::File(path, error.to_string()));
    }
    String::from_utf8(body).map_err(|error| BodyError::Encoding(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use wasmedge_shim_protocol::{Aot, AotPolicy, Optimization, Proposal, Proposals, Secret};

    fn toml_any(body: &str) -> Any {
        let mut value = vec![0x0a, 1, b'x', 0x1a, u8::try_from(body.len()).unwrap()];
        value.extend(body.as_bytes());
        Any { type_url: TOML_OPTIONS.into(), value, ..Any::default() }
    }

    #[test]
    fn toml_options_are_taken_from_containerds_message() {
        let options = Options::from_any(&toml_any("SystemdCgroup = true\n[engine]\npath = \"/opt/engine\"\n")).unwrap();
        assert!(options.sandbox.systemd_cgroup);
        assert_eq!(options.engine, Some("/opt/engine".into()));
    }

    #[test]
    fn options_of_native_code_are_taken() {
        let text = "[aot]\npolicy = \"require\"\nwait_ms = 50\nlevel = \"O3\"\ncache_mib = 10\nfuture = 1\n\
                    compilers = 3\ncompilers_mib = 4000\nnew_per_minute = 2\n";
        let aot = Options::from_toml(text).unwrap().sandbox.aot;
        let wanted = Aot {
            policy: AotPolicy::Require,
            wait_millis: 50,
            level: Optimization::O3,
            cache_mib: 10,
            most_policy: AotPolicy::Require,
            most_level: Optimization::O3,
            compilers: 3,
            compilers_mib: 4000,
            new_per_minute: 2,
        };
        assert_eq!(aot, wanted);
    }

    #[test]
    fn containers_ask_for_no_more_native_code_than_the_options_have_unless_those_say_so() {
        let most = |text: &str| {
            let aot = Options::from_toml(text).unwrap().sandbox.aot;
            (aot.most_policy, aot.most_level)
        };
        assert_eq!(most(""), (AotPolicy::Require, Optimization::O2), "nothing was set");
        assert_eq!(most("[aot]\ncache_mib = 1\n"), (AotPolicy::Require, Optimization::O2));
        assert_eq!(most("[aot]\npolicy = \"off\"\n"), (AotPolicy::Off, Optimization::O2));
        assert_eq!(most("[aot]\npolicy = \"tiered\"\nlevel = \"O1\"\n"), (AotPolicy::Tiered, Optimization::O1));
        let text = "[aot]\npolicy = \"off\"\nmost_policy = \"wait\"\nmost_level = \"O3\"\n";
        assert_eq!(most(text), (AotPolicy::Wait, Optimization::O3));
        let error = Options::from_toml("[aot]\nmost_policy = \"all\"\n").unwrap_err().to_string();
        assert!(error.contains("runtime option aot.most_policy: off, tiered, wait or require is expected"), "{error}");
    }

    #[test]
    fn options_of_the_engine_are_taken() {
        let text = "[engine]\ngas_limit = 1000\ntime_limit_ms = 50\nmemory_pages = 16\nstatistics = true\n\
                    proposals = [\"-simd\", \"+memory64\"]\noptional_proposals = [\"threads\"]\n";
        let engine = Options::from_toml(text).unwrap().sandbox.engine;
        assert_eq!((engine.gas_limit, engine.time_limit_millis, engine.memory_pages), (Some(1000), Some(50), Some(16)));
        assert!(engine.statistics);
        assert!(!engine.proposals.has(Proposal::Simd) && engine.proposals.has(Proposal::Memory64));
        assert_eq!(engine.optional_proposals, Proposals::NONE.with(Proposal::Threads));
        let error = |text: &str| Options::from_toml(text).unwrap_err().to_string();
        assert_eq!(
            error("[engine]\ngas_limit = 0"),
            "runtime option engine.gas_limit: a whole number of at least 1 is expected, not integer 0"
        );
        assert_eq!(
            error("[engine]\nproposals = [\"simd\"]"),
            "runtime option engine.proposals: a list of +NAME and -NAME with the names of proposals is expected, not \
             string \"simd\""
        );
        assert!(error("[engine]\noptional_proposals = \"threads\"").contains("not string \"threads\""));
    }

    #[test]
    fn plugins_have_a_directory_names_and_an_environment() {
        let text = "[plugins]\ndir = \"/opt/plugins\"\nload = [\"a\", \"libb\"]\n[plugins.env]\nX = \"1\"\n";
        let plugins = Options::from_toml(text).unwrap().sandbox.plugins;
        assert_eq!(
            (plugins.directory.to_str(), &plugins.names[..]),
            (Some("/opt/plugins"), &["a".into(), "libb".into()][..])
        );
        assert_eq!(plugins.env, [("X".to_owned(), Secret::new("1".to_owned()))]);
        let error = |text: &str| Options::from_toml(text).unwrap_err().to_string();
        assert!(error("[plugins]\nload = [\"a\"]").contains("plugins.dir must say where they are"));
        assert!(error("[plugins]\ndir = \"plugins\"").contains("an absolute path is expected"));
        assert!(error("[plugins]\ndir = \"/p\"\nload = [\"../a\"]").contains("without a directory"));
        assert!(error("[plugins]\n[plugins.env]\nX = 1").contains("runtime option plugins.env.X"));
    }

    #[test]
    fn runcs_own_options_are_understood() {
        let runc = RuncOptions { systemd_cgroup: true, binary_name: "crun".into(), ..RuncOptions::default() };
        let any = Any {
            type_url: "containerd.runc.v1.Options".into(),
            value: runc.write_to_bytes().unwrap(),
            ..Any::default()
        };
        assert!(Options::from_any(&any).unwrap().sandbox.systemd_cgroup);
    }

    #[test]
    fn unknown_options_and_types_are_tolerated() {
        assert_eq!(Options::from_toml("BinaryName = \"x\"\nFuture = 3\n[wasi]\na = 1\n").unwrap(), Options::default());
        let foreign = Any { type_url: "types.example/other.v1.Options".into(), value: vec![1, 2], ..Any::default() };
        assert_eq!(Options::from_any(&foreign).unwrap(), Options::default());
    }

    #[test]
    fn wrong_values_are_refused_and_named() {
        let error = |text: &str| Options::from_toml(text).unwrap_err().to_string();
        assert_eq!(
            error("SystemdCgroup = \"yes\""),
            "runtime option SystemdCgroup: true or false is expected, not string \"yes\""
        );
        assert_eq!(
            error("[log]\nlevel = \"loud\""),
            "runtime option log.level: off, error, warn, info, debug or trace is expected, not string \"loud\""
        );
        assert_eq!(error("engine = 3"), "runtime option engine: a section is expected, not integer 3");
        assert_eq!(
            error("[aot]\npolicy = \"always\""),
            "runtime option aot.policy: off, tiered, wait or require is expected, not string \"always\""
        );
        assert_eq!(
            error("[aot]\nwait_ms = -1"),
            "runtime option aot.wait_ms: a whole number of at most 4294967295 is expected, not integer -1"
        );
        assert!(error("SystemdCgroup = ").starts_with("runtime options are not TOML"));
    }

    #[test]
    fn an_options_file_is_read_and_a_missing_one_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "NoPivotRoot = true").unwrap();
        let any = |path: &str| {
            let mut value = vec![0x12, u8::try_from(path.len()).unwrap()];
            value.extend(path.as_bytes());
            Any { type_url: TOML_OPTIONS.into(), value, ..Any::default() }
        };
        assert!(Options::from_any(&any(file.path().to_str().unwrap())).unwrap().sandbox.no_pivot_root);
        assert!(
            Options::from_any(&any("/no/such/file"))
                .unwrap_err()
                .to_string()
                .starts_with("runtime options file /no/such/file:")
        );
    }

    proptest! {
        #[test]
        fn no_message_makes_it_panic(value in prop::collection::vec(any::<u8>(), 0..128)) {
            let _ = Options::from_any(&Any { type_url: TOML_OPTIONS.into(), value, ..Any::default() });
        }

        #[test]
        fn booleans_of_any_other_type_are_refused(number: i64) {
            let text = format!("SystemdCgroup = {number}");
            prop_assert!(Options::from_toml(&text).is_err());
        }
    }
}
