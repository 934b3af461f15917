//! HTTP and UDP.

use std::io::{Read, Write};

use e2e::{Kind, Scene, docker};
use programs::{connect, curl};

use super::NET;

/// A server on a network of its own, with the name `server`, and at the node's port 18090.
fn serve(scene: &Scene, kind: Kind, arguments: [&str; 2]) -> (docker::Container, String) {
    let network = scene.name();
    let run = NET.docker(scene, kind);
    docker::network(&network);
    let flags = ["--network", &network, "--network-alias=server", "-p", "18090:8080"];
    let server = run.flags(flags).detach(NET.words(kind, arguments));
    server.says("listening");
    (server, network)
}

#[test]
fn a_server_answers_through_a_published_port() {
    let scene = Scene::new();
    let (_server, _network) = serve(&scene, Kind::Wasm, ["serve", "0.0.0.0:8080"]);
    curl("http://127.0.0.1:18090/path?query", []).prints("hello from go /path?query\n");
    assert_eq!(curl("http://127.0.0.1:18090/big", []).stdout, "z".repeat(1 << 20));
}

#[test]
fn a_server_keeps_sixteen_connections() {
    let scene = Scene::new();
    let (_server, _network) = serve(&scene, Kind::Wasm, ["serve", "0.0.0.0:8080"]);
    let mut clients: Vec<_> = (0..16).map(|_| connect("127.0.0.1:18090")).collect();
    for round in 0..20 {
        for (number, client) in clients.iter_mut().enumerate() {
            write!(client, "GET /{round}/{number} HTTP/1.1\r\nHost: server\r\n\r\n").unwrap();
        }
        for (number, client) in clients.iter_mut().enumerate() {
            let expected = format!("hello from go /{round}/{number}\n");
            let mut answer = Vec::new();
            while !answer.ends_with(expected.as_bytes()) {
                let mut piece = [0; 4096];
                let length = client.read(&mut piece).unwrap();
                assert!(length > 0, "client {number} was left alone in round {round} with {answer:?}");
                answer.extend_from_slice(&piece[..length]);
            }
        }
    }
}

#[test]
fn a_server_survives_a_client_that_goes_away_and_takes_a_large_body() {
    let scene = Scene::new();
    let (server, _network) = serve(&scene, Kind::Wasm, ["serve", "0.0.0.0:8080"]);
    for _ in 0..5 {
        let mut client = connect("127.0.0.1:18090");
        client.write_all(b"POST /echo HTTP/1.1\r\nHost: server\r\nContent-Length: 1000000\r\n\r\nonly this").unwrap();
    }
    let body = "0123456789abcdef".repeat(65_536);
    let file = scene.directory().join("body");
    std::fs::write(&file, &body).unwrap();
    let data = format!("@{}", file.display());
    assert_eq!(curl("http://127.0.0.1:18090/echo", ["--data-binary", &data]).stdout, body);
    assert_eq!(server.inspect(".State.Running"), "true");
}

/// Regression test: its call of `sock_getsockopt` ended WasmEdge's WASI with an assertion.
#[test]
fn a_client_asks_servers_of_both_kinds() {
    for kind in [Kind::Wasm, Kind::Runc] {
        let scene = Scene::new();
        let (_server, network) = serve(&scene, kind, ["serve", "0.0.0.0:8080"]);
        let flags = ["--network", &network];
        let get = ["get", "http://server:8080/path", "5"];
        NET.trial(get).flags(flags).same_as_under_runc(&scene).finished.exits(0);
        NET.trial(["get", "http://server:8080/big"]).flags(flags).same_as_under_runc(&scene).finished.exits(0);
        let post = ["post", "http://server:8080/echo", "1048576"];
        NET.trial(post).flags(flags).same_as_under_runc(&scene).finished.exits(0);
    }
}

#[test]
fn a_client_says_that_nobody_listens() {
    let scene = Scene::new();
    for url in ["http://127.0.0.1:9/", "http://no-such-host.e2e/"] {
        NET.trial(["get", url]).same_as_under_runc(&scene).finished.exits(1);
    }
    let refused = NET.docker(&scene, Kind::Wasm).run(NET.words(Kind::Wasm, ["get", "http://127.0.0.1:9/"]));
    refused.says_in_one_line(&["127.0.0.1:9", "Connection refused"]);
}

#[test]
fn datagrams_are_answered_to_who_sent_them() {
    for kind in [Kind::Wasm, Kind::Runc] {
        let scene = Scene::new();
        let (server, network) = serve(&scene, kind, ["answer", "0.0.0.0:8080"]);
        let address = server.inspect(&format!("(index .NetworkSettings.Networks {network:?}).IPAddress"));
        let asked = ["ask", &format!("{address}:8080"), "one", &"x".repeat(1200)];
        let outcome = NET.trial(asked).flags(["--network", &network]).same_as_under_runc(&scene);
        let answer = format!("one from port 4000 {address}:8080\n");
        assert!(outcome.finished.exits(0).stdout.starts_with(&answer));
    }
}
