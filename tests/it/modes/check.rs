//! What must hold of what was stored and told, whatever happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use certhook::detect::compare::changed_fields;
use certhook::model::event::{Event, EventType, Subject};
use certhook::model::id::Position;
use certhook::model::json::Fields;
use certhook::model::resource::Snapshot;
use certhook::store::EventLog;
use serde_json::{Value, json};

use super::rig::Rig;

/// An object as upstream shows it, without what it keeps to itself and what we do not keep.
fn shown(object: &Value) -> Fields {
    let mut fields = object.as_object().expect("an object").clone();
    fields.shift_remove("sandbox");
    fields.shift_remove("download_url");
    fields
}

/// The names of the fields that differ, `updated_at` left out.
fn unlike(one: &Fields, other: &Fields) -> BTreeSet<String> {
    changed_fields(one, other).into_iter().filter(|name| *name != "updated_at").map(Into::into).collect()
}

impl Rig {
    /// Every object that upstream lists is known as upstream shows it by id.
    pub(super) async fn assert_in_step(&self, when: &str) {
        let snapshots = self.snapshots().await;
        // Where rows carry no status, a move that leaves no other trace in them shows only by id.
        let is_blind = !self.modes.status_in_rows && !self.modes.clock_moves_bump_updated_at;
        for (id, states) in self.upstream.truth() {
            let hidden = &states.last().expect("a state")["sandbox"];
            if hidden["archived"] == true || hidden["deleted"] == true || hidden["revision_of"].is_string() {
                continue;
            }
            let list = if id.starts_with("cert_req_") { "certificate-requests" } else { "certificates" };
            let (_, object) = self.upstream.call("GET", &format!("/tax/{list}/{id}"), &Value::Null).await;
            let object = shown(&object);
            let snapshot = snapshots.get(&id).unwrap_or_else(|| panic!("{}: {id} is unknown {when}", self.label));
            let known = snapshot.object.fields();
            let mut changed = changed_fields(&known, &object);
            if is_blind && !changed.contains(&"updated_at") {
                changed.retain(|name| !["status", "jurisdictions"].contains(name));
            }
            assert!(changed.is_empty(), "{}: {id} differs in {changed:?} {when}: {known:?} but {object:?}", self.label);
            assert!(!snapshot.object.text().contains("download_url"), "{}: {id} is kept with its URL", self.label);
        }
    }

    /// The whole log against everything that upstream ever was. Gives the types that were told.
    pub(super) async fn assert_log(&self) -> BTreeSet<EventType> {
        let mut log: Vec<Arc<Event>> = Vec::new();
        loop {
            let after = log.last().map_or(Position::START, |event| event.position());
            let more = self.store.events_after(after, 500).await.expect("the log");
            if more.is_empty() {
                break;
            }
            log.extend(more);
        }
        let told = log.iter().map(|event| event.event_type).collect();
        let mut stories: BTreeMap<String, Vec<Vec<Arc<Event>>>> = BTreeMap::new();
        for event in log {
            let Subject::Resource(key) = &event.sight.subject else { continue };
            self.assert_certificate_first(&stories, &event);
            assert!(!event.body().text().contains("download_url"), "{}: {}", self.label, event.body().text());
            let sights = stories.entry(key.id.as_str().into()).or_default();
            let version = event.sight.detection.object_version;
            match sights.last_mut().filter(|sight| sight[0].sight.detection.object_version == version) {
                Some(sight) => sight.push(event),
                None => sights.push(vec![event]),
            }
        }
        let (truth, snapshots) = (self.upstream.truth(), self.snapshots().await);
        for (id, snapshot) in &snapshots {
            let sights = stories.remove(id).unwrap_or_default();
            Story { rig: self, id, states: &truth[id], former: None, version: 0 }.assert(&sights, snapshot);
        }
        assert!(stories.is_empty(), "{}: events about what is not stored", self.label);
        told
    }

