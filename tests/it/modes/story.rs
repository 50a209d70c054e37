//! The whole log against everything that upstream ever was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use certhook::model::event::{Event, EventType, Mode, Subject};
use certhook::model::json::Fields;
use certhook::model::resource::{Download, Snapshot};
use certhook::model::time::Timestamp;
use serde_json::{Value, json};

use super::check::{shown, unlike, without_further};
use super::expected::expected;
use super::rig::Rig;
use super::upstream::{State, is_deleted, is_hidden, was};

/// How long an answer may be under way at most: what it shows may be over by so much when it arrives.
const UNDER_WAY: Duration = Duration::from_secs(10);

const REMOVED: [EventType; 2] = [EventType::CertificateRemoved, EventType::RequestRemoved];
const RESTORED: [EventType; 2] = [EventType::CertificateRestored, EventType::RequestRestored];
const CREATED: [EventType; 2] = [EventType::CertificateCreated, EventType::RequestCreated];

impl Rig {
    /// Every event follows from what was, and everything that was follows from the events. Gives the types that were
    /// told.
    pub(super) async fn assert_log(&mut self) -> BTreeSet<EventType> {
        self.look_back().await;
        let told: Vec<EventType> = self.log.iter().map(|event| event.event_type).collect();
        let mut stories: BTreeMap<String, Vec<Vec<Arc<Event>>>> = BTreeMap::new();
        for event in &self.log {
            let Subject::Resource(key) = &event.sight.subject else { continue };
            self.assert_certificate_first(&stories, event);
            assert!(!event.body().text().contains("download_url"), "{}: {}", self.label, event.body().text());
            let sights = stories.entry(key.id.as_str().into()).or_default();
            let detection = &event.sight.detection;
            let goes_on = |sight: &&mut Vec<Arc<Event>>| {
                let last = &sight[0].sight.detection;
                (last.object_version, last.mode) == (detection.object_version, detection.mode)
            };
            match sights.last_mut().filter(goes_on) {
                Some(sight) => sight.push(Arc::clone(event)),
                None => sights.push(vec![Arc::clone(event)]),
            }
        }
        let (truth, snapshots) = (self.upstream.truth(), self.snapshots().await);
        for (id, snapshot) in &snapshots {
            let sights = stories.remove(id).unwrap_or_default();
            let story = Story { rig: self, id, states: &truth[id], former: None, version: 0, is_gone: false };
            story.assert(&sights, snapshot);
        }
        assert!(stories.is_empty(), "{}: events about what is not stored", self.label);
        self.assert_said_of_the_source(&told);
        told.into_iter().collect()
    }

    /// What is said of the source as a whole.
    fn assert_said_of_the_source(&self, told: &[EventType]) {
        let count = |wanted: EventType| told.iter().filter(|told| **told == wanted).count();
        assert!(count(EventType::GatewayBaselineCompleted) >= 1, "{}", self.label);
        assert!(count(EventType::GatewaySchemaChanged) <= 2, "{}: once for each kind", self.label);
        let (failing, recovered) = (count(EventType::GatewaySourceFailing), count(EventType::GatewaySourceRecovered));
        assert!((recovered..=recovered + 1).contains(&failing), "{}: {failing} and {recovered}", self.label);
    }

    /// A certificate that fulfils a request is told before the request is.
    fn assert_certificate_first(&self, stories: &BTreeMap<String, Vec<Vec<Arc<Event>>>>, event: &Event) {
        let fields = event.sight.object.fields();
        let named = fields.get("certificate_id").and_then(Value::as_str);
        let Some(certificate) = named.filter(|_| event.event_type == EventType::RequestFulfilled) else { return };
        let truth = self.upstream.truth();
        let ever_gone = truth[certificate].iter().any(|state| is_hidden(&state.object));
        let is_known = self.before.contains_key(certificate) || stories.contains_key(certificate) || ever_gone;
        assert!(is_known, "{}: {:?} came before {certificate}", self.label, event.sight.subject);
    }
}

/// What was told of one resource, read from the beginning.
struct Story<'a> {
    rig: &'a Rig,
    id: &'a str,
    /// Every state that it ever had upstream.
    states: &'a [State],
    former: Option<Fields>,
    version: u64,
    is_gone: bool,
}

