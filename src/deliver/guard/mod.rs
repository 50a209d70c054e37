//! Which addresses may be called.
//!
//! A subscriber gives us a URL, and we stand inside a network that he should not reach through us. So a URL is
//! looked at twice: when it is registered ([`Guard::admit`]), for a message that helps, and at every request, which
//! is what protects: what the URL itself says at each send ([`Guard::check`]), its addresses at each connection
//! ([`Guard::addresses`]), which goes to those that were checked, not to what a second look-up says.
//!
//! A name is refused if *any* of its addresses is: one bad address among good ones is an attack or a mistake.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use url::{Host, Url};

use super::Settings;

pub mod address;
mod names;

pub use names::{LookUp, SystemLookUp};

/// How long the addresses of a name are remembered. The system's resolver does not tell how long they hold; this
/// is enough to spare a burst of connections the look-ups, and short enough for a failover by DNS.
const ADDRESSES_KEPT: Duration = Duration::from_secs(5);

/// Why a URL or an address may not be called. The message says what would permit it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Something else than a web address.
    #[error("must be https, or http where that is allowed, not {0}")]
    Scheme(String),
    /// Credentials where they end up in logs.
    #[error("must have no user name or password in it; give credentials in headers")]
    UserInfo,
    /// An address that is not public.
    #[error("{}; to permit it, add \"{}\" to delivery.allow_networks", leads_to(host, address, what), address::as_network(*address))]
    Address {
        /// The host of the URL.
        host: String,
        /// Its address, or one of them.
        address: IpAddr,
        /// What kind of address that is.
        what: &'static str,
    },
    /// Plain http to an address outside `allow_networks`.
    #[error("is plain http; use https, or add \"{}\" to delivery.allow_networks, or set delivery.allow_http", address::as_network(*address))]
    PlainHttp {
        /// The address, or one of them.
        address: IpAddr,
    },
    /// Plain http to a name, where no address may be called so.
    #[error(
        "is plain http; use https, or add the receiver's network to delivery.allow_networks, or set delivery.allow_http"
    )]
    PlainHttpNowhere,
    /// Plain http through a proxy: nobody here can say to which address.
    #[error("is plain http to a name behind the proxy; use https, or set delivery.allow_http")]
    PlainHttpBehindProxy,
}

fn leads_to(host: &str, address: &IpAddr, what: &str) -> String {
    match host.parse::<IpAddr>() {
        Ok(_) => format!("leads to {address}, {what}"),
        Err(_) => format!("leads to {host}, which resolves to {address}, {what}"),
    }
}

/// Why there is no address to connect to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAddress {
    /// There is one, and it may not be called.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The name could not be resolved; it may be later.
    #[error("cannot resolve {host}: {reason}")]
    Unresolved {
        /// The name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
}

/// How a URL is to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear: only where it is allowed.
    Http,
    /// Over TLS.
    Https,
}

/// The name of the machine itself.
const THIS_MACHINE: &str = "localhost";

/// Whether a name means the machine itself, whatever a resolver makes of it or does not: `localhost` and all below it,
/// with or without the dot of the root (RFC 6761, section 6.3).
fn is_this_machine(host: &str) -> bool {
    let labels = host.strip_suffix('.').unwrap_or(host);
    labels.rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case(THIS_MACHINE))
}

/// Says which addresses may be called, and resolves names to those.
#[derive(Debug)]
pub struct Guard {
    allow_networks: Vec<IpNet>,
    allow_http: bool,
    /// The host of the proxy, if there is one.
    proxy: Option<String>,
    look_up_limit: Duration,
    names: Arc<names::Names>,
}

impl Guard {
    /// A guard that resolves names like the rest of the machine does.
    pub fn new(settings: &Settings) -> Self {
        Self::with_look_up(settings, Arc::new(SystemLookUp), ADDRESSES_KEPT)
    }

    /// A guard that resolves names by `look_up` and remembers their addresses for `kept`.
    pub fn with_look_up(settings: &Settings, look_up: Arc<dyn LookUp>, kept: Duration) -> Self {
        Self {
            allow_networks: settings.allow_networks.clone(),
            allow_http: settings.allow_http,
            proxy: settings.proxy.as_ref().and_then(Url::host_str).map(str::to_owned),
            // Half of an attempt, so that a name that hangs is told from a receiver that does.
            look_up_limit: settings.timeout / 2,
            names: names::Names::new(look_up, kept),
        }
    }

