//! A TCP server in one thread, the only one a guest has: nonblocking sockets and `poll_oneoff`.

use std::io::{ErrorKind, Read, Result, Write};
use wasmedge_wasi_socket::poll::{EventType, Subscription, poll};
use wasmedge_wasi_socket::{TcpListener, TcpStream};

/// One client. A server takes bytes from `input`, puts bytes into `output` and may set `closing`, upon which the
/// connection ends as soon as `output` is sent.
pub struct Connection {
    pub input: Vec<u8>,
    pub output: Vec<u8>,
    pub closing: bool,
    stream: TcpStream,
}

/// Listens on 0.0.0.0:`port`, says so on stdout, and calls `answer` whenever a client sent something or hung up
/// (then `closing` is set already). Returns only with an error of the listening socket or of poll.
pub fn serve(port: u16, answer: impl Fn(&mut Connection)) -> Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", port), true)?;
    println!("listening on {port}");
    std::io::stdout().flush()?;
    let mut connections: Vec<Connection> = Vec::new();
    loop {
        for event in poll(&subscriptions(&listener, &connections))? {
            let Some(index) = (event.userdata as usize).checked_sub(1) else {
                accept(&listener, &mut connections)?;
                continue;
            };
            let connection = &mut connections[index];
            let pumped = match event.event_type {
                EventType::Error(error) => Err(error),
                EventType::Read => connection.receive().and_then(|()| {
                    answer(connection);
                    connection.send()
                }),
                _ => connection.send(),
            };
            if pumped.is_err() {
                connection.closing = true;
                connection.output.clear();
            }
        }
        connections.retain(|connection| !connection.closing || !connection.output.is_empty());
    }
}

/// The listener has the number 0, the connections have their index plus one.
fn subscriptions(listener: &TcpListener, connections: &[Connection]) -> Vec<Subscription> {
    let mut all = vec![Subscription::io(0, listener, true, false, None)];
    for (number, connection) in (1..).zip(connections) {
        let (reading, writing) = (!connection.closing, !connection.output.is_empty());
        all.push(Subscription::io(
            number,
            &connection.stream,
            reading,
            writing,
            None,
        ));
    }
    all
}

/// Takes the next client. One that is gone already is no reason to stop, so nobody asks for its address.
fn accept(listener: &TcpListener, connections: &mut Vec<Connection>) -> Result<()> {
    match listener.as_ref().accept(true) {
        Ok(socket) => {
            let stream = TcpStream::new(socket);
            connections.push(Connection {
                input: vec![],
                output: vec![],
                closing: false,
                stream,
            });
            Ok(())
        }
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::ConnectionAborted
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

impl Connection {
    fn receive(&mut self) -> Result<()> {
        let mut piece = [0; 8192];
        match self.stream.read(&mut piece) {
            Ok(0) => self.closing = true,
            Ok(length) => self.input.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(length) => drop(self.output.drain(..length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
