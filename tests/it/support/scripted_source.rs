//! A source in memory: pages from a book that tests change, with faults where they ask for them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use certhook::clock::{Clock, ManualClock};
use certhook::model::json::Fields;
use certhook::model::resource::{Coverage, Download, Kind, ResourceId, ResourceKey, Seen, SourceName};
use certhook::model::time::Timestamp;
use certhook::source::{Cursor, Exchange, Fetched, Malformed, Page, Row, Selection, Source, SourceError, Urgency};
use serde_json::Value;
use tokio::time::Instant;

use self::book::Moments;
use self::calls::{Answer, Call, Incident, Question};
use self::script::{Late, Place, Script, shown};
use self::showing::Rules;

pub(crate) mod book;
pub(crate) mod calls;
mod script;
pub(crate) mod showing;

pub(crate) use self::book::Book;
pub(crate) use self::calls::Fault;

/// The source.
pub(crate) struct ScriptedSource {
    name: SourceName,
    clock: Mutex<Arc<ManualClock>>,
    script: Mutex<Script>,
}

impl std::fmt::Debug for ScriptedSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ScriptedSource")
    }
}

impl ScriptedSource {
    /// An empty book, read in pages of ten.
    pub(crate) fn new(clock: Arc<ManualClock>) -> Self {
        let name = "numeral".parse().expect("a name");
        Self { name, clock: Mutex::new(clock), script: Mutex::default() }
    }

    /// Changes the book.
    pub(crate) fn edit<R>(&self, change: impl FnOnce(&mut Book) -> R) -> R {
        change(&mut self.lock().book)
    }

    /// What counts what happens.
    pub(crate) fn moments(&self) -> Moments {
        self.lock().book.moments().clone()
    }

