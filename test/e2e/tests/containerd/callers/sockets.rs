//! Shims that follow each other at the same socket.

use std::os::unix::net::UnixStream;

use e2e::{Kind, Scene, engine, until, within};

/// Regression test for C12: a shim that waited for its last events took the next one's socket along.
#[test]
fn a_shim_on_its_way_out_leaves_the_socket_of_the_next_one() {
    let scene = Scene::new();
    // Events that cannot be delivered keep it for five seconds.
    let bundle = scene.bundle(Kind::Wasm, &["/sleep.wasm", "600"]);
    let first = bundle.start_with(|command| command.env("TTRPC_ADDRESS", "/run/nowhere.sock"));
    first.create().unwrap();
    first.delete().unwrap();
    let leaving = engine::shims();
    first.shut_down();
    let begin = std::time::Instant::now();
    until("room for another shim", || {
        let started = first.bundle().shim_command("start").finish();
        (started.code == 0 && engine::shims().len() == leaving.len() + 1).then_some(())
    });
    assert!(leaving.iter().all(|shim| shim.lives()), "after {:?}", begin.elapsed());
    within(std::time::Duration::from_secs(15), || leaving.iter().all(|shim| !shim.lives()).then_some(()))
        .expect("the end of the first shim");
    assert!(first.socket.exists(), "{}", first.socket.display());
    UnixStream::connect(&first.socket).expect("the second shim's socket");
    assert_eq!(engine::shims().len(), leaving.len());
}
