//! Copies stdin to stdout until the end of the input; each piece is written as soon as it is read. A word given is
//! said before that, on a line of its own.
//!
//! usage: cat [WORD]

use std::io::{Read, Write, stdin, stdout};

fn main() {
    if let Some(word) = std::env::args().nth(1) {
        println!("{word}");
    }
    let mut piece = [0; 8192];
    loop {
        let length = workloads::or_exit("stdin", stdin().lock().read(&mut piece));
        if length == 0 {
            return;
        }
        workloads::or_exit("stdout", stdout().write_all(&piece[..length]));
        workloads::or_exit("stdout", stdout().flush());
    }
}
