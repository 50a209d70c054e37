//! How a resource is shown: as upstream last showed it, and what we know of that sight.

use serde_json::{Value, json};

use crate::model::json::Fields;
use crate::model::resource::Snapshot;

/// A resource with what we add to it. Ours come last, and where upstream has a field of that name, in its place.
pub(super) fn view(snapshot: Snapshot, is_withheld: bool) -> Fields {
    let mut fields = snapshot.object.fields();
    let mut add = |name: &str, value: Value| {
        fields.shift_remove(name);
        fields.insert(name.into(), value);
    };
    add("source", json!(snapshot.key.source));
    add("object_version", json!(snapshot.object_version));
    add("observed_at", json!(snapshot.observed_at));
    if let Some(removal) = snapshot.removed {
        add("removed", json!(removal));
    } else if is_withheld {
        add("removal", json!("withheld"));
    }
    fields
}