    /// A certificate that fulfils a request is told before the request is.
    fn assert_certificate_first(&self, stories: &BTreeMap<String, Vec<Vec<Arc<Event>>>>, event: &Event) {
        let fields = event.sight.object.fields();
        let named = fields.get("certificate_id").and_then(Value::as_str);
        let Some(certificate) = named.filter(|_| event.event_type == EventType::RequestFulfilled) else { return };
        let truth = self.upstream.truth();
        let ever_gone = truth[certificate]
            .iter()
            .any(|state| state["sandbox"]["deleted"] == true || state["sandbox"]["archived"] == true);
        let is_known = self.before.contains_key(certificate) || stories.contains_key(certificate) || ever_gone;
        assert!(is_known, "{}: {:?} came before {certificate}", self.label, event.sight.subject);
    }
}

/// What was told of one resource, read from the beginning.
struct Story<'a> {
    rig: &'a Rig,
    id: &'a str,
    /// Every state that it ever had upstream.
    states: &'a [Value],
    former: Option<Fields>,
    version: u64,
}

impl Story<'_> {
    fn assert(mut self, sights: &[Vec<Arc<Event>>], snapshot: &Snapshot) {
        if let Some(baseline) = self.rig.before.get(self.id) {
            (self.former, self.version) = (Some(baseline.object.fields()), baseline.object_version);
        }
        // What was told before the baseline was complete led to what it kept.
        let begin = self.version;
        for sight in sights.iter().filter(|sight| sight[0].sight.detection.object_version > begin) {
            self.assert_sight(sight);
        }
        let (label, id) = (&self.rig.label, self.id);
        assert_eq!(snapshot.object_version, self.version, "{label}: {id}");
        let last = self.former.expect("a baseline or a first sight");
        let rest = unlike(&last, &snapshot.object.fields());
        assert!(rest.is_empty(), "{label}: {id} was told {last:?} and is {:?}", snapshot.object);
    }

    fn assert_sight(&mut self, sight: &[Arc<Event>]) {
        let (label, id) = (&self.rig.label, self.id);
        let first = &sight[0].sight;
        let (object, previous) = (first.object.fields(), first.previous_attributes.fields());
        let types: Vec<EventType> = sight.iter().map(|event| event.event_type).collect();
        let told = format!("{label}: {id} {types:?} {previous:?} of {object:?}");
        assert_eq!(first.detection.object_version, self.version + 1, "a gap: {told}");
        assert!(
            first.detection.observed_after <= Some(first.detection.observed_before),
            "{:?}: {told}",
            first.detection
        );
        let real = self.states.iter().any(|state| changed_fields(&shown(state), &object).is_empty());
        assert!(real, "it was never so: {told}");

        let is_new = matches!(types[0], EventType::CertificateCreated | EventType::RequestCreated);
        assert_eq!(is_new, self.former.is_none(), "created exactly at first sight: {told}");
        let former = self.former.take().unwrap_or_else(|| beginning(&object));
        if !is_new {
            let mut back = object.clone();
            back.extend(previous.clone());
            assert!(unlike(&former, &back).is_empty(), "the chain is broken: {told} after {former:?}");
            let changed: BTreeSet<String> = previous.keys().cloned().collect();
            assert_eq!(changed, unlike(&former, &object), "{told} after {former:?}");
            let has_document = types.contains(&EventType::CertificateDocumentAvailable);
            assert!(has_document || !changed.is_empty(), "nothing changed: {told}");
        }
        let expected = expected(self.id, is_new, &former, &object);
        let shown: BTreeSet<(String, Option<String>)> = sight.iter().map(|event| named(event)).collect();
        assert_eq!(shown.len(), sight.len(), "told twice: {told}");
        let mut without_document = shown;
        without_document.remove(&("certificate.document_available".into(), None));
        assert_eq!(without_document, expected, "{told} after {former:?}");
        (self.former, self.version) = (Some(object), self.version + 1);
    }
}

