//! Events sent on to somebody who is being worked on.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use url::Url;

use super::{ClientError, error, http};

/// As long as the gateway itself waits for a receiver, as shipped.
const DEADLINE: Duration = Duration::from_secs(15);

/// Sends to one URL.
#[derive(Debug)]
pub struct Forwarder {
    http: reqwest::Client,
    url: Url,
}

impl Forwarder {
    /// Sends to `url`.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(url: Url) -> Result<Self, ClientError> {
        Ok(Self { http: http()?, url })
    }

    /// Sends a body, and gives the status of the answer, or else why there is none. Redirects are not followed.
    ///
    /// # Errors
    /// What the network said.
    pub async fn send(&self, headers: Vec<(&'static str, String)>, body: String) -> Result<u16, String> {
        let mut request = self.http.post(self.url.clone()).timeout(DEADLINE).header(CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = request.body(body).send().await.map_err(|error| error::innermost(&error))?;
        Ok(response.status().as_u16())
    }
}
