//! Answers of a containerd that is none: as much of HTTP/2 (RFC 9113), HPACK (RFC 7541), gRPC and protobuf as it takes to
//! answer two requests for a container with whatever bytes.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
};

/// What a client says first.
const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

/// Types and flags of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Answers both requests with the record of a container that is of `pod`, and is a sandbox itself with this `metadata`.
pub fn records(connection: UnixStream, pod: &str, metadata: &str) -> UnixStream {
    let own = serde_json::json!({ "Version": "v1", "Metadata": { "SandboxID": pod } }).to_string();
    let extension = |name: &str, value: &str| {
        let any = field(2, value.as_bytes());
        field(10, &[field(1, name.as_bytes()), field(2, &any)].concat())
    };
    let container = [
        field(1, b"c"),
        extension("io.cri-containerd.container.metadata", &own),
        extension("io.cri-containerd.sandbox.metadata", metadata),
    ];
    let message = field(1, &container.concat());
    let length = u32::try_from(message.len()).unwrap();
    answer(connection, &[&[0][..], &length.to_be_bytes(), &message].concat())
}

/// Answers with a message that is said to have this length, and a few bytes of it.
pub fn of_length(connection: UnixStream, length: u32) -> UnixStream {
    answer(connection, &[&[0][..], &length.to_be_bytes(), b"some"].concat())
}

/// A field of protobuf, of wire type 2. Numbers and lengths are varints.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap());
    out.extend(bytes);
    out
}

/// Waits for two requests and answers each with the same. Who has hung up by then has what it wanted.
fn answer(mut connection: UnixStream, body: &[u8]) -> UnixStream {
    let mut work = || -> std::io::Result<()> {
        connection.read_exact(&mut [0; PREFACE])?;
        connection.write_all(&frame(SETTINGS, 0, 0, &[]))?;
        connection.write_all(&frame(SETTINGS, ACK, 0, &[]))?;
        let mut streams = Vec::new();
        while streams.len() < 2 {
            let mut head = [0; 9];
            connection.read_exact(&mut head)?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            connection.read_exact(&mut vec![0; length as usize])?;
            if matches!(head[3], DATA | HEADERS) && head[4] & END_STREAM != 0 {
                streams.push(u32::from_be_bytes([head[5], head[6], head[7], head[8]]));
            }
        }
        for stream in streams {
            // `:status: 200` is in HPACK's table.
            let headers = [&[0x88][..], &header("content-type", "application/grpc")].concat();
            connection.write_all(&frame(HEADERS, END_HEADERS, stream, &headers))?;
            connection.write_all(&frame(DATA, 0, stream, body))?;
            let trailers = header("grpc-status", "0");
            connection.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &trailers))?;
        }
        Ok(())
    };
    let _ = work();
    connection
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() <= 16_384, "one frame's payload");
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header that is in no table and goes into none.
fn header(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}
