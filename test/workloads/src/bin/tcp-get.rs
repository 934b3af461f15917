//! Sends `GET PATH` over HTTP/1.1 and prints the whole answer, headers included. HOST is a name or an IPv4 address.
//!
//! usage: tcp-get HOST PORT PATH

use std::io::{Write, copy, stdout};
use wasmedge_wasi_socket::TcpStream;

const USAGE: &str = "tcp-get HOST PORT PATH";

fn main() {
    let host: String = workloads::argument(1, USAGE);
    let port: u16 = workloads::argument(2, USAGE);
    let path: String = workloads::argument(3, USAGE);
    let whom = format!("{host}:{port}");
    let mut stream = workloads::or_exit(&whom, TcpStream::connect((host.as_str(), port)));
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    workloads::or_exit(&whom, stream.write_all(request.as_bytes()));
    workloads::or_exit(&whom, copy(&mut stream, &mut stdout()));
}
