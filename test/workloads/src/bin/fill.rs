//! Writes a file of the size given, zeros, and says `filled`.
//!
//! usage: fill PATH MIB

use std::{fs::File, io::Write};

const USAGE: &str = "fill PATH MIB";

fn main() {
    let path: String = workloads::argument(1, USAGE);
    let mib: usize = workloads::argument(2, USAGE);
    let mut file = workloads::or_exit(&path, File::create(&path));
    for _ in 0..mib {
        workloads::or_exit(&path, file.write_all(&[0; 1 << 20]));
    }
    println!("filled");
}
