//! What fuzzing calls: one function for each thing that is parsed of an image, a pod, a peer or a file. Each takes bytes
//! and panics where a rule is broken. `fuzz/` has the targets; the inputs that it keeps are run as a unit test, too.

pub use crate::{
    aot::fuzz::cache_entries,
    containerd::fuzz::{cri_records, manifests},
    guest::fuzz::{entrypoint, preopens, reports},
    sandbox::fuzz::{artifact, proc_files, records, resources, rootfs_mounts, settings, spec},
    wasm::fuzz::{native_libraries, sections},
    wasm::observe::{interpreted, native},
};

/// Takes what is parsed.
pub type Target = fn(&[u8]);

/// The functions by the names of their targets.
pub const TARGETS: [(&str, Target); 15] = [
    ("artifact", artifact),
    ("cache_entries", cache_entries),
    ("cri_records", cri_records),
    ("entrypoint", entrypoint),
    ("manifests", manifests),
    ("native_libraries", native_libraries),
    ("preopens", preopens),
    ("proc_files", proc_files),
    ("records", records),
    ("reports", reports),
    ("resources", resources),
    ("rootfs_mounts", rootfs_mounts),
    ("sections", sections),
    ("settings", settings),
    ("spec", spec),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Crashes that were found are among them.
    #[test]
    fn every_kept_input_is_handled() {
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
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
