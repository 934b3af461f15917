//! The channel between shim and host, over real sockets.

use std::{
    fs,
    io::{Read, Seek, Write},
    os::fd::{AsFd, OwnedFd},
    thread,
};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use proptest::prelude::*;
use wasmedge_shim_protocol::*;

fn pair() -> (Channel, Channel) {
    let (a, b) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
    (a.into(), b.into())
}

fn key() -> impl Strategy<Value = ContainerKey> {
    ("[a-z.]{1,20}", "[a-zA-Z0-9_.-]{1,64}").prop_map(|(namespace, id)| ContainerKey { namespace, id })
}

fn mount() -> impl Strategy<Value = RootfsMount> {
    (".{0,12}", ".{0,40}", ".{0,40}", prop::collection::vec(".{0,60}", 0..4))
        .prop_map(|(fstype, source, target, options)| RootfsMount { fstype, source, target, options })
}

fn create() -> impl Strategy<Value = Create> {
    (key(), ".{1,80}", prop::collection::vec(mount(), 0..5), any::<[bool; 6]>(), any::<u32>()).prop_map(
        |(key, bundle, rootfs, [stdin, stdout, stderr, terminal, systemd_cgroup, no_pivot_root], wait_millis)| Create {
            key,
            bundle: bundle.into(),
            rootfs,
            stdio: StdioPresence { stdin, stdout, stderr },
            terminal,
            options: SandboxOptions {
                systemd_cgroup,
                no_pivot_root,
                aot: Aot { wait_millis, ..Aot::default() },
                engine: Engine {
                    gas_limit: Some(wait_millis.into()),
                    core_dump: Some("/".into()),
                    ..Engine::default()
                },
                plugins: Plugins { names: vec![wait_millis.to_string()], ..Plugins::default() },
            },
            containerd: "/run/containerd/containerd.sock".into(),
            further: FurtherOptions {
                annotations: if systemd_cgroup { AnnotationSource::Spec } else { AnnotationSource::Image },
                preopens: terminal.then(|| vec![Preopen::Usual]),
                metrics: stdin.then(|| MetricsAddress::Unix("/m".into())),
                pod: stdout.then(|| PodName { name: "web".into(), ..PodName::default() }),
                traced: stderr,
                shared: terminal.then(|| Pod {
                    pid: wait_millis,
                    namespaces: vec![PodNamespace { kind: NamespaceKind::Ipc, path: "/n".into() }],
                    files: vec![PodFile { source: "/s".into(), destination: "/d".into() }],
                    annotations: [("io.wasmedge.aot".to_owned(), "off".to_owned())].into(),
                }),
            },
        },
    )
}

fn exec() -> impl Strategy<Value = Exec> {
    (key(), any::<[bool; 4]>()).prop_map(|(key, [stdin, stdout, stderr, terminal])| Exec {
        key,
        stdio: StdioPresence { stdin, stdout, stderr },
        terminal,
    })
}

fn update() -> impl Strategy<Value = Update> {
    (key(), prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(key, resources)| Update { key, resources })
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        create().prop_map(|create| Request::Create(Box::new(create))),
        key().prop_map(Request::Start),
        Just(Request::Report),
        exec().prop_map(Request::Exec),
        update().prop_map(Request::Update),
        (key(), any::<bool>()).prop_map(|(key, with_siblings)| Request::Delete { key, with_siblings })
    ]
}

proptest! {
    #[test]
    fn every_request_arrives_as_it_was_sent(id: u64, request in request()) {
        let (a, b) = pair();
        let message = ToHost::Request { id, request };
        a.send(&message, &[]).unwrap();
        let received = b.recv::<ToHost>().unwrap().unwrap();
        prop_assert_eq!(received.message, message);
        prop_assert!(received.fds.is_empty() && !received.fds_lost);
    }

    #[test]
    fn what_shims_of_before_do_not_send_has_its_default(request in create()) {
        let further = postcard::to_stdvec(&request.further).unwrap().len();
        let without = Create { further: FurtherOptions::default(), ..request.clone() };
        let bytes = postcard::to_stdvec(&ToHost::Request { id: 1, request: Request::Create(Box::new(request)) }).unwrap();
        let read: ToHost = postcard::from_bytes(&bytes[..bytes.len() - further]).unwrap();
        prop_assert_eq!(read, ToHost::Request { id: 1, request: Request::Create(Box::new(without)) });
    }

    #[test]
    fn what_shims_of_version_7_send_is_kept(request in create()) {
        let FurtherOptions { annotations, preopens, metrics, pod, traced, shared } = request.further.clone();
        let newer = postcard::to_stdvec(&(metrics, pod, traced, shared)).unwrap().len();
        let known = FurtherOptions { annotations, preopens, ..FurtherOptions::default() };
        let expected = Create { further: known, ..request.clone() };
        let bytes = postcard::to_stdvec(&request).unwrap();
        prop_assert_eq!(postcard::from_bytes::<Create>(&bytes[..bytes.len() - newer]).unwrap(), expected);
    }

    #[test]
    fn arbitrary_bytes_are_an_error_or_a_message_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 1..512)) {
        let (a, b) = pair();
        nix::unistd::write(a.as_fd(), &bytes).unwrap();
        let _ = b.recv::<ToHost>();
    }
}

#[test]
fn file_descriptors_travel_with_their_message() {
    let (a, b) = pair();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"through the socket").unwrap();
    file.rewind().unwrap();
    let started = FromHost::Reply { id: 7, outcome: Ok(Reply::Started) };
    a.send(&started, &[file.as_fd()]).unwrap();
    let mut received = b.recv::<FromHost>().unwrap().unwrap();
    assert_eq!(received.message, started);
    assert!(!received.fds_lost);
    let mut text = String::new();
    fs::File::from(received.fds.remove(0)).read_to_string(&mut text).unwrap();
    assert_eq!(text, "through the socket");
}

