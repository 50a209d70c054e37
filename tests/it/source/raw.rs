//! An upstream below HTTP: it accepts connections and does with each what no HTTP library would do.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What it does with a connection.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    /// Sends this after the request has come, and closes.
    Send(Vec<u8>),
    /// Sends this after the request has come, and resets the connection.
    SendAndReset(Vec<u8>),
    /// Resets the connection at once.
    Reset,
    /// Sends this, and then nothing, with the connection open.
    SendAndHang(Vec<u8>),
    /// Sends this, and then a byte now and then, for ever.
    Drip(Vec<u8>),
    /// Sends this, and then as much as the other side takes, for ever.
    Flood(Vec<u8>),
}

/// A raw upstream; it ends with the value.
pub(super) struct RawUpstream {
    pub(super) url: String,
    _connections: JoinSet<()>,
}

impl RawUpstream {
    /// An upstream that does this deed.
    pub(super) async fn start(deed: Deed) -> Self {
        Self::start_in_turn(vec![deed]).await
    }

    /// An upstream that does the first deed with the first connection, and so on; the last with all that follow.
    pub(super) async fn start_in_turn(deeds: Vec<Deed>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut open = JoinSet::new();
            for turn in 0.. {
                let (stream, _) = listener.accept().await.expect("a connection");
                let deed = deeds.get(turn).or(deeds.last()).expect("a deed").clone();
                // The other side may hang up in the middle; that is what some tests are about.
                open.spawn(async move { drop(perform(deed, stream).await) });
            }
        });
        Self { url, _connections: connections }
    }
}

async fn perform(deed: Deed, mut stream: TcpStream) -> std::io::Result<()> {
    if matches!(deed, Deed::Reset) {
        return stream.set_zero_linger();
    }
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    match deed {
        Deed::Reset => Ok(()),
        Deed::Send(bytes) => {
            stream.write_all(&bytes).await?;
            stream.shutdown().await
        }
        Deed::SendAndReset(bytes) => {
            stream.write_all(&bytes).await?;
            stream.set_zero_linger()
        }
        Deed::SendAndHang(bytes) => {
            stream.write_all(&bytes).await?;
            std::future::pending().await
        }
        Deed::Drip(bytes) => {
            stream.write_all(&bytes).await?;
            loop {
                stream.write_all(b" ").await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Deed::Flood(bytes) => {
            stream.write_all(&bytes).await?;
            loop {
                stream.write_all(&[b' '; 64 * 1024]).await?;
            }
        }
    }
}
