//! A source in memory: pages from a book that tests change, with faults where they ask for them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use certhook::clock::{Clock, ManualClock};
use certhook::model::json::Fields;
use certhook::model::resource::{Coverage, Download, Kind, ResourceId, ResourceKey, Seen, SourceName};
use certhook::model::time::Timestamp;
use certhook::source::{Cursor, Exchange, Fetched, Malformed, Page, Row, Selection, Source, SourceError, Urgency};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::Notify;

use self::book::{is_selected, trap};

mod book;

pub(crate) use book::Book;

/// What goes wrong with one answer.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// No answer.
    Error(SourceError),
    /// A page that says `has_more` and gives no cursor.
    NoCursor,
    /// A page that says that there is no more, although there is.
    Truncated,
}

/// An answer that is rendered when it is asked for and comes when the test lets it.
#[derive(Debug, Default)]
pub(crate) struct Late {
    /// The answer was rendered.
    pub(crate) rendered: Notify,
    /// The test lets it come.
    pub(crate) released: Notify,
}

/// Where in a listing: the kind, and the page counted from 1.
pub(crate) type Place = (Kind, u64);

type Hook = Box<dyn FnOnce(&mut Book) + Send>;

#[derive(Default)]
struct Script {
    book: Book,
    page_size: usize,
    rows_lack_status: bool,
    /// How far upstream's clock is behind ours.
    behind: Duration,
    page_faults: HashMap<Place, VecDeque<Fault>>,
    creation_faults: VecDeque<Fault>,
    get_faults: HashMap<String, VecDeque<SourceError>>,
    always: Option<SourceError>,
    late_pages: HashMap<Place, Arc<Late>>,
    late_gets: HashMap<String, Arc<Late>>,
    after_page: HashMap<Place, Hook>,
    pages_asked: HashMap<Kind, u64>,
    selections: Vec<Selection>,
    gets: Vec<String>,
    urgencies: Vec<Urgency>,
}

