//! What containerd tells the action `start` and the question `-info`, and how it wants the answer.
//!
//! containerd 2.3 and later send `BootstrapParams` to standard input and read `BootstrapResult`. Those before pass flags
//! and environment variables, the runtime options on standard input, and read JSON. containerd-shim knows both, but
//! answers each of the latter with version 3 of the task API, which containerd 1.7 refuses; this shim serves version 2
//! as well, and that is understood by all of them.

use std::io::{IsTerminal, Read, Write};

use anyhow::{Context, Result, bail};
use containerd_shim::{
    Flags, StartOpts,
    bootstrap::{BootstrapParams, BootstrapResult, Extension, LogLevel},
    protos::{
        protobuf::{EnumOrUnknown, Message, well_known_types::any::Any},
        types::introspection::RuntimeInfo,
    },
};

/// Most that is read from standard input, in bytes; containerd's own limit.
const MAX_INPUT: u64 = 10 << 20;
/// Versions of the task API.
const TASK_V2: i32 = 2;
const TASK_V3: i32 = 3;
const PROTOCOL: &str = "ttrpc";

/// How the answer has to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// containerd 2.3 and later.
    Protobuf,
    /// Before that.
    Json,
    /// The same, where it is known that version 3 of the task API is understood. containerd asks this shim then for each container
    /// of the sandbox, and starts none.
    JsonWithSandboxes,
}

impl Age {
    /// That of a containerd that makes sandboxes by shims.
    pub fn with_sandboxes(self) -> Self {
        if self == Self::Json { Self::JsonWithSandboxes } else { self }
    }
}

/// Reads what there is for the action `start`.
///
/// # Errors
/// Where the parameters are those of another container, or name no containerd to send events to.
pub fn read(flags: &Flags) -> Result<(StartOpts, Age)> {
    let input = read_input()?;
    let environment = |name: &str| std::env::var(name).unwrap_or_default();
    let (mut params, age) = parse(&input, flags, &environment)?;
    if flags.debug {
        params.log_level = EnumOrUnknown::new(LogLevel::LOG_LEVEL_DEBUG);
    }
    if params.containerd_ttrpc_address.is_empty() {
        bail!("containerd's ttrpc address is not known: TTRPC_ADDRESS is not set");
    }
    Ok((params.into(), age))
}

/// What containerd passes on standard input.
fn read_input() -> Result<Vec<u8>> {
    let stdin = std::io::stdin();
    let mut input = Vec::new();
    // By hand on a console there is nothing to wait for.
    if !stdin.is_terminal() {
        stdin.lock().take(MAX_INPUT).read_to_end(&mut input).context("cannot read standard input")?;
    }
    Ok(input)
}

/// Answers the question `-info`, which comes with the runtime's options, by `info`.
pub fn answer_info(info: &RuntimeInfo) -> Result<()> {
    Any::parse_from_bytes(&read_input()?).context("cannot read the runtime's options")?;
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&info.write_to_bytes()?).and_then(|()| stdout.flush()).context("cannot write the answer")
}

/// Writes the address of the shim's socket.
pub fn answer(address: &str, age: Age) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&encode(address, age)?).and_then(|()| stdout.flush()).context("cannot write the address")
}

/// What `input`, the command line and the environment say.
pub fn parse(input: &[u8], flags: &Flags, environment: &dyn Fn(&str) -> String) -> Result<(BootstrapParams, Age)> {
    if let Some(params) = BootstrapParams::parse_from_bytes(input).ok().filter(|_| !input.is_empty()) {
        if (&params.instance_id, &params.namespace) == (&flags.id, &flags.namespace) {
            return Ok((params, Age::Protobuf));
        }
        // Options, an `Any`, have fields of the same numbers and types as these two, and no others.
        let (theirs, ours) =
            (format!("{}/{}", params.namespace, params.instance_id), format!("{}/{}", flags.namespace, flags.id));
        let rest = BootstrapParams { instance_id: String::new(), namespace: String::new(), ..params };
        if rest != BootstrapParams::default() {
            bail!("the bootstrap parameters are those of {theirs}, the command line is that of {ours}");
        }
    }
    let address = if flags.address.is_empty() { environment("GRPC_ADDRESS") } else { flags.address.clone() };
    let mut params = BootstrapParams {
        instance_id: flags.id.clone(),
        namespace: flags.namespace.clone(),
        containerd_ttrpc_address: environment("TTRPC_ADDRESS"),
        containerd_grpc_address: address,
        containerd_binary: flags.publish_binary.clone(),
        ..BootstrapParams::default()
    };
    if let Some(options) = Any::parse_from_bytes(input).ok().filter(|any| !any.type_url.is_empty()) {
        params.extensions.push(Extension { value: Some(options).into(), ..Extension::default() });
    }
    Ok((params, Age::Json))
}

