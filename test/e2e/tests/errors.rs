//! What cannot run says why, in one line that names the thing and the cause, and leaves nothing.

mod modules;
mod node;
mod options;
