//! A FIFO of containerd's that takes a process's output.

use std::{
    fs::File,
    io,
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    time::Duration,
};

use log::warn;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::{
    io::AsyncRead,
    net::unix::pipe,
    sync::watch,
    time::{Instant, sleep},
};

use super::hangup::UntilHangup;

/// How long the end of the output waits for somebody to read it.
const READER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often to look whether there is a reader.
const INTERVAL: Duration = Duration::from_millis(2);

/// The shim's end.
pub struct Writer {
    fifo: pipe::Sender,
    /// A reading end of our own: output queues while containerd is restarted, instead of failing.
    hold: File,
}

impl Writer {
    /// Opens it without waiting for a reader.
    pub fn open(path: &str) -> io::Result<Self> {
        let hold = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        Ok(Self { fifo: pipe::OpenOptions::new().open_sender(path)?, hold })
    }

    /// Copies to the end of `from`. A process may have ended before containerd has opened its end: what is in the FIFO
    /// would be gone, and containerd would wait for ever for a writer. So this end stays until there is a reader, or
    /// until the process is `deleted`.
    pub async fn copy(mut self, from: impl AsyncRead + Unpin, mut deleted: watch::Receiver<bool>) {
        if let Err(error) = tokio::io::copy(&mut UntilHangup(from), &mut self.fifo).await {
            warn!("output is lost from here on: {error}");
        }
        drop(self.hold);
        let deadline = Instant::now() + READER_TIMEOUT;
        while !has_reader(&self.fifo) && Instant::now() < deadline {
            tokio::select! {
                _ = deleted.wait_for(|deleted| *deleted) => break,
                () = sleep(INTERVAL) => {}
            }
        }
    }
}

/// Whether anybody has the FIFO open for reading (pipe(7), `POLLERR`).
fn has_reader(fifo: &pipe::Sender) -> bool {
    let mut fds = [PollFd::new(fifo.as_fd(), PollFlags::POLLOUT)];
    let polled = poll(&mut fds, PollTimeout::ZERO);
    polled.is_ok() && !fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;

    fn fifo() -> (tempfile::TempDir, String) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        let path = path.to_str().unwrap().to_owned();
        (directory, path)
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_reader_that_comes_after_the_end_gets_all_of_the_output() {
        let (_directory, path) = fifo();
        let deleted = watch::Sender::new(false);
        let copy = tokio::spawn(Writer::open(&path).unwrap().copy(&b"late"[..], deleted.subscribe()));
        sleep(Duration::from_millis(50)).await;
        assert!(!copy.is_finished());
        let reader = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            File::open(path).unwrap().read_to_string(&mut text).unwrap();
            text
        });
        assert_eq!(reader.await.unwrap(), "late");
        copy.await.unwrap();
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_deletion_does_not_wait_for_a_reader() {
        let (_directory, path) = fifo();
        let deleted = watch::Sender::new(false);
        let copy = tokio::spawn(Writer::open(&path).unwrap().copy(&b"unread"[..], deleted.subscribe()));
        sleep(Duration::from_millis(20)).await;
        deleted.send_replace(true);
        tokio::time::timeout(Duration::from_secs(2), copy).await.unwrap().unwrap();
    }
}
