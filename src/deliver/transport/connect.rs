//! From a target to a stream of bytes: addresses that the guard has checked, TCP, the proxy's tunnel, TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use percent_encoding::percent_decode_str;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::TransportError;
use super::answer::{Failure, Phase};
use super::tls::{HTTP2, Tls};
use crate::deliver::Settings;
use crate::deliver::guard::{Guard, Scheme};

/// How long an address of a name is tried alone before the next one is tried beside it, as
/// [RFC 8305](https://www.rfc-editor.org/rfc/rfc8305#section-5) has it: half of the names that have two kinds of
/// addresses have one that leads nowhere.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// Addresses of a name that are tried at most. A name with a thousand of them is made for somebody else's harm.
const ADDRESSES_MAX: usize = 8;

/// The head of a proxy's answer. Twice of what proxies send.
const TUNNEL_HEAD_BYTES_MAX: usize = 8 * 1024;

/// Bytes in both directions.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Whom a request is for. Requests for the same target may share a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) scheme: Scheme,
    pub(super) host: Host<String>,
    pub(super) port: u16,
}

/// A stream to a target.
pub(super) struct Opened {
    pub(super) stream: Box<dyn Stream>,
    /// The address that was connected to: the proxy's, if there is one.
    pub(super) address: SocketAddr,
    pub(super) is_http2: bool,
}

/// Opens streams.
pub(super) struct Connector {
    guard: Arc<Guard>,
    tls: Tls,
    proxy: Option<Proxy>,
}

/// A proxy as it is spoken to.
struct Proxy {
    at: Target,
    /// The value of `proxy-authorization`, if the proxy wants to know who asks.
    credentials: Option<String>,
}

impl Connector {
    /// Opens streams with the roots and the proxy of the settings.
    pub(super) fn new(settings: &Settings, guard: Arc<Guard>) -> Result<Self, TransportError> {
        let proxy = settings.proxy.as_ref().map(Proxy::new).transpose()?;
        Ok(Self { guard, tls: Tls::new(settings)?, proxy })
    }

    /// What a request in the clear must carry because it goes through a proxy, if it does.
    pub(super) fn forwarding(&self, target: &Target) -> Option<Forwarding<'_>> {
        match (target.scheme, &self.proxy) {
            (Scheme::Http, Some(proxy)) => Some(Forwarding { credentials: proxy.credentials.as_deref() }),
            (Scheme::Http, None) | (Scheme::Https, _) => None,
        }
    }

    /// Opens a stream to a target. `address` is set once there is a connection, whatever becomes of it.
    pub(super) async fn open(
        &self,
        target: &Target,
        deadline: Instant,
        address: &mut Option<SocketAddr>,
    ) -> Result<Opened, Failure> {
        let next = self.proxy.as_ref().map_or(target, |proxy| &proxy.at);
        let look_up = async { Ok(self.guard.addresses(&next.host, target.scheme).await?) };
        let addresses = within(deadline, Phase::LookUp, look_up).await?;
        let stream = within(deadline, Phase::Connect, connect(&addresses, next.port)).await?;
        let reached = stream.peer_addr().map_err(Failure::Connect)?;
        *address = Some(reached);
        let mut stream: Box<dyn Stream> = Box::new(stream);
        if let Some(proxy) = &self.proxy {
            if proxy.at.scheme == Scheme::Https {
                (stream, _) = within(deadline, Phase::Tls, secure(&self.tls.proxy, &proxy.at, stream)).await?;
            }
            if target.scheme == Scheme::Https {
                within(deadline, Phase::Tunnel, proxy.tunnel(&mut stream, target)).await?;
            }
        }
        let (stream, is_http2) = match target.scheme {
            Scheme::Http => (stream, false),
            Scheme::Https => within(deadline, Phase::Tls, secure(&self.tls.receivers, target, stream)).await?,
        };
        Ok(Opened { stream, address: reached, is_http2 })
    }
}

