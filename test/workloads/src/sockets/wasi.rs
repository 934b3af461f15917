//! By WasmEdge's extension of WASI preview 1.

use std::io::{Read, Result, Write};

use wasmedge_wasi_socket::poll::{EventType, Subscription};
use wasmedge_wasi_socket::{TcpListener, TcpStream};

use super::{Event, Interest};

pub struct Listener(TcpListener);

impl Listener {
    /// Listens on 0.0.0.0:`port`.
    pub fn bind(port: u16) -> Result<Self> {
        TcpListener::bind(("0.0.0.0", port), true).map(Self)
    }

    /// Takes the next client. Nobody asks for its address, as it may be gone already.
    pub fn accept(&self) -> Result<Stream> {
        self.0.as_ref().accept(true).map(|socket| Stream(TcpStream::new(socket)))
    }
}

pub struct Stream(TcpStream);

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        self.0.flush()
    }
}

/// Waits until something happens. The listener has the number 0, the streams have their index plus one.
pub fn poll<'a>(listener: &Listener, interests: impl Iterator<Item = Interest<'a>>) -> Result<Vec<Event>> {
    let mut all = vec![Subscription::io(0, &listener.0, true, false, None)];
    all.extend((1..).zip(interests).map(|(number, interest)| {
        Subscription::io(number, &interest.stream.0, interest.reading, interest.writing, None)
    }));
    let events = wasmedge_wasi_socket::poll::poll(&all)?;
    Ok(events
        .into_iter()
        .map(|event| match ((event.userdata as usize).checked_sub(1), event.event_type) {
            (None, _) => Event::Incoming,
            (Some(index), EventType::Error(error)) => Event::Failed(index, error),
            (Some(index), EventType::Read) => Event::Readable(index),
            (Some(index), _) => Event::Writable(index),
        })
        .collect())
}
