//! An HTTP server that ends when it has answered everybody.
//!
//! usage: graceful PORT

mod signals;

use std::{
    io::{ErrorKind, Read, Result, Write},
    time::{Duration, SystemTime},
};

use signals::{SIGTERM, Signals};
use wasmedge_wasi_socket::{
    TcpListener, TcpStream,
    poll::{EventType, Subscription, poll},
};

/// How long clients may take that have not sent all of their request when the server is to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Numbers of what is waited for; the clients' come after these.
const SIGNALS: u64 = 0;
const LISTENER: u64 = 1;
const TIMEOUT: u64 = 2;
const CLIENTS: u64 = 3;

struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    gone: bool,
}

struct Server {
    signals: Option<Signals>,
    listener: Option<TcpListener>,
    clients: Vec<Client>,
    /// When it ends at the latest, once it was told to.
    end: Option<SystemTime>,
}

fn main() -> Result<()> {
    let port: u16 = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(8080);
    let listener = Some(TcpListener::bind(("0.0.0.0", port), true)?);
    println!("listening on {port}");
    let mut server = Server { signals: Signals::open(), listener, clients: Vec::new(), end: None };
    while server.end.is_none() || !server.clients.is_empty() {
        if !server.turn()? {
            break;
        }
    }
    println!("left in order");
    Ok(())
}

impl Server {
    /// Waits for something and does what is to be done; whether to go on.
    fn turn(&mut self) -> Result<bool> {
        let mut all = Vec::new();
        all.extend(self.signals.iter().map(|signals| Subscription::io(SIGNALS, signals, true, false, None)));
        all.extend(self.listener.iter().map(|listener| Subscription::io(LISTENER, listener, true, false, None)));
        all.extend(self.end.map(|end| Subscription::timeout(TIMEOUT, end)));
        let clients = (CLIENTS..).zip(&self.clients);
        all.extend(clients.map(|(number, client)| Subscription::io(number, &client.stream, true, false, None)));
        for event in poll(&all)? {
            match event.userdata {
                SIGNALS => self.read_signal()?,
                LISTENER => self.accept()?,
                TIMEOUT => return Ok(false),
                client => {
                    let client = &mut self.clients[(client - CLIENTS) as usize];
                    let failed = matches!(event.event_type, EventType::Error(_));
                    client.gone |= failed || client.serve(self.end.is_some()).is_err();
                }
            }
        }
        self.clients.retain(|client| !client.gone);
        Ok(true)
    }

    fn read_signal(&mut self) -> Result<()> {
        let Some(signals) = &mut self.signals else { return Ok(()) };
        if signals.wait()? == SIGTERM {
            // Who has connected already is served; then nobody can any more.
            self.accept()?;
            self.listener = None;
            self.end.get_or_insert(SystemTime::now() + PATIENCE);
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<()> {
        while let Some(listener) = &self.listener {
            // Without asking for the client's address: it may be gone already.
            match listener.as_ref().accept(true) {
                Ok(socket) => {
                    self.clients.push(Client { stream: TcpStream::new(socket), input: Vec::new(), gone: false })
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Client {
    /// Reads what it has sent and answers its requests; the last one, where the server ends.
    fn serve(&mut self, last: bool) -> Result<()> {
        let mut piece = [0; 4096];
        match self.stream.read(&mut piece) {
            Ok(0) => self.gone = true,
            Ok(length) => self.input.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        while let Some(end) = self.input.windows(4).position(|four| four == b"\r\n\r\n") {
            let request = String::from_utf8_lossy(&self.input[..end]).to_ascii_lowercase();
            let last = last || request.contains("\r\nconnection: close");
            self.input.drain(..end + 4);
            let body = format!("served by {}\n", std::env::var("HOSTNAME").unwrap_or_default());
            let (length, connection) = (body.len(), if last { "close" } else { "keep-alive" });
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n");
            self.stream.write_all((head + &body).as_bytes())?;
            self.gone |= last;
        }
        Ok(())
    }
}
