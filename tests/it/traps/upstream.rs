//! An upstream that does what the vendor's pages say and nothing more: it refuses parameters that they do not name.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use certhook::clock::{Clock, ManualClock};
use certhook::model::time::Timestamp;
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

/// The filters and the paging that both list pages name, but for those by customer, jurisdiction and type. Whoever
/// sends one of these is refused too: that an unknown customer gives an empty list would make a listing lie.
const PARAMETERS: [&str; 7] =
    ["limit", "cursor", "status", "created_after", "created_before", "updated_after", "updated_before"];

type Hook = Box<dyn FnOnce(&mut Book) + Send>;

/// What upstream holds and how it shows it.
#[derive(Default)]
pub(super) struct Book {
    objects: Vec<Value>,
    /// Ids that no list shows.
    pub(super) hidden: Vec<String>,
    /// Ids that only lists show.
    pub(super) not_by_id: Vec<String>,
    /// Rows are as in the examples of the list pages: no status of either kind, instants in whole seconds.
    pub(super) rows_as_in_the_examples: bool,
    /// Lists begin with what was added last.
    pub(super) newest_first: bool,
    /// `…_after` leaves its own instant out.
    pub(super) bounds_are_excluded: bool,
    /// A cursor whose row is gone gives an empty last page instead of an error.
    pub(super) lost_cursors_end_the_list: bool,
    /// Happens after the first page of the next listing that has a second one.
    pub(super) after_first_page: Option<Hook>,
    /// The answer to the next call.
    pub(super) next_answer: Option<ResponseTemplate>,
    calls: Vec<String>,
}

impl Book {
    /// Adds a resource.
    pub(super) fn put(&mut self, object: Value) {
        self.objects.push(object);
    }

    /// Changes a resource.
    pub(super) fn change(&mut self, id: &str, change: impl FnOnce(&mut Value)) {
        change(self.objects.iter_mut().find(|object| object["id"] == id).expect("it is in the book"));
    }

    /// Takes a resource out.
    pub(super) fn remove(&mut self, id: &str) {
        self.objects.retain(|object| object["id"] != id);
    }

    fn answer(&mut self, request: &Request) -> ResponseTemplate {
        self.calls.push(format!("{}?{}", request.url.path(), request.url.query().unwrap_or_default()));
        if let Some(answer) = self.next_answer.take() {
            return answer;
        }
        let path: Vec<&str> = request.url.path().trim_start_matches('/').split('/').collect();
        match path.as_slice() {
            ["tax", "certificates"] => self.list(request, "certificates", "tax.exemption_certificate"),
            ["tax", "certificate-requests"] => self.list(request, "certificate_requests", "tax.certificate_request"),
            ["tax", "certificates", id] => self.by_id(id, "CERTIFICATE_NOT_FOUND"),
            ["tax", "certificate-requests", id] => self.by_id(id, "CERTIFICATE_REQUEST_NOT_FOUND"),
            _ => refusal(404, "ROUTE_NOT_FOUND"),
        }
    }

    fn by_id(&self, id: &str, missing: &str) -> ResponseTemplate {
        let shown = |object: &&Value| object["id"] == id && !self.not_by_id.iter().any(|hidden| hidden == id);
        match self.objects.iter().find(shown) {
            Some(object) => ResponseTemplate::new(200).set_body_json(object),
            None => refusal(404, missing),
        }
    }

    fn list(&mut self, request: &Request, list: &str, kind: &str) -> ResponseTemplate {
        let query: Vec<(Cow<'_, str>, Cow<'_, str>)> = request.url.query_pairs().collect();
        if query.iter().any(|(name, _)| !PARAMETERS.contains(&name.as_ref())) {
            return refusal(400, "UNRECOGNIZED_FIELD");
        }
        let of = |wanted: &str| query.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_ref());
        let mut rows: Vec<&Value> = self.objects.iter().filter(|object| object["object"] == kind).collect();
        rows.retain(|object| !self.hidden.iter().any(|id| object["id"] == id.as_str()));
        rows.retain(|object| of("status").is_none_or(|status| object["status"] == status));
        for name in ["created", "updated"] {
            let at = |object: &Value| instant(&object[format!("{name}_at")]);
            let bound = |side: &str| of(&format!("{name}_{side}")).map(|text| instant(&json!(text)));
            let excluded = self.bounds_are_excluded;
            rows.retain(|row| bound("after").is_none_or(|after| at(row) > after || !excluded && at(row) == after));
            rows.retain(|row| bound("before").is_none_or(|before| at(row) < before || !excluded && at(row) == before));
        }
        if self.newest_first {
            rows.reverse();
        }
        let start = match of("cursor") {
            None => 0,
            Some(cursor) => match rows.iter().position(|row| row["id"] == cursor) {
                Some(last) => last + 1,
                None if self.lost_cursors_end_the_list => rows.len(),
                None => return refusal(400, "INVALID_REQUEST"),
            },
        };
        let limit: usize = of("limit").map_or(10, |limit| limit.parse().expect("a number"));
        let shown: Vec<Value> = rows.iter().skip(start).take(limit).map(|row| self.row(row)).collect();
        let has_more = start + shown.len() < rows.len();
        let mut page = json!({"object": "list", list: shown, "has_more": has_more});
        if has_more {
            page["next_cursor"] = shown.last().expect("pages are not empty")["id"].clone();
        }
        if has_more
            && start == 0
            && let Some(hook) = self.after_first_page.take()
        {
            hook(self);
        }
        ResponseTemplate::new(200).set_body_json(page)
    }

    fn row(&self, object: &Value) -> Value {
        let mut row = object.clone();
        let fields = row.as_object_mut().expect("an object");
        fields.shift_remove("download_url");
        if self.rows_as_in_the_examples {
            fields.shift_remove("status");
            for entry in fields.get_mut("jurisdictions").and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(entry) = entry.as_object_mut() {
                    entry.shift_remove("status");
                }
            }
            for name in ["created_at", "updated_at", "expires_at"] {
                if let Some(Value::String(text)) = fields.get_mut(name) {
                    *text = format!("{}Z", &text[.."2026-06-10T18:24:09".len()]);
                }
            }
        }
        row
    }
}

fn instant(text: &Value) -> Timestamp {
    text.as_str().and_then(|text| text.parse().ok()).expect("an instant")
}

/// An error of the vendor's.
pub(super) fn refusal(status: u16, kind: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({"code": status, "type": kind, "message": "said so"}))
}

/// The upstream on a socket; it ends with the value.
pub(super) struct Upstream {
    server: MockServer,
    book: Arc<Mutex<Book>>,
}

struct Answers {
    book: Arc<Mutex<Book>>,
    clock: Arc<ManualClock>,
}

impl Respond for Answers {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let now = jiff::Timestamp::from_millisecond(self.clock.now().as_millis()).expect("within the calendar");
        let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        open(&self.book).answer(request).insert_header("date", date.as_str())
    }
}

impl Upstream {
    pub(super) async fn start(book: Book, clock: &Arc<ManualClock>) -> Self {
        let (server, book) = (MockServer::start().await, Arc::new(Mutex::new(book)));
        let answers = Answers { book: Arc::clone(&book), clock: Arc::clone(clock) };
        Mock::given(any()).respond_with(answers).mount(&server).await;
        Self { server, book }
    }

    pub(super) fn url(&self) -> String {
        self.server.uri()
    }

    pub(super) fn edit(&self, change: impl FnOnce(&mut Book)) {
        change(&mut open(&self.book));
    }

    /// What was asked for since the last look: paths with their queries.
    pub(super) fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut open(&self.book).calls)
    }
}

fn open(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}
