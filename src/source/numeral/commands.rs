//! Changes and documents, in the vendor's dialect.

use async_trait::async_trait;
use serde::Deserialize;

use super::super::command::{Command, Commands, Document};
use super::super::http::{Answer, Change};
use super::super::{Exchange, SourceError, Urgency};
use super::{Numeral, collection, projection, says_not_found};
use crate::model::resource::{Coverage, Kind, ResourceId, Seen};

/// What names the resource in an answer.
#[derive(Deserialize)]
struct Identity {
    id: String,
}

/// The part of a certificate that does not get past this room otherwise.
#[derive(Deserialize)]
struct WithDocument {
    id: String,
    download_url: Option<String>,
}

#[async_trait]
impl Commands for Numeral {
    async fn command(&self, command: &Command) -> Result<(Box<Seen>, Exchange), SourceError> {
        let kind = Kind::CertificateRequest;
        let Answer { exchange, body } = match command {
            Command::Cancel(id) => self.client.change(Change::Delete, &["tax", collection(kind), id.as_str()]).await?,
            Command::Trigger { customer_id, body } => {
                let path = ["tax", "customers", customer_id.as_str(), collection(kind)];
                self.client.change(Change::Post(body), &path).await?
            }
        };
        let body = body?;
        let useless = |reason: &str| self.client.useless(&body, reason);
        let Identity { id } = serde_json::from_slice(&body).map_err(|_| useless("it names no resource"))?;
        let id: ResourceId = id.parse().map_err(|_| useless(projection::BAD_ID))?;
        if matches!(command, Command::Cancel(canceled) if *canceled != id) {
            return Err(useless("it speaks of another resource"));
        }
        let raw = projection::whole(&body).map_err(useless)?;
        // The vendor has not published all that such an answer holds: what it does not show is not known to be null.
        let seen = projection::project(&self.name, kind, &id, raw, Coverage::Row);
        Ok((Box::new(seen.map_err(|malformed| useless(&malformed.reason))?), exchange))
    }

    async fn document(&self, certificate: &ResourceId) -> Result<Option<Document>, SourceError> {
        let path = ["tax", collection(Kind::Certificate), certificate.as_str()];
        let Answer { exchange, body } = self.client.get(&path, &[], Urgency::Api).await?;
        let body = match body {
            Ok(body) => body,
            Err(error) if says_not_found(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        // The reader's own message is not repeated: it may quote a value.
        let useless = || self.client.useless(&body, "it is not the certificate that was asked for");
        let WithDocument { id, download_url } = serde_json::from_slice(&body).map_err(|_| useless())?;
        if id != certificate.as_str() {
            return Err(useless());
        }
        let url = download_url.filter(|url| !url.is_empty()).map(Into::into);
        Ok(Some(Document { url, exchange }))
    }
}