#[test]
fn a_message_over_the_limit_is_refused_by_the_sender() {
    let (a, _b) = pair();
    let failure = Failure { kind: FailureKind::Internal, message: "x".repeat(MAX_MESSAGE) };
    let error = a.send(&FromHost::Reply { id: 1, outcome: Err(failure) }, &[]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: MAX_MESSAGE, .. }), "{error}");
}

#[test]
fn a_closed_peer_is_the_end_and_not_an_error() {
    let (a, b) = pair();
    drop(a);
    assert!(b.recv::<FromHost>().unwrap().is_none());
}

/// A host that answers one hello with the given version.
fn host_of_version(path: &std::path::Path, protocol: u32) -> thread::JoinHandle<()> {
    let listener: OwnedFd = Channel::listen(path).unwrap();
    thread::spawn(move || {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let wait = |fd: std::os::fd::BorrowedFd<'_>| {
            poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
        };
        wait(listener.as_fd());
        let channel = Channel::accept(&listener).unwrap();
        wait(channel.as_fd());
        let _ = channel.recv::<ToHost>();
        let _ = channel.send(&FromHost::Hello(Hello { protocol, program: "test".into(), oldest: protocol }), &[]);
    })
}

#[test]
fn a_host_of_the_same_version_is_greeted() {
    let dir = tempfile::tempdir().unwrap();
    let host = host_of_version(&dir.path().join("host.sock"), PROTOCOL_VERSION);
    Channel::connect(&dir.path().join("host.sock"), "test").unwrap();
    host.join().unwrap();
}

#[test]
fn a_host_of_another_version_is_refused_and_both_versions_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let host = host_of_version(&dir.path().join("host.sock"), 99);
    let error = Channel::connect(&dir.path().join("host.sock"), "test").unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "test speaks protocol version 99, this program version {OLDEST_PROTOCOL_VERSION} to {PROTOCOL_VERSION}"
        )
    );
    host.join().unwrap();
}

/// Regression test for C13: a host that is stopped takes connections, up to its backlog, and says nothing.
#[test]
fn a_host_that_says_nothing_is_given_up_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let _listener = Channel::listen(&dir.path().join("host.sock")).unwrap();
    let begin = std::time::Instant::now();
    let error = Channel::connect(&dir.path().join("host.sock"), "test").unwrap_err();
    assert_eq!(error.to_string(), format!("the engine host, process {}, does not answer", std::process::id()));
    assert!(begin.elapsed() < std::time::Duration::from_secs(10), "{:?}", begin.elapsed());
}

/// Regression test for C4: a process at its limit of descriptors loses those of one message and not the connection.
#[test]
fn a_message_whose_descriptors_find_no_room_comes_without_them() {
    let (a, b) = pair();
    let file = tempfile::tempfile().unwrap();
    let started = FromHost::Reply { id: 7, outcome: Ok(Reply::Started) };
    a.send(&started, &[file.as_fd(), file.as_fd()]).unwrap();
    a.send(&started, &[]).unwrap();
    // The limit is the whole process's, and other tests run beside this one: a child has its own.
    // SAFETY: the child makes system calls, allocates in a copy of its own, and ends.
    let child = match unsafe { libc::fork() } {
        0 => {
            let next = file.try_clone().map_or(libc::c_int::MAX, |copy| std::os::fd::AsRawFd::as_raw_fd(&copy));
            let limit = libc::rlimit { rlim_cur: next as u64 + 1, rlim_max: 4096 };
            // SAFETY: reads one structure.
            let limited = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } == 0;
            let first = b.recv::<FromHost>();
            let second = b.recv::<FromHost>();
            let lost = matches!(first, Ok(Some(ref first)) if first.fds_lost && first.fds.is_empty());
            let whole = matches!(second, Ok(Some(ref second)) if !second.fds_lost);
            // SAFETY: ends the child without the test harness's destructors.
            unsafe { libc::_exit(i32::from(!(limited && lost && whole))) }
        }
        child => child,
    };
    let mut status = -1;
    // SAFETY: writes one integer.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
}

#[test]
fn a_peer_of_another_user_is_refused() {
    if !nix::unistd::geteuid().is_root() {
        panic!("this test changes the user of a thread and must run as root");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("host.sock");
    let listener = Channel::listen(&path).unwrap();
    for path in [dir.path(), path.as_path()] {
        nix::sys::stat::fchmodat(
            nix::fcntl::AT_FDCWD,
            path,
            nix::sys::stat::Mode::from_bits_truncate(0o777),
            nix::sys::stat::FchmodatFlags::FollowSymlink,
        )
        .unwrap();
    }
    let client = thread::spawn(move || {
        // SAFETY: takes integers. The system call itself changes this thread only.
        assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) }, 0);
        Channel::connect(&path, "test").unwrap_err()
    });
    nix::poll::poll(
        &mut [nix::poll::PollFd::new(listener.as_fd(), nix::poll::PollFlags::POLLIN)],
        nix::poll::PollTimeout::NONE,
    )
    .unwrap();
    let error = Channel::accept(&listener).unwrap_err();
    assert!(matches!(error, Error::Peer { uid: 65534, expected: 0, .. }), "{error}");
    drop(listener);
    let refused = client.join().unwrap();
    assert!(matches!(refused, Error::Peer { uid: 0, expected: 65534, .. }), "{refused}");
}
