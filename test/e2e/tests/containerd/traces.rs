//! OpenTelemetry's spans of creations and starts.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use e2e::{Kind, Scene, engine};
use serde_json::Value;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// Whoever collects spans: its address, and what comes, each request's path, headers and body.
fn collector() -> (String, Receiver<(String, Vec<String>, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut lines = reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            let first = lines.next().unwrap_or_default();
            let headers: Vec<String> = lines.map(|line| line.to_lowercase()).collect();
            let length = headers.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or_default()];
            reader.read_exact(&mut body).unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
            if sender.send((first, headers, serde_json::from_slice(&body).unwrap_or_default())).is_err() {
                return;
            }
        }
    });
    (address, receiver)
}

fn spans(document: &Value) -> Vec<Value> {
    document["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().cloned().unwrap_or_default()
}

fn nanos(span: &Value, name: &str) -> u64 {
    span[name].as_str().unwrap().parse().unwrap()
}

#[test]
fn spans_of_a_module_go_from_containerd_s_to_its_first_instruction() {
    let scene = Scene::new();
    let (address, received) = collector();
    let bundle = scene.bundle(Kind::Wasm, &["/sleep.wasm", "600"]);
    let shim = bundle.start_with(|command| {
        let command = command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &address);
        command.env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=secret").env("OTEL_RESOURCE_ATTRIBUTES", "node=n1")
    });
    shim.run_in_trace(&format!("00-{TRACE}-{PARENT}-01")).unwrap();
    let mut all = Vec::new();
    for _ in 0..2 {
        let (first, headers, document) = received.recv_timeout(e2e::patient(Duration::from_secs(10))).unwrap();
        assert_eq!(first, "POST /v1/traces HTTP/1.1");
        assert!(headers.contains(&"content-type: application/json".into()), "{headers:?}");
        assert!(headers.contains(&"x-key: secret".into()), "{headers:?}");
        let resource = document["resourceSpans"][0]["resource"]["attributes"].to_string();
        assert!(resource.contains("containerd-shim-wasmedge") && resource.contains("n1"), "{resource}");
        all.extend(spans(&document));
    }
    assert!(all.iter().all(|span| span["traceId"] == TRACE), "{all:#?}");
    let find = |name: &str| all.iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("{name}: {all:#?}"));
    let (create, start) = (find("containerd-shim-wasmedge create"), find("containerd-shim-wasmedge start"));
    assert_eq!((&create["parentSpanId"], &start["parentSpanId"]), (&PARENT.into(), &PARENT.into()));
    assert!(create["attributes"].to_string().contains(shim.id()), "{create}");
    let engine = find("wasmedge-engine create");
    assert_eq!(engine["parentSpanId"], create["spanId"]);
    for stage in ["plan", "workload", "place", "init", "after"] {
        let stage = find(stage);
        assert_eq!(stage["parentSpanId"], engine["spanId"]);
        assert!(nanos(stage, "startTimeUnixNano") >= nanos(create, "startTimeUnixNano"), "{all:#?}");
        assert!(nanos(stage, "endTimeUnixNano") <= nanos(create, "endTimeUnixNano"), "{all:#?}");
    }
    let first = find("to the first instruction");
    assert_eq!(first["parentSpanId"], start["spanId"]);
    let took = nanos(first, "endTimeUnixNano") - nanos(start, "startTimeUnixNano");
    assert!(took > 0 && took < 5_000_000_000, "{all:#?}");
    shim.kill(9).unwrap();
    shim.wait().unwrap();
    shim.delete().unwrap();
}

#[test]
fn what_nobody_records_or_asks_for_is_not_sent() {
    let scene = Scene::new();
    let (address, received) = collector();
    let run = |flags: &str, endpoint: &str| {
        let bundle = scene.bundle(Kind::Wasm, &["/sleep.wasm", "600"]);
        let shim = bundle.start_with(|command| command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint));
        shim.run_in_trace(&format!("00-{TRACE}-{PARENT}-{flags}")).unwrap();
        shim.kill(9).unwrap();
        shim.wait().unwrap();
        shim.delete().unwrap();
    };
    run("00", &address);
    run("01", "");
    assert!(received.recv_timeout(Duration::from_secs(2)).is_err());
    run("01", &address);
    received.recv_timeout(e2e::patient(Duration::from_secs(10))).unwrap();
}

/// It costs a line in the log.
#[test]
fn a_collector_that_is_not_there_delays_nobody() {
    let scene = Scene::new();
    let bundle = scene.bundle(Kind::Wasm, &["/sleep.wasm", "600"]);
    let shim = bundle.start_with(|command| command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"));
    let begin = std::time::Instant::now();
    shim.run_in_trace(&format!("00-{TRACE}-{PARENT}-01")).unwrap();
    assert!(begin.elapsed() < e2e::patient(Duration::from_secs(3)));
    e2e::until("the line in the log", || {
        engine::log().contains("cannot send spans to http://127.0.0.1:9").then_some(())
    });
    shim.kill(9).unwrap();
    shim.wait().unwrap();
    shim.delete().unwrap();
}
