//! Lists, page by page: what asks for a page, where the next one begins, and the shape of the answer.

use std::fmt::Display;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::Serialize;

use super::input::Input;
use crate::model::id::EventId;

/// The longest page, and the usual one: the upstream vendor's own bounds, so that one client can page through both.
pub const LIMIT_MAX: usize = 100;
pub(super) const LIMIT_DEFAULT: usize = 10;

/// The lists there are; a cursor of one means nothing to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Endpoints,
    Events,
    EventTypes,
    EventDeliveries,
    Deliveries,
    Sources,
    Passes,
    Removals,
    Replays,
    Certificates,
    CertificateRequests,
    Keys,
    Audit,
}

impl List {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Endpoints => "endpoints",
            Self::Events => "events",
            Self::EventTypes => "event_types",
            Self::EventDeliveries => "event_deliveries",
            Self::Deliveries => "deliveries",
            Self::Sources => "sources",
            Self::Passes => "passes",
            Self::Removals => "removals",
            Self::Replays => "replays",
            Self::Certificates => "certificates",
            Self::CertificateRequests => "certificate_requests",
            Self::Keys => "keys",
            Self::Audit => "audit",
        }
    }
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    OldestFirst,
    NewestFirst,
}

impl Order {
    /// What its words stand for.
    pub(super) const WORDS: [(&str, Self); 2] = [("asc", Self::OldestFirst), ("desc", Self::NewestFirst)];

    const fn as_str(self) -> &'static str {
        match self {
            Self::OldestFirst => "asc",
            Self::NewestFirst => "desc",
        }
    }
}

/// What asks for a page of a list whose entries are found by a `K`.
#[derive(Debug)]
pub(super) struct PageQuery<K> {
    list: List,
    /// Which end of the list comes first.
    pub(super) order: Order,
    /// How many entries at most.
    pub(super) limit: usize,
    /// The last entry of the page before.
    pub(super) after: Option<K>,
}

impl<K: FromStr + Display> PageQuery<K> {
    /// Takes `limit`, `order` and `cursor`.
    pub(super) fn take(input: &mut Input, list: List) -> Self {
        let order = input.choice("order", &Order::WORDS);
        Self::take_in_order(input, list, order)
    }

    /// Takes `limit` and `cursor`, for a list that has one order only.
    pub(super) fn take_unordered(input: &mut Input, list: List) -> Self {
        Self::take_in_order(input, list, Some(Order::OldestFirst))
    }

    /// Takes `limit` and `cursor`, for a list of so few entries that all are on one page unless a limit is given.
    pub(super) fn take_of_few(input: &mut Input, list: List, few: usize) -> Self {
        let is_limited = input.has("limit");
        let page = Self::take_unordered(input, list);
        if is_limited { page } else { Self { limit: few, ..page } }
    }

    fn take_in_order(input: &mut Input, list: List, asked: Option<Order>) -> Self {
        let mut page = Self::first(input, list, asked);
        if let Some(text) = input.text("cursor") {
            page.go_on(input, &text, asked);
        }
        page
    }

    fn first(input: &mut Input, list: List, asked: Option<Order>) -> Self {
        Self { list, order: asked.unwrap_or(Order::NewestFirst), limit: take_limit(input), after: None }
    }

    /// A cursor goes on in its own order; `order` need not be said again, but must not say otherwise.
    fn go_on(&mut self, input: &mut Input, text: &str, asked: Option<Order>) {
        match read_cursor(text) {
            Some(cursor) if cursor.list != self.list.as_str() => {
                input.report("cursor", format!("belongs to another list ({})", cursor.list));
            }
            Some(cursor) if asked.is_some_and(|asked| asked != cursor.order) => {
                input.report("cursor", format!("belongs to order={}", cursor.order.as_str()));
            }
            Some(Cursor { order, key: Ok(key), .. }) => {
                self.order = order;
                self.after = Some(key);
            }
            Some(Cursor { key: Err(_), .. }) | None => {
                input.report("cursor", "is not a cursor; pass next_cursor on as it came");
            }
        }
    }

    /// The answer, whose next page begins after `next`.
    pub(super) fn answer<T>(&self, data: Vec<T>, next: Option<K>) -> Page<T> {
        let cursor = |key: K| {
            URL_SAFE_NO_PAD.encode(format!("{CURSOR_VERSION} {} {} {key}", self.list.as_str(), self.order.as_str()))
        };
        Page { object: "list", data, has_more: next.is_some(), next_cursor: next.map(cursor) }
    }

