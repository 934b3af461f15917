//! Runtime options: what a node's admin sets for this runtime in containerd's or Docker's configuration.
//!
//! containerd hands them over as `runtimeoptions.v1.Options`, whose body is TOML, or as `containerd.runc.v1.Options`
//! where a client treats every runtime like runc.

use std::{path::PathBuf, str::FromStr};

use containerd_shim::{
    api::Options as RuncOptions,
    bootstrap::any_is,
    protos::protobuf::{CodedInputStream, Message, well_known_types::any::Any},
};
use log::warn;
use toml::{Table, Value};
use wasmedge_shim_protocol::{Aot, AotPolicy, Optimization, SandboxOptions};

use Found::{Known, Unknown};

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
                    _ => Ok(Unknown),
                })?,
                "log" => section(name, value, |key, name, value| match key {
                    "level" => level(name, value).map(|level| options.log_level = Some(level)).map(Known),
                    _ => Ok(Unknown),
                })?,
                "aot" => section(name, value, |key, name, value| aot(&mut options.sandbox.aot, key, name, value))?,
                accepted if ACCEPTED.contains(&accepted) => {}
                unknown => warn!("runtime option {unknown} is not known and ignored"),
            }
        }
        Ok(options)
    }
}

/// Whether there is an option of a name.
enum Found {
    Known(()),
    Unknown,
}

/// The options of a section; `set` is given each: its key, its full name for messages, its value.
fn section(
    name: &str,
    value: &Value,
    mut set: impl FnMut(&str, &str, &Value) -> Result<Found, OptionsError>,
) -> Result<(), OptionsError> {
    let table = value.as_table().ok_or_else(|| wrong(name, "a section", value))?;
    for (key, value) in table {
        let name = format!("{name}.{key}");
        if let Unknown = set(key, &name, value)? {
            warn!("runtime option {name} is not known and ignored");
        }
    }
    Ok(())
}

fn aot(aot: &mut Aot, key: &str, name: &str, value: &Value) -> Result<Found, OptionsError> {
    match key {
        "policy" => aot.policy = named(name, AotPolicy::NAMES, value)?,
        "level" => aot.level = named(name, Optimization::NAMES, value)?,
        "wait_ms" => aot.wait_millis = number(name, value)?,
        "cache_mib" => aot.cache_mib = number(name, value)?,
        _ => return Ok(Unknown),
    }
    Ok(Known(()))
}

fn named<T: FromStr>(name: &str, expected: &'static str, value: &Value) -> Result<T, OptionsError> {
    value.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| wrong(name, expected, value))
}

fn number(name: &str, value: &Value) -> Result<u32, OptionsError> {
    let number = value.as_integer().and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| wrong(name, "a whole number of at most 4294967295", value))
}

fn boolean(name: &str, value: &Value) -> Result<bool, OptionsError> {
    value.as_bool().ok_or_else(|| wrong(name, "true or false", value))
}

fn string(name: &str, value: &Value) -> Result<String, OptionsError> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned).ok_or_else(|| wrong(name, "a string", value))
}

fn level(name: &str, value: &Value) -> Result<log::LevelFilter, OptionsError> {
    named(name, "off, error, warn, info, debug or trace", value)
}

fn wrong(name: &str, expected: &'static str, value: &Value) -> OptionsError {
    OptionsError::Value { name: name.to_owned(), expected, found: describe(value) }
}

fn describe(value: &Value) -> String {
    match value {
        Value::String(text) => format!("string {text:?}"),
        Value::Integer(number) => format!("integer {number}"),
        Value::Boolean(truth) => format!("boolean {truth}"),
        other => other.type_str().to_owned(),
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
        let text = "[aot]\npolicy = \"require\"\nwait_ms = 50\nlevel = \"O3\"\ncache_mib = 10\nfuture = 1\n";
        let aot = Options::from_toml(text).unwrap().sandbox.aot;
        let wanted = Aot { policy: AotPolicy::Require, wait_millis: 50, level: Optimization::O3, cache_mib: 10 };
        assert_eq!(aot, wanted);
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
