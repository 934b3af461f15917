//! Tools of the end-to-end tests: the real `docker`, `ctr` and `crictl` driven in the test node, and a count of
//! everything in it before and after each test.
//!
//! A test begins with [`Scene::new`]. Whatever it makes through the scene is removed at the scene's end, and then the
//! node must hold exactly what it held before. Tests panic where something is not as expected, with the command, its
//! output and where to look.

pub mod command;
pub mod cri;
pub mod ctr;
pub mod docker;
pub mod engine;
pub mod events;
pub mod fifos;
mod kind;
pub mod leaks;
pub mod metrics;
pub mod node;
pub mod process;
mod scene;
pub mod shim;
mod terminal;
pub mod tracer;
pub mod wait;

pub use command::{Command, Finished, command};
pub use kind::{Kind, expect_as_under_runc};
pub use scene::Scene;
pub use terminal::Terminal;
pub use wait::{patient, until, within};
