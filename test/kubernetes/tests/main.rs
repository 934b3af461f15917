//! What people do with the runtime in Kubernetes.

mod clients;
mod errors;
mod faults;
mod images;
mod lifecycle;
mod network;
mod node;
mod pods;
mod resources;
mod security;
mod stats;
mod support;
mod two_nodes;
mod volumes;
mod workloads;
