//! What the machine could do at best: the same signature over the same bodies, the same requests at a time, the same
//! receivers, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use certhook::deliver::sign;
use certhook::model::endpoint::SigningSecret;
use certhook::model::event::Event;
use certhook::model::id::EventId;
use certhook::model::time::Timestamp;
use tokio::task::JoinSet;

use super::figures::{Pace, Stopwatch};
use super::sample::{NUMBER_HEADER, secrets};

/// A bare loop that signs and posts.
#[derive(Clone)]
pub(crate) struct Limit {
    client: reqwest::Client,
    bodies: Arc<[(EventId, Bytes)]>,
    secrets: Arc<[SigningSecret]>,
}

impl Limit {
    /// A loop that posts what these events are delivered as, over so many connections that are kept for each receiver.
    pub(crate) fn new(events: &[Arc<Event>], kept: usize) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(kept)
            .build()?;
        let bodies = events.iter().map(|event| (event.id, Bytes::from(event.body().text().to_owned()))).collect();
        Ok(Self { client, bodies, secrets: secrets().into() })
    }

    /// How long the bodies are.
    pub(crate) fn body_bytes(&self) -> usize {
        self.bodies.iter().map(|(_, body)| body.len()).sum::<usize>() / self.bodies.len().max(1)
    }

    /// Sends a request; `number` is its number at the receivers.
    pub(crate) async fn post(&self, url: &reqwest::Url, number: usize) -> anyhow::Result<()> {
        let (id, body) = &self.bodies[number % self.bodies.len()];
        let mut request = self.client.post(url.clone()).header("content-type", "application/json");
        for (name, value) in sign::headers(*id, body, &self.secrets, 1, Timestamp::EPOCH) {
            request = request.header(name, value);
        }
        let answer = request.header(NUMBER_HEADER, number).body(body.clone()).send().await?.error_for_status()?;
        answer.bytes().await?;
        Ok(())
    }

    /// Sends `count` requests, `width` of them at a time, to these URLs in turn.
    pub(crate) async fn run(&self, urls: &[String], count: usize, width: usize) -> anyhow::Result<Pace> {
        let urls: Arc<[reqwest::Url]> = urls.iter().map(|url| url.parse()).collect::<Result<_, _>>()?;
        let next = Arc::new(AtomicUsize::new(0));
        let watch = Stopwatch::start();
        let mut tasks = JoinSet::new();
        for _ in 0..width {
            let (limit, urls, next) = (self.clone(), Arc::clone(&urls), Arc::clone(&next));
            tasks.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return anyhow::Ok(());
                    }
                    limit.post(&urls[number % urls.len()], number).await?;
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(watch.stop(count))
    }
}
