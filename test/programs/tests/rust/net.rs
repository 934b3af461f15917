//! TCP, HTTP and UDP.

use std::{
    io::{Read, Write},
    net::{Shutdown, UdpSocket},
    time::Duration,
};

use e2e::{Kind, Scene, docker, patient};
use programs::{Program, connect, curl};

use super::{ECHO, UDP, WEB};

/// A server on a network of its own, with the name `server`, and at the node's port 18091.
fn serve(scene: &Scene, program: Program, kind: Kind, arguments: &[&str], port: &str) -> (docker::Container, String) {
    let network = scene.name();
    let run = program.docker(scene, kind);
    docker::network(&network);
    let flags = ["--network", &network, "--network-alias=server", "-p", port];
    let server = run.flags(flags).detach(program.words(kind, arguments.iter().copied()));
    server.says("listening");
    (server, network)
}

fn address(server: &docker::Container, network: &str) -> String {
    server.inspect(&format!("(index .NetworkSettings.Networks {network:?}).IPAddress"))
}

#[test]
fn a_hyper_server_answers_many_connections_and_large_bodies() {
    let scene = Scene::new();
    let (server, _network) = serve(&scene, WEB, Kind::Wasm, &["serve", "8080"], "18091:8080");
    curl("http://127.0.0.1:18091/path", []).prints("hello from hyper /path\n");
    assert_eq!(curl("http://127.0.0.1:18091/big", []).stdout, "z".repeat(1 << 20));
    let body = "0123456789abcdef".repeat(65_536);
    let file = scene.directory().join("body");
    std::fs::write(&file, &body).unwrap();
    let data = format!("@{}", file.display());
    assert_eq!(curl("http://127.0.0.1:18091/echo", ["--data-binary", &data]).stdout, body);
    let mut clients: Vec<_> = (0..16).map(|_| connect("127.0.0.1:18091")).collect();
    for round in 0..10 {
        for client in &mut clients {
            write!(client, "GET /{round} HTTP/1.1\r\nHost: server\r\n\r\n").unwrap();
        }
        for client in &mut clients {
            let expected = format!("hello from hyper /{round}\n");
            let mut answer = Vec::new();
            while !answer.ends_with(expected.as_bytes()) {
                let mut piece = [0; 4096];
                let length = client.read(&mut piece).unwrap();
                assert!(length > 0, "left alone in round {round} with {:?}", String::from_utf8_lossy(&answer));
                answer.extend_from_slice(&piece[..length]);
            }
        }
    }
    assert_eq!(server.inspect(".State.Running"), "true");
}

/// Timers of the program and its sockets are waited for together.
#[test]
fn a_hyper_server_answers_others_while_one_waits() {
    let scene = Scene::new();
    let (_server, _network) = serve(&scene, WEB, Kind::Wasm, &["serve", "8080"], "18091:8080");
    let mut slow = connect("127.0.0.1:18091");
    write!(slow, "GET /slow HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n").unwrap();
    curl("http://127.0.0.1:18091/quick", []).prints("hello from hyper /quick\n");
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("late\n"), "{answer}");
}

#[test]
fn a_hyper_client_asks_servers_of_both_kinds() {
    for kind in [Kind::Wasm, Kind::Runc] {
        let scene = Scene::new();
        let (_server, network) = serve(&scene, WEB, kind, &["serve", "8080"], "18091:8080");
        for arguments in [
            ["get", "http://server:8080/path", "5"],
            ["get", "http://server:8080/big", "2"],
            ["post", "http://server:8080/echo", "1048576"],
        ] {
            let trial = WEB.trial(arguments).flags(["--network", &network]);
            trial.same_as_under_runc(&scene).finished.exits(0);
        }
    }
}

#[test]
fn a_tokio_server_echoes_to_many_clients_and_ends() {
    for kind in [Kind::Wasm, Kind::Runc] {
        let scene = Scene::new();
        let (server, _network) = serve(&scene, ECHO, kind, &["8080", "16"], "18091:8080");
        let mut clients: Vec<_> = (0..16).map(|_| connect("127.0.0.1:18091")).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            client.write_all(format!("client {number:02}\n").repeat(2000).as_bytes()).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        }
        for (number, client) in clients.iter_mut().enumerate() {
            let mut echo = String::new();
            client.read_to_string(&mut echo).unwrap();
            assert!(echo == format!("client {number:02}\n").repeat(2000), "client {number} got {} bytes", echo.len());
        }
        assert_eq!(server.wait(), 0);
        server.logs().prints("listening\ntimer: true\n16 connections, 320000 bytes\n");
    }
}

#[test]
fn a_datagram_is_answered_to_the_port_that_it_came_from() {
    let scene = Scene::new();
    let (server, network) = serve(&scene, UDP, Kind::Wasm, &["answer", "8080"], "18091:8080/udp");
    let client = UdpSocket::bind("0.0.0.0:0").unwrap();
    client.set_read_timeout(Some(patient(Duration::from_secs(10)))).unwrap();
    // Not by the published port, as Docker's proxy for it drops empty datagrams.
    client.connect((&*address(&server, &network), 8080)).unwrap();
    let port = client.local_addr().unwrap().port();
    for text in ["one", &"x".repeat(9000), "", "end"] {
        client.send(text.as_bytes()).unwrap();
        let mut buffer = [0; 65_536];
        let length = client.recv(&mut buffer).unwrap();
        let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
        assert!(answer == format!("{text} from port {port}"), "{answer}");
    }
    assert_eq!(server.wait(), 0);
}

/// Regression test (WasmEdge's WASI told the port with its bytes swapped).
#[test]
fn datagrams_between_containers_are_answered() {
    for kind in [Kind::Wasm, Kind::Runc] {
        let scene = Scene::new();
        let (server, network) = serve(&scene, UDP, kind, &["answer", "8080"], "18091:8080/udp");
        let address = address(&server, &network);
        let arguments = ["ask", &format!("{address}:8080"), "one", &"x".repeat(1200)];
        let outcome = UDP.trial(arguments).flags(["--network", &network]).same_as_under_runc(&scene);
        let answer = format!("one from port 4000 {address}:8080\n");
        assert!(outcome.finished.exits(0).stdout.starts_with(&answer));
    }
}
