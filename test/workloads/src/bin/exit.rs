//! Exits with the code given.
//!
//! usage: exit CODE

fn main() {
    std::process::exit(workloads::argument(1, "exit CODE"))
}
