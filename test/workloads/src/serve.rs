//! A TCP server in one thread, the only one a guest has.

use std::io::{ErrorKind, Read, Result, Write};

use crate::sockets::{Event, Interest, Listener, Stream, poll};

/// One client. A server takes bytes from `input`, puts bytes into `output` and may set `closing`, upon which the
/// connection ends as soon as `output` is sent.
pub struct Connection {
    pub input: Vec<u8>,
    pub output: Vec<u8>,
    pub closing: bool,
    stream: Stream,
}

/// Listens on 0.0.0.0:`port`, says so on stdout, and calls `answer` whenever a client sent something or hung up
/// (then `closing` is set already). Returns only with an error of the listening socket or of poll.
pub fn serve(port: u16, answer: impl Fn(&mut Connection)) -> Result<()> {
    let listener = Listener::bind(port)?;
    println!("listening on {port}");
    std::io::stdout().flush()?;
    let mut connections: Vec<Connection> = Vec::new();
    loop {
        for event in poll(&listener, connections.iter().map(Connection::interest))? {
            let (index, pumped) = match event {
                Event::Incoming => {
                    accept(&listener, &mut connections)?;
                    continue;
                }
                Event::Failed(index, error) => (index, Err(error)),
                Event::Readable(index) => {
                    let connection = &mut connections[index];
                    let pumped = connection.receive().and_then(|()| {
                        answer(connection);
                        connection.send()
                    });
                    (index, pumped)
                }
                Event::Writable(index) => (index, connections[index].send()),
            };
            if pumped.is_err() {
                let connection = &mut connections[index];
                connection.closing = true;
                connection.output.clear();
            }
        }
        connections.retain(|connection| !connection.closing || !connection.output.is_empty());
    }
}

/// Takes all who wait: one at a time a thousand clients at once would fill the queue. One that is gone already is no reason to
/// stop.
fn accept(listener: &Listener, connections: &mut Vec<Connection>) -> Result<()> {
    loop {
        match listener.accept() {
            Ok(stream) => connections.push(Connection { input: vec![], output: vec![], closing: false, stream }),
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

impl Connection {
    fn interest(&self) -> Interest<'_> {
        Interest { stream: &self.stream, reading: !self.closing, writing: !self.output.is_empty() }
    }

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
