//! Programs that tests of several areas run.

use e2e::Kind;

/// Words of an HTTP server on port 8080 that answers `hello…`.
pub fn server(kind: Kind) -> Vec<&'static str> {
    let linux = "mkdir -p /tmp/www; echo hello >/tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www";
    kind.either(vec!["/http.wasm", "8080"], vec!["sh", "-c", linux])
}

/// Words of a command that says what is in a file.
pub fn reader(kind: Kind, path: &str) -> Vec<&str> {
    kind.either(vec!["/files.wasm", "read", path], vec!["cat", path])
}

/// Words of a command that says `hello` and ends.
pub fn hello(kind: Kind) -> Vec<&'static str> {
    kind.either(vec!["/hello.wasm"], vec!["echo", "hello"])
}

/// `KEY=value` lines: the value of a key.
pub fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

/// Words as a command is given them.
pub fn words(owned: &[String]) -> Vec<&str> {
    owned.iter().map(String::as_str).collect()
}