/// The answer: the address, as it has to look.
pub fn encode(address: &str, age: Age) -> Result<Vec<u8>> {
    let (address, protocol) = (address.to_owned(), PROTOCOL.to_owned());
    match age {
        Age::Json | Age::JsonWithSandboxes => {
            let version = if age == Age::Json { TASK_V2 } else { TASK_V3 };
            let answer = serde_json::json!({ "version": version, "address": address, "protocol": protocol });
            Ok(serde_json::to_vec(&answer)?)
        }
        Age::Protobuf => {
            let answer = BootstrapResult { version: TASK_V3, address, protocol, ..BootstrapResult::default() };
            Ok(answer.write_to_bytes()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> Flags {
        Flags { id: "c1".into(), namespace: "k8s.io".into(), address: "/grpc".into(), ..Flags::default() }
    }

    fn parse_input(input: &[u8]) -> Result<(BootstrapParams, Age)> {
        parse(input, &flags(), &|name| format!("${name}"))
    }

    #[test]
    fn parameters_on_stdin_are_taken_and_answered_in_protobuf() {
        let sent = BootstrapParams {
            instance_id: "c1".into(),
            namespace: "k8s.io".into(),
            containerd_ttrpc_address: "/ttrpc".into(),
            ..BootstrapParams::default()
        };
        let (params, age) = parse_input(&sent.write_to_bytes().unwrap()).unwrap();
        assert_eq!((params, age), (sent, Age::Protobuf));
        let answer = BootstrapResult::parse_from_bytes(&encode("unix:///s", age).unwrap()).unwrap();
        assert_eq!((answer.version, &*answer.address, &*answer.protocol), (3, "unix:///s", "ttrpc"));
    }

    #[test]
    fn flags_and_environment_are_taken_and_answered_in_json_of_the_version_that_all_know() {
        let (params, age) = parse_input(&[]).unwrap();
        assert_eq!((&*params.containerd_ttrpc_address, &*params.containerd_grpc_address), ("$TTRPC_ADDRESS", "/grpc"));
        let answer: serde_json::Value = serde_json::from_slice(&encode("unix:///s", age).unwrap()).unwrap();
        assert_eq!(answer, serde_json::json!({ "version": 2, "address": "unix:///s", "protocol": "ttrpc" }));
        let for_sandbox = encode("unix:///s", age.with_sandboxes()).unwrap();
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&for_sandbox).unwrap()["version"], 3);
    }

    #[test]
    fn options_on_stdin_are_not_mistaken_for_parameters() {
        let options = Any { type_url: "containerd.runc.v1.Options".into(), value: b"abc".to_vec(), ..Any::default() };
        let (params, age) = parse_input(&options.write_to_bytes().unwrap()).unwrap();
        assert_eq!((age, params.extensions.len()), (Age::Json, 1));
        assert_eq!(params.extensions[0].value.type_url, "containerd.runc.v1.Options");
    }

    #[test]
    fn parameters_of_another_container_are_refused() {
        let other = BootstrapParams {
            instance_id: "c2".into(),
            containerd_ttrpc_address: "/ttrpc".into(),
            ..BootstrapParams::default()
        };
        let error = parse_input(&other.write_to_bytes().unwrap()).unwrap_err().to_string();
        assert!(error.contains("c2") && error.contains("k8s.io/c1"), "{error}");
    }
}
