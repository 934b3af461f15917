//! What `docker run --runtime=io.containerd.wasmedge.v1` does.

mod files;
mod lifecycle;
mod linux;
mod network;
mod platforms;
mod run;
mod signals;
mod traps;
