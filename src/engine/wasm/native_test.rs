//! Runs modules by native code, for tests.

use std::{
    fs::{self, File},
    os::fd::AsFd,
    sync::{Mutex, MutexGuard, PoisonError},
};

use wasmedge_shim_protocol::Optimization;

use super::{Ending, Features, Invocation, Limits, Program, World, compile};

/// For as long as it is held no other test runs a module by native code: elsewhere a process runs one.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Compiles a module, given as text, and runs it. How that ended, and after a trap the functions that it happened in.
pub fn run(module: &str, features: Features) -> (Ending, Vec<u32>) {
    let (bytes, directory) = (wat::parse_str(module).unwrap(), tempfile::tempdir().unwrap());
    let at = |name: &str| directory.path().join(name);
    fs::write(at("module.wasm"), &bytes).unwrap();
    compile(&bytes, features, Optimization::O0, &at("module.so")).unwrap();
    let [native, file] = ["module.so", "module.wasm"].map(|name| File::open(at(name)).unwrap());
    let (invocation, limits) = (Invocation::default(), Limits::default());
    let program = Program::load_native(native.as_fd(), &file, &invocation, &limits, features).unwrap();
    let mut frames = Vec::new();
    (program.run(&World::default(), None, |dump| frames = dump.frames.to_vec()), frames)
}
