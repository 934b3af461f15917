//! Says one line on stdout and one on stderr.
//!
//! usage: both

fn main() {
    println!("to stdout");
    eprintln!("to stderr");
}
