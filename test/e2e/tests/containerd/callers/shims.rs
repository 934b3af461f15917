//! Shims that die with a request under way: what comes of it is nobody's.

use std::time::Duration;

use e2e::{Kind, Scene, engine, for_kinds, process::Process, until};

use super::Hasty;

for_kinds! {
    a_container_whose_shim_died_while_it_was_made_is_removed: Wasm Linux;
}

/// The clean-up comes once, and here it comes before there is anything: the container would stay for ever.
fn a_container_whose_shim_died_while_it_was_made_is_removed(scene: &Scene, kind: Kind) {
    let warm = scene.bundle(kind, &kind.sleeper()).start();
    warm.create().unwrap();
    let host = engine::running_host();
    let shim = scene.bundle(kind, &kind.sleeper()).start();
    let made = || Process::all().iter().filter(|process| process.parent == host.pid).count();
    let before = made();
    let stopped = host.stop();
    Hasty(&shim).create();
    let id = format!("-id {}", shim.id());
    Process::all().iter().filter(|process| process.command.contains(&id)).for_each(Process::kill);
    shim.clean_up();
    assert!(!engine::state_of(shim.id()).exists());
    drop(stopped);
    // It may be there for less time than it takes to look.
    let told = format!("default/{} is removed again", shim.id());
    until("the container", || (made() > before || engine::log().contains(&told)).then_some(()));
    let gone = || (!engine::state_of(shim.id()).exists() && made() == before).then_some(());
    e2e::within(Duration::from_secs(5), gone)
        .unwrap_or_else(|| panic!("{} is left", engine::state_of(shim.id()).display()));
    assert!(host.lives());
    warm.delete().unwrap();
}
