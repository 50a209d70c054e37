//! What an account can be asked for by somebody who waits: a change, and a document.
//!
//! Nothing here is ever tried again by itself: whether a change was made is not known until an answer says so.

use std::fmt;

use async_trait::async_trait;
use secrecy::SecretString;

use super::{Exchange, SourceError};
use crate::model::json::Fields;
use crate::model::resource::{ResourceId, Seen};

/// A change.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// That a certificate request is withdrawn.
    Cancel(ResourceId),
    /// That a customer is asked for a certificate.
    Trigger {
        /// The customer, by upstream's id.
        customer_id: ResourceId,
        /// What upstream is told. The vendor has not published it, so it is passed on as it is.
        body: Fields,
    },
}

/// Where a certificate's document can be read for an hour. Whoever has the URL can read it.
#[derive(Debug)]
pub struct Document {
    /// The URL; `None`: there is no document yet.
    pub url: Option<SecretString>,
    /// When it was asked for and given.
    pub exchange: Exchange,
}

/// The seam to an account that can be asked for more than what it holds. Each call goes before those of all passes.
#[async_trait]
pub trait Commands: Send + Sync + fmt::Debug {
    /// Asks for a change; the resource as it is then.
    ///
    /// [`SourceError::Unavailable`] means that nobody knows whether it was made.
    async fn command(&self, command: &Command) -> Result<(Box<Seen>, Exchange), SourceError>;

    /// Asks for a certificate's document; `None` if there is no such certificate.
    async fn document(&self, certificate: &ResourceId) -> Result<Option<Document>, SourceError>;
}
