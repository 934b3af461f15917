//! Real programs in containers, beside the same programs for Linux under runc.
//!
//! A [`Program`] is in its image twice, as a module and as a Linux program. A [`Trial`] runs both with the same arguments,
//! input, flags and volume: what they print, how they end and what is in the volume then must be the same.

mod contents;
mod program;
mod trial;

pub use contents::contents;
pub use program::{Program, connect, curl};
pub use trial::{Outcome, Trial};