    /// Whether a URL may be registered. A name that does not resolve yet may, if any address could be right: it is checked
    /// at every connection.
    ///
    /// # Errors
    /// What [`Guard::check`] refuses, and names of which an address is refused today.
    pub async fn admit(&self, url: &Url) -> Result<(), Refusal> {
        let scheme = self.check(url)?;
        if self.proxy.is_some() {
            return Ok(());
        }
        match url.host() {
            Some(Host::Domain(host)) => match self.resolve(host, scheme).await {
                Err(NoAddress::Refused(refusal)) => Err(refusal),
                Err(NoAddress::Unresolved { .. }) if scheme == Scheme::Http && self.refuses_http_everywhere() => {
                    Err(Refusal::PlainHttpNowhere)
                }
                Ok(_) | Err(NoAddress::Unresolved { .. }) => Ok(()),
            },
            Some(Host::Ipv4(_) | Host::Ipv6(_)) | None => Ok(()),
        }
    }

    fn refuses_http_everywhere(&self) -> bool {
        !self.allow_http && self.allow_networks.is_empty()
    }

    /// What can be said of a URL without a look-up: its form, and its address if it holds one. Must be asked at
    /// every send: behind a proxy, no address but this one is seen here.
    ///
    /// # Errors
    /// If the URL may not be called.
    pub fn check(&self, url: &Url) -> Result<Scheme, Refusal> {
        let scheme = match url.scheme() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            other => return Err(Refusal::Scheme(other.into())),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::UserInfo);
        }
        match url.host() {
            Some(Host::Ipv4(address)) => self.check_address(&address, address.into(), scheme)?,
            Some(Host::Ipv6(address)) => self.check_address(&address, address.into(), scheme)?,
            Some(Host::Domain(_)) if self.proxy.is_some() && scheme == Scheme::Http && !self.allow_http => {
                return Err(Refusal::PlainHttpBehindProxy);
            }
            // The parser lets no http or https URL without a host through.
            Some(Host::Domain(_)) | None => {}
        }
        Ok(scheme)
    }

    /// The addresses of a host, each of which may be called. They, and no others, are to be connected to.
    ///
    /// # Errors
    /// If any address is refused, or there is none.
    pub async fn addresses(&self, host: &Host<String>, scheme: Scheme) -> Result<Arc<[IpAddr]>, NoAddress> {
        let written: IpAddr = match host {
            Host::Domain(name) => return self.resolve(name, scheme).await,
            Host::Ipv4(address) => (*address).into(),
            Host::Ipv6(address) => (*address).into(),
        };
        if self.proxy.as_ref() != Some(&host.to_string()) {
            self.check_address(&written, written, scheme)?;
        }
        Ok([written].into())
    }

    /// The addresses of a name, each of which may be called. They, and no others, are to be connected to.
    ///
    /// Behind a proxy the only name that is connected to is the proxy's, which is the operator's word: it may resolve
    /// to anything.
    ///
    /// # Errors
    /// If any address is refused, or the name does not resolve within half of the deadline of an attempt.
    pub async fn resolve(&self, host: &str, scheme: Scheme) -> Result<Arc<[IpAddr]>, NoAddress> {
        let unresolved = |reason: &str| NoAddress::Unresolved { host: host.into(), reason: reason.into() };
        let is_here = is_this_machine(host);
        let name = if is_here { THIS_MACHINE } else { host };
        let answer = tokio::time::timeout(self.look_up_limit, self.names.resolve(name)).await;
        let addresses = match answer {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(_)) | Err(_) if is_here => [IpAddr::V4(Ipv4Addr::LOCALHOST)].into(),
            Ok(Err(reason)) => return Err(unresolved(&reason)),
            Err(_) => return Err(unresolved(&format!("no answer within {} ms", self.look_up_limit.as_millis()))),
        };
        if self.proxy.as_deref() != Some(host) {
            addresses.iter().try_for_each(|address| self.check_address(&host, *address, scheme))?;
        }
        Ok(addresses)
    }

    fn check_address(&self, host: &dyn fmt::Display, address: IpAddr, scheme: Scheme) -> Result<(), Refusal> {
        if address::is_in(&self.allow_networks, address) {
            return Ok(());
        }
        if let Some(what) = address::special(address) {
            return Err(Refusal::Address { host: host.to_string(), address, what });
        }
        match scheme {
            Scheme::Http if !self.allow_http => Err(Refusal::PlainHttp { address }),
            Scheme::Http | Scheme::Https => Ok(()),
        }
    }
}
