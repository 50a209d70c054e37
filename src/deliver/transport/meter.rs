//! How much is read from a receiver, and how far an exchange with it has come.
//!
//! What a library reads of a response before it finds it too long, or while it waits for its end, is the library's
//! affair: interim responses, for one, it takes without end. So the limit is set where the bytes come in.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::answer::Phase;

/// How much of a response is read at most: its head, the interim responses before it, and its body.
pub(super) const RESPONSE_BYTES_MAX: u64 = 64 * 1024;

/// A receiver has said more than it may.
#[derive(Debug, thiserror::Error)]
#[error("the response is longer than {} KiB before its body begins", RESPONSE_BYTES_MAX / 1024)]
pub(super) struct TooLong;

/// What a connection may still read, and what it has been doing.
#[derive(Debug)]
pub(super) struct Meter(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Bytes that may still be read.
    left: u64,
    /// Exchanges under way: more than one only over HTTP/2.
    exchanges: u64,
    /// Bytes read since the last exchange began.
    read: u64,
    /// Whether the other side has not taken what was written.
    is_held_up: bool,
    /// Since when there has been no exchange.
    unused_since: Instant,
}

impl Meter {
    /// The meter of a new connection.
    pub(super) fn new() -> Arc<Self> {
        let unused_since = Instant::now();
        let state = State { left: RESPONSE_BYTES_MAX, exchanges: 0, read: 0, is_held_up: false, unused_since };
        Arc::new(Self(Mutex::new(state)))
    }

    /// Begins an exchange, which lasts until the value is dropped. One response may be read for each: what earlier
    /// ones have left is not added to it.
    pub(super) fn begin(self: &Arc<Self>) -> Exchange {
        let mut state = self.state();
        state.left = state.left.min(state.exchanges * RESPONSE_BYTES_MAX) + RESPONSE_BYTES_MAX;
        state.exchanges += 1;
        state.read = 0;
        Exchange(Arc::clone(self))
    }

    /// Whether not a single byte has come since the exchange began.
    pub(super) fn has_read_nothing(&self) -> bool {
        self.state().read == 0
    }

    /// What an exchange over HTTP/1 is waiting for.
    pub(super) fn phase(&self) -> Phase {
        match *self.state() {
            State { is_held_up: true, read: 0, .. } => Phase::Request,
            State { read: 0, .. } => Phase::Response,
            State { .. } => Phase::Head,
        }
    }

    /// Since when there has been no exchange; now, if there is one.
    pub(super) fn unused_since(&self) -> Instant {
        let state = self.state();
        if state.exchanges > 0 { Instant::now() } else { state.unused_since }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }
}

/// An exchange that is under way.
#[derive(Debug)]
pub(super) struct Exchange(Arc<Meter>);

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.exchanges -= 1;
        state.unused_since = Instant::now();
    }
}

/// A stream that is read no further than its meter allows.
pub(super) struct Metered<S> {
    stream: S,
    meter: Arc<Meter>,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S, meter: Arc<Meter>) -> Self {
        Self { stream, meter }
    }

    /// Notes whether the other side takes what is written.
    fn noting<T>(&self, taken: Poll<T>) -> Poll<T> {
        self.meter.state().is_held_up = taken.is_pending();
        taken
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let left = self.meter.state().left;
        if left == 0 {
            return Poll::Ready(Err(io::Error::other(TooLong)));
        }
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let read = if into.remaining() <= left {
            let before = into.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
            into.filled().len() - before
        } else {
            let mut part = ReadBuf::new(into.initialize_unfilled_to(left));
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
            let read = part.filled().len();
            into.advance(read);
            read
        };
        let mut state = self.meter.state();
        state.left = state.left.saturating_sub(read as u64);
        state.read += read as u64;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let taken = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.noting(taken)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let taken = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.noting(taken)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let taken = Pin::new(&mut self.stream).poll_flush(cx);
        self.noting(taken)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