    /// Changes how the book is shown.
    pub(crate) fn set_rules(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.lock().rules);
    }

    /// So many rows stand on a page.
    pub(crate) fn set_page_size(&self, rows: usize) {
        self.set_rules(|rules| rules.page_size = rows);
    }

    /// Rows show no status, as in the vendor's examples.
    pub(crate) fn drop_status_from_rows(&self) {
        self.set_rules(|rules| rules.rows_lack_status = true);
    }

    /// Upstream's clock is behind ours.
    pub(crate) fn set_behind(&self, behind: Duration) {
        self.set_ahead_ms(-i64::try_from(behind.as_millis()).expect("not for ever"));
    }

    /// How far upstream's clock is ahead of ours, in milliseconds.
    pub(crate) fn set_ahead_ms(&self, ahead_ms: i64) {
        self.lock().ahead_ms = ahead_ms;
    }

    /// Our clock is another one from now on; upstream's goes on as it did.
    pub(crate) fn set_clock(&self, clock: Arc<ManualClock>) {
        let upstream_now = self.upstream_now();
        self.set_ahead_ms(upstream_now.as_millis() - clock.now().as_millis());
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = clock;
    }

    /// What upstream's clock shows.
    pub(crate) fn upstream_now(&self) -> Timestamp {
        Timestamp::from_millis(self.now().as_millis() + self.lock().ahead_ms)
    }

    /// The next answer at that place goes wrong.
    pub(crate) fn break_page(&self, place: Place, fault: Fault) {
        self.lock().page_faults.entry(place).or_default().push_back(fault);
    }

    /// The next page of what was created at some time goes wrong.
    pub(crate) fn break_creations(&self, fault: Fault) {
        self.lock().creation_faults.push_back(fault);
    }

    /// The next answer about that id goes wrong.
    pub(crate) fn break_get(&self, id: &str, error: SourceError) {
        self.lock().get_faults.entry(id.into()).or_default().push_back(error);
    }

    /// Something happens at a call, counted from 1 since incidents were last forgotten.
    pub(crate) fn at_call(&self, number: u64, incident: Incident) {
        self.lock().incidents.entry(number).or_default().push(incident);
    }

    /// Nothing goes wrong, and nothing happens, that has not yet.
    pub(crate) fn forget_faults(&self) {
        let mut script = self.lock();
        script.page_faults.clear();
        script.creation_faults.clear();
        script.get_faults.clear();
        script.after_page.clear();
        script.incidents.clear();
        script.calls_begun = 0;
    }

    /// Every call goes wrong, until `None`.
    pub(crate) fn break_always(&self, error: Option<SourceError>) {
        self.lock().always = error;
    }

    /// Every call is out for so long and then goes wrong, until `None`.
    pub(crate) fn hang(&self, time_out: Option<Duration>) {
        self.lock().time_out = time_out;
    }

    async fn hang_if_told(&self) -> Result<(), SourceError> {
        let Some(time_out) = self.lock().time_out else { return Ok(()) };
        let begun = Instant::now();
        self.lock().unanswered.push(begun);
        tokio::time::sleep(time_out).await;
        self.lock().unanswered.retain(|other| *other != begun);
        Err(SourceError::Unavailable(format!("no answer for {} s", time_out.as_secs())))
    }

    /// The next answer at that place comes late.
    pub(crate) fn delay_page(&self, place: Place) -> Arc<Late> {
        let late = Arc::new(Late::default());
        self.lock().late_pages.insert(place, Arc::clone(&late));
        late
    }

    /// The next answer about that id comes late.
    pub(crate) fn delay_get(&self, id: &str) -> Arc<Late> {
        let late = Arc::new(Late::default());
        self.lock().late_gets.insert(id.into(), Arc::clone(&late));
        late
    }

    /// Something happens to the book right after that page was rendered.
    pub(crate) fn after_page(&self, place: Place, hook: impl FnOnce(&mut Book) + Send + 'static) {
        self.lock().after_page.insert(place, Box::new(hook));
    }

    /// The ids that were asked for since the last look.
    pub(crate) fn take_gets(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().gets)
    }

    /// What the first pages of listings asked for since the last look.
    pub(crate) fn take_selections(&self) -> Vec<Selection> {
        std::mem::take(&mut self.lock().selections)
    }

    /// How urgent each call since the last look was.
    pub(crate) fn take_urgencies(&self) -> Vec<Urgency> {
        std::mem::take(&mut self.lock().urgencies)
    }

    /// All calls since the last look.
    pub(crate) fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.lock().calls)
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).now()
    }

    fn exchange(&self, asked_at: Timestamp) -> Exchange {
        let (answered_at, script) = (self.now(), self.lock());
        // A `Date` has whole seconds.
        let upstream_ms = (answered_at.as_millis() + script.ahead_ms).div_euclid(1_000) * 1_000;
        let upstream_at = script.rules.tells_time.then_some(Timestamp::from_millis(upstream_ms));
        Exchange { asked_at, answered_at, upstream_at }
    }

    fn seen(&self, kind: Kind, mut fields: Fields, coverage: Coverage) -> Seen {
        let id = fields["id"].as_str().expect("text").parse().expect("an id");
        let url = fields.remove("download_url");
        fields.shift_remove("trap");
        let download = match (kind, coverage, url) {
            (Kind::CertificateRequest, _, _) | (_, Coverage::Row, None) => Download::Unknown,
            (_, _, None | Some(Value::Null)) => Download::Missing,
            (_, _, Some(_)) => Download::Available,
        };
        Seen { key: ResourceKey { source: self.name.clone(), kind, id }, fields, coverage, download }
    }

    /// Lets an answer that was made come when it is its turn, and notes that it did.
    async fn deliver(&self, call: usize, turns: u32, late: Option<Arc<Late>>) {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        if let Some(late) = late {
            late.rendered.notify_one();
            late.released.notified().await;
        }
        let (now, mut script) = (self.now(), self.lock());
        let moment = script.book.moments().next();
        if let Some(call) = script.calls.get_mut(call) {
            call.arrived = Some((moment, now));
        }
    }
}

#[async_trait]
impl Source for ScriptedSource {
    fn name(&self) -> &SourceName {
        &self.name
    }

    fn api_version(&self) -> &str {
        "2026-03-01"
    }

    fn unanswered_since(&self) -> Option<Instant> {
        self.lock().unanswered.first().copied()
    }

