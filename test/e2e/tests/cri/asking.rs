//! A containerd that is asked for a pod's annotations and does not answer as it should.

mod answer;

use std::{
    io::Write,
    os::{
        fd::AsRawFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    thread,
    time::{Duration, Instant},
};

use e2e::{
    Kind, Scene,
    shim::{Bundle, Failure},
};
use nix::sys::socket::{MsgFlags, recv};

/// A container of a pod, whose containerd is at `socket`.
fn bundle(scene: &Scene, kind: Kind, words: &[&str], socket: &Path) -> Bundle {
    let bundle = scene.bundle(kind, words).of_containerd("k8s.io", socket);
    bundle.configure(|spec| {
        spec["annotations"]["io.kubernetes.cri.container-type"] = "container".into();
        spec["annotations"]["io.kubernetes.cri.sandbox-id"] = bundle.id.clone().into();
    });
    bundle
}

/// What comes of a module's creation while each connection to containerd is treated so, given the pod's id: within fifteen seconds.
#[track_caller]
fn create(
    scene: &Scene,
    treat: impl Fn(&str, UnixStream) -> Option<UnixStream> + Send + 'static,
) -> Result<(), Failure> {
    let socket = scene.directory().join(scene.name());
    let listener = UnixListener::bind(&socket).unwrap();
    let bundle = bundle(scene, Kind::Wasm, &["/hello.wasm"], &socket);
    let pod = bundle.id.clone();
    let server = thread::spawn(move || {
        let connections = listener.incoming().map(Result::unwrap).take_while(|connection| !is_the_last(connection));
        drop(connections.filter_map(|connection| treat(&pod, connection)).collect::<Vec<_>>());
    });
    let shim = bundle.start();
    let begin = Instant::now();
    let created = shim.create();
    let took = begin.elapsed();
    UnixStream::connect(&socket).unwrap().write_all(b"over").unwrap();
    server.join().unwrap();
    assert!(took < e2e::patient(Duration::from_secs(15)), "{took:?}: {created:?}");
    if created.is_ok() {
        shim.delete().unwrap();
    }
    created.map(drop)
}

/// A client of HTTP/2 begins otherwise.
fn is_the_last(connection: &UnixStream) -> bool {
    let mut begin = [0; 4];
    recv(connection.as_raw_fd(), &mut begin, MsgFlags::MSG_PEEK) == Ok(4) && &begin == b"over"
}

#[track_caller]
fn refused(created: Result<(), Failure>, cause: &str) {
    let (_, message) = created.unwrap_err();
    let parts = ["cannot learn the pod's annotations io.wasmedge.*", "annotations = \"spec\"", cause];
    assert!(parts.iter().all(|part| message.contains(part)), "{cause:?} in {message}");
    assert!(message.len() <= 4500 && !message.contains('\n'), "{} bytes: {message}", message.len());
}

#[test]
fn one_that_is_silent_is_waited_for_so_long_and_no_longer() {
    let scene = Scene::new();
    refused(create(&scene, |_, connection| Some(connection)), "containerd does not answer for 10s");
}

#[test]
fn one_that_answers_with_something_else_is_refused_at_once() {
    let scene = Scene::new();
    let begin = Instant::now();
    let garbage = |_: &str, mut connection: UnixStream| {
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n{\"Metadata\": {");
        Some(connection)
    };
    refused(create(&scene, garbage), "containerd");
    refused(create(&scene, |_, _| None), "containerd");
    assert!(begin.elapsed() < e2e::patient(Duration::from_secs(8)), "{:?}", begin.elapsed());
}

#[test]
fn records_that_are_hostile_are_refused_with_their_cause() {
    let scene = Scene::new();
    let of_pod = |metadata: String| move |pod: &str, connection| Some(answer::records(connection, pod, &metadata));
    let not_understood = "a io.cri-containerd.sandbox.metadata that is not understood";
    for metadata in
        ["", "{}", "[]", "\u{1b}[2J\n", r#"{"Metadata": {"Config": {"annotations": {"io.wasmedge.a": {}}}}}"#]
    {
        refused(create(&scene, of_pod(metadata.to_owned())), not_understood);
    }
    refused(create(&scene, of_pod(format!("{{\"Metadata\": {}", "[".repeat(10_000)))), not_understood);
    let of_another = |_: &str, connection| Some(answer::records(connection, "other\n", "{}"));
    refused(create(&scene, of_another), r#"names the pod "other\n", its spec the pod"#);
    refused(create(&scene, |_, connection| Some(answer::of_length(connection, u32::MAX))), "containerd says: ");
}

#[test]
fn what_a_record_says_is_judged_as_what_a_spec_says() {
    let scene = Scene::new();
    let annotated = |annotations: &str| {
        let metadata = format!(r#"{{"Metadata": {{"Config": {{"annotations": {annotations}}}}}}}"#);
        move |pod: &str, connection| Some(answer::records(connection, pod, &metadata))
    };
    create(&scene, annotated("null")).unwrap();
    create(&scene, annotated(r#"{"io.wasmedge.gas-limit": "1000", "io.wasmedge.later": "x", "other": ""}"#)).unwrap();
    let long = format!(r#"{{"io.wasmedge.gas-limit": "{}"}}"#, "\\n9".repeat(3000));
    let (_, message) = create(&scene, annotated(&long)).unwrap_err();
    assert!(message.contains("annotation io.wasmedge.gas-limit: a whole number of at least 1"), "{message}");
    assert!(message.len() <= 4500 && !message.contains('\n'), "{} bytes: {message}", message.len());
}

#[test]
fn one_that_is_not_there_is_named() {
    let scene = Scene::new();
    let socket = scene.directory().join("no-such-socket");
    let shim = bundle(&scene, Kind::Wasm, &["/hello.wasm"], &socket).start();
    refused(shim.create().map(drop), "cannot connect to containerd at ");
}

#[test]
fn nobody_is_asked_for_what_is_no_module() {
    let scene = Scene::new();
    let socket = scene.directory().join("no-such-socket");
    let shim = bundle(&scene, Kind::Linux, &["true"], &socket).start();
    shim.create().unwrap();
    shim.start().unwrap();
    assert_eq!(shim.wait(), Ok(0));
    shim.delete().unwrap();
}

#[test]
fn a_container_that_containerd_s_cri_did_not_make_asks_for_nothing() {
    let scene = Scene::new();
    let shim = bundle(&scene, Kind::Wasm, &["/hello.wasm"], Path::new("/run/containerd/containerd.sock")).start();
    shim.create().unwrap();
    shim.start().unwrap();
    assert_eq!(shim.wait(), Ok(0));
    shim.delete().unwrap();
}
