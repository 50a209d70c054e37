//! The end of a resource: what is told when it is confirmed to be gone.

use serde_json::json;

use super::diff;
use crate::model::event::{Cause, Detection, EventDraft, EventType, Mode, Sight};
use crate::model::json::{Fields, Json};
use crate::model::resource::{Agenda, Kind, Removal, RemovalReason, Snapshot};
use crate::model::time::Timestamp;

/// The tombstone of a resource that is there, the sight, and its one event.
///
/// The tombstone keeps what was last known, the fingerprint of the row included: should the resource come back as it
/// was, that is no change. Nothing in its agenda is due any more, while the reminders that are done with stay so. Its
/// document is looked for anew if it comes back without one.
pub fn removed(
    before: &Snapshot,
    reason: RemovalReason,
    at: Timestamp,
    observed_after: Timestamp,
    cause: Cause,
    api_version: &str,
) -> (Snapshot, Sight, Vec<EventDraft>) {
    let snapshot = Snapshot {
        object_version: before.object_version + 1,
        observed_at: at,
        removed: Some(Removal { reason, at }),
        open_list: None,
        agenda: Agenda { remind_at: None, fetch_at: None, document_missing_since: None, ..before.agenda.clone() },
        ..before.clone()
    };
    let detection = Detection {
        mode: Mode::Live,
        pass: Some(cause),
        request_id: None,
        object_version: snapshot.object_version,
        // The clock may have been set back since, while no process ran.
        observed_after: Some(observed_after.min(at)),
        observed_before: at,
    };
    let sight = diff::sight(&snapshot, &snapshot.object.fields(), &Fields::new(), api_version, detection);
    let event_type = match snapshot.key.kind {
        Kind::Certificate => EventType::CertificateRemoved,
        Kind::CertificateRequest => EventType::RequestRemoved,
    };
    let draft = EventDraft { event_type, details: Json::of(&json!({ "reason": reason })) };
    (snapshot, sight, vec![draft])
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::detect::diff::diff;
    use crate::detect::transitions::{OBSERVED, context, seen, snapshot, told};
    use crate::model::resource::{Coverage, OpenList, Reminded};

    const AT: Timestamp = Timestamp::from_millis(1_800_000);

    fn pending() -> Snapshot {
        let reminded = Reminded { jurisdiction_id: None, date: "2027-03-31T12:00:00Z".into(), threshold_days: 30 };
        let agenda = Agenda {
            remind_at: Some(AT.plus(std::time::Duration::from_secs(1))),
            fetch_at: Some(AT),
            fetched_at: Some(OBSERVED),
            document_missing_since: Some(OBSERVED),
            reminded: vec![reminded],
        };
        Snapshot { agenda, ..snapshot(Kind::CertificateRequest, &json!({"status": "pending", "livemode": false})) }
    }

    fn remove(before: &Snapshot, reason: RemovalReason) -> (Snapshot, Sight, Vec<EventDraft>) {
        removed(before, reason, AT, OBSERVED, Cause::Sweep, "2026-03-01")
    }

    #[test]
    fn a_removal_is_one_event_with_its_reason() {
        for (kind, reason, event, word) in [
            (Kind::Certificate, RemovalReason::NotFound, EventType::CertificateRemoved, "not_found"),
            (Kind::CertificateRequest, RemovalReason::Unlisted, EventType::RequestRemoved, "unlisted"),
        ] {
            let before = snapshot(kind, &json!({"status": "active"}));
            let (_, sight, drafts) = remove(&before, reason);
            let details = drafts[0].details.fields();
            assert_eq!((drafts.len(), drafts[0].event_type), (1, event));
            assert_eq!(Value::Object(details), json!({ "reason": word }));
            assert_eq!((sight.object, sight.previous_attributes.text()), (before.object, "{}"));
            let detection = sight.detection;
            assert_eq!((detection.mode, detection.pass), (Mode::Live, Some(Cause::Sweep)));
            assert_eq!((detection.object_version, detection.observed_before), (5, AT));
            assert_eq!(detection.observed_after, Some(OBSERVED));
        }
        let (_, sight, _) = removed(&pending(), RemovalReason::NotFound, OBSERVED, AT, Cause::Deadline, "2026-03-01");
        assert_eq!(sight.detection.observed_after, Some(OBSERVED), "the clock was set back");
        assert!(!sight.livemode);
    }

    #[test]
    fn a_tombstone_keeps_what_was_known_and_is_due_for_nothing() {
        let before = pending();
        assert_eq!(before.open_list, Some(OpenList::Pending));
        let (after, ..) = remove(&before, RemovalReason::NotFound);
        assert_eq!(after.removed, Some(Removal { reason: RemovalReason::NotFound, at: AT }));
        assert_eq!((after.object_version, after.observed_at, after.open_list), (5, AT, None));
        assert_eq!((after.agenda.remind_at, after.agenda.fetch_at), (None, None));
        assert_eq!(after.agenda.reminded, before.agenda.reminded);
        assert_eq!((after.object, after.row_fingerprint, after.download), (before.object, Some(7), before.download));
    }

    #[test]
    fn what_comes_back_goes_on_where_it_ended() {
        let (gone, ..) = remove(&pending(), RemovalReason::NotFound);
        let object = gone.object.fields();
        let back = seen(Kind::CertificateRequest, Coverage::Row, &Value::Object(object));
        let (after, sight, drafts) = told(diff(Some(&gone), &back, &context()));
        assert_eq!(drafts, [EventDraft::plain(EventType::RequestRestored)]);
        assert_eq!((after.object_version, after.removed, after.open_list), (6, None, Some(OpenList::Pending)));
        assert_eq!((after.agenda, sight.detection.observed_after), (gone.agenda, Some(AT)));
    }
}
