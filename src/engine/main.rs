//! `wasmedge-engine`: the library, as a program.

use std::process::ExitCode;

fn main() -> ExitCode {
    wasmedge_engine::main()
}
