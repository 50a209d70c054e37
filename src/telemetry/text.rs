//! A scene as OpenMetrics text: here every metric has its name, its unit and its help.
//!
//! In the order in which somebody reads who was woken up: sources, deliveries, endpoints, log and store, our API, the
//! process.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::meters::{CallResult, KindOfPass, PassResult};
use super::process::Usage;
use super::scene::{DeliveriesScene, Room, Scene, SourceScene, StoreScene};
use crate::model::delivery::Outcome;
use crate::model::health::{HealthState, Standing};
use crate::model::source::{PassKind, SourceState};
use crate::model::time::Timestamp;

/// What the text is, for the header `content-type`.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Every name begins with it.
const PREFIX: &str = "certhook";

/// Everything there is to tell.
///
/// # Panics
/// Never: text can always be written to memory.
pub fn text(scene: Scene) -> String {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(scene));
    let mut text = String::new();
    encode(&mut text, &registry).expect("text can be written to memory");
    text
}

impl Collector for Scene {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut sheet = Sheet(encoder);
        sources(&mut sheet, &self.sources, self.at)?;
        calls(&mut sheet, &self.sources)?;
        passes(&mut sheet, &self.sources, self.at)?;
        deliveries(&mut sheet, &self.deliveries)?;
        endpoints(&mut sheet, self.deliveries.endpoints.as_deref().unwrap_or_default(), self.at)?;
        store(&mut sheet, &self.store)?;
        requests(&mut sheet, self)?;
        process(&mut sheet, &self.usage, self.started_at)
    }
}

/// Labels with their values.
type Labels<'a> = &'a [(&'a str, &'a str)];

/// Where the text goes.
struct Sheet<'a>(DescriptorEncoder<'a>);

impl Sheet<'_> {
    /// A metric without labels.
    fn one(&mut self, name: &str, unit: Option<Unit>, help: &str, metric: &impl EncodeMetric) -> fmt::Result {
        metric.encode(self.0.encode_descriptor(name, help, unit.as_ref(), metric.metric_type())?)
    }

    /// A gauge without labels.
    fn gauge(&mut self, name: &str, unit: Option<Unit>, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        self.one(name, unit, help, &ConstGauge::new(value))
    }

    /// A metric with a row for each set of labels.
    fn rows(
        &mut self,
        (name, unit, kind): (&str, Option<Unit>, MetricType),
        help: &str,
        write: impl FnOnce(&mut Rows<'_>) -> fmt::Result,
    ) -> fmt::Result {
        write(&mut Rows(self.0.encode_descriptor(name, help, unit.as_ref(), kind)?))
    }

    /// Gauges with labels.
    fn gauges(
        &mut self,
        name: &str,
        unit: Option<Unit>,
        help: &str,
        write: impl FnOnce(&mut Rows<'_>) -> fmt::Result,
    ) -> fmt::Result {
        self.rows((name, unit, MetricType::Gauge), help, write)
    }

    /// Sums with labels.
    fn sums(&mut self, name: &str, help: &str, write: impl FnOnce(&mut Rows<'_>) -> fmt::Result) -> fmt::Result {
        self.rows((name, None, MetricType::Counter), help, write)
    }
}

/// The rows of one metric.
struct Rows<'a>(MetricEncoder<'a>);

impl Rows<'_> {
    fn row(&mut self, labels: Labels<'_>, metric: &impl EncodeMetric) -> fmt::Result {
        metric.encode(self.0.encode_family(&labels)?)
    }

    fn gauge(&mut self, labels: Labels<'_>, value: impl EncodeGaugeValue) -> fmt::Result {
        self.row(labels, &ConstGauge::new(value))
    }
}

fn age(at: Timestamp, since: Timestamp) -> f64 {
    at.since(since).as_secs_f64()
}

/// The labels of what there is once for each source.
fn of(source: &SourceScene) -> [(&str, &str); 1] {
    [("source", source.status.name.as_str())]
}

