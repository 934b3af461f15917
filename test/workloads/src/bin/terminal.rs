//! Tells which of the standard streams are terminals, one `stdin=true` or `stdin=false` a line.
//!
//! usage: terminal

use std::io::{IsTerminal, stderr, stdin, stdout};

fn main() {
    println!("stdin={}", stdin().is_terminal());
    println!("stdout={}", stdout().is_terminal());
    println!("stderr={}", stderr().is_terminal());
}
