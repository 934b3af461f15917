//! Inside the container: from libcontainer's sandbox, complete but for the entrypoint, to the entrypoint's last
//! instruction.

pub mod apparmor;
pub mod console;
mod core_dump;
pub mod descriptors;
mod entrypoint;
mod executor;
#[cfg(any(feature = "fuzzing", test))]
pub mod fuzz;
mod harden;
mod hidden;
mod hook;
mod interpose;
mod memory;
mod missing;
mod native;
mod out_of_memory;
mod overflow;
mod pages;
mod preopens;
mod profile;
mod readable_signals;
mod ready;
pub mod report;
mod seccomp;
mod settings;
mod signals;
mod statistics;
mod tenant;
mod timer;
mod title;
mod world;

pub use core_dump::Destination as CoreDumps;
pub use entrypoint::{Entrypoint, has_init, resolve};
pub use executor::GuestExecutor;
pub use hidden::{HIDDEN_FROM_MODULES, hidden_below, hide_from_module, is_hidden};
pub use hook::run as run_hook;
pub use missing::missing;
pub use native::EXEC_FAILED;
pub use out_of_memory::NAME as OUT_OF_MEMORY;
pub use pages::release_program_pages;
pub use profile::{Profile as SeccompProfile, take as take_seccomp_profile};
pub use ready::{Native, Sandbox, exit_now};
pub use report::Finished;
pub use seccomp::prepare as prepare_seccomp;
pub use settings::Settings;
pub use signals::TRAP_EXIT_CODE;
pub use tenant::{Tenant, become_program};
pub use title::prepare as prepare_title;
