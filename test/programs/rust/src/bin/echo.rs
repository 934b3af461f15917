//! A TCP server on tokio that sends back what it gets, a line for each connection that has ended; it ends itself after
//! the number of connections that it is told.
//!
//! usage: echo PORT CONNECTIONS

use std::{
    env, io,
    process::exit,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Duration, sleep, timeout},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let words: Vec<String> = env::args().collect();
    let address: std::net::SocketAddr = format!("0.0.0.0:{}", words[1]).parse().map_err(io::Error::other)?;
    let listener = TcpListener::bind(address).await?;
    println!("listening");
    // A timer beside the sockets: whoever waits for both must be woken by both.
    let nobody = timeout(Duration::from_millis(50), sleep(Duration::from_secs(60))).await;
    println!("timer: {}", nobody.is_err());
    let connections: usize = words[2].parse().map_err(io::Error::other)?;
    for _ in 0..connections {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let ended = echo(stream).await;
            TOTAL.fetch_add(ended.as_ref().copied().unwrap_or(0), Ordering::Relaxed);
            if let Err(error) = ended {
                println!("{error}");
            }
            // Whoever waits for a task with nothing else to wait for is not woken by tokio_wasi 1.25.2, whose `unpark` does
            // nothing: the last one ends the program.
            if ENDED.fetch_add(1, Ordering::Relaxed) + 1 == connections {
                println!("{connections} connections, {} bytes", TOTAL.load(Ordering::Relaxed));
                exit(0);
            }
        });
    }
    std::future::pending().await
}

static ENDED: AtomicUsize = AtomicUsize::new(0);
static TOTAL: AtomicUsize = AtomicUsize::new(0);

async fn echo(mut stream: TcpStream) -> io::Result<usize> {
    let (mut buffer, mut total) = (vec![0; 16_384], 0);
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            stream.shutdown().await?;
            return Ok(total);
        }
        stream.write_all(&buffer[..length]).await?;
        total += length;
    }
}