fn sources(sheet: &mut Sheet<'_>, sources: &[SourceScene], at: Timestamp) -> fmt::Result {
    let help =
        "1 for the state that a source is in; unauthorized: upstream refuses our key; paused: it is to be left alone";
    sheet.gauges("source_state", None, help, |rows| {
        for (source, state) in sources.iter().flat_map(|source| SourceState::ALL.map(|state| (source, state))) {
            let labels = [("source", source.status.name.as_str()), ("state", state.as_str())];
            rows.gauge(&labels, u64::from(source.status.status == state))?;
        }
        Ok(())
    })?;
    let help = "Time since the watermark: what upstream changed before it was seen; absent before the first listing";
    sheet.gauges("source_lag", Some(Unit::Seconds), help, |rows| {
        let lag = |source: &SourceScene| source.status.watermark.map(|watermark| age(at, watermark));
        sources.iter().try_for_each(|source| lag(source).map_or(Ok(()), |lag| rows.gauge(&of(source), lag)))
    })?;
    let help = "How far upstream's clock is ahead of ours, by its last answer";
    sheet.gauges("source_clock_skew", Some(Unit::Seconds), help, |rows| {
        let skew = |source: &SourceScene| source.status.clock_skew_seconds;
        sources.iter().try_for_each(|source| skew(source).map_or(Ok(()), |skew| rows.gauge(&of(source), skew)))
    })?;
    let help = "Whether the first full listing is complete; until then nothing is told";
    sheet.gauges("source_baseline_complete", None, help, |rows| {
        let complete = |source: &SourceScene| u64::from(source.status.baseline.complete);
        sources.iter().try_for_each(|source| rows.gauge(&of(source), complete(source)))
    })?;
    let help = "Calls that could be sent at once: what is left in the bucket of requests_per_second";
    sheet.gauges("source_tokens", None, help, |rows| {
        sources.iter().try_for_each(|source| rows.gauge(&of(source), source.tokens))
    })
}

fn calls(sheet: &mut Sheet<'_>, sources: &[SourceScene]) -> fmt::Result {
    let help = "Calls that were sent to upstream, by what became of them";
    sheet.sums("source_calls", help, |rows| {
        for (source, result) in sources.iter().flat_map(|source| CallResult::ALL.map(|result| (source, result))) {
            let labels = [("source", source.status.name.as_str()), ("result", result.as_str())];
            rows.row(&labels, &source.calls.results[result as usize])?;
        }
        Ok(())
    })?;
    let help = "How long a call to upstream took, from its being sent to the end of the answer";
    sheet.rows(("source_call_duration", Some(Unit::Seconds), MetricType::Histogram), help, |rows| {
        sources.iter().try_for_each(|source| rows.row(&of(source), &source.calls.took))
    })
}

/// A row for each kind of pass over each source.
fn each_pass<M: EncodeMetric>(
    rows: &mut Rows<'_>,
    sources: &[SourceScene],
    metric: impl Fn(&KindOfPass) -> &M,
) -> fmt::Result {
    for (source, pass) in sources.iter().flat_map(|source| PassKind::ALL.map(|pass| (source, pass))) {
        let labels = [("source", source.status.name.as_str()), ("pass", pass.as_str())];
        rows.row(&labels, metric(&source.passes.kinds[pass as usize]))?;
    }
    Ok(())
}

fn passes(sheet: &mut Sheet<'_>, sources: &[SourceScene], at: Timestamp) -> fmt::Result {
    let help = "Time since the last complete pass of a kind began. Absent while none is known; deadline passes run only \
        when something is due";
    sheet.gauges("pass_age", Some(Unit::Seconds), help, |rows| {
        for (source, pass) in sources.iter().flat_map(|source| PassKind::ALL.map(|pass| (source, pass))) {
            if let Some(completed) = source.completed[pass as usize] {
                let labels = [("source", source.status.name.as_str()), ("pass", pass.as_str())];
                rows.gauge(&labels, age(at, completed))?;
            }
        }
        Ok(())
    })?;
    sheet.sums("passes", "Passes that have ended, by their result", |rows| {
        for (source, pass) in sources.iter().flat_map(|source| PassKind::ALL.map(|pass| (source, pass))) {
            for result in PassResult::ALL {
                let name = source.status.name.as_str();
                let labels = [("source", name), ("pass", pass.as_str()), ("result", result.as_str())];
                rows.row(&labels, &source.passes.kinds[pass as usize].results[result as usize])?;
            }
        }
        Ok(())
    })?;
    let help = "How long passes took";
    sheet.rows(("pass_duration", Some(Unit::Seconds), MetricType::Histogram), help, |rows| {
        each_pass(rows, sources, |pass| &pass.took)
    })?;
    sheet.sums("pass_pages", "Pages that passes have read", |rows| each_pass(rows, sources, |pass| &pass.pages))?;
    sheet.sums("pass_seen", "Items that passes have seen", |rows| each_pass(rows, sources, |pass| &pass.seen))?;
    sheet.sums("pass_changed", "Items that had changed", |rows| each_pass(rows, sources, |pass| &pass.changed))?;
    let help = "Items whose change only a sweep found, where a more frequent pass should have";
    sheet.sums("pass_found_late", help, |rows| each_pass(rows, sources, |pass| &pass.found_late))?;
    let help = "Items that could not be used, and were left as they were";
    sheet.sums("pass_malformed", help, |rows| each_pass(rows, sources, |pass| &pass.malformed))
}

