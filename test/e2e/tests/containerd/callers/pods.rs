//! The containers of one pod, which share a shim, and do not wait for each other.

use std::{
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    thread,
    time::Duration,
};

use e2e::{Kind, Scene, engine, process::Process, shim::Streams, until};
use nix::{
    libc,
    sys::socket::{Shutdown, UnixAddr, getpeername, shutdown},
};

use super::{CREATED, RUNNING, member, quick, slow_logger};

/// Regression test for C5: deletions waited for the creation, and creations for the deletions.
#[test]
fn a_container_that_takes_long_to_create_holds_up_no_other_one() {
    let scene = Scene::new();
    let group = scene.name();
    let one = member(&scene, Kind::Linux, &group).start();
    one.create().unwrap();
    one.start().unwrap();
    one.exec("probe", &one.bundle().process(&["true"]), &Streams::default()).unwrap();
    one.start_exec("probe").unwrap();
    one.wait_for_exec("probe").unwrap();
    let slow = member(&scene, Kind::Linux, &group).start();
    let other = member(&scene, Kind::Wasm, &group).start();
    let streams = slow_logger(&scene, 5);
    thread::scope(|scope| {
        let creation = scope.spawn(|| slow.create_on(&streams));
        until("the logger", || Process::all().iter().any(|one| one.command.contains("logger-5")).then_some(()));
        quick("the deletion of a probe", || one.delete_exec("probe").unwrap());
        quick("the creation of another container", || other.create().unwrap());
        quick("its deletion", || other.delete().unwrap());
        other.shut_down();
        // As containerd does when it gives up on a creation: it finds what comes of it.
        let deletion = scope.spawn(|| slow.delete());
        thread::sleep(Duration::from_millis(100));
        assert!(!creation.is_finished() && !deletion.is_finished());
        let pid = creation.join().unwrap().unwrap().pid;
        assert_eq!(deletion.join().unwrap().unwrap().0, pid);
    });
    assert_eq!(one.state().unwrap().1, RUNNING);
    one.kill(9).unwrap();
    one.wait().unwrap();
    one.delete().unwrap();
}

/// Regression test for C4: a shim that had lost its connection once lost all its containers at the next deletion.
#[test]
fn a_shim_that_lost_its_connection_deletes_one_container_only() {
    let scene = Scene::new();
    let group = scene.name();
    let one = member(&scene, Kind::Linux, &group).start();
    let init = one.create().unwrap().pid;
    let other = member(&scene, Kind::Wasm, &group).start();
    other.create().unwrap();
    let shim = engine::shims().into_iter().next().expect("the shim");
    break_connection(&shim);
    other.delete().unwrap();
    // What was killed would take a moment to be gone.
    thread::sleep(Duration::from_millis(500));
    assert!(Process::of(init.cast_signed()).is_some_and(|init| init.lives()));
    assert_eq!(one.state().unwrap(), (init, CREATED, 0));
    // Its end is seen without the connection by which it was made.
    one.start().unwrap();
    one.kill(9).unwrap();
    assert_eq!(one.wait().unwrap(), 137);
    one.delete().unwrap();
}

/// Shuts the shim's connection to the host down, in the shim's place.
fn break_connection(shim: &Process) {
    let socket = engine::socket();
    // SAFETY: takes integers, returns a new descriptor.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, shim.pid, 0) };
    let connection = shim.descriptors().into_iter().find_map(|(fd, _)| {
        // SAFETY: takes integers, returns a new descriptor, or none.
        let copy = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd, fd, 0) };
        // SAFETY: the descriptor is new.
        let copy = (copy >= 0).then(|| unsafe { OwnedFd::from_raw_fd(copy as i32) })?;
        let peer = getpeername::<UnixAddr>(copy.as_raw_fd()).ok()?;
        (peer.path() == Some(&socket)).then_some(copy)
    });
    let connection = connection.expect("the shim's connection to the host");
    shutdown(connection.as_raw_fd(), Shutdown::Both).expect("shutting it down");
}
