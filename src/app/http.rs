//! A router on a socket, with deadlines that `axum::serve` does not have.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// A request's headers must be there within this time, so that half-sent requests do not pile up.
const HEADER_DEADLINE: Duration = Duration::from_secs(10);

/// Connections at a time; more wait in the backlog of the socket.
const CONNECTIONS_MAX: usize = 1_024;

/// How long requests in flight may go on after a stop.
const DRAIN: Duration = Duration::from_secs(5);

/// After a failed accept (no file handles left, most likely) the next one waits so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop`, then lets requests in flight end.
pub(super) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_DEADLINE);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Some((stream, peer, place)) = accept(&listener, &places, &stop).await else { break };
        let router = router.clone();
        let service = hyper::service::service_fn(move |request| respond(router.clone(), peer, request));
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
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
