//! Datagrams by WasmEdge's published package, and by the standard library on Linux.
//!
//! usage: udp answer PORT | udp ask HOST:PORT TEXT…

use std::{env, io::Result, process::exit};

#[cfg(target_os = "linux")]
use std::net::UdpSocket;
#[cfg(target_os = "wasi")]
use wasmedge_wasi_socket::UdpSocket;

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["answer", port] => answer(port),
        ["ask", server, ref texts @ ..] => ask(server, texts),
        _ => {
            eprintln!("usage: udp answer PORT | udp ask HOST:PORT TEXT…");
            exit(2);
        }
    };
    if let Err(error) = done {
        eprintln!("udp: {error}");
        exit(1);
    }
}

/// Sends each datagram back to who sent it, with the port that it came from, and ends after `end`.
fn answer(port: &str) -> Result<()> {
    let socket = UdpSocket::bind(format!("0.0.0.0:{port}"))?;
    println!("listening");
    let mut buffer = [0; 65_536];
    loop {
        let (length, from) = socket.recv_from(&mut buffer)?;
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let sent = socket.send_to(format!("{text} from port {}", from.port()).as_bytes(), from)?;
        println!("{length} bytes, {sent} bytes");
        if text == "end" {
            return Ok(());
        }
    }
}

fn ask(server: &str, texts: &[&str]) -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:4000")?;
    let mut buffer = [0; 65_536];
    for text in texts {
        socket.send_to(text.as_bytes(), server)?;
        let (length, from) = socket.recv_from(&mut buffer)?;
        println!("{} {from}", String::from_utf8_lossy(&buffer[..length]));
    }
    Ok(())
}
