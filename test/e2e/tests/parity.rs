//! Feature by feature what runc does, for a module and a Linux program under this runtime and for runc itself, which
//! tells what is right. `test/e2e/compat` makes a table of it.

mod devices;
mod exec;
mod exec_api;
mod exec_clients;
mod exec_process;
mod faults;
mod hooks;
mod input;
mod logging;
mod mount_targets;
mod namespaces;
mod oom;
mod options;
mod paths;
mod pause;
mod processes;
mod profiles;
mod terminals;
mod update;
