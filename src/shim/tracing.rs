//! Spans of creations and starts, as parts of containerd's traces.
//!
//! containerd's environment, which a shim has, turns them on (`OTEL_*`, OpenTelemetry's environment variables); without it there is
//! nothing to do. The shim takes two times and hands them to the engine host when the verb is done: whoever collects spans is
//! spoken to by a process of the host's, so that no shim has a client for that, and no container waits for it.

use std::{
    collections::HashMap,
    time::{SystemTime, UNIX_EPOCH},
};

use log::warn;
use percent_encoding::percent_decode_str;
use wasmedge_shim_protocol::{ContainerKey, Export, Secret, Span, TraceParent, Verb, new_span_id};

/// ttrpc's metadata in which containerd says what trace a request is a part of.
const TRACEPARENT: &str = "traceparent";

/// What our spans come from.
const SERVICE: &str = "containerd-shim-wasmedge";

/// Where spans go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracing {
    url: String,
    headers: Vec<(String, Secret)>,
    resource: Vec<(String, String)>,
}

/// A verb under way that is traced.
#[derive(Debug)]
pub struct Traced {
    parent: TraceParent,
    begin: u64,
}

impl Tracing {
    /// By the environment, in which `get` looks; `None` where it does not ask for spans.
    pub fn by(get: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let of_traces = |name: &str| {
            get(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}")).or_else(|| get(&format!("OTEL_EXPORTER_OTLP_{name}")))
        };
        let is = |name: &str, value: &str| get(name).is_some_and(|one| one.eq_ignore_ascii_case(value));
        if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
            return None;
        }
        let base =
            || get("OTEL_EXPORTER_OTLP_ENDPOINT").map(|base| format!("{}/v1/traces", base.trim_end_matches('/')));
        let url = get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(base)?;
        let protocol = of_traces("PROTOCOL").unwrap_or_default();
        if !url.starts_with("http://") || protocol == "grpc" {
            warn!("no spans are sent: {url}: only OTLP over plain HTTP is spoken, not {protocol:?}");
            return None;
        }
        let headers = of_traces("HEADERS").map(|text| pairs(&text)).unwrap_or_default();
        let headers = headers.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
        // The service's name that is there is containerd's own.
        let mut resource = get("OTEL_RESOURCE_ATTRIBUTES").map(|text| pairs(&text)).unwrap_or_default();
        resource.retain(|(name, _)| name != "service.name");
        resource.push(("service.name".to_owned(), SERVICE.to_owned()));
        resource.push(("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
        Some(Self { url, headers, resource })
    }

    /// Begins a verb's span, where the request is a part of a trace that is recorded.
    pub fn begin(metadata: &HashMap<String, Vec<String>>) -> Option<Traced> {
        let parent = metadata.get(TRACEPARENT)?.first().and_then(|text| TraceParent::recorded(text))?;
        Some(Traced { parent, begin: now() })
    }

    /// Ends it; what the host is to be given.
    pub fn end(&self, traced: &Traced, verb: Verb, key: ContainerKey, error: String) -> Export {
        let Traced { parent, begin } = *traced;
        let span = Span { parent, id: new_span_id(), times: (begin, now()), error };
        let (url, headers, resource) = (self.url.clone(), self.headers.clone(), self.resource.clone());
        Export { url, headers, resource, key, verb, span }
    }
}

/// `NAME=VALUE,…` as OpenTelemetry has it, with values as in URLs.
fn pairs(text: &str) -> Vec<(String, String)> {
    let decoded = |text: &str| percent_decode_str(text.trim()).decode_utf8_lossy().into_owned();
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(variables: &[(&str, &str)]) -> Option<Tracing> {
        let find = |name: &str| variables.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).to_owned());
        Tracing::by(&find)
    }

    #[test]
    fn the_environment_turns_spans_on_and_says_where_they_go() {
        assert_eq!(by(&[]), None);
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318/");
        let tracing = by(&[base, ("OTEL_RESOURCE_ATTRIBUTES", "a=b%20c,service.name=containerd")]).unwrap();
        assert_eq!(tracing.url, "http://127.0.0.1:4318/v1/traces");
        assert_eq!(tracing.resource[..2], [("a".into(), "b c".into()), ("service.name".into(), SERVICE.into())]);
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1/spans");
        let tracing = by(&[base, own, ("OTEL_EXPORTER_OTLP_HEADERS", "key=secret")]).unwrap();
        assert_eq!((&*tracing.url, &*tracing.headers[0].1), ("http://127.0.0.1:1/spans", "secret"));
    }

    #[test]
    fn what_turns_them_off_or_cannot_be_spoken_leaves_them_off() {
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
        for other in [
            ("OTEL_SDK_DISABLED", "True"),
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://collector"),
        ] {
            assert_eq!(by(&[base, other]), None, "{other:?}");
        }
        assert!(Tracing::begin(&HashMap::new()).is_none());
    }
}
