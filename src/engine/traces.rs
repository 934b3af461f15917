//! Spans to whoever collects them: OTLP over HTTP, in JSON (OpenTelemetry Protocol 1.x, "OTLP/HTTP").
//!
//! Done by a worker after the verb, so that nobody waits for it. The shim has recorded its own span, the worker that made the container
//! its stages, and when the module's first instruction was due stands in the module's process.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use wasmedge_shim_protocol::{ContainerKey, Export, Location, Span, TraceParent, Verb, new_span_id};

use crate::{noted::Stages, sandbox, wasm::gauges};

/// How long the end of a request may take, in seconds.
const PATIENCE: u64 = 5;

/// How long a module that was started may take to its first instruction, as far as it is told.
const FIRST: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(2));

/// Longest head of an answer, in bytes. Its body is not read.
const HEAD: usize = 16 << 10;

/// Kinds of spans, as the protocol numbers them.
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;

/// The status of a span that failed.
const ERROR: u8 = 2;

/// Sends the span and what belongs to it; `stages` are those of the container's creation.
///
/// # Errors
/// Whoever collects spans cannot be reached, or does not take them.
pub fn send(location: &Location, export: &Export, stages: &Stages) -> Result<()> {
    let first = match export.verb {
        Verb::Start => first_instruction(location, &export.key),
        Verb::Create => None,
    };
    let attributes = about(location, &export.key);
    let body = document(export, attributes, stages, first).to_string();
    let mut request = minreq::post(&export.url)
        .with_timeout(PATIENCE)
        // The headers may be a secret, and are for this address only.
        .with_follow_redirects(false)
        .with_max_status_line_length(HEAD)
        .with_max_headers_size(HEAD)
        .with_header("Content-Type", "application/json")
        .with_body(body);
    let sound = |text: &str| !text.is_empty() && !text.contains(|letter: char| letter.is_control());
    for (name, value) in export.headers.iter().filter(|(name, value)| sound(name) && sound(value)) {
        request = request.with_header(name, value.to_string());
    }
    let answer = request.send_lazy().with_context(|| format!("cannot send spans to {}", export.url))?;
    if !(200..300).contains(&answer.status_code) {
        bail!("{} does not take spans: {} {}", export.url, answer.status_code, answer.reason_phrase);
    }
    Ok(())
}

/// When the container's module began, in nanoseconds since the Unix epoch; `None` for what is no module, or has ended.
fn first_instruction(location: &Location, key: &ContainerKey) -> Option<u64> {
    let record = sandbox::record(location, key)?;
    let init = record.init.filter(|_| record.gauges != 0)?;
    let begin = Instant::now();
    while begin.elapsed() < FIRST.0 {
        let begun = gauges::see(init.pid, record.gauges).ok()?.begun_unix_nanos;
        // Asked last: until now the id was this process's.
        if !init.exists() {
            return None;
        }
        if begun != 0 {
            return Some(begun);
        }
        sleep(FIRST.1);
    }
    None
}

fn about(location: &Location, key: &ContainerKey) -> Vec<Value> {
    let mut attributes = vec![attribute("containerd.namespace", &key.namespace), attribute("container.id", &key.id)];
    if let Some(pod) = sandbox::record(location, key).and_then(|record| record.pod) {
        let names = [
            ("k8s.namespace.name", &pod.namespace),
            ("k8s.pod.name", &pod.name),
            ("k8s.container.name", &pod.container),
        ];
        attributes
            .extend(names.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| attribute(name, text)));
    }
    attributes
}

fn attribute(name: &str, text: &str) -> Value {
    json!({ "key": name, "value": { "stringValue": text } })
}

fn document(export: &Export, attributes: Vec<Value>, stages: &Stages, first: Option<u64>) -> Value {
    let Span { parent, id, times, error } = &export.span;
    let name = match export.verb {
        Verb::Create => "containerd-shim-wasmedge create",
        Verb::Start => "containerd-shim-wasmedge start",
    };
    let own = span(parent, id, name, SERVER, *times);
    let mut spans = vec![with(own, attributes, error)];
    let below = TraceParent { trace: parent.trace, span: *id };
    match (export.verb, stages.ends()) {
        (Verb::Create, Some(whole)) => {
            let engine = new_span_id();
            spans.push(span(&below, &engine, "wasmedge-engine create", INTERNAL, whole));
            let below = TraceParent { span: engine, ..below };
            spans.extend(stages.spans().map(|(name, times)| span(&below, &new_span_id(), name, INTERNAL, times)));
        }
        (Verb::Start, _) => {
            let first =
                first.map(|first| span(&below, &new_span_id(), "to the first instruction", INTERNAL, (times.0, first)));
            spans.extend(first);
        }
        (Verb::Create, None) => {}
    }
    let resource: Vec<Value> = export.resource.iter().map(|(name, text)| attribute(name, text)).collect();
    let scope = json!({ "name": "wasmedge-engine", "version": env!("CARGO_PKG_VERSION") });
    json!({ "resourceSpans": [{
        "resource": { "attributes": resource },
        "scopeSpans": [{ "scope": scope, "spans": spans }],
    }] })
}

