//! Events that come at a rate whatever becomes of them, and how long each took to its endpoints.

use std::sync::Arc;
use std::time::Duration;

use certhook::model::id::Position;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::figures::{Waits, monotonic};
use super::gateway::Gateway;
use super::limit::Limit;
use super::receiver::{Arrival, Receiver};

/// Events in one read of the log.
const PAGE: usize = 1_000;

/// When something began, and when it was done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) begun: Duration,
    pub(crate) done: Duration,
}

/// Starts `one` so many times a second, whether or not earlier ones are done; gives their spans in order.
pub(crate) async fn at_rate<F>(
    rate: f64,
    numbers: std::ops::Range<usize>,
    one: impl Fn(usize) -> F,
) -> anyhow::Result<Vec<Span>>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let begun = Instant::now();
    let first = numbers.start;
    let mut tasks = JoinSet::new();
    let mut spans = vec![Span { begun: Duration::ZERO, done: Duration::ZERO }; numbers.len()];
    for number in numbers {
        tokio::time::sleep_until(begun + Duration::from_secs_f64((number - first) as f64 / rate)).await;
        let one = one(number);
        tasks.spawn(async move {
            let begun = monotonic();
            one.await?;
            anyhow::Ok((number, Span { begun, done: monotonic() }))
        });
    }
    while let Some(ended) = tasks.join_next().await {
        let (number, span) = ended??;
        spans[number - first] = span;
    }
    Ok(spans)
}

/// How long it takes what a bare loop posts at a rate.
pub(crate) struct Posted {
    /// From when the request was begun until the receiver had read its head.
    pub(crate) arrived: Waits,
    /// The whole round trip.
    pub(crate) done: Waits,
}

impl Posted {
    /// Posts once for each number, so many a second, to these URLs in turn, at which arrivals are noted.
    pub(crate) async fn at_rate(
        receiver: &Receiver,
        limit: &Limit,
        urls: &[String],
        rate: f64,
        numbers: std::ops::Range<usize>,
    ) -> anyhow::Result<Self> {
        let urls: Vec<reqwest::Url> = urls.iter().map(|url| url.parse()).collect::<Result<_, _>>()?;
        let first = numbers.start;
        let spans = at_rate(rate, numbers, |number| {
            let (limit, url) = (limit.clone(), urls[number % urls.len()].clone());
            async move { limit.post(&url, number).await }
        });
        let spans = spans.await?;
        let arrivals = receiver.arrivals().await?;
        let arrived = arrivals.iter().filter_map(|arrival| {
            let span = spans.get(usize::try_from(arrival.number).ok()?.checked_sub(first)?)?;
            Some(arrival.at.saturating_sub(span.begun))
        });
        Ok(Self { arrived: Waits::of(arrived), done: Waits::of(spans.iter().map(|span| span.done - span.begun)) })
    }
}

/// Events that were told at a rate.
pub(crate) struct Told {
    after: Position,
    first: usize,
    /// From the call that commits an event to its return, when the event is durable.
    pub(crate) commits: Vec<Span>,
}

impl Told {
    /// Commits one event for each number, so many a second.
    pub(crate) async fn at_rate(
        gateway: &Gateway,
        rate: f64,
        numbers: std::ops::Range<usize>,
        customers: usize,
    ) -> anyhow::Result<Self> {
        let (after, first) = (gateway.head(), numbers.start);
        let gateway = Arc::new(gateway.clone());
        let commits = at_rate(rate, numbers, |number| {
            let gateway = Arc::clone(&gateway);
            async move { gateway.tell(number, customers).await }
        });
        Ok(Self { after, first, commits: commits.await? })
    }

    /// How long each event took from when it was durable, and from the call that committed it, until it arrived.
    pub(crate) async fn waits(&self, gateway: &Gateway, arrivals: &[Arrival]) -> anyhow::Result<(Waits, Waits)> {
        let mut numbers = Vec::new();
        let mut after = self.after;
        loop {
            let events = gateway.store.events_after(after, PAGE).await?;
            let Some(last) = events.last() else { break };
            after = last.position();
            // What the gateway tells of itself has no number.
            let number = |id: &str| id.rsplit('-').next().and_then(|digits| digits.parse::<usize>().ok());
            numbers.extend(events.iter().map(|event| event.sight.resource().and_then(|key| number(key.id.as_str()))));
        }
        let of = |arrival: &Arrival| {
            let place = usize::try_from(arrival.number.checked_sub(self.after.0 + 1)?).ok()?;
            let commit = self.commits.get((*numbers.get(place)?)?.checked_sub(self.first)?)?;
            Some((arrival.at.saturating_sub(commit.done), arrival.at.saturating_sub(commit.begun)))
        };
        let (durable, called): (Vec<_>, Vec<_>) = arrivals.iter().filter_map(of).unzip();
        Ok((Waits::of(durable), Waits::of(called)))
    }
}
