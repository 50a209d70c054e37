//! Events that come at a rate whatever becomes of them, and how long each took to its endpoints.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use certhook::model::id::Position;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::figures::{Waits, monotonic};
use super::gateway::Gateway;
use super::limit::Limit;
use super::receiver::{Arrival, Receiver};

/// Events in one read of the log.
const PAGE: usize = 1_000;

/// When something was to begin, when it began, and when it was done.
#[derive(Clone, Copy, Debug)]
struct Span {
    due: Duration,
    begun: Duration,
    done: Duration,
}

/// What was done at a rate, one for each number.
struct Begun {
    numbers: Range<usize>,
    spans: Vec<Span>,
}

impl Begun {
    /// Starts `one` for each number, so many a second, whether or not earlier ones are done; returns once all are.
    async fn at_rate<F>(rate: f64, numbers: Range<usize>, one: impl Fn(usize) -> F) -> anyhow::Result<Self>
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        // In this order, so that nothing begins before it is due.
        let (shared_origin, origin) = (monotonic(), Instant::now());
        let mut tasks = JoinSet::new();
        let nothing = Span { due: Duration::ZERO, begun: Duration::ZERO, done: Duration::ZERO };
        let mut spans = vec![nothing; numbers.len()];
        for (place, number) in numbers.clone().enumerate() {
            let after = Duration::from_secs_f64(place as f64 / rate);
            tokio::time::sleep_until(origin + after).await;
            let (one, due) = (one(number), shared_origin + after);
            tasks.spawn(async move {
                let begun = monotonic();
                one.await?;
                anyhow::Ok((place, Span { due, begun, done: monotonic() }))
            });
        }
        while let Some(ended) = tasks.join_next().await {
            let (place, span) = ended??;
            spans[place] = span;
        }
        Ok(Self { numbers, spans })
    }

    /// Each arrival's time, and the span of what has arrived; an error if one was never begun, came twice, or came to
    /// another than the one of so many endpoints whose turn it was.
    fn arrived(
        &self,
        arrivals: &[Arrival],
        endpoints: usize,
        number_of: impl Fn(&Arrival) -> Option<usize>,
    ) -> anyhow::Result<Vec<(Duration, Span)>> {
        let mut open: Vec<Option<Span>> = self.spans.iter().copied().map(Some).collect();
        let of = |arrival: &Arrival| {
            let number = number_of(arrival).with_context(|| format!("nobody has sent {arrival:?}"))?;
            let place = number.checked_sub(self.numbers.start);
            let span = place.and_then(|place| open.get_mut(place)?.take());
            let span = span.with_context(|| format!("{arrival:?} came twice, or was not sent now"))?;
            ensure!(number % endpoints == arrival.endpoint as usize, "{arrival:?} is not for that endpoint");
            Ok((arrival.at, span))
        };
        arrivals.iter().map(of).collect()
    }

    fn late(&self) -> Waits {
        Waits::of(self.spans.iter().map(|span| span.begun - span.due))
    }

    fn done(&self) -> Waits {
        Waits::of(self.spans.iter().map(|span| span.done - span.begun))
    }
}

/// How long it takes what a bare loop posts at a rate.
pub(crate) struct Posted {
    /// How much later than it should a request was begun.
    pub(crate) late: Waits,
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
        numbers: Range<usize>,
    ) -> anyhow::Result<Self> {
        let urls: Vec<reqwest::Url> = urls.iter().map(|url| url.parse()).collect::<Result<_, _>>()?;
        let posted = Begun::at_rate(rate, numbers, |number| {
            let (limit, url) = (limit.clone(), urls[number % urls.len()].clone());
            async move { limit.post(&url, number).await }
        });
        let posted = posted.await?;
        let arrivals = receiver.collect(posted.spans.len()).await?;
        let arrived = posted.arrived(&arrivals, urls.len(), |arrival| usize::try_from(arrival.number).ok())?;
        let arrived = Waits::of(arrived.into_iter().map(|(at, span)| at.saturating_sub(span.begun)));
        Ok(Self { late: posted.late(), arrived, done: posted.done() })
    }
}

/// Events that were told at a rate, each for one of so many endpoints in turn.
pub(crate) struct Told {
    after: Position,
    endpoints: usize,
    begun: Begun,
}

/// How long events took.
pub(crate) struct Delays {
    /// How much later than it should the call that commits an event was begun.
    pub(crate) late: Waits,
    /// From that call until the event arrived.
    pub(crate) called: Waits,
    /// From that call to its return, when the event is durable.
    pub(crate) committed: Waits,
    /// From that return until the event arrived: at least so long, and longer by what the caller's task took to wake up,
    /// which may be sent something later than the loop that delivers.
    pub(crate) durable: Waits,
    /// How many had arrived before their caller woke up; their wait is taken for none.
    pub(crate) overtaken: usize,
}

impl Told {
    /// Commits one event for each number, so many a second, each for the customer whose turn it is; an endpoint wants
    /// the events of one customer.
    pub(crate) async fn at_rate(
        gateway: &Gateway,
        rate: f64,
        numbers: Range<usize>,
        endpoints: usize,
    ) -> anyhow::Result<Self> {
        let after = gateway.head();
        let gateway = Arc::new(gateway.clone());
        let begun = Begun::at_rate(rate, numbers, |number| {
            let gateway = Arc::clone(&gateway);
            async move { gateway.tell(number, endpoints).await }
        });
        Ok(Self { after, endpoints, begun: begun.await? })
    }

    /// How long those events took that arrived.
    pub(crate) async fn delays(&self, gateway: &Gateway, arrivals: &[Arrival]) -> anyhow::Result<Delays> {
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
        let number_of = |arrival: &Arrival| {
            let place = arrival.number.checked_sub(self.after.0 + 1)?;
            *numbers.get(usize::try_from(place).ok()?)?
        };
        let arrived = self.begun.arrived(arrivals, self.endpoints, number_of)?;
        Ok(Delays {
            late: self.begun.late(),
            called: Waits::of(arrived.iter().map(|(at, span)| at.saturating_sub(span.begun))),
            committed: self.begun.done(),
            durable: Waits::of(arrived.iter().map(|(at, span)| at.saturating_sub(span.done))),
            overtaken: arrived.iter().filter(|(at, span)| *at < span.done).count(),
        })
    }
}
