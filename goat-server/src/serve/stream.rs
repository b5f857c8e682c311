//! Connection stream: reports reads and writes to the [`Activity`], and closes without losing the
//! last response (half-close, lingering close).
//!
//! A client may close its side after its request and still wait for the response. hyper either drops
//! the request then, or stops reading while it waits, and so never notices a reset. The stream therefore
//! conceals the end of the client's bytes while a request is in flight, for a bounded time (enforced by
//! the connection's task).
//!
//! If a socket is closed while bytes of the client are unread, the kernel resets the connection,
//! and the reset can overtake a response (a 413, a 431) that the client has not read yet. After the
//! server's side is shut down, the stream therefore reads and discards bytes until the client
//! closes, for a bounded time (enforced by the connection's task) and a bounded amount.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;

/// How many bytes are discarded after the server's side is closed.
const DISCARD: usize = 512 * 1024;

pin_project! {
    /// A stream that reports to an [`Activity`].
    pub(super) struct Watched<I> {
        #[pin]
        io: I,
        activity: Arc<Activity>,
        blocked: bool,
        shut: bool,
        discarded: usize,
    }
}

impl<I> Watched<I> {
    pub(super) fn new(io: I, activity: Arc<Activity>) -> Self {
        Self { io, activity, blocked: false, shut: false, discarded: 0 }
    }

    fn report<T>(written: &Poll<io::Result<T>>, blocked: &mut bool, activity: &Activity) {
        if written.is_pending() != *blocked {
            *blocked = written.is_pending();
            activity.blocked(*blocked);
        }
    }
}

impl<I: AsyncRead> AsyncRead for Watched<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        let before = buffer.filled().len();
        ready!(this.io.poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            this.activity.received();
        } else if buffer.remaining() > 0 && this.activity.half_closed(cx.waker()) {
            // The connection's task continues when the response is ready, or at its deadline. Then
            // the end is read again.
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + AsyncWrite> AsyncWrite for Watched<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        let written = this.io.poll_write(cx, bytes);
        Self::report(&written, this.blocked, this.activity);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        let written = this.io.poll_write_vectored(cx, slices);
        Self::report(&written, this.blocked, this.activity);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut this = self.project();
        if !*this.shut {
            ready!(this.io.as_mut().poll_shutdown(cx))?;
            *this.shut = true;
            this.activity.closed();
        }
        let mut space = [0; 4096];
        while *this.discarded < DISCARD {
            let mut buffer = ReadBuf::new(&mut space);
            match ready!(this.io.as_mut().poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => *this.discarded += buffer.filled().len(),
                // The client has closed or is gone: no response is left to protect.
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}
