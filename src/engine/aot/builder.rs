//! Filling the cache: one process per module, whoever asks first.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    time::Instant,
};

use nix::fcntl::{Flock, FlockArg};
use wasmedge_shim_protocol::Optimization;

use super::{Read, compiler::compile_apart, key::Key, process, store::Store};
use crate::wasm::Features;

/// How much more urgent everything else is than optimization (nice(2)).
const BACKGROUND: libc::c_int = 10;

/// Lets `module` be compiled to `levels`, one after the other, unless that is under way. Does not wait.
pub fn start(store: &Store, key: &Key, module: Read<'_>, levels: &[Optimization]) -> io::Result<()> {
    if is_running(store, key) {
        return Ok(());
    }
    let module = module()?;
    // What is compiled for a digest must be what has it, whoever writes to the file meanwhile.
    if Key::of(&module, key.features) != *key {
        return Err(io::Error::other("the module was changed at this moment"));
    }
    process::detach(|| match lock(store, key) {
        Ok(Some(lock)) => {
            build(store, key, &module, levels);
            end(store, key, lock);
        }
        // Somebody else was faster.
        Ok(None) => {}
        Err(error) => log::warn!("no native code is made: {error}"),
    })?;
    // Until the new process, or another, has the lock, nobody seems to be at work.
    wait_for_beginning(store, key);
    Ok(())
}

/// Whether somebody compiles `key`.
pub fn is_running(store: &Store, key: &Key) -> bool {
    let Ok(path) = store.note("lock", key) else { return false };
    let Ok(file) = File::open(path) else { return false };
    Flock::lock(file, FlockArg::LockSharedNonblock).is_err()
}

fn wait_for_beginning(store: &Store, key: &Key) {
    for _ in 0..200 {
        if is_running(store, key) || store.failure(key).is_some() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_micros(250));
    }
}

fn lock(store: &Store, key: &Key) -> io::Result<Option<Flock<File>>> {
    let path = store.note("lock", key)?;
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else { return Ok(None) };
    // Who had it before has removed the file meanwhile.
    Ok((lock.metadata()?.nlink() > 0).then_some(lock))
}

fn end(store: &Store, key: &Key, lock: Flock<File>) {
    if let Ok(path) = store.note("lock", key) {
        // Left behind it costs a file name until the next reboot.
        let _ = std::fs::remove_file(path);
    }
    drop(lock);
}

fn build(store: &Store, key: &Key, module: &[u8], levels: &[Optimization]) {
    for (index, level) in levels.iter().enumerate() {
        if store.get(key, *level).is_some() {
            continue;
        }
        if index > 0 {
            // SAFETY: takes integers. Without it the code is just made at others' cost.
            unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, BACKGROUND) };
        }
        let begin = Instant::now();
        let made = compile_apart(module, key.features, *level)
            .and_then(|mut native| Ok(store.put(key, *level, &mut native)?));
        match made {
            Ok(()) => {
                let variant = if key.features == Features::default() { "" } else { " (other features)" };
                let millis = begin.elapsed().as_millis();
                log::info!("module {} was compiled at {level}{variant} in {millis} ms", key.module);
                store.set_failure(key, None);
            }
            Err(error) => {
                let cause = format!("{error:#}");
                log::warn!("module {}: no native code at {level}: {cause}", key.module);
                store.set_failure(key, Some(&cause));
                return;
            }
        }
    }
}
