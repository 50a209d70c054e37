//! Calls to a scripted upstream: what goes wrong with them, what happens meanwhile, and what they showed.

use std::fmt;

use certhook::model::resource::{Kind, ResourceId};
use certhook::model::time::Timestamp;
use certhook::source::{Cursor, Selection, SourceError, Urgency};
use serde_json::Value;

use super::book::Book;

/// What goes wrong with one answer. What cannot befall an answer of its kind makes it no answer at all.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// No answer.
    Error(SourceError),
    /// A page that says `has_more` and gives no cursor.
    NoCursor,
    /// A page that gives a cursor and says that there is no more.
    StrayCursor,
    /// A page that says `has_more` and gives the cursor that it was asked for with.
    RepeatedCursor,
    /// A page without rows that says `has_more` and gives a cursor.
    EmptyPage,
    /// A page that says that there is no more, although there is.
    Truncated,
    /// A page that shows only so many rows, and says that there is no more.
    CutShort(usize),
    /// One row, or the answer by id, cannot be used.
    Malformed(usize, Malformation),
    /// An answer by id that says that there is no such thing, although there is.
    NotFound,
}

/// How an item cannot be used.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Malformation {
    /// That shows only when it is looked into.
    Content,
    /// That shows at once, and its id with it.
    Size,
    /// It has no id.
    Nameless,
}

/// What happens to the book.
pub(crate) type Hook = Box<dyn FnOnce(&mut Book) + Send>;

/// What happens at one call.
pub(crate) enum Incident {
    /// Its answer goes wrong.
    Fault(Fault),
    /// Its answer comes after others have had so many turns.
    Late(u32),
    /// Something happens right after the answer was made.
    Then(Hook),
}

impl fmt::Debug for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => fault.fmt(f),
            Self::Late(turns) => write!(f, "Late({turns})"),
            Self::Then(_) => f.write_str("Then"),
        }
    }
}

/// What a call asks for.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    /// A page of a list.
    Page(Selection, Option<Cursor>),
    /// A resource by id.
    Get(ResourceId),
}

/// An item of a page.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// Its id, unless it was kept back.
    pub(crate) id: Option<String>,
    /// The row, if it can be used.
    pub(crate) row: Option<Value>,
}

/// What a call was answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A page.
    Page {
        /// Its items.
        shown: Vec<Shown>,
        /// Whether it contradicts itself.
        is_contradictory: bool,
    },
    /// A resource.
    Found(Value),
    /// There is no such thing.
    NotFound,
    /// Something that cannot be used.
    Malformed,
    /// Nothing.
    Error(SourceError),
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// What it was about.
    pub(crate) kind: Kind,
    /// On whose behalf.
    pub(crate) urgency: Urgency,
    /// What it asked for.
    pub(crate) question: Question,
    /// When it was asked.
    pub(crate) asked: u64,
    /// When the answer was made.
    pub(crate) made: u64,
    /// When the answer was there, and what our clock showed; `None`: nobody was waiting for it any more.
    pub(crate) arrived: Option<(u64, Timestamp)>,
    /// The answer.
    pub(crate) answer: Answer,
    /// Whether the answer was not true.
    pub(crate) is_a_lie: bool,
}
