//! An API server for tests, with nodes and pods in memory: it lists, gets, watches, and takes merge patches of nodes, which
//! it refuses for another version of a node than the one that it has.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use futures::{
    StreamExt,
    channel::mpsc::{UnboundedSender, unbounded},
    stream,
};
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use kube::client::Body;
use serde_json::{Map, Value, json};

use crate::node::LABEL;

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// What happens in the cluster when something was changed.
type Reaction = Box<dyn FnMut(&mut State) + Send>;

/// A cluster; its clones are the same.
#[derive(Clone, Default)]
pub struct Cluster(Arc<Mutex<State>>);

/// What there is.
#[derive(Default)]
pub struct State {
    /// As the API has them.
    pub nodes: Vec<Value>,
    /// As the API has them.
    pub pods: Vec<Value>,
    /// What labels were set, as `NODE=VALUE`.
    pub labels: Vec<String>,
    /// Statuses that are answered next instead of what was asked.
    pub failures: Vec<u16>,
    /// Nodes that somebody else labels just before the next patches.
    pub meanwhile: Vec<(String, Option<&'static str>)>,
    reaction: Option<Reaction>,
    version: u64,
    /// The event at `i` has made the version `i + 1`.
    events: Vec<Value>,
    watches: Vec<UnboundedSender<Value>>,
}

impl Cluster {
    /// With nodes that have a label and a handler.
    pub fn with(nodes: &[(&str, Option<&str>, Option<&str>)]) -> Self {
        let cluster = Self::default();
        for (name, label, handler) in nodes {
            let labels = label.map_or_else(|| json!({}), |value| json!({ LABEL: value }));
            let handlers = handler.map_or_else(|| json!([]), |name| json!([{ "name": name }]));
            cluster.state().put(json!({
                "metadata": { "name": name, "labels": labels },
                "status": { "runtimeHandlers": handlers },
            }));
        }
        cluster
    }

    /// Lets something happen after each patch.
    pub fn react(&self, reaction: impl FnMut(&mut State) + Send + 'static) {
        self.state().reaction = Some(Box::new(reaction));
    }

    /// What there is now.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// A client of it.
    pub fn client(&self) -> kube::Client {
        let cluster = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let cluster = cluster.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                Ok::<_, Infallible>(cluster.answer(&head.method, head.uri.path(), head.uri.query(), &body))
            }
        });
        kube::Client::new(service, "default")
    }

    fn answer(&self, method: &Method, path: &str, query: Option<&str>, body: &[u8]) -> Answer {
        let mut state = self.state();
        if let Some(code) = state.failures.pop() {
            return status(code);
        }
        let query: Vec<(String, String)> =
            form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
        let asked = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        match (method, path.trim_start_matches("/api/v1/").split('/').collect::<Vec<_>>().as_slice()) {
            (&Method::GET, ["nodes"]) if asked("watch") == Some("true") => state.watch(asked("resourceVersion")),
            (&Method::GET, ["nodes"]) => list(&state.nodes, state.version, asked("labelSelector")),
            (&Method::GET, ["nodes", name]) => state.node(name).map_or_else(|| status(404), |node| answer(200, node)),
            (&Method::PATCH, ["nodes", name]) => state.patch(name, &serde_json::from_slice(body).unwrap()),
            (&Method::GET, ["pods"]) => list(&state.pods, state.version, asked("labelSelector")),
            (&Method::GET, ["namespaces", namespace, "pods"]) => {
                let is_here = |pod: &&Value| pod["metadata"]["namespace"] == **namespace;
                let pods: Vec<_> = state.pods.iter().filter(is_here).cloned().collect();
                list(&pods, state.version, asked("labelSelector"))
            }
            (method, path) => panic!("not known: {method} {path:?}"),
        }
    }
}

impl State {
    /// A node by its name.
    pub fn node(&self, name: &str) -> Option<&Value> {
        self.nodes.iter().find(|node| node["metadata"]["name"] == name)
    }

    /// A node's label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.node(name)?["metadata"]["labels"][LABEL].as_str()
    }

    /// A node is new or has changed.
    pub fn put(&mut self, mut node: Value) {
        self.version += 1;
        node["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let event = json!({ "type": "MODIFIED", "object": node });
        self.watches.retain(|watch| watch.unbounded_send(event.clone()).is_ok());
        self.events.push(event);
        self.nodes.retain(|other| other["metadata"]["name"] != node["metadata"]["name"]);
        self.nodes.push(node);
    }

    /// The node's kubelet reports these handlers.
    pub fn report(&mut self, name: &str, handlers: &[&str]) {
        let mut node = self.node(name).unwrap().clone();
        node["status"]["runtimeHandlers"] = handlers.iter().map(|name| json!({ "name": name })).collect();
        self.put(node);
    }

    fn patch(&mut self, name: &str, patch: &Value) -> Answer {
        if let Some((name, label)) = self.meanwhile.pop() {
            let mut node = self.node(&name).unwrap().clone();
            merge(&mut node["metadata"], &json!({ "labels": { LABEL: label } }));
            self.put(node);
        }
        let Some(mut node) = self.node(name).cloned() else { return status(404) };
        if patch["metadata"]["resourceVersion"] != node["metadata"]["resourceVersion"] {
            return status(409);
        }
        merge(&mut node, patch);
        self.labels.push(format!("{name}={}", node["metadata"]["labels"][LABEL].as_str().unwrap_or("none")));
        self.put(node.clone());
        if let Some(mut reaction) = self.reaction.take() {
            reaction(self);
            self.reaction.get_or_insert(reaction);
        }
        answer(200, &node)
    }

    /// What has happened since a version, and what will.
    fn watch(&mut self, since: Option<&str>) -> Answer {
        let (sender, events) = unbounded();
        self.watches.push(sender);
        let since: usize = since.unwrap().parse().unwrap();
        let line = |event: Value| Ok(Frame::data(Bytes::from(format!("{event}\n"))));
        let events = stream::iter(self.events[since..].to_vec()).chain(events).map(line);
        Response::new(StreamBody::new(events).boxed_unsync())
    }
}

/// The objects whose labels are as `selector` says: `KEY`, or `KEY=VALUE`.
fn list(objects: &[Value], version: u64, selector: Option<&str>) -> Answer {
    let is_selected = |object: &&Value| {
        let label = |key: &str| object["metadata"]["labels"][key].as_str();
        selector.is_none_or(|selector| match selector.split_once('=') {
            Some((key, value)) => label(key) == Some(value),
            None => label(selector).is_some(),
        })
    };
    let items: Vec<_> = objects.iter().filter(is_selected).collect();
    answer(200, &json!({ "metadata": { "resourceVersion": version.to_string() }, "items": items }))
}

fn status(code: u16) -> Answer {
    answer(
        code,
        &json!({ "kind": "Status", "status": "Failure", "message": "as told", "reason": "Told", "code": code }),
    )
}

fn answer(code: u16, value: &Value) -> Answer {
    let body = Full::new(Bytes::from(value.to_string())).boxed_unsync();
    Response::builder().status(code).header("content-type", "application/json").body(body).unwrap()
}

/// A JSON merge patch (RFC 7386).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else { return *target = patch.clone() };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (key, value) in patch {
        match value {
            Value::Null => drop(target.as_object_mut().unwrap().remove(key)),
            value => merge(&mut target[key], value),
        }
    }
}
