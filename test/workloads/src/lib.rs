//! What the guest programs share: their few words to whoever runs them, and the loop of the servers.

pub mod serve;
pub mod sockets;

use std::fmt::Display;

/// Ends the program with `usage: TEXT` on stderr and exit code 2.
pub fn usage(text: &str) -> ! {
    eprintln!("usage: {text}");
    std::process::exit(2)
}

/// The argument at `index` (1 is the first after the program's name) as a `T`, or `usage`.
pub fn argument<T: std::str::FromStr>(index: usize, text: &str) -> T {
    std::env::args()
        .nth(index)
        .and_then(|word| word.parse().ok())
        .unwrap_or_else(|| usage(text))
}

/// The value, or the end of the program: `WHAT: ERROR` on stderr and exit code 1.
pub fn or_exit<T, E: Display>(what: &str, result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| {
        eprintln!("{what}: {error}");
        std::process::exit(1)
    })
}
