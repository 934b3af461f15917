//! The node that the tests run in: test/node.

use std::path::Path;

use crate::{Finished, command};

/// Panics unless this process is in a test node.
pub fn require() {
    assert!(
        Path::new("/run/node-ready").exists(),
        "this is not a test node: the end-to-end tests start and kill services, and run by test/e2e/run only"
    );
}

/// Where to look after a failure.
pub fn hint() -> String {
    let node = std::env::var("NODE").unwrap_or_else(|_| "default".into());
    format!(
        "look at: test/node/node logs {node} containerd; test/node/node logs {node} dockerd; \
         test/node/node exec -n {node} cat /run/containerd-shim-wasmedge/engine.log"
    )
}

/// `node-service VERB SERVICE`: starts, stops or kills containerd or dockerd.
pub fn service(verb: &str, service: &str) -> Finished {
    command("node-service").args([verb, service]).run()
}
