//! Two ways in: `_start` says `main function`, the export `other` (as `exports.wasm#other`) says `other function`.
//!
//! usage: exports

fn main() {
    println!("main function");
}

#[unsafe(no_mangle)]
pub extern "C" fn other() {
    println!("other function");
}