    /// The answer to a query that read one entry more than the page has, to know whether there is more.
    pub(super) fn answer_with_one_more<T>(&self, mut data: Vec<T>, key: impl Fn(&T) -> K) -> Page<T> {
        let more = data.len() > self.limit;
        data.truncate(self.limit);
        let next = data.last().filter(|_| more).map(key);
        self.answer(data, next)
    }
}

impl PageQuery<EventId> {
    /// Takes `limit`, `order` and `cursor`, which may be the id of an event in either order: at the end of the list
    /// there is no `next_cursor`, and who has read that far goes on from the last event.
    pub(super) fn take_log(input: &mut Input) -> Self {
        let asked = input.choice("order", &Order::WORDS);
        let mut page = Self::first(input, List::Events, asked);
        if let Some(text) = input.text("cursor") {
            match text.parse() {
                Ok(id) => page.after = Some(id),
                Err(_) => page.go_on(input, &text, asked),
            }
        }
        page
    }
}

fn take_limit(input: &mut Input) -> usize {
    let Some(text) = input.text("limit") else { return LIMIT_DEFAULT };
    match text.parse() {
        Ok(limit) if (1..=LIMIT_MAX).contains(&limit) => limit,
        Ok(_) | Err(_) => {
            input.report("limit", format!("must be a whole number from 1 to {LIMIT_MAX}"));
            LIMIT_DEFAULT
        }
    }
}

/// So that a cursor of another version of ours is recognised, not misread.
const CURSOR_VERSION: &str = "1";

/// What a cursor carries.
struct Cursor<K: FromStr> {
    list: String,
    order: Order,
    key: Result<K, K::Err>,
}

fn read_cursor<K: FromStr>(text: &str) -> Option<Cursor<K>> {
    let plain = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let mut parts = plain.splitn(4, ' ');
    if parts.next()? != CURSOR_VERSION {
        return None;
    }
    let list = parts.next()?.to_owned();
    let word = parts.next()?;
    let (_, order) = Order::WORDS.into_iter().find(|(known, _)| *known == word)?;
    Some(Cursor { list, order, key: parts.next()?.parse() })
}

/// One page of a list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}List")]
pub(super) struct Page<T> {
    /// The word for it.
    #[schemars(extend("const" = "list"))]
    object: &'static str,
    /// The entries of this page.
    data: Vec<T>,
    /// Whether there are more.
    has_more: bool,
    /// What to send as `cursor` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// The same page of something else.
    pub(super) fn map<U>(self, change: impl Fn(T) -> U) -> Page<U> {
        let Self { object, data, has_more, next_cursor } = self;
        Page { object, data: data.into_iter().map(change).collect(), has_more, next_cursor }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::error::Problems;

    fn ask(query: &str, list: List) -> (PageQuery<u64>, Problems) {
        let mut input = Input::of_query(query);
        let page = PageQuery::take(&mut input, list);
        (page, input.into_problems())
    }

    proptest! {
        #[test]
        fn a_cursor_goes_on_where_its_page_ended(key: u64, ascending: bool, limit in 1..=LIMIT_MAX) {
            let order = if ascending { "asc" } else { "desc" };
            let (page, _) = ask(&format!("order={order}&limit={limit}"), List::Events);
            let cursor = page.answer(vec![()], Some(key)).next_cursor.expect("there is more");
            for query in [format!("cursor={cursor}"), format!("cursor={cursor}&order={order}")] {
                let (next, problems) = ask(&query, List::Events);
                prop_assert!(problems.is_empty());
                prop_assert_eq!((next.after, next.order), (Some(key), page.order));
            }
            let other = if ascending { "desc" } else { "asc" };
            let (_, other_order) = ask(&format!("cursor={cursor}&order={other}"), List::Events);
            let (_, other_list) = ask(&format!("cursor={cursor}"), List::Sources);
            prop_assert!(!other_order.is_empty() && !other_list.is_empty());
        }

        #[test]
        fn no_text_is_taken_for_a_cursor_by_accident(text in "[A-Za-z0-9_-]{0,40}") {
            let (page, problems) = ask(&format!("cursor={text}"), List::Events);
            prop_assert!(page.after.is_none() && !problems.is_empty());
        }
    }

    #[test]
    fn one_entry_too_many_tells_that_there_is_more() {
        let (page, _) = ask("limit=2", List::Events);
        let sizes = |count: u64| {
            let answer = page.answer_with_one_more((0..count).collect(), |entry| *entry);
            (answer.data.len(), answer.has_more, answer.next_cursor.is_some())
        };
        assert_eq!(sizes(0), (0, false, false));
        assert_eq!(sizes(2), (2, false, false));
        assert_eq!(sizes(3), (2, true, true));
    }
}
