//! `containerd-shim-wasmedge-v1`: the library, as a program.

use std::process::ExitCode;

fn main() -> ExitCode {
    containerd_shim_wasmedge::main(env!("CARGO_BIN_NAME"))
}
