//! A shim's connection: whole messages in, and out as fast as the shim takes them.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, OwnedFd},
};

use anyhow::{Result, bail};
use wasmedge_shim_protocol::{Channel, Error, FromHost, Hello, PROTOCOL_VERSION, ToHost};

/// Messages that wait for a shim which does not read. Containers end once each, so a living shim stays far below.
const MAX_WAITING: usize = 1024;

/// Identifies a connection for as long as the host lives.
pub type ConnectionId = u64;

/// One connected shim.
pub struct Connection {
    channel: Channel,
    waiting: VecDeque<(FromHost, Vec<OwnedFd>)>,
    greeted: bool,
}

impl Connection {
    /// For an accepted channel.
    pub fn new(channel: Channel) -> Self {
        Self { channel, waiting: VecDeque::new(), greeted: false }
    }

    /// The socket, for polling.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// The next message; `None` where there is none at the moment.
    ///
    /// # Errors
    /// When the connection is at its end, with or without anybody's fault.
    pub fn receive(&mut self) -> Result<Option<(ToHost, Vec<OwnedFd>)>> {
        match self.channel.recv::<ToHost>() {
            Ok(Some((ToHost::Hello(hello), _))) => {
                self.greet(&hello)?;
                self.receive()
            }
            Ok(Some(_)) if !self.greeted => bail!("a request came before the hello"),
            Ok(Some(message)) => Ok(Some(message)),
            Ok(None) => bail!("closed"),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn greet(&mut self, theirs: &Hello) -> Result<()> {
        let program = concat!("wasmedge-engine ", env!("CARGO_PKG_VERSION")).to_owned();
        self.send(FromHost::Hello(Hello { protocol: PROTOCOL_VERSION, program }), Vec::new())?;
        if theirs.protocol != PROTOCOL_VERSION {
            bail!("{} speaks protocol version {}, not {PROTOCOL_VERSION}", theirs.program, theirs.protocol);
        }
        self.greeted = true;
        Ok(())
    }

    /// Sends a message with its file descriptors, after those that wait.
    pub fn send(&mut self, message: FromHost, fds: Vec<OwnedFd>) -> Result<()> {
        self.waiting.push_back((message, fds));
        self.flush()?;
        if self.waiting.len() > MAX_WAITING {
            bail!("it does not read its messages");
        }
        Ok(())
    }

    /// Sends what waits, as far as the socket takes it.
    pub fn flush(&mut self) -> Result<()> {
        while let Some((message, fds)) = self.waiting.front() {
            let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
            match self.channel.send(message, &fds) {
                Ok(()) => drop(self.waiting.pop_front()),
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Whether something waits for the socket to take it.
    pub fn is_congested(&self) -> bool {
        !self.waiting.is_empty()
    }
}
