//! By the kernel.

use std::io::{Read, Result, Write};
use std::net::{TcpListener, TcpStream};

use rustix::event::{PollFd, PollFlags};

use super::{Event, Interest};

pub struct Listener(TcpListener);

impl Listener {
    /// Listens on 0.0.0.0:`port`.
    pub fn bind(port: u16) -> Result<Self> {
        let listener = TcpListener::bind(("0.0.0.0", port))?;
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    /// Takes the next client.
    pub fn accept(&self) -> Result<Stream> {
        let (stream, _) = self.0.accept()?;
        stream.set_nonblocking(true)?;
        Ok(Stream(stream))
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

/// Waits until something happens.
pub fn poll<'a>(listener: &Listener, interests: impl Iterator<Item = Interest<'a>>) -> Result<Vec<Event>> {
    let mut all = vec![PollFd::new(&listener.0, PollFlags::IN)];
    all.extend(interests.map(|interest| {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, interest.reading);
        flags.set(PollFlags::OUT, interest.writing);
        PollFd::from_borrowed_fd(std::os::fd::AsFd::as_fd(&interest.stream.0), flags)
    }));
    rustix::event::poll(&mut all, None)?;
    let mut events = Vec::new();
    if !all[0].revents().is_empty() {
        events.push(Event::Incoming);
    }
    for (index, entry) in all[1..].iter().enumerate() {
        // What has failed says so when it is read.
        if entry.revents().intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            events.push(Event::Readable(index));
        }
        if entry.revents().contains(PollFlags::OUT) {
            events.push(Event::Writable(index));
        }
    }
    Ok(events)
}