    fn documented_fields(&self, kind: Kind) -> &'static [&'static str] {
        match kind {
            Kind::Certificate => &[
                "id",
                "object",
                "status",
                "certificate_type",
                "customer",
                "jurisdictions",
                "effective_date",
                "expiration_date",
                "created_at",
                "updated_at",
                "livemode",
            ],
            Kind::CertificateRequest => &[
                "id",
                "object",
                "status",
                "customer",
                "certificate_id",
                "certificate_type_id",
                "jurisdictions",
                "created_at",
                "updated_at",
                "expires_at",
                "livemode",
            ],
        }
    }

    async fn page(
        &self,
        kind: Kind,
        selection: &Selection,
        cursor: Option<&Cursor>,
        urgency: Urgency,
    ) -> Result<Page, SourceError> {
        tokio::task::yield_now().await;
        self.hang_if_told().await?;
        let asked_at = self.now();
        let exchange = self.exchange(asked_at);
        let (made, call, fate) = {
            let mut script = self.lock();
            script.urgencies.push(urgency);
            let asked = script.book.moments().next();
            let mut fate = script.fate_of_page(kind, selection, cursor.is_none());
            let made = script.page(kind, selection, cursor, fate.fault.as_ref(), exchange);
            let (answer, is_a_lie) = match &made {
                Ok((page, is_a_lie)) => {
                    let is_contradictory = page.has_more != page.next_cursor.is_some()
                        || page.has_more
                            && (page.rows.is_empty() && page.malformed.is_empty()
                                || page.next_cursor.as_ref() == cursor);
                    (Answer::Page { shown: shown(page), is_contradictory }, *is_a_lie)
                }
                Err(error) => (Answer::Error(error.clone()), false),
            };
            let question = Question::Page(selection.clone(), cursor.cloned());
            let made_at = script.book.moments().next();
            let call = Call { kind, urgency, question, asked, made: made_at, arrived: None, answer, is_a_lie };
            let hooks = std::mem::take(&mut fate.hooks);
            (made, script.note(call, hooks), fate)
        };
        self.deliver(call, fate.turns, fate.late).await;
        let (mut page, _) = made?;
        page.exchange = self.exchange(asked_at);
        Ok(page)
    }

    async fn get(&self, kind: Kind, id: &ResourceId, urgency: Urgency) -> Result<Fetched, SourceError> {
        tokio::task::yield_now().await;
        self.hang_if_told().await?;
        let asked_at = self.now();
        let (answer, call, fate) = {
            let mut script = self.lock();
            script.urgencies.push(urgency);
            let asked = script.book.moments().next();
            let mut fate = script.fate_of_get(id.as_str());
            let (answer, is_a_lie) = script.get(kind, id, fate.fault.take());
            let made = script.book.moments().next();
            let question = Question::Get(id.clone());
            let call = Call { kind, urgency, question, asked, made, arrived: None, answer: answer.clone(), is_a_lie };
            let hooks = std::mem::take(&mut fate.hooks);
            (answer, script.note(call, hooks), fate)
        };
        self.deliver(call, fate.turns, fate.late).await;
        let exchange = self.exchange(asked_at);
        match answer {
            Answer::Found(Value::Object(fields)) => {
                Ok(Fetched::Found(Box::new(self.seen(kind, fields, Coverage::Whole)), exchange))
            }
            Answer::Malformed => Ok(Fetched::Malformed(Malformed { id: Some(id.clone()), reason: "a trap".into() })),
            Answer::Error(error) => Err(error),
            Answer::NotFound | Answer::Found(_) | Answer::Page { .. } => Ok(Fetched::NotFound(exchange)),
        }
    }

    fn open_row(&self, kind: Kind, row: &Row) -> Result<Seen, Malformed> {
        let fields: Fields = serde_json::from_str(row.raw.get()).expect("an object");
        match fields.get("trap").and_then(Value::as_str) {
            Some("malformed") => Err(Malformed { id: Some(row.id.clone()), reason: "a trap".into() }),
            Some("panic") => panic!("a trap"),
            _ => Ok(self.seen(kind, fields, Coverage::Row)),
        }
    }
}
