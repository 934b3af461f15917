//! Load for an HTTP server: connections that are kept, each with one request at a time.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// No answer is this long.
const LONGEST: usize = 65_536;

/// No answer takes this long.
const HANGS: Duration = Duration::from_secs(10);

/// Asks the server at `port` of this machine over and over until `time` is over; returns the number of answers and how
/// many seconds they took. Every answer must be the same, and begin with HTTP's status 200.
pub async fn load(port: u16, connections: usize, time: Duration) -> Result<(u64, f64)> {
    let streams = try_join_all((0..connections).map(|_| connect(port))).await?;
    let begin = Instant::now();
    let answers = try_join_all(streams.into_iter().map(|stream| ask_until(stream, begin + time))).await?;
    Ok((answers.into_iter().sum(), begin.elapsed().as_secs_f64()))
}

async fn connect(port: u16) -> Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn ask_until(mut stream: TcpStream, end: Instant) -> Result<u64> {
    let mut answers = 0;
    let mut expected: Option<Vec<u8>> = None;
    let mut buffer = vec![0; LONGEST];
    while Instant::now() < end {
        let asked = ask(&mut stream, &mut buffer, expected.as_ref().map(Vec::len));
        let length = tokio::time::timeout(HANGS, asked).await.context("the server does not answer")??;
        let answer = &buffer[..length];
        let expected = expected.get_or_insert_with(|| answer.to_vec());
        ensure!(answer == expected, "an answer differs: {:?}", String::from_utf8_lossy(answer));
        answers += 1;
    }
    Ok(answers)
}

/// One request and its answer, whose length is returned. It is found out where it is not known.
async fn ask(stream: &mut TcpStream, buffer: &mut [u8], known: Option<usize>) -> Result<usize> {
    stream.write_all(REQUEST).await?;
    let mut filled = 0;
    loop {
        match known.or_else(|| whole_length(&buffer[..filled])) {
            Some(length) if filled >= length => return Ok(length),
            _ => {}
        }
        ensure!(filled < buffer.len(), "an answer is longer than {LONGEST} bytes");
        match stream.read(&mut buffer[filled..]).await? {
            0 => bail!("the server hangs up in the middle of an answer"),
            more => filled += more,
        }
    }
}

/// The length of an answer with its body, once its header is there and says status 200.
fn whole_length(answer: &[u8]) -> Option<usize> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let header = std::str::from_utf8(&answer[..end]).ok()?;
    let mut lines = header.lines();
    lines.next()?.starts_with("HTTP/1.1 200 ").then_some(())?;
    let body: usize = lines.find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok())?;
    Some(end + 4 + body)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn an_answer_ends_where_its_header_says() {
        assert_eq!(whole_length(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"), Some(41));
        assert_eq!(whole_length(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"), None);
        assert_eq!(whole_length(b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc"), None);
    }

    #[tokio::test]
    async fn a_server_that_answers_otherwise_the_second_time_is_found_out() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for body in ["a", "b"] {
                let _ = stream.read(&mut [0; 1024]).unwrap();
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{body}").unwrap();
            }
        });
        let error = load(port, 1, Duration::from_secs(5)).await.unwrap_err();
        assert!(error.to_string().starts_with("an answer differs"), "{error:#}");
    }
}
