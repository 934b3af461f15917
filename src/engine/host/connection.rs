//! A shim's connection: whole messages in, and out as fast as the shim takes them.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, OwnedFd},
};

use anyhow::{Result, bail};
use wasmedge_shim_protocol::{Channel, Error, Exit, Failure, FromHost, Hello, Received, ToHost};

/// Messages that wait for a shim which does not read. Containers end once each, so a living shim stays far below.
const MAX_WAITING: usize = 1024;

/// The version of the messages that brought [`FromHost::ExitedOutOfMemory`].
const TELLS_OF_MEMORY: u32 = 7;

/// Identifies a connection for as long as the host lives.
pub type ConnectionId = u64;

/// One connected shim.
pub struct Connection {
    channel: Channel,
    waiting: VecDeque<(FromHost, Vec<OwnedFd>)>,
    /// The version of the messages that both ends speak, once they have greeted each other.
    version: Option<u32>,
}

impl Connection {
    /// For an accepted channel.
    pub fn new(channel: Channel) -> Self {
        Self { channel, waiting: VecDeque::new(), version: None }
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
        loop {
            let Received { message, fds, fds_lost } = match self.channel.recv::<ToHost>() {
                Ok(Some(received)) => received,
                Ok(None) => bail!("closed"),
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            match message {
                ToHost::Hello(hello) => self.greet(&hello)?,
                _ if self.version.is_none() => bail!("a message came before the hello"),
                ToHost::Ping => self.send(FromHost::Pong, Vec::new())?,
                ToHost::Request { id, .. } if fds_lost => {
                    let failure = Failure::internal("the engine host has no room for the request's file descriptors");
                    self.send(FromHost::Reply { id, outcome: Err(failure) }, Vec::new())?;
                }
                ToHost::Request { .. } => return Ok(Some((message, fds))),
            }
        }
    }

    fn greet(&mut self, theirs: &Hello) -> Result<()> {
        if self.version.is_some() {
            bail!("{} says hello twice", theirs.program);
        }
        let ours = Hello::of(concat!("wasmedge-engine ", env!("CARGO_PKG_VERSION")));
        self.send(FromHost::Hello(ours), Vec::new())?;
        self.version = Some(theirs.common_version()?);
        Ok(())
    }

    /// The message that tells this shim of the end of a process.
    pub fn end(&self, exit: Exit) -> FromHost {
        let understood = self.version.is_some_and(|version| version >= TELLS_OF_MEMORY);
        if exit.status.out_of_memory && understood { FromHost::ExitedOutOfMemory(exit) } else { FromHost::Exited(exit) }
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
                // It is what the request's outcome says that is too much, and no reason to hang up on the shim.
                Err(error @ Error::TooLarge { .. }) => {
                    let FromHost::Reply { id, .. } = *message else { return Err(error.into()) };
                    let outcome = Err(Failure::internal(format!("the answer cannot be sent: {error}")));
                    self.waiting[0] = (FromHost::Reply { id, outcome }, Vec::new());
                }
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

#[cfg(test)]
mod tests {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    use wasmedge_shim_protocol::{ContainerKey, Created, ExitStatus, FailureKind, Outcome, Reply, Request};

    use super::*;

    fn greeted() -> (Connection, Channel) {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (host, shim) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
        let (mut host, shim) = (Connection::new(host.into()), Channel::from(shim));
        shim.send(&ToHost::Hello(Hello::of("test")), &[]).unwrap();
        assert!(host.receive().unwrap().is_none());
        assert!(matches!(shim.recv().unwrap().unwrap().message, FromHost::Hello(_)));
        (host, shim)
    }

    fn start(id: u64) -> ToHost {
        let key = ContainerKey { namespace: "default".into(), id: "one".into() };
        ToHost::Request { id, request: Request::Start(key) }
    }

    #[test]
    fn an_end_for_want_of_memory_is_told_to_those_who_know_of_such() {
        let key = ContainerKey { namespace: "default".into(), id: "one".into() };
        let exit = |out_of_memory| Exit {
            key: key.clone(),
            pid: 1,
            status: ExitStatus { code: 134, at_unix_nanos: 0, out_of_memory },
        };
        let (mut host, _shim) = greeted();
        assert_eq!(host.end(exit(true)), FromHost::ExitedOutOfMemory(exit(true)));
        assert_eq!(host.end(exit(false)), FromHost::Exited(exit(false)));
        host.version = Some(TELLS_OF_MEMORY - 1);
        assert!(matches!(host.end(exit(true)), FromHost::Exited(_)));
    }

    /// Regression test for C20: a peer that keeps greeting costs a recursion each time.
    #[test]
    fn a_second_hello_is_refused() {
        let (mut host, shim) = greeted();
        shim.send(&ToHost::Hello(Hello::of("test")), &[]).unwrap();
        assert_eq!(host.receive().unwrap_err().to_string(), "test says hello twice");
    }

    #[test]
    fn what_comes_before_the_hello_is_refused() {
        for message in [start(1), ToHost::Ping] {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let (host, shim) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
            Channel::from(shim).send(&message, &[]).unwrap();
            assert!(Connection::new(host.into()).receive().unwrap_err().to_string().contains("before the hello"));
        }
    }

    /// Regression test for C13: whether the host is well can be asked.
    #[test]
    fn a_ping_is_answered_at_once() {
        let (mut host, shim) = greeted();
        shim.send(&ToHost::Ping, &[]).unwrap();
        shim.send(&start(3), &[]).unwrap();
        assert_eq!(host.receive().unwrap().unwrap().0, start(3));
        assert_eq!(shim.recv::<FromHost>().unwrap().unwrap().message, FromHost::Pong);
    }

    /// Regression test for C4: an answer that does not fit is a failure of its request, not the connection's end.
    #[test]
    fn an_answer_that_is_too_large_becomes_a_short_failure() {
        let (mut host, shim) = greeted();
        let cgroups = vec!["/sys/fs/cgroup".into(); 10_000];
        let created: Outcome = Ok(Reply::Created(Created { pid: 1, cgroups, late_hooks: false }));
        host.send(FromHost::Reply { id: 7, outcome: created }, Vec::new()).unwrap();
        host.send(FromHost::Reply { id: 8, outcome: Ok(Reply::Started) }, Vec::new()).unwrap();
        let FromHost::Reply { id: 7, outcome: Err(failure) } = shim.recv().unwrap().unwrap().message else { panic!() };
        assert!(failure.kind == FailureKind::Internal && failure.message.contains("limit of 65536"), "{failure}");
        let next = shim.recv::<FromHost>().unwrap().unwrap().message;
        assert_eq!(next, FromHost::Reply { id: 8, outcome: Ok(Reply::Started) });
    }
}
