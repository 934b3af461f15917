//! What fuzzing calls: one function for each thing that is parsed of containerd, an admin or the kernel. Each takes bytes
//! and panics where a rule is broken. `fuzz/` has the targets; the inputs that it keeps are run as a unit test, too.

use std::path::Path;

use containerd_shim::{
    Flags,
    bootstrap::{BootstrapParams, BootstrapResult},
    protos::protobuf::{Message, well_known_types::any::Any},
};

use crate::{
    bootstrap::{self, Age},
    options::Options,
};
pub use crate::{cgroup::fuzz::cgroup_files, sandbox::fuzz::pods, stdio::fuzz::log_uris};

/// Takes what is parsed.
pub type Target = fn(&[u8]);

/// The functions by the names of their targets.
pub const TARGETS: [(&str, Target); 5] = [
    ("bootstrap", bootstrap),
    ("cgroup_files", cgroup_files),
    ("log_uris", log_uris),
    ("options", options),
    ("pods", pods),
];

/// What containerd sends when a shim is started, of whichever version: parameters are those of the container that the
/// command line names, and the answer is what that version reads.
pub fn bootstrap(data: &[u8]) {
    let flags = Flags { id: "c1".into(), namespace: "k8s.io".into(), address: "/grpc".into(), ..Flags::default() };
    let environment = |name: &str| format!("${name}");
    let Ok((params, age)) = bootstrap::parse(data, &flags, &environment) else { return };
    assert_eq!((&*params.instance_id, &*params.namespace), ("c1", "k8s.io"));
    let answer = bootstrap::encode("unix:///s", age).unwrap();
    match age {
        Age::Protobuf => {
            assert_eq!(BootstrapParams::parse_from_bytes(data).unwrap(), params);
            assert_eq!(BootstrapResult::parse_from_bytes(&answer).unwrap().version, 3);
        }
        Age::Json | Age::JsonWithSandboxes => {
            assert_eq!((&*params.containerd_ttrpc_address, params.extensions.len() < 2), ("$TTRPC_ADDRESS", true));
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&answer).unwrap()["version"], 2);
        }
    }
    let options: Vec<Any> = params.extensions.iter().filter_map(|one| one.value.clone().into_option()).collect();
    // Options may name a file, which is the admin's business.
    for any in options.iter().filter(|any| !names_file(any)) {
        sound(Options::of(Some(any)).ok());
    }
}

/// The options of a runtime, as a document; or behind a type as a message.
pub fn options(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        sound(Options::from_toml(text).ok());
    }
    for kind in ["runtimeoptions.v1.Options", "containerd.runc.v1.Options"] {
        let any = Any { type_url: kind.into(), value: data.to_vec(), ..Any::default() };
        if !names_file(&any) {
            sound(Options::of(Some(&any)).ok());
        }
    }
}

/// Whether field 2 may be in a message: a path, which would be read.
fn names_file(any: &Any) -> bool {
    any.value.contains(&0x12)
}

fn sound(options: Option<Options>) {
    let Some(Options { sandbox, engine, .. }) = options else { return };
    assert!(engine.is_none_or(|path| !path.as_os_str().is_empty()));
    let limits = [sandbox.engine.gas_limit, sandbox.engine.time_limit_millis, sandbox.engine.memory_pages];
    assert!(!limits.contains(&Some(0)), "{limits:?}");
    let plugins = &sandbox.plugins;
    for name in &plugins.names {
        let path = plugins.directory.join(format!("{name}.so"));
        assert_eq!(path.parent(), Some(Path::new(&plugins.directory)), "{path:?}");
        assert!(plugins.directory.is_absolute(), "{:?}", plugins.directory);
    }
    for (name, value) in &plugins.env {
        assert!(!name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0'), "{name:?}={value:?}");
    }
    assert!(sandbox.engine.core_dump.is_none_or(|path| path.is_absolute()));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Crashes that were found are among them.
    #[test]
    fn every_kept_input_is_handled() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
        for (name, target) in TARGETS {
            let mut inputs = 0;
            for input in std::fs::read_dir(corpus.join(name)).unwrap() {
                let path = input.unwrap().path();
                println!("{}", path.display());
                target(&std::fs::read(path).unwrap());
                inputs += 1;
            }
            assert!(inputs > 0, "{name} has no inputs");
        }
    }
}
