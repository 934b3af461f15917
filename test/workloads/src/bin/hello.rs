//! Greets, then repeats its arguments, one a line.
//!
//! usage: hello [WORD...]

fn main() {
    println!("hello from wasm");
    for word in std::env::args().skip(1) {
        println!("{word}");
    }
}
