//! An HTTP/1.1 server with keep-alive, many clients at a time. Says `listening on PORT` when it is ready.
//! `GET /` answers `hello from wasm http`, `GET /env/NAME` the value of a variable, anything else is 404 or 405.
//!
//! usage: http PORT

use workloads::serve::{Connection, serve};

fn main() {
    let port = workloads::argument(1, "http PORT");
    workloads::or_exit("http", serve(port, answer));
}

/// Answers every whole request in `input` (requests with a body are refused) and leaves the rest for later.
fn answer(connection: &mut Connection) {
    while let Some(end) = connection.input.windows(4).position(|four| four == b"\r\n\r\n") {
        let head: Vec<u8> = connection.input.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head);
        let (status, body) = respond(head.lines().next().unwrap_or_default());
        let last = says_close(&head) || status.starts_with("405");
        let kept = if last { "close" } else { "keep-alive" };
        let length = body.len();
        let header = "Content-Type: text/plain; charset=utf-8";
        connection.output.extend_from_slice(
            format!("HTTP/1.1 {status}\r\n{header}\r\nContent-Length: {length}\r\nConnection: {kept}\r\n\r\n{body}")
                .as_bytes(),
        );
        connection.closing |= last;
    }
}

/// The status line's end and the body for a request line such as `GET / HTTP/1.1`.
fn respond(request: &str) -> (&'static str, String) {
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if method != "GET" {
        return ("405 Method Not Allowed", "only GET\n".into());
    }
    if path == "/" {
        return ("200 OK", "hello from wasm http\n".into());
    }
    match path.strip_prefix("/env/").map(std::env::var) {
        Some(Ok(value)) => ("200 OK", value + "\n"),
        _ => ("404 Not Found", "not found\n".into()),
    }
}

/// Whether the client wants the connection closed: it says so, or it speaks HTTP/1.0 without keep-alive.
fn says_close(head: &str) -> bool {
    let head = head.to_ascii_lowercase();
    let connection = head.lines().find_map(|line| line.strip_prefix("connection:")).map(str::trim);
    match connection {
        Some(word) => word == "close",
        None => head.lines().next().is_some_and(|line| line.ends_with("http/1.0")),
    }
}