fn span(parent: &TraceParent, id: &[u8; 8], name: &str, kind: u8, (begin, end): (u64, u64)) -> Value {
    json!({
        "traceId": hex(&parent.trace),
        "spanId": hex(id),
        "parentSpanId": hex(&parent.span),
        "name": name,
        "kind": kind,
        // 64-bit integers are strings in JSON (protobuf's mapping).
        "startTimeUnixNano": begin.to_string(),
        "endTimeUnixNano": end.max(begin).to_string(),
    })
}

fn with(mut span: Value, attributes: Vec<Value>, error: &str) -> Value {
    span["attributes"] = attributes.into();
    if !error.is_empty() {
        span["status"] = json!({ "code": ERROR, "message": error });
    }
    span
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        thread,
    };

    use super::*;
    use crate::noted::Stage;

    fn export(verb: Verb, error: &str) -> Export {
        let parent = TraceParent { trace: [0xab; 16], span: [1; 8] };
        Export {
            url: "http://127.0.0.1:1/v1/traces".into(),
            headers: Vec::new(),
            resource: vec![("service.name".into(), "s".into())],
            key: ContainerKey { namespace: "n".into(), id: "c".into() },
            verb,
            span: Span { parent, id: [2; 8], times: (10, 90), error: error.into() },
        }
    }

    #[test]
    fn a_creation_has_the_engine_s_stages_below_it() {
        let mut stages = Stages::default();
        for (stage, at) in [(Stage::Asked, 20), (Stage::Planned, 30), (Stage::Found, 50)] {
            stages.add(stage, at);
        }
        let document = document(&export(Verb::Create, ""), vec![attribute("container.id", "c")], &stages, None);
        let spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
        let names: Vec<_> = spans.iter().map(|span| span["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["containerd-shim-wasmedge create", "wasmedge-engine create", "plan", "workload"]);
        assert_eq!(spans[0]["parentSpanId"], "0101010101010101");
        assert_eq!(spans[1]["parentSpanId"], spans[0]["spanId"]);
        assert_eq!(spans[3]["parentSpanId"], spans[1]["spanId"]);
        assert!(spans.iter().all(|span| span["traceId"] == "ab".repeat(16)));
        assert_eq!((&spans[3]["startTimeUnixNano"], &spans[3]["endTimeUnixNano"]), (&"30".into(), &"50".into()));
        assert!(spans[0]["status"].is_null());
    }

    #[test]
    fn a_start_goes_to_the_first_instruction_and_a_failure_is_one() {
        let of = |error, first| document(&export(Verb::Start, error), Vec::new(), &Stages::default(), first);
        let spans = of("", Some(95))["resourceSpans"][0]["scopeSpans"][0]["spans"].clone();
        assert_eq!(
            (&spans[1]["name"], &spans[1]["endTimeUnixNano"]),
            (&"to the first instruction".into(), &"95".into())
        );
        let failed = of("it broke", None)["resourceSpans"][0]["scopeSpans"][0]["spans"].clone();
        assert_eq!(failed.as_array().unwrap().len(), 1);
        assert_eq!(failed[0]["status"], json!({ "code": 2, "message": "it broke" }));
    }

    /// Sends a span to a collector that answers like this; where it was asked, and why it was refused.
    fn refused(answer: impl Fn(u16) -> String) -> (bool, String) {
        let [one, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let port = |socket: &TcpListener| socket.local_addr().unwrap().port();
        let export = Export { url: format!("http://127.0.0.1:{}/v1/traces", port(&one)), ..export(Verb::Create, "") };
        let answer = answer(port(&other));
        other.set_nonblocking(true).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut client = one.accept().unwrap().0;
                let _ = client.read(&mut [0; 4096]).and_then(|_| client.write_all(answer.as_bytes()));
            });
            let error = send(&Location::default(), &export, &Stages::default()).unwrap_err();
            (other.accept().is_ok(), format!("{error:#}"))
        })
    }

    #[test]
    fn a_collector_sends_nobody_elsewhere() {
        let answer = |other| {
            format!("HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:{other}/\r\nContent-Length: 0\r\n\r\n")
        };
        let (asked, error) = refused(answer);
        assert!(!asked && error.contains("307 Elsewhere"), "{error}");
    }

    #[test]
    fn a_head_without_end_is_refused() {
        let endless = |_| format!("HTTP/1.1 200 OK\r\n{}", "a: b\r\n".repeat(1 << 16));
        assert!(refused(endless).1.contains("cannot send spans"));
    }
}
