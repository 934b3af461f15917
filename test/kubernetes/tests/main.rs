//! What people do with the runtime in Kubernetes.

mod clients;
mod errors;
mod lifecycle;
mod network;
mod pods;
mod resources;
mod security;
mod stats;
mod support;
mod volumes;
mod workloads;
