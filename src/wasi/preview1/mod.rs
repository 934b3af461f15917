//! WASI preview 1 as a guest calls it: the functions by their names, and how their arguments and results lie in memory.
//!
//! The text is `wasi_snapshot_preview1.witx` of github.com/WebAssembly/WASI; `wasi_unstable` is the snapshot before it, as
//! old modules import it. Beside them are the socket functions of WasmEdge, in both of their generations.

// The parameters are WASI's.
#![allow(clippy::too_many_arguments)]

mod address;
mod descriptors;
mod errno;
mod files;
mod layout;
mod names;
mod paths;
mod poll;
mod process;
mod sockets;
mod table;

use rustix::io::Errno as KernelErrno;

pub use errno::Errno;
pub use table::{FUNCTIONS, Function, Type, find, has};

use crate::{Memory, Wasi, memory::Guest, table::Refusal};

/// Why a function does not return success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It returns this.
    Errno(Errno),
    /// It does not return: the guest has ended with this exit code.
    Exit(u32),
}

impl From<KernelErrno> for Stop {
    fn from(errno: KernelErrno) -> Self {
        Self::Errno(errno.into())
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotCapable => Self::Errno(Errno::NOTCAPABLE),
            Refusal::Errno(errno) => errno.into(),
        }
    }
}

/// What comes of a call.
pub type Outcome = Result<(), Stop>;

impl Function {
    /// Calls it with arguments of its [parameters](Function::params)' types.
    ///
    /// # Errors
    /// Whatever is not success, the guest's end among it.
    pub fn call(&self, wasi: &mut Wasi, memory: &mut (impl Memory + ?Sized), args: &[u64]) -> Outcome {
        (self.run)(wasi, &mut Guest::new(memory), args)
    }
}