impl Story<'_> {
    fn assert(mut self, sights: &[Vec<Arc<Event>>], snapshot: &Snapshot) {
        if let Some(baseline) = self.rig.before.get(self.id) {
            (self.former, self.version) = (Some(baseline.object.fields()), baseline.object_version);
            self.is_gone = baseline.removed.is_some();
        }
        // What was told before the baseline was complete led to what it kept.
        let begin = self.version;
        for sight in sights {
            let detection = &sight[0].sight.detection;
            if detection.mode == Mode::Derived && begin <= detection.object_version {
                let when = format!("{}: a reminder of {} {detection:?}", self.rig.label, self.id);
                assert_eq!((detection.object_version, self.is_gone), (self.version, false), "{when}");
            } else if detection.mode == Mode::Derived {
                // It was told of what the baseline saw change since.
            } else if REMOVED.contains(&sight[0].event_type) && begin < detection.object_version {
                self.assert_removal(sight);
            } else if begin < detection.object_version {
                self.assert_sight(sight);
            }
        }
        let (label, id) = (&self.rig.label, self.id);
        assert_eq!(snapshot.object_version, self.version, "{label}: {id}");
        assert_eq!(snapshot.removed.is_some(), self.is_gone, "{label}: {id}");
        let known = snapshot.object.fields();
        let last = self.former.take().unwrap_or_else(|| {
            self.assert_absorbed();
            known.clone()
        });
        let rest = unlike(&without_further(last.clone()), &without_further(known.clone()));
        assert!(rest.is_empty(), "{label}: {id} was told {last:?} and is {:?}", snapshot.object);
        self.assert_document(sights, snapshot);
    }

    /// It was there before the baseline began, and so many came to light at once that they were taken into it.
    fn assert_absorbed(&self) {
        let completed = |event: &&Arc<Event>| event.event_type == EventType::GatewayBaselineCompleted;
        let has_grown = self.rig.log.iter().filter(completed).count() > 1;
        assert!(has_grown, "{}: {} was never told", self.rig.label, self.id);
        let created_at: Timestamp = self.states[0].object["created_at"].as_str().expect("one").parse().expect("one");
        assert!(created_at < self.rig.began_at, "{}: {} is new", self.rig.label, self.id);
    }

    /// That a document came is told once, if it was known to be missing and is known to be there.
    fn assert_document(&self, sights: &[Vec<Arc<Event>>], snapshot: &Snapshot) {
        let came = |event: &&Arc<Event>| event.event_type == EventType::CertificateDocumentAvailable;
        let count = sights.iter().flatten().filter(came).count();
        let was_missing = self.rig.documents.ever_missing.contains(self.id);
        let when = format!("{}: {} has its document", self.rig.label, self.id);
        assert!(count <= 1, "{when}, told {count} times");
        if was_missing && snapshot.download == Download::Available {
            assert_eq!(count, 1, "{when}, which was missing");
        }
        if count == 1 {
            let lacked_it = self.states.iter().any(|state| state.object["sandbox"]["document"] == false);
            assert!(lacked_it && snapshot.download == Download::Available, "{when}");
        }
    }

    /// That it is gone: no list showed it at some time since it was last seen, and its id answered as the reason says.
    fn assert_removal(&mut self, sight: &[Arc<Event>]) {
        let (detection, details) = (&sight[0].sight.detection, sight[0].details.fields());
        let object = sight[0].sight.object.fields();
        let told = format!("{}: {} {} {detection:?}", self.rig.label, self.id, sight[0].details.text());
        assert_eq!((sight.len(), self.is_gone), (1, false), "{told}");
        assert_eq!(detection.object_version, self.version + 1, "a gap: {told}");
        assert_eq!(sight[0].sight.previous_attributes.text(), "{}", "{told}");
        let former = self.former.as_ref().unwrap_or(&object);
        let rest = unlike(&without_further(former.clone()), &without_further(object.clone()));
        assert!(rest.is_empty(), "it was {former:?}: {told} {object:?}");
        // By id it was asked for first, and after that a list.
        let is_found = |object: &Value| !is_deleted(object) && (!is_hidden(object) || self.rig.modes.archived_by_id);
        let (after, before) = (detection.observed_after.expect("it was seen before"), detection.observed_before);
        let ever = Timestamp::from_millis(i64::MAX);
        let was = |from, to, is_meant: &dyn Fn(&Value) -> bool| was(self.states, from, to, is_meant);
        assert!(was(after, before, &is_hidden), "a list showed it all the time: {told}");
        if details["reason"] == "unlisted" {
            assert!(was(after, before, &is_found), "its id was not found: {told}");
        } else {
            assert!(was(after, before, &|object| !is_found(object)), "its id was found: {told}");
            let is_unsure = self.rig.unsure.contains(&after);
            assert!(is_unsure || was(after.minus(UNDER_WAY), ever, &is_found), "it was gone before: {told}");
        }
        (self.former, self.version, self.is_gone) = (Some(object), self.version + 1, true);
    }

    fn assert_sight(&mut self, sight: &[Arc<Event>]) {
        let (label, id) = (&self.rig.label, self.id);
        let first = &sight[0].sight;
        let (object, previous) = (first.object.fields(), first.previous_attributes.fields());
        let types: Vec<EventType> = sight.iter().map(|event| event.event_type).collect();
        let told = format!("{label}: {id} {types:?} {previous:?} of {object:?} {:?}", first.detection);
        assert_eq!(first.detection.object_version, self.version + 1, "a gap: {told}");
        let (is_new, is_back) = (CREATED.contains(&types[0]), RESTORED.contains(&types[0]));
        assert_eq!(is_back, self.is_gone, "restored exactly when it was gone: {told}");
        assert!(!is_new || self.former.is_none(), "created at first sight: {told}");
        let mut back = object.clone();
        back.extend(previous.clone());
        let former = match self.former.take() {
            Some(former) => former,
            None if is_new => beginning(&object),
            None => {
                self.assert_absorbed();
                back.clone()
            }
        };
        self.assert_time(sight, &former, is_new, &told);
        if !is_new {
            let (former, object) = (without_further(former.clone()), without_further(object.clone()));
            assert!(unlike(&former, &without_further(back)).is_empty(), "the chain is broken: {told} after {former:?}");
            let changed: BTreeSet<String> = previous.keys().cloned().collect();
            assert_eq!(changed, unlike(&former, &object), "{told} after {former:?}");
            let has_document = types.contains(&EventType::CertificateDocumentAvailable);
            assert!(has_document || is_back || !changed.is_empty(), "nothing changed: {told}");
        }
        let mut expected = expected(id, is_new, &without_further(former.clone()), &without_further(object.clone()));
        if is_back {
            expected.insert((types[0].as_str().into(), None));
        }
        let shown: BTreeSet<(String, Option<String>)> = sight.iter().map(|event| named(event)).collect();
        assert_eq!(shown.len(), sight.len(), "told twice: {told}");
        let mut without_document = shown;
        without_document.remove(&("certificate.document_available".into(), None));
        assert_eq!(without_document, expected, "{told} after {former:?}");
        (self.former, self.version, self.is_gone) = (Some(object), self.version + 1, false);
    }

    /// It was so by the time that the event names, and as before at some time since the last sight of that.
    fn assert_time(&self, sight: &[Arc<Event>], former: &Fields, is_new: bool, told: &str) {
        let detection = &sight[0].sight.detection;
        let (after, before) = (detection.observed_after, detection.observed_before);
        assert_eq!(after.is_none(), is_new, "{told}");
        let after = after.unwrap_or(Timestamp::EPOCH);
        assert!(after <= before, "{told}");
        let is = |fields: &Fields| {
            let fields = without_further(fields.clone());
            move |object: &Value| unlike(&without_further(shown(object)), &fields).is_empty()
        };
        let object = sight[0].sight.object.fields();
        assert!(was(self.states, after, before, is(&object)), "it was never so then: {told}");
        let is_lie = self.rig.unsure.contains(&after);
        let (after, ever) = (after.minus(UNDER_WAY), Timestamp::from_millis(i64::MAX));
        if self.is_gone {
            assert!(is_lie || was(self.states, after, ever, is_hidden), "it was never gone since: {told}");
        } else if !is_new && !is_lie && !self.rig.is_blind() {
            // A sweep that cannot see what the clock moved is no sight of it, nor is one of a list that was cut short.
            assert!(was(self.states, after, ever, is(former)), "it was otherwise before: {told} after {former:?}");
        }
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