/// How a request in the clear goes through a proxy: with the whole URL, and with the proxy's credentials.
pub(super) struct Forwarding<'a> {
    pub(super) credentials: Option<&'a str>,
}

impl Proxy {
    fn new(url: &Url) -> Result<Self, TransportError> {
        let problem = |what: &str| TransportError::Proxy(what.into());
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => return Err(TransportError::Proxy(format!("its scheme must be http or https, not {other}"))),
        };
        let host = url.host().ok_or_else(|| problem("it has no host"))?.to_owned();
        let port = url.port_or_known_default().ok_or_else(|| problem("it has no port"))?;
        let credentials = (!url.username().is_empty() || url.password().is_some()).then(|| {
            let mut pair = Vec::from_iter(percent_decode_str(url.username()));
            pair.push(b':');
            pair.extend(percent_decode_str(url.password().unwrap_or_default()));
            format!("Basic {}", STANDARD.encode(pair))
        });
        Ok(Self { at: Target { scheme, host, port }, credentials })
    }

    /// Asks the proxy to pass on everything that follows.
    async fn tunnel(&self, stream: &mut Box<dyn Stream>, target: &Target) -> Result<(), Failure> {
        let to = format!("{}:{}", target.host, target.port);
        let credentials = self.credentials.as_ref().map(|value| format!("proxy-authorization: {value}\r\n"));
        let request = format!("CONNECT {to} HTTP/1.1\r\nhost: {to}\r\n{}\r\n", credentials.unwrap_or_default());
        stream.write_all(request.as_bytes()).await.map_err(Failure::Connect)?;
        stream.flush().await.map_err(Failure::Connect)?;
        let mut head = Vec::new();
        // Byte by byte, because what comes behind it is the receiver's.
        while !head.ends_with(b"\r\n\r\n") && head.len() < TUNNEL_HEAD_BYTES_MAX {
            head.push(stream.read_u8().await.map_err(Failure::Connect)?);
        }
        match head.split(|byte| *byte == b' ').nth(1).and_then(|status| std::str::from_utf8(status).ok()?.parse().ok())
        {
            Some(200..=299) => Ok(()),
            status => Err(Failure::Proxy(status)),
        }
    }
}

/// Connects to the first address that answers, with a head start for those that come first.
async fn connect(addresses: &[IpAddr], port: u16) -> Result<TcpStream, Failure> {
    let mut left = addresses.iter().take(ADDRESSES_MAX);
    let mut tries = FuturesUnordered::new();
    let mut failure = Failure::Connect(io::ErrorKind::AddrNotAvailable.into());
    loop {
        tries.extend(left.next().map(|address| TcpStream::connect(SocketAddr::new(*address, port))));
        tokio::select! {
            Some(connected) = tries.next() => match connected {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(Failure::Connect)?;
                    return Ok(stream);
                }
                Err(error) => failure = Failure::Connect(error),
            },
            () = sleep(NEXT_ADDRESS_AFTER), if left.len() > 0 => {}
            else => return Err(failure),
        }
    }
}

/// Speaks TLS over a stream. Tells whether HTTP/2 was agreed upon.
async fn secure(
    tls: &TlsConnector,
    target: &Target,
    stream: Box<dyn Stream>,
) -> Result<(Box<dyn Stream>, bool), Failure> {
    let name = match &target.host {
        Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|_| Failure::Malformed("the host".into()))?,
        Host::Ipv4(address) => ServerName::from(IpAddr::from(*address)),
        Host::Ipv6(address) => ServerName::from(IpAddr::from(*address)),
    };
    let stream = tls.connect(name, stream).await.map_err(Failure::Tls)?;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
    Ok((Box::new(stream), is_http2))
}

/// Takes a step, or says in which phase the deadline passed.
pub(super) async fn within<T>(
    deadline: Instant,
    phase: Phase,
    step: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    timeout_at(deadline, step).await.unwrap_or(Err(Failure::TimedOut(phase)))
}
