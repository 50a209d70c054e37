//! A router on a socket, with deadlines that `axum::serve` does not have.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// A request's headers must be there within this time, counted from the connection or from the answer before, so that
/// neither half-sent requests nor silent connections pile up until there is no place left.
const HEADER_DEADLINE: Duration = Duration::from_secs(10);

/// Connections at a time; more wait in the backlog of the socket.
const CONNECTIONS_MAX: usize = 1_024;

/// How long requests in flight may go on after a stop.
const DRAIN: Duration = Duration::from_secs(5);

/// After a failed accept (no file handles left, most likely) the next one waits so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop`, then lets requests in flight end.
///
/// It speaks HTTP/1.1 alone: a connection that may turn out to be HTTP/2 has no deadline until it has said so, nor
/// once it is. A proxy in front, which TLS needs anyway, speaks HTTP/2 to its own clients.
pub(super) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    serve_within(HEADER_DEADLINE, listener, router, stop).await;
}

async fn serve_within(deadline: Duration, listener: TcpListener, router: Router, stop: CancellationToken) {
    let mut builder = Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(deadline);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Some((stream, peer, place)) = accept(&listener, &places, &stop).await else { break };
        let router = router.clone();
        let service = hyper::service::service_fn(move |request| respond(router.clone(), peer, request));
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            // A connection that breaks is its client's affair.
            drop(connection.await);
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::info!(open = connections.len(), "http.drain_cut_short");
    }
}

/// The next connection and its place; `None` on a stop.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    loop {
        let next = async {
            let place = Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed");
            (listener.accept().await, place)
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => return None,
            accepted = next => accepted,
        };
        match accepted {
            (Ok((stream, peer)), place) => return Some((stream, peer, place)),
            (Err(error), _) => {
                tracing::warn!(%error, "http.accept_failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn respond(
    router: Router,
    peer: SocketAddr,
    mut request: hyper::Request<Incoming>,
) -> Result<axum::response::Response, Infallible> {
    request.extensions_mut().insert(ConnectInfo(peer));
    router.oneshot(request.map(axum::body::Body::new)).await
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Long after any deadline that holds.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn no_connection_holds_its_place_without_a_request() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().route("/", get(|| async { "here" }));
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_within(Duration::from_millis(100), listener, router, stop.clone()));
        let half_requests: [&[u8]; 5] = [
            b"",
            b"P",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
            b"GET / HTTP/1.1\r\nhost: ",
            b"GET / HTTP/1.1\r\nhost: here\r\n\r\n",
        ];
        for sent in half_requests {
            let mut connection = TcpStream::connect(address).await.expect("a connection");
            connection.write_all(sent).await.expect("it is taken");
            let mut answer = Vec::new();
            let read = tokio::time::timeout(PATIENCE, connection.read_to_end(&mut answer)).await;
            let name = String::from_utf8_lossy(sent);
            assert!(read.is_ok(), "after {name:?} the connection stays open");
            assert_eq!(answer.ends_with(b"here"), sent.ends_with(b"\r\n\r\n"), "{name:?}");
        }
        stop.cancel();
        while tasks.join_next().await.is_some() {}
    }
    #[tokio::test]
    async fn no_deadline_cuts_an_answer_that_takes_its_time() {
        const PIECES: u32 = 4;
        let deadline = Duration::from_millis(50);
        let slow = move || async move {
            let pieces = futures_util::stream::unfold(0, move |sent| async move {
                tokio::time::sleep(deadline).await;
                (sent < PIECES).then_some((Ok::<_, Infallible>("piece"), sent + 1))
            });
            axum::body::Body::from_stream(pieces)
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_within(deadline, listener, Router::new().route("/", get(slow)), stop.clone()));
        let mut connection = TcpStream::connect(address).await.expect("a connection");
        connection.write_all(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n").await.expect("it is taken");
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, connection.read_to_end(&mut answer)).await.expect("an end").expect("an answer");
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer.matches("piece").count(), PIECES as usize, "{answer}");
        assert!(answer.ends_with("\r\n0\r\n\r\n"), "it ends as it should: {answer}");
        stop.cancel();
        while tasks.join_next().await.is_some() {}
    }
}
