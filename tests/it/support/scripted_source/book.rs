//! What a scripted upstream holds.

use std::collections::HashSet;

use certhook::model::resource::Kind;
use certhook::model::time::Timestamp;
use certhook::source::Selection;
use serde_json::Value;

/// What upstream holds, in the order in which it lists it. A resource may carry a `trap`: `panic` (whoever looks into
/// its row panics), `malformed` (neither its row nor the answer by id can be used), `unreadable` (its row is an item
/// that is not more than an id) or `anonymous` (not even that).
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(super) lists: [Vec<Value>; 2],
    pub(super) archived: HashSet<String>,
}

impl Book {
    /// Adds a resource, or replaces the one of its id where it stands.
    pub(crate) fn put(&mut self, kind: Kind, object: Value) {
        let list = &mut self.lists[kind as usize];
        match list.iter_mut().find(|known| known["id"] == object["id"]) {
            Some(known) => *known = object,
            None => list.push(object),
        }
    }

    /// Changes a resource.
    pub(crate) fn change(&mut self, kind: Kind, id: &str, change: impl FnOnce(&mut Value)) {
        change(self.lists[kind as usize].iter_mut().find(|known| known["id"] == id).expect("it is in the book"));
    }

    /// All of a kind.
    pub(crate) fn all(&self, kind: Kind) -> Vec<Value> {
        self.lists[kind as usize].clone()
    }

    /// Takes a resource out.
    pub(crate) fn remove(&mut self, kind: Kind, id: &str) {
        self.lists[kind as usize].retain(|known| known["id"] != id);
    }

    /// No list shows that id any more, although it is still answered to.
    pub(crate) fn archive(&mut self, id: &str) {
        self.archived.insert(id.into());
    }

    /// The opposite.
    pub(crate) fn unarchive(&mut self, id: &str) {
        self.archived.remove(id);
    }

    /// Lists show a resource before all others from now on.
    pub(crate) fn move_to_front(&mut self, kind: Kind, id: &str) {
        let list = &mut self.lists[kind as usize];
        let place = list.iter().position(|known| known["id"] == id).expect("it is in the book");
        list[..=place].rotate_right(1);
    }
}

/// What is wrong with a resource.
pub(super) fn trap(object: &Value) -> Option<&str> {
    object["trap"].as_str()
}

/// Whether a listing of that selection shows a resource that is not archived.
pub(super) fn is_selected(selection: &Selection, object: &Value) -> bool {
    let instant = |name: &str| object[name].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    match selection {
        Selection::Everything => true,
        Selection::UpdatedAfter(after) => instant("updated_at").is_some_and(|at| at >= *after),
        Selection::Status(status) => object["status"] == *status,
        Selection::CreatedBetween(after, before) => {
            instant("created_at").is_some_and(|at| at >= *after && at <= *before)
        }
    }
}
