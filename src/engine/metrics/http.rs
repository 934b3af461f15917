//! One request for metrics on a connection, by HTTP 1 (RFC 9112). Who asks may be any process of the machine, where it is a port that
//! is asked: so what is read has a bound, in bytes and in time, and nothing of it is used but the request line.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use nix::sys::{
    socket::{
        setsockopt,
        sockopt::{ReceiveTimeout, SendTimeout},
    },
    time::{TimeVal, TimeValLike},
};

/// Most bytes of a request.
const MOST: usize = 8192;

/// How long a request may take to come, and its answer to be read.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where metrics are.
const PATH: &str = "/metrics";

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// What is wrong with a request.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    status: &'static str,
    cause: &'static str,
}

const TOO_LARGE: Refusal =
    Refusal { status: "431 Request Header Fields Too Large", cause: "the request is larger than 8192 bytes" };
const MALFORMED: Refusal = Refusal { status: "400 Bad Request", cause: "this is no request of HTTP 1" };
const NOT_FOUND: Refusal = Refusal { status: "404 Not Found", cause: "metrics are at /metrics" };
const OTHER_METHOD: Refusal = Refusal { status: "405 Method Not Allowed", cause: "only GET and HEAD are answered" };

/// Answers the request that comes on `connection`, a stream socket that is blocking, with `metrics`.
///
/// # Errors
/// The connection's, and what takes too long.
pub fn serve(connection: OwnedFd, metrics: impl FnOnce() -> String) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    // As a type: what kind of stream it is makes no difference to read(2) and write(2).
    let mut stream = Bounded { stream: connection.into(), deadline };
    let (body, head) = match read_request(&mut stream)?.and_then(|line| judge(&line)) {
        Ok(with_body) => {
            let text = metrics();
            let head = head("200 OK", OPENMETRICS, text.len());
            (if with_body { text } else { String::new() }, head)
        }
        Err(Refusal { status, cause }) => {
            let text = format!("{cause}\n");
            (text.clone(), head(status, PLAIN, text.len()))
        }
    };
    stream.deadline = Instant::now() + PATIENCE;
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    stream.end()
}

fn head(status: &str, kind: &str, length: usize) -> String {
    let allow = if status == OTHER_METHOD.status { "Allow: GET, HEAD\r\n" } else { "" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{allow}\
         X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
}

/// The request line, once the whole head of the request has come.
fn read_request(stream: &mut Bounded) -> io::Result<Result<Vec<u8>, Refusal>> {
    let mut request = Vec::new();
    let mut part = [0; 1024];
    while !ends(&request) {
        match stream.read(&mut part)? {
            0 => return Ok(Err(MALFORMED)),
            count => request.extend_from_slice(&part[..count]),
        }
        if request.len() > MOST {
            return Ok(Err(TOO_LARGE));
        }
    }
    request.truncate(request.iter().position(|byte| *byte == b'\n').unwrap_or_default());
    Ok(Ok(request))
}

fn ends(request: &[u8]) -> bool {
    request.windows(4).any(|four| four == b"\r\n\r\n") || request.windows(2).any(|two| two == b"\n\n")
}

/// Whether the answer is to have a body.
fn judge(line: &[u8]) -> Result<bool, Refusal> {
    let line = std::str::from_utf8(line).map_err(|_| MALFORMED)?;
    let mut words = line.trim_end_matches('\r').split(' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(MALFORMED);
    };
    if !version.starts_with("HTTP/1.") {
        return Err(MALFORMED);
    }
    let with_body = match method {
        "GET" => true,
        "HEAD" => false,
        _ => return Err(OTHER_METHOD),
    };
    let path = target.split('?').next().unwrap_or_default();
    if path == PATH { Ok(with_body) } else { Err(NOT_FOUND) }
}

/// A stream on which everything together takes no longer than until a deadline.
struct Bounded {
    stream: UnixStream,
    deadline: Instant,
}

impl Bounded {
    fn left(&self) -> io::Result<TimeVal> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let micros = i64::try_from(left.as_micros()).unwrap_or(i64::MAX);
        // None at all would mean for ever.
        if micros == 0 { Err(io::ErrorKind::TimedOut.into()) } else { Ok(TimeVal::microseconds(micros)) }
    }

    /// Lets the peer read all of the answer: to close a socket with unread bytes would take the answer away from it.
    fn end(mut self) -> io::Result<()> {
        self.stream.shutdown(std::net::Shutdown::Write)?;
        let mut rest = [0; 1024];
        for _ in 0..64 {
            if self.read(&mut rest)? == 0 {
                break;
            }
        }
        Ok(())
    }
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        setsockopt(&self.stream.as_fd(), ReceiveTimeout, &self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Bounded {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        setsockopt(&self.stream.as_fd(), SendTimeout, &self.left()?)?;
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::thread;

    /// What comes back on a connection where `request` is written, which is left open.
    fn answer(request: &[u8]) -> String {
        let (mut client, server) = UnixStream::pair().unwrap();
        let request = request.to_vec();
        let client = thread::spawn(move || {
            // A server that has read enough may hang up.
            let _ = client.write_all(&request);
            let mut text = String::new();
            client.read_to_string(&mut text).unwrap();
            text
        });
        let _ = serve(server.into(), || "a 1\n# EOF\n".to_owned());
        client.join().unwrap()
    }

    #[test]
    fn metrics_are_given_to_who_asks_for_them() {
        let text = answer(b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n");
        assert!(
            text.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0"),
            "{text}"
        );
        assert!(text.contains("\r\nContent-Length: 10\r\n") && text.ends_with("\r\n\r\na 1\n# EOF\n"), "{text}");
        assert!(answer(b"GET /metrics?a=b HTTP/1.0\n\n").starts_with("HTTP/1.1 200"));
        let head = answer(b"HEAD /metrics HTTP/1.1\r\n\r\n");
        assert!(head.contains("Content-Length: 10") && head.ends_with("\r\n\r\n"), "{head}");
    }

    #[test]
    fn other_requests_are_refused_with_the_cause() {
        let refused = |request: &[u8], status: &str| {
            let text = answer(request);
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
        };
        refused(b"GET / HTTP/1.1\r\n\r\n", "404");
        refused(b"GET /metrics/.. HTTP/1.1\r\n\r\n", "404");
        refused(b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "405");
        refused(b"GET /metrics\r\n\r\n", "400");
        refused(b"GET  /metrics HTTP/1.1\r\n\r\n", "400");
        refused(b"\x16\x03\x01\xff\r\n\r\n", "400");
        refused(&[b"GET /metrics HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; 10_000]].concat(), "431");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_answered_or_hung_up_on(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = judge(&line);
            let head = [line, b"\r\n\r\n".to_vec()].concat();
            prop_assert!(answer(&head).starts_with("HTTP/1.1 "));
        }
    }

    #[test]
    fn who_is_slow_is_hung_up_on() {
        let (client, server) = UnixStream::pair().unwrap();
        let begin = Instant::now();
        let drip = thread::spawn(move || {
            for _ in 0..200 {
                if (&client).write_all(b"x").is_err() {
                    break;
                }
                thread::sleep(Duration::from_millis(50));
            }
        });
        let error = serve(server.into(), || panic!("nothing was asked for")).unwrap_err();
        assert!(matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock), "{error}");
        assert!(begin.elapsed() >= PATIENCE && begin.elapsed() < 2 * PATIENCE);
        drip.join().unwrap();
    }
}
