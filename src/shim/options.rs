//! Runtime options: what a node's admin sets for this runtime in containerd's or Docker's configuration.
//!
//! containerd hands them over as `runtimeoptions.v1.Options`, whose body is TOML, or as `containerd.runc.v1.Options`
//! where a client treats every runtime like runc.

pub mod node;
mod sections;
#[cfg(test)]
mod tests;
mod values;

use std::path::{Path, PathBuf};

use containerd_shim::{
    api::Options as RuncOptions,
    bootstrap::any_is,
    protos::protobuf::{CodedInputStream, Message, well_known_types::any::Any},
};
use log::warn;
use toml::Table;
use wasmedge_shim_protocol::{AnnotationSource, FurtherOptions, MetricsAddress, SandboxOptions};

use sections::{aot, engine, plugins, preopens};
use values::{
    Found::{Known, Unknown},
    absolute, boolean, level, named, section, string,
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
    /// Those of them that hosts of before do not know.
    pub further: FurtherOptions,
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
    /// From what came with a container or the start of a shim, and what the node has of its own.
    ///
    /// # Errors
    /// One of them cannot be used; it is named.
    pub fn of(given: Option<&Any>) -> Result<Self, OptionsError> {
        Self::over(node::read(Path::new(node::PATH))?, given)
    }

    /// From what came with a container, over what the node has.
    fn over(node: Table, given: Option<&Any>) -> Result<Self, OptionsError> {
        let Some(any) = given else { return Self::from_table(&node) };
        let encoding = |error: String| OptionsError::Encoding(any.type_url.clone(), error);
        if any_is::<RuncOptions>(any) {
            let options = RuncOptions::parse_from_bytes(&any.value).map_err(|error| encoding(error.to_string()))?;
            // These two it decides as for runc: in this message false and unsaid are the same.
            let mut known = Self::from_table(&node)?;
            known.sandbox.systemd_cgroup = options.systemd_cgroup;
            known.sandbox.no_pivot_root = options.no_pivot_root;
            return Ok(known);
        }
        if any.type_url.rsplit('/').next() == Some(TOML_OPTIONS) {
            let body = toml_body(&any.value).map_err(|error| match error {
                BodyError::Encoding(cause) => encoding(cause),
                BodyError::File(path, cause) => OptionsError::File(path, cause),
            })?;
            return Self::from_table(&node::overlaid(node, parse(&body)?));
        }
        if !any.type_url.is_empty() {
            warn!("runtime options of type {} are ignored", any.type_url);
        }
        Self::from_table(&node)
    }

    /// From a TOML document.
    ///
    /// # Errors
    /// It holds what no option can be.
    pub fn from_toml(text: &str) -> Result<Self, OptionsError> {
        Self::from_table(&parse(text)?)
    }

    /// From what a TOML document holds. Unknown options are warned about: they may be those of a later version.
    fn from_table(table: &Table) -> Result<Self, OptionsError> {
        let mut options = Self::default();
        for (name, value) in table {
            match name.as_str() {
                "SystemdCgroup" => options.sandbox.systemd_cgroup = boolean(name, value)?,
                "NoPivotRoot" => options.sandbox.no_pivot_root = boolean(name, value)?,
                "annotations" => options.further.annotations = named(name, AnnotationSource::NAMES, value)?,
                "engine" => section(name, value, |key, name, value| match key {
                    "preopens" => preopens(&mut options.further.preopens, name, value).map(Known),
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
                "metrics" => section(name, value, |key, name, value| match key {
                    "address" => {
                        let address = named(name, MetricsAddress::NAMES, value)?;
                        options.further.metrics = Some(address);
                        Ok(Known(()))
                    }
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

fn parse(text: &str) -> Result<Table, OptionsError> {
    text.parse().map_err(|error: toml::de::Error| OptionsError::Syntax(error.message().to_owned()))
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
