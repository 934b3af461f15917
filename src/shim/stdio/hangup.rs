//! The end of a terminal.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

/// Ends where a terminal hangs up, which the kernel tells by EIO when the last program has closed its end. As an error it
/// would cost what `tokio::io::copy` has read before and not written yet.
pub struct UntilHangup<R>(pub R);

impl<R: AsyncRead + Unpin> AsyncRead for UntilHangup<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.0).poll_read(cx, buf)) {
            Err(error) if error.raw_os_error() == Some(libc::EIO) => Poll::Ready(Ok(())),
            read => Poll::Ready(read),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    /// So many bytes, and then what a terminal says.
    struct Terminal(usize);

    impl AsyncRead for Terminal {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            if self.0 == 0 {
                return Poll::Ready(Err(io::Error::from_raw_os_error(libc::EIO)));
            }
            let count = self.0.min(buf.remaining()).min(100);
            buf.put_slice(&vec![b'x'; count]);
            self.0 -= count;
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_a_slow_reader_has_not_taken_when_a_terminal_hangs_up_comes_all_the_same() {
        let (mut to, mut reader) = duplex(10);
        let copy = tokio::spawn(async move { tokio::io::copy(&mut UntilHangup(Terminal(5000)), &mut to).await });
        tokio::task::yield_now().await;
        let mut all = Vec::new();
        reader.read_to_end(&mut all).await.unwrap();
        assert_eq!(all.len(), 5000);
        assert_eq!(copy.await.unwrap().unwrap(), 5000);
    }
}