fn deliveries(sheet: &mut Sheet<'_>, deliveries: &DeliveriesScene) -> fmt::Result {
    let attempts = &deliveries.attempts;
    let help =
        "Whether the loop that delivers has answered this scrape; while it does not, nothing is said of endpoints";
    sheet.gauge("deliveries_running", None, help, u64::from(deliveries.endpoints.is_some()))?;
    sheet.sums("attempts", "Attempts, by their outcome", |rows| {
        Outcome::ALL
            .into_iter()
            .try_for_each(|outcome| rows.row(&[("outcome", outcome.as_str())], &attempts.outcomes[outcome as usize]))
    })?;
    let help = "How long attempts took, from the look-up of the name to the end of the answer";
    sheet.one("attempt_duration", Some(Unit::Seconds), help, &attempts.took)?;
    let help = "From an event's timestamp (when it was observed, before its commit) to its first attempt, where nothing \
        but the gateway delays it: straight from the log, to endpoints that work and keep up";
    sheet.one("first_attempt_delay", Some(Unit::Seconds), help, &attempts.delay)?;
    sheet.sums("deliveries", "Deliveries that have ended with an attempt: delivered, or failed for good", |rows| {
        rows.row(&[("status", "delivered")], &attempts.delivered)?;
        rows.row(&[("status", "failed")], &attempts.failed)
    })?;
    let in_flight = |endpoints: &[Standing]| endpoints.iter().map(|one| one.in_flight as u64).sum::<u64>();
    let in_flight = deliveries.endpoints.as_deref().map_or(0, in_flight);
    sheet.gauge("attempts_in_flight", None, "Attempts under way, over all endpoints", in_flight)?;
    let help = "How many there may be: delivery.max_in_flight";
    sheet.gauge("attempts_in_flight_max", None, help, deliveries.in_flight_max as u64)
}

/// The state of an endpoint in a word.
fn state_of(endpoint: &Standing) -> &'static str {
    endpoint.state.map_or(DISABLED, HealthState::as_str)
}

const DISABLED: &str = "disabled";

/// Gauges alone, and beside the state only of endpoints for which something waits: of ten thousand, few are in trouble.
fn endpoints(sheet: &mut Sheet<'_>, endpoints: &[Standing], at: Timestamp) -> fmt::Result {
    let states = [HealthState::Healthy, HealthState::Failing, HealthState::CircuitOpen].map(HealthState::as_str);
    sheet.gauges("endpoints", None, "Endpoints, by their state", |rows| {
        states.into_iter().chain([DISABLED]).try_for_each(|state| {
            rows.gauge(&[("state", state)], endpoints.iter().filter(|one| state_of(one) == state).count() as u64)
        })
    })?;
    let named: Vec<(String, &Standing)> = endpoints.iter().map(|one| (one.id.to_string(), one)).collect();
    sheet.gauges("endpoint_state", None, "1 for the state that an endpoint is in", |rows| {
        named.iter().try_for_each(|(id, one)| {
            let labels = [("endpoint", id.as_str()), ("state", state_of(one))];
            match one.uid.as_deref() {
                Some(uid) => rows.gauge(&[labels[0], labels[1], ("uid", uid)], 1_u64),
                None => rows.gauge(&labels, 1_u64),
            }
        })
    })?;
    let busy = || named.iter().filter(|(_, one)| one.pending > 0);
    let help = "Deliveries in memory that have not ended, a bounded window; absent if there is none. GET \
        /v1/endpoints/{id} counts those in the store, too";
    sheet.gauges("endpoint_pending", None, help, |rows| {
        busy().try_for_each(|(id, one)| rows.gauge(&[("endpoint", id)], one.pending as u64))
    })?;
    let help = "Attempts under way for an endpoint; absent if nothing is pending";
    sheet.gauges("endpoint_in_flight", None, help, |rows| {
        busy().try_for_each(|(id, one)| rows.gauge(&[("endpoint", id)], one.in_flight as u64))
    })?;
    let help = "Time since the event of the oldest delivery that is pending in memory was observed; absent if nothing is \
        pending, or the endpoint is disabled";
    sheet.gauges("endpoint_oldest_pending_age", Some(Unit::Seconds), help, |rows| {
        busy().try_for_each(|(id, one)| match one.oldest_at {
            Some(oldest) => rows.gauge(&[("endpoint", id)], age(at, oldest)),
            None => Ok(()),
        })
    })?;
    let help = "Events of the log that were not looked at yet for an endpoint that is behind or disabled, whether they \
        are meant for it or not; absent if it keeps up";
    sheet.gauges("endpoint_unread_events", None, help, |rows| {
        let behind = named.iter().filter(|(_, one)| one.unread > 0);
        behind.into_iter().try_for_each(|(id, one)| rows.gauge(&[("endpoint", id)], one.unread))
    })
}

