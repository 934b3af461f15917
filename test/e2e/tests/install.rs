//! `install`, `uninstall` and `check`: what they make of configurations is what containerd and Docker read.

mod accepted;
mod check;
mod killed;
mod node;
mod roots;
