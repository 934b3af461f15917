//! What containerd's own client sees, and what happens when one of the processes is killed.

mod api;
mod callers;
mod crashes;
mod events;
mod host;
mod many;
mod tasks;
mod traces;
