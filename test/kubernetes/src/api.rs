//! Requests to the API server, as JSON.

use std::sync::LazyLock;

use http::{Method, Request};
use kube::{Client, Config, config::KubeConfigOptions};
use serde_json::Value;
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime for requests"));

static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    RUNTIME.block_on(async {
        let config = Config::from_kubeconfig(&KubeConfigOptions::default()).await.expect("the node's kubeconfig");
        Client::try_from(config).expect("a client of the API server")
    })
});

/// What the API server has answered to a request that it refused.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The HTTP status.
    pub code: u16,
    /// Its reason, in words.
    pub message: String,
}

/// Sends a request; `kind` is that of the body, where there is one.
///
/// # Errors
/// What the API server has answered where it refused.
#[track_caller]
pub fn request(method: &Method, path: &str, body: Option<(&str, &Value)>) -> Result<Value, Refused> {
    let (kind, body) = body.map_or(("application/json", String::new()), |(kind, body)| (kind, body.to_string()));
    let request = Request::builder().method(method).uri(path).header("Content-Type", kind).body(body.into_bytes());
    let request = request.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
    match RUNTIME.block_on(CLIENT.request::<Value>(request)) {
        Ok(answer) => Ok(answer),
        Err(kube::Error::Api(status)) => Err(Refused { code: status.code, message: status.message.clone() }),
        Err(error) => panic!("{method} {path}: {error}"),
    }
}

/// What is at this path; `None` if there is nothing.
#[track_caller]
pub fn get(path: &str) -> Option<Value> {
    match request(&Method::GET, path, None) {
        Ok(answer) => Some(answer),
        Err(refused) if refused.code == 404 => None,
        Err(refused) => panic!("GET {path}: {refused:?}"),
    }
}

/// The text at this path, of an answer that is no JSON.
#[track_caller]
pub fn text(path: &str) -> String {
    let request = Request::builder().uri(path).body(Vec::new()).expect("a request");
    let answer = RUNTIME.block_on(CLIENT.request_text(request));
    answer.unwrap_or_else(|error| panic!("GET {path}: {error}"))
}

/// The folder of objects of this `apiVersion` and `kind` in a namespace, or in the cluster.
pub fn folder(version: &str, kind: &str, namespace: Option<&str>) -> String {
    let root = if version.contains('/') { "apis" } else { "api" };
    let lower = kind.to_lowercase();
    let plural = match lower.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if lower.ends_with('s') => format!("{lower}es"),
        None => format!("{lower}s"),
    };
    match namespace {
        Some(namespace) => format!("/{root}/{version}/namespaces/{namespace}/{plural}"),
        None => format!("/{root}/{version}/{plural}"),
    }
}