/// The source.
pub(crate) struct ScriptedSource {
    name: SourceName,
    clock: Arc<ManualClock>,
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
        let script = Script { page_size: 10, ..Script::default() };
        Self { name: "numeral".parse().expect("a name"), clock, script: Mutex::new(script) }
    }

    /// Changes the book.
    pub(crate) fn edit<R>(&self, change: impl FnOnce(&mut Book) -> R) -> R {
        change(&mut self.lock().book)
    }

    /// So many rows stand on a page.
    pub(crate) fn set_page_size(&self, rows: usize) {
        self.lock().page_size = rows;
    }

    /// Rows show no `status`, as in the vendor's examples.
    pub(crate) fn drop_status_from_rows(&self) {
        self.lock().rows_lack_status = true;
    }

    /// Upstream's clock is behind ours.
    pub(crate) fn set_behind(&self, behind: Duration) {
        self.lock().behind = behind;
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

    /// Nothing goes wrong, and nothing happens, that has not yet.
    pub(crate) fn forget_faults(&self) {
        let mut script = self.lock();
        script.page_faults.clear();
        script.creation_faults.clear();
        script.get_faults.clear();
        script.after_page.clear();
    }

    /// Every call goes wrong, until `None`.
    pub(crate) fn break_always(&self, error: Option<SourceError>) {
        self.lock().always = error;
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

    fn lock(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn exchange(&self, asked_at: Timestamp) -> Exchange {
        let answered_at = self.clock.now();
        Exchange { asked_at, answered_at, upstream_at: Some(answered_at.minus(self.lock().behind)) }
    }

    fn seen(&self, kind: Kind, mut fields: Fields, coverage: Coverage) -> Seen {
        let id = fields["id"].as_str().expect("text").parse().expect("an id");
        let url = fields.remove("download_url");
        fields.shift_remove("trap");
        let download = match (coverage, url) {
            (Coverage::Row, None) => Download::Unknown,
            (_, None | Some(Value::Null)) => Download::Missing,
            (_, Some(_)) => Download::Available,
        };
        Seen { key: ResourceKey { source: self.name.clone(), kind, id }, fields, coverage, download }
    }
}

impl Script {
    /// The page at a cursor, which is the last id of the page before.
    fn render(
        &self,
        kind: Kind,
        selection: &Selection,
        cursor: Option<&Cursor>,
        exchange: Exchange,
    ) -> Result<Page, SourceError> {
        let is_listed = |object: &&Value| !object["id"].as_str().is_some_and(|id| self.book.archived.contains(id));
        let all = self.book.lists[kind as usize].iter().filter(is_listed);
        let list: Vec<&Value> = all.filter(|object| is_selected(selection, object)).collect();
        let start = match cursor {
            None => 0,
            Some(Cursor(last)) => {
                let found = list.iter().position(|object| object["id"] == **last);
                found.ok_or_else(|| SourceError::Refused {
                    status: 400,
                    kind: "INVALID_CURSOR".into(),
                    message: "no such id".into(),
                })? + 1
            }
        };
        let shown = &list[start..list.len().min(start + self.page_size)];
        let has_more = start + shown.len() < list.len();
        let next_cursor =
            shown.last().filter(|_| has_more).map(|last| Cursor(last["id"].as_str().expect("text").into()));
        let (unusable, usable): (Vec<&Value>, Vec<&Value>) =
            shown.iter().partition(|object| matches!(trap(object), Some("unreadable" | "anonymous")));
        let malformed = |object: &Value| {
            let id = object["id"].as_str().filter(|_| trap(object) != Some("anonymous"));
            Malformed { id: id.map(|id| id.parse().expect("an id")), reason: "a trap".into() }
        };
        let malformed = unusable.into_iter().map(malformed).collect();
        let rows = usable.into_iter().map(|object| self.row(object)).collect();
        Ok(Page { rows, malformed, has_more, next_cursor, exchange })
    }

    fn row(&self, object: &Value) -> Row {
        let mut object = object.clone();
        let fields = object.as_object_mut().expect("an object");
        fields.shift_remove("download_url");
        if self.rows_lack_status {
            fields.shift_remove("status");
        }
        let id = object["id"].as_str().expect("text").parse().expect("an id");
        Row { id, raw: RawValue::from_string(object.to_string()).expect("JSON") }
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

    fn documented_fields(&self, _: Kind) -> &'static [&'static str] {
        &[
            "id",
            "object",
            "status",
            "certificate_type",
            "certificate_type_id",
            "certificate_id",
            "customer",
            "jurisdictions",
            "effective_date",
            "expiration_date",
            "expires_at",
            "created_at",
            "updated_at",
            "livemode",
        ]
    }

    async fn page(
        &self,
        kind: Kind,
        selection: &Selection,
        cursor: Option<&Cursor>,
        urgency: Urgency,
    ) -> Result<Page, SourceError> {
        tokio::task::yield_now().await;
        let asked_at = self.clock.now();
        let exchange = self.exchange(asked_at);
        let (mut page, late) = {
            let mut script = self.lock();
            script.urgencies.push(urgency);
            if cursor.is_none() {
                script.pages_asked.insert(kind, 0);
                script.selections.push(selection.clone());
            }
            let asked = script.pages_asked.entry(kind).or_default();
            *asked += 1;
            let place = (kind, *asked);
            if let Some(error) = script.always.clone() {
                return Err(error);
            }
            let creation_fault = match selection {
                Selection::CreatedBetween(..) => script.creation_faults.pop_front(),
                Selection::Everything | Selection::UpdatedAfter(_) | Selection::Status(_) => None,
            };
            let page_fault = || script.page_faults.get_mut(&place).and_then(VecDeque::pop_front);
            let fault = creation_fault.or_else(page_fault);
            let mut page = script.render(kind, selection, cursor, exchange)?;
            match fault {
                Some(Fault::Error(error)) => {
                    // The same page will be asked for again.
                    *script.pages_asked.entry(kind).or_default() -= 1;
                    return Err(error);
                }
                Some(Fault::NoCursor) => (page.has_more, page.next_cursor) = (true, None),
                Some(Fault::Truncated) => (page.has_more, page.next_cursor) = (false, None),
                None => {}
            }
            if let Some(hook) = script.after_page.remove(&place) {
                hook(&mut script.book);
            }
            (page, script.late_pages.remove(&place))
        };
        if let Some(late) = late {
            late.rendered.notify_one();
            late.released.notified().await;
        }
        page.exchange = self.exchange(asked_at);
        Ok(page)
    }

    async fn get(&self, kind: Kind, id: &ResourceId, urgency: Urgency) -> Result<Fetched, SourceError> {
        tokio::task::yield_now().await;
        let asked_at = self.clock.now();
        let (found, late) = {
            let mut script = self.lock();
            script.gets.push(id.as_str().into());
            script.urgencies.push(urgency);
            if let Some(error) = script.always.clone() {
                return Err(error);
            }
            if let Some(error) = script.get_faults.get_mut(id.as_str()).and_then(VecDeque::pop_front) {
                return Err(error);
            }
            let found = script.book.lists[kind as usize].iter().find(|object| object["id"] == id.as_str()).cloned();
            (found, script.late_gets.remove(id.as_str()))
        };
        if let Some(late) = late {
            late.rendered.notify_one();
            late.released.notified().await;
        }
        let exchange = self.exchange(asked_at);
        Ok(match found {
            Some(object) if trap(&object) == Some("malformed") => {
                Fetched::Malformed(Malformed { id: Some(id.clone()), reason: "a trap".into() })
            }
            Some(Value::Object(fields)) => Fetched::Found(Box::new(self.seen(kind, fields, Coverage::Whole)), exchange),
            _ => Fetched::NotFound(exchange),
        })
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
