//! An engine host that is there and does not answer, or speaks another language.

use std::{
    fs,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use e2e::{Kind, Scene, ctr::ctr, engine, shim::Streams, until};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, accept, bind, listen, recv, send, socket,
};

use super::{RUNNING, STOPPED};

/// What takes at most ten seconds must fail with a text that has all of these.
#[track_caller]
fn fails_soon<T: std::fmt::Debug, E: std::fmt::Debug>(what: &str, parts: &[&str], call: impl FnOnce() -> Result<T, E>) {
    let begin = Instant::now();
    let text = format!("{:?}", call().expect_err(what));
    let took = begin.elapsed();
    assert!(took < e2e::patient(Duration::from_secs(10)), "{what} took {took:?}");
    assert!(parts.iter().all(|part| text.contains(part)), "{what}: {text}");
}

/// Regression test for C13: whoever asked it waited for ever.
#[test]
fn a_host_that_is_stopped_is_named_within_seconds_and_goes_on_where_it_was() {
    let scene = Scene::new();
    let shim = scene.bundle(Kind::Wasm, &["/sleep.wasm", "600"]).start();
    let pid = shim.create().unwrap().pid;
    let host = engine::running_host();
    let cause = format!("the engine host, process {}, does not answer", host.pid);
    let stopped = host.stop();
    fails_soon("the start", &[&cause], || shim.start());
    // The same from a shim that has not spoken to it yet, and from the one that cleans up.
    let other = scene.bundle(Kind::Linux, &["true"]).start();
    fails_soon("the creation of another container", &[&cause], || other.create());
    fails_soon("the clean-up", &[&cause], || {
        let cleaned = shim.bundle().shim_command("delete").finish();
        if cleaned.code == 0 { Ok(cleaned) } else { Err(cleaned.stderr) }
    });
    // What needs no host is not held up.
    assert_eq!(shim.state().unwrap().0, pid);
    drop(stopped);
    until("the start", || (shim.state() == Ok((pid, RUNNING, 0))).then_some(()));
    shim.kill(9).unwrap();
    shim.wait().unwrap();
    shim.delete().unwrap();
    other.create().unwrap();
    other.delete().unwrap();
}

/// Regression test for C13.
#[test]
fn a_client_is_told_of_a_host_that_is_stopped() {
    let scene = Scene::new();
    let host = engine::running_host();
    let stopped = host.stop();
    let run = scene.ctr(Kind::Wasm).run(["/hello.wasm"]).fails();
    let text = format!("the engine host, process {}, does not answer", host.pid);
    assert!(run.stderr.contains(&text) && run.took < e2e::patient(Duration::from_secs(30)), "{run}");
    drop(stopped);
    until("the end of the shim", || engine::shims().is_empty().then_some(()));
    assert_eq!(ctr(["task", "ls", "-q"]).run().stdout, "");
}

/// A host that takes connections, and says in each that it speaks version 99.
struct Stranger {
    path: PathBuf,
    listener: Arc<OwnedFd>,
    connections: Arc<AtomicUsize>,
}

impl Stranger {
    fn at(path: &Path) -> Self {
        let listener = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind(listener.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
        listen(&listener, Backlog::new(64).unwrap()).unwrap();
        let new = Self { path: path.into(), listener: Arc::new(listener), connections: Arc::default() };
        let (listener, connections) = (new.listener.clone(), new.connections.clone());
        thread::spawn(move || {
            while let Ok(connection) = accept(listener.as_raw_fd()) {
                connections.fetch_add(1, Ordering::Relaxed);
                // The variant, the version, the name, and nothing that an older program would not say.
                let hello = [&[0, 99, 8][..], b"stranger"].concat();
                let _ = recv(connection, &mut [0; 1024], MsgFlags::empty());
                let _ = send(connection, &hello, MsgFlags::empty());
                let _ = nix::unistd::close(connection);
            }
        });
        new
    }

    /// Connections since the last call.
    fn connections(&self) -> usize {
        self.connections.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        // Wakes the thread.
        let _ = nix::sys::socket::shutdown(self.listener.as_raw_fd(), nix::sys::socket::Shutdown::Both);
        let _ = fs::remove_file(&self.path);
    }
}

/// Regression test for C13: it was told as the host's death, after more than sixty attempts for one deletion.
#[test]
fn a_host_of_another_version_is_named_with_both_versions_at_the_first_attempt() {
    let scene = Scene::new();
    let shim = scene.bundle(Kind::Linux, &["sleep", "600"]).start();
    shim.create().unwrap();
    shim.start().unwrap();
    let path = engine::socket();
    engine::kill_hosts();
    let _ = fs::remove_file(&path);
    let stranger = Stranger::at(&path);
    let cause = ["stranger speaks protocol version 99, this program version "];
    shim.exec("one", &shim.bundle().process(&["true"]), &Streams::default()).unwrap();
    fails_soon("the exec", &cause, || shim.start_exec("one"));
    assert_eq!(stranger.connections(), 1);
    shim.kill(9).unwrap();
    shim.wait().unwrap();
    fails_soon("the deletion", &cause, || shim.delete());
    assert_eq!(stranger.connections(), 1);
    fails_soon("the clean-up", &cause, || {
        let cleaned = shim.bundle().shim_command("delete").finish();
        if cleaned.code == 0 { Ok(cleaned) } else { Err(cleaned.stderr) }
    });
    drop(stranger);
    assert_eq!(shim.state().unwrap().1, STOPPED);
    shim.delete().unwrap();
}
