//! What is run by which runtime.

/// A runtime together with what it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A module under this runtime.
    Wasm,
    /// A Linux program under this runtime.
    Linux,
    /// The same Linux program under runc, which tells how it should behave.
    Runc,
}

impl Kind {
    /// The runtime's name, as Docker and containerd take it.
    pub fn runtime(self) -> &'static str {
        match self {
            Self::Wasm | Self::Linux => "io.containerd.wasmedge.v1",
            Self::Runc => "io.containerd.runc.v2",
        }
    }

    /// The image with the programs for it.
    pub fn image(self) -> &'static str {
        match self {
            Self::Wasm => "localhost/wasm:latest",
            Self::Linux | Self::Runc => "localhost/busybox:latest",
        }
    }
}
