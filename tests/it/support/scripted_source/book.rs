//! What a scripted upstream holds, and all that it ever held.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use certhook::model::resource::Kind;
use serde_json::Value;

/// Counts what happens, so that whatever happens has its place before or after everything else.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moments(Arc<AtomicU64>);

impl Moments {
    /// The moment of something that happens now.
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A resource as upstream holds it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    /// All its fields.
    pub(crate) object: Value,
    /// Whether lists show it.
    pub(crate) is_listed: bool,
    /// Whether it is there for who asks for it by id.
    pub(crate) is_readable: bool,
}

/// A state of a resource, until the next one of it begins.
#[derive(Clone, Debug)]
pub(crate) struct Era {
    /// When it began.
    pub(crate) since: u64,
    /// The state; `None`: there was no such thing.
    pub(crate) item: Option<Item>,
}

/// All states of all resources, in their order.
pub(crate) type History = BTreeMap<(Kind, String), Vec<Era>>;

/// What upstream holds, in the order in which it lists it. A resource may carry a `trap`: `panic` (whoever looks into
/// its row panics), `malformed` (neither its row nor the answer by id can be used), `unreadable` (its row is an item
/// that is not more than an id) or `anonymous` (not even that).
#[derive(Debug, Default)]
pub(crate) struct Book {
    lists: [Vec<Item>; 2],
    moments: Moments,
    history: History,
}

impl Book {
    /// Adds a resource, or replaces the one of its id where it stands.
    pub(crate) fn put(&mut self, kind: Kind, object: Value) {
        let id = id_of(&object);
        match self.lists[kind as usize].iter_mut().find(|known| known.object["id"] == object["id"]) {
            Some(known) => known.object = object,
            None => self.lists[kind as usize].push(Item { object, is_listed: true, is_readable: true }),
        }
        self.note(kind, &id);
    }

    /// Changes a resource.
    pub(crate) fn change(&mut self, kind: Kind, id: &str, change: impl FnOnce(&mut Value)) {
        let known = self.find(kind, id).expect("it is in the book");
        change(&mut known.object);
        let id = id_of(&known.object);
        self.note(kind, &id);
    }

    /// Sets whether lists show a resource, and whether it is there for who asks for it by id.
    pub(crate) fn show(&mut self, kind: Kind, id: &str, is_listed: bool, is_readable: bool) {
        let known = self.find(kind, id).expect("it is in the book");
        (known.is_listed, known.is_readable) = (is_listed, is_readable);
        self.note(kind, id);
    }

    /// Moves a resource to another place of its list.
    pub(crate) fn reorder(&mut self, kind: Kind, id: &str, place: usize) {
        let list = &mut self.lists[kind as usize];
        if let Some(former) = list.iter().position(|known| known.object["id"] == id) {
            let item = list.remove(former);
            list.insert(place.min(list.len()), item);
        }
    }

    /// Takes a resource out.
    pub(crate) fn remove(&mut self, kind: Kind, id: &str) {
        self.lists[kind as usize].retain(|known| known.object["id"] != id);
        self.note(kind, id);
    }

    /// No list shows that id any more, although it is still answered to.
    pub(crate) fn archive(&mut self, id: &str) {
        self.kinds_of(id).into_iter().for_each(|kind| self.show(kind, id, false, true));
    }

    /// The opposite.
    pub(crate) fn unarchive(&mut self, id: &str) {
        self.kinds_of(id).into_iter().for_each(|kind| self.show(kind, id, true, true));
    }

    /// Lists show a resource before all others from now on.
    pub(crate) fn move_to_front(&mut self, kind: Kind, id: &str) {
        self.reorder(kind, id, 0);
    }

    /// All of a kind, whether lists show them or not.
    pub(crate) fn all(&self, kind: Kind) -> Vec<Value> {
        self.items(kind).iter().map(|item| item.object.clone()).collect()
    }

    /// The same, with how they are shown.
    pub(crate) fn items(&self, kind: Kind) -> &[Item] {
        &self.lists[kind as usize]
    }

    /// One resource, shown or not.
    pub(crate) fn item(&self, kind: Kind, id: &str) -> Option<&Item> {
        self.items(kind).iter().find(|known| known.object["id"] == id)
    }

    /// All that there ever was.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// What counts what happens.
    pub(crate) fn moments(&self) -> &Moments {
        &self.moments
    }

    fn kinds_of(&self, id: &str) -> Vec<Kind> {
        Kind::ALL.into_iter().filter(|kind| self.item(*kind, id).is_some()).collect()
    }

    fn find(&mut self, kind: Kind, id: &str) -> Option<&mut Item> {
        self.lists[kind as usize].iter_mut().find(|known| known.object["id"] == id)
    }

    /// Remembers what has become of a resource.
    fn note(&mut self, kind: Kind, id: &str) {
        let item = self.item(kind, id).cloned();
        let eras = self.history.entry((kind, id.to_owned())).or_default();
        if eras.last().and_then(|era| era.item.as_ref()) != item.as_ref() {
            eras.push(Era { since: self.moments.next(), item });
        }
    }
}

/// What is wrong with a resource.
pub(super) fn trap(object: &Value) -> Option<&str> {
    object["trap"].as_str()
}

fn id_of(object: &Value) -> String {
    object["id"].as_str().expect("text").to_owned()
}