/// The start of the lifecycle, with everything that is no part of it as it is.
fn beginning(object: &Fields) -> Fields {
    let mut fields = object.clone();
    let is_certificate = object["object"] == "tax.exemption_certificate";
    fields["status"] = json!(if is_certificate { "processing" } else { "pending" });
    if is_certificate {
        fields["jurisdictions"] = json!([]);
    }
    fields
}

fn named(event: &Event) -> (String, Option<String>) {
    let details = event.details.fields();
    (event.event_type.as_str().into(), details.get("jurisdiction_id").and_then(Value::as_str).map(Into::into))
}

/// The events of a step, worked out anew: the document apart.
fn expected(id: &str, is_new: bool, former: &Fields, object: &Fields) -> BTreeSet<(String, Option<String>)> {
    let kind = if id.starts_with("cert_req_") { "certificate_request" } else { "certificate" };
    let mut told = BTreeSet::new();
    let mut tell = |word: &str, entry: Option<&str>| told.insert((format!("{kind}.{word}"), entry.map(Into::into)));
    if is_new {
        tell("created", None);
    }
    let (old, new) = (&former["status"], &object["status"]);
    let word = new.as_str().expect("a status");
    let mut changed = unlike(former, object);
    if changed.remove("status") {
        tell(if word == "pending" { "reopened" } else { word }, None);
        if ["processing", "needs_info"].iter().any(|word| old == word)
            && ["active", "expiring", "expired", "invalid"].contains(&word)
        {
            tell("processing_completed", None);
        }
        if word == "fulfilled" {
            changed.remove("certificate_id");
        }
    }
    if kind == "certificate" {
        told.extend(expected_of_dates_and_entries(is_new, former, object, &mut changed));
    }
    if !changed.is_empty() && !is_new {
        told.insert((format!("{kind}.updated"), None));
    }
    told
}

/// What a certificate's dates and jurisdictions tell. Leaves in `changed` what that does not account for.
fn expected_of_dates_and_entries(
    is_new: bool,
    former: &Fields,
    object: &Fields,
    changed: &mut BTreeSet<String>,
) -> BTreeSet<(String, Option<String>)> {
    let mut told = BTreeSet::new();
    let mut tell = |word: &str, id: &str| told.insert((format!("certificate.jurisdiction.{word}"), Some(id.into())));
    let mut renewed = later(former, object);
    if renewed {
        changed.remove("expiration_date");
    }
    if changed.remove("jurisdictions") {
        let (before, after) = (entries(former), entries(object));
        let mut rest = false;
        for (id, entry) in &after {
            let status = entry["status"].as_str().expect("a status");
            match before.get(id) {
                Some(known) => {
                    renewed |= later(known, entry);
                    let mut parts = unlike(known, entry);
                    if parts.contains("status") {
                        tell(status, id);
                        continue;
                    }
                    if later(known, entry) {
                        parts.remove("expiration_date");
                    }
                    rest |= !parts.is_empty();
                }
                None => {
                    tell(status, id);
                    if !is_new {
                        tell("added", id);
                    }
                }
            }
        }
        for id in before.keys().filter(|id| !after.contains_key(*id)) {
            tell("removed", id);
        }
        if rest {
            changed.insert("jurisdictions".into());
        }
    }
    if renewed {
        told.insert(("certificate.renewed".into(), None));
    }
    told
}

/// ISO dates sort as texts.
fn later(before: &Fields, after: &Fields) -> bool {
    let date = |fields: &Fields| fields.get("expiration_date").and_then(Value::as_str).map(ToOwned::to_owned);
    date(before).zip(date(after)).is_some_and(|(before, after)| before < after)
}

fn entries(object: &Fields) -> BTreeMap<String, Fields> {
    let list = object["jurisdictions"].as_array().expect("a list");
    let entry = |entry: &Value| (entry["jurisdiction_id"].as_str().expect("an id").to_owned(), shown(entry));
    list.iter().map(entry).collect()
}