fn store(sheet: &mut Sheet<'_>, store: &StoreScene) -> fmt::Result {
    sheet.gauge("log_head", None, "The position of the last event of the log", store.head.0)?;
    sheet.gauge("log_first", None, "The position of the first event that is kept", store.first.0)?;
    let help = "How long commits took, until they were durable";
    sheet.one("store_commit_duration", Some(Unit::Seconds), help, &store.commits.took)?;
    let help = "How long their syncs to the disk (fdatasync) took";
    sheet.one("store_sync_duration", Some(Unit::Seconds), help, &store.commits.sync_took)?;
    sheet.one("store_committed_rows", None, "Rows that were written or deleted", &store.commits.rows)?;
    let help = "Bytes that were committed, as the store is given them";
    sheet.one("store_committed", Some(Unit::Bytes), help, &store.commits.bytes)?;
    if let Some(size) = store.size {
        sheet.gauge("store_size", Some(Unit::Bytes), "Bytes of the store's folder", size)?;
    }
    sheet.gauge("store_free", Some(Unit::Bytes), "Bytes that are free on the store's file system", store.free)?;
    let help = "Bytes that should be free there: store.min_free";
    sheet.gauge("store_min_free", Some(Unit::Bytes), help, store.min_free)?;
    let help =
        "What that is enough for: 1 for full (nothing is written), low (nothing is polled or registered) or enough";
    sheet.gauges("store_space", None, help, |rows| {
        let is = |room| u64::from(store.room == room);
        Room::ALL.into_iter().try_for_each(|room| rows.gauge(&[("level", room.as_str())], is(room)))
    })
}

fn requests(sheet: &mut Sheet<'_>, scene: &Scene) -> fmt::Result {
    let requests = &scene.requests;
    let help = "Requests to the API, by route (its template; none if there is no such route), method and class of the \
        answer's status";
    sheet.one("api_requests", None, help, &requests.answered)?;
    let help = "How long the API took to begin its answer; calls that wait for something are as long as that";
    sheet.one("api_request_duration", Some(Unit::Seconds), help, &requests.took)?;
    sheet.sums("panics", "Panics that were contained, by where: each is a bug in certhook", |rows| {
        rows.row(&[("part", "api")], &requests.panics)?;
        rows.row(&[("part", "delivery")], &scene.deliveries.attempts.panics)?;
        let passes = scene.sources.iter().map(|source| source.passes.panics.get()).sum::<u64>();
        rows.row(&[("part", "pass")], &ConstCounter::new(passes))
    })
}

fn process(sheet: &mut Sheet<'_>, usage: &Usage, started_at: Timestamp) -> fmt::Result {
    if let Some(memory) = usage.memory {
        sheet.gauge("process_resident_memory", Some(Unit::Bytes), "Memory of the process", memory)?;
    }
    let processor = ConstCounter::new(usage.processor.as_secs_f64());
    sheet.one("process_cpu", Some(Unit::Seconds), "Processor time of the process", &processor)?;
    if let Some(files) = usage.files {
        sheet.gauge("process_open_fds", None, "Open files and connections of the process", files)?;
    }
    if let Some(max) = usage.files_max {
        sheet.gauge("process_max_fds", None, "How many it may have", max)?;
    }
    let started = started_at.as_millis() as f64 / 1000.0;
    sheet.gauge("process_start_time", Some(Unit::Seconds), "When the gateway started, since 1970", started)?;
    let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
    sheet.one("build", None, "Which certhook runs", &build)
}
