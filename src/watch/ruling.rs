//! What to do with an answer, before anything is compared in earnest.

use std::time::Duration;

use serde_json::Value;

use super::applier::Way;
use crate::detect::compare::is_earlier;
use crate::detect::diff::{carries_news, lacks_status};
use crate::model::resource::{Coverage, Kind, OpenList, ResourceId, Seen, Snapshot};
use crate::model::source::SourceProgress;
use crate::model::time::Timestamp;
use crate::source::Exchange;

/// What to do with an answer about one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// It is old and shows nothing new.
    Ignore,
    /// It is the newest there is: compare it with the snapshot.
    Apply,
    /// It does not tell enough: ask for the resource by id.
    AskById,
    /// It may be older than what is known, and is not used.
    Drop {
        /// Whether asking by id would tell which of the two it is.
        ask_by_id: bool,
    },
}

/// Rules on an answer, given the snapshot and whether a newer answer was applied since it was asked for.
pub(super) fn rule(
    before: Option<&Snapshot>,
    seen: &Seen,
    way: Way,
    crossed: bool,
    ignored_fields: &[String],
) -> Ruling {
    let is_row = seen.coverage == Coverage::Row;
    let Some(before) = before else {
        let is_partial = lacks_status(seen) || may_lack_document(seen) || is_sparse_answer(seen, way);
        return if is_row && is_partial { Ruling::AskById } else { Ruling::Apply };
    };
    if before.removed.is_some() && !is_listed_since(before, way) {
        // What was archived may answer to its id for ever. Only a list brings it back.
        return Ruling::Ignore;
    }
    let has_news = before.removed.is_some() || carries_news(before, seen, ignored_fields);
    if way == Way::HeldBack {
        // Somebody else has seen it meanwhile, and nothing tells which of the two is newer.
        return if has_news { Ruling::AskById } else { Ruling::Ignore };
    }
    let is_older = is_earlier(seen.fields.get("updated_at"), before.object.fields().get("updated_at"));
    if crossed {
        return if has_news { Ruling::Drop { ask_by_id: true } } else { Ruling::Ignore };
    }
    if is_older {
        // An answer by id that is older comes from upstream itself; asking again at once would show the same.
        return Ruling::Drop { ask_by_id: is_row };
    }
    // Without the fingerprint of a row, the last answer by id came too soon after a change to be sure that no other
    // followed (see `is_settled`), or the row had moved on before it came.
    let is_open = has_news || before.row_fingerprint.is_none();
    if is_row && is_open && lacks_status(seen) { Ruling::AskById } else { Ruling::Apply }
}

/// Whether a list has shown what is gone since it went. A row may have waited meanwhile: for an answer by id, or until
/// it was clear whether nobody had known it.
fn is_listed_since(gone: &Snapshot, way: Way) -> bool {
    match way {
        Way::Listed => true,
        Way::Followed(version) => version == Some(gone.object_version),
        Way::HeldBack | Way::ById => false,
    }
}

/// Whether a row shows a certificate that may have no document yet. Only an answer by id tells, and only what is known
/// to be missing can be told to have come.
fn may_lack_document(seen: &Seen) -> bool {
    seen.key.kind == Kind::Certificate
        && matches!(OpenList::of(seen.key.kind, seen.status()), Some(OpenList::Processing | OpenList::NeedsInfo))
}

/// Whether an answer to a change shows so little that nobody could tell by its event whom it is about.
fn is_sparse_answer(seen: &Seen, way: Way) -> bool {
    way == Way::ById && !seen.fields.contains_key("customer")
}

/// Whether a resource was there before the baseline began, as far as upstream tells. An instant in whole seconds does
/// not say which part of its second it means, so one of the second in which the baseline began is not before it.
pub(super) fn is_stray(seen: &Seen, progress: &SourceProgress) -> bool {
    let began = progress.baseline_watermark.unwrap_or(progress.baseline_started_at);
    progress.baseline_completed_at.is_some()
        && seen.created_at().is_some_and(|created_at| created_at.as_seconds() < began.as_seconds())
}

/// How long after an `updated_at` a further change may still carry the same one: upstream shows it in whole seconds,
/// and its `Date` header as well.
const UNSETTLED: Duration = Duration::from_secs(2);

/// Whether a row without a status that carries this `updated_at` may be recognised from now on. If its status could
/// still change within the same second, the row would stay as it is, and hide it.
///
/// The smaller of the two clocks decides, as it does for the watermark: a `Date` header need not come from the clock
/// that makes `updated_at`. Where upstream is truly ahead, that costs a fetch a pass until our clock has got there.
pub(super) fn is_settled(updated_at: Option<Timestamp>, exchange: Exchange) -> bool {
    let now = exchange.upstream_at.map_or(exchange.asked_at, |upstream_at| upstream_at.min(exchange.asked_at));
    updated_at.is_none_or(|updated_at| updated_at.plus(UNSETTLED) <= now)
}

/// The certificate that a request has just come to name as its fulfilment. Its events come before the request's.
pub(super) fn fulfilling_certificate(before: Option<&Snapshot>, seen: &Seen) -> Option<ResourceId> {
    if seen.key.kind != Kind::CertificateRequest || seen.status() != Some("fulfilled") {
        return None;
    }
    let named = seen.fields.get("certificate_id")?;
    let known = before.map(|before| before.object.fields()).unwrap_or_default();
    let is_known = known.get("status").and_then(Value::as_str) == Some("fulfilled")
        && known.get("certificate_id").is_some_and(|known| known == named);
    if is_known { None } else { named.as_str()?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::json::Json;
    use crate::model::resource::{Agenda, Download, Removal, RemovalReason, ResourceKey};

    fn key(kind: Kind) -> ResourceKey {
        ResourceKey { source: "numeral".parse().expect("a name"), kind, id: "res_1".parse().expect("an id") }
    }

    fn snapshot(kind: Kind, object: &Value) -> Snapshot {
        Snapshot {
            key: key(kind),
            object_version: 1,
            object: Json::of(object),
            observed_at: Timestamp::EPOCH,
            row_fingerprint: Some(7),
            download: Download::Unknown,
            removed: None,
            is_whole: true,
            open_list: None,
            agenda: Agenda::default(),
        }
    }

    fn seen(kind: Kind, coverage: Coverage, object: &Value) -> Seen {
        let fields = object.as_object().expect("an object").clone();
        Seen { key: key(kind), fields, coverage, download: Download::Unknown }
    }

    fn at(second: u8, status: &str) -> Value {
        json!({"status": status, "updated_at": format!("2026-01-01T00:00:0{second}Z")})
    }

    fn way(coverage: Coverage) -> Way {
        match coverage {
            Coverage::Row => Way::Listed,
            Coverage::Whole => Way::ById,
        }
    }

    fn check(before: Option<&Value>, coverage: Coverage, object: &Value, crossed: bool, expected: Ruling) {
        let before = before.map(|object| snapshot(Kind::Certificate, object));
        let ruling = rule(before.as_ref(), &seen(Kind::Certificate, coverage, object), way(coverage), crossed, &[]);
        assert_eq!(ruling, expected, "{before:?} {coverage:?} {object} crossed: {crossed}");
    }

    #[test]
    fn the_newer_answer_wins() {
        use Coverage::{Row, Whole};
        let known = at(5, "active");
        let known = Some(&known);
        check(None, Row, &at(5, "active"), false, Ruling::Apply);
        check(known, Row, &at(6, "expired"), false, Ruling::Apply);
        check(known, Row, &at(5, "expired"), false, Ruling::Apply);
        check(known, Row, &at(4, "expired"), false, Ruling::Drop { ask_by_id: true });
        check(known, Whole, &at(4, "expired"), false, Ruling::Drop { ask_by_id: false });
        check(known, Row, &at(6, "expired"), true, Ruling::Drop { ask_by_id: true });
        check(known, Whole, &at(6, "expired"), true, Ruling::Drop { ask_by_id: true });
        check(known, Row, &at(5, "active"), true, Ruling::Ignore);
    }

    #[test]
    fn an_instant_in_whole_seconds_is_not_earlier_than_one_within_that_second() {
        let spelled = |instant: &str| json!({"status": "active", "updated_at": instant});
        for (known, shown, expected) in [
            ("2026-01-01T00:00:05.456Z", "2026-01-01T00:00:05Z", Ruling::Apply),
            ("2026-01-01T00:00:05.456Z", "2026-01-01T00:00:05.455Z", Ruling::Drop { ask_by_id: true }),
            ("2026-01-01T00:00:05.456Z", "2026-01-01T00:00:04Z", Ruling::Drop { ask_by_id: true }),
            ("2026-01-01T00:00:05Z", "2026-01-01T00:00:04.999Z", Ruling::Drop { ask_by_id: true }),
            ("2026-01-01T00:00:05Z", "2026-01-01T00:00:05.456Z", Ruling::Apply),
        ] {
            check(Some(&spelled(known)), Coverage::Row, &spelled(shown), false, expected);
        }
    }

    #[test]
    fn a_row_without_a_status_is_asked_about_only_if_it_carries_news() {
        use Coverage::{Row, Whole};
        let known = json!({
            "status": "active", "updated_at": "2026-01-01T00:00:05Z",
            "jurisdictions": [{"jurisdiction_id": "US-CA", "status": "active"}],
        });
        let row = |second: u8| {
            json!({
                "updated_at": format!("2026-01-01T00:00:0{second}Z"), "jurisdictions": [{"jurisdiction_id": "US-CA"}]
            })
        };
        check(None, Row, &row(5), false, Ruling::AskById);
        check(Some(&known), Row, &row(5), false, Ruling::Apply);
        check(Some(&known), Row, &row(6), false, Ruling::AskById);
        check(None, Whole, &row(5), false, Ruling::Apply);
        let mut unsettled = snapshot(Kind::Certificate, &known);
        unsettled.row_fingerprint = None;
        assert_eq!(
            rule(Some(&unsettled), &seen(Kind::Certificate, Row, &row(5)), Way::Listed, false, &[]),
            Ruling::AskById
        );
        let mut half = row(6);
        half["status"] = json!("active");
        check(Some(&known), Row, &half, false, Ruling::AskById);
    }

    #[test]
    fn a_change_is_settled_when_no_other_can_carry_its_instant() {
        let at = Timestamp::from_millis;
        let exchange = |upstream| Exchange { asked_at: at(9_000), answered_at: at(9_500), upstream_at: upstream };
        assert!(is_settled(Some(at(6_000)), exchange(Some(at(8_000)))));
        assert!(!is_settled(Some(at(7_000)), exchange(Some(at(8_000)))));
        assert!(is_settled(Some(at(7_000)), exchange(None)));
        assert!(!is_settled(Some(at(8_000)), exchange(None)));
        assert!(is_settled(None, exchange(None)));
        // A `Date` that is ahead of the clock that makes `updated_at` would call settled what is still going on.
        assert!(!is_settled(Some(at(8_000)), exchange(Some(at(189_000)))));
    }

    #[test]
    fn what_was_gone_is_not_restored_by_a_listing_from_before() {
        let mut gone = snapshot(Kind::Certificate, &at(5, "active"));
        gone.removed = Some(Removal { reason: RemovalReason::NotFound, at: Timestamp::EPOCH });
        let row = seen(Kind::Certificate, Coverage::Row, &at(5, "active"));
        assert_eq!(rule(Some(&gone), &row, Way::Listed, true, &[]), Ruling::Drop { ask_by_id: true });
        assert_eq!(rule(Some(&gone), &row, Way::Listed, false, &[]), Ruling::Apply);
        let whole = seen(Kind::Certificate, Coverage::Whole, &at(6, "active"));
        assert_eq!(rule(Some(&gone), &whole, Way::ById, false, &[]), Ruling::Ignore, "it may be archived");
        gone.object_version = 3;
        for (known, expected) in [(Some(3), Ruling::Apply), (Some(1), Ruling::Ignore), (None, Ruling::Ignore)] {
            let ruling = rule(Some(&gone), &whole, Way::Followed(known), false, &[]);
            assert_eq!(ruling, expected, "version {known:?} was gone when its row came");
        }
        assert_eq!(rule(Some(&gone), &row, Way::HeldBack, false, &[]), Ruling::Ignore, "nobody had known it");
    }

    #[test]
    fn a_certificate_is_wanted_when_a_request_comes_to_name_it() {
        let fulfilled = json!({"status": "fulfilled", "certificate_id": "cert_1"});
        let kind = Kind::CertificateRequest;
        let wanted = |before: Option<&Value>, object: &Value| {
            let before = before.map(|object| snapshot(kind, object));
            fulfilling_certificate(before.as_ref(), &seen(kind, Coverage::Row, object)).map(|id| id.as_str().to_owned())
        };
        assert_eq!(wanted(None, &fulfilled).as_deref(), Some("cert_1"));
        assert_eq!(wanted(Some(&json!({"status": "pending"})), &fulfilled).as_deref(), Some("cert_1"));
        let unnamed = json!({"status": "fulfilled", "certificate_id": null});
        assert_eq!(wanted(Some(&unnamed), &fulfilled).as_deref(), Some("cert_1"));
        assert_eq!(wanted(Some(&fulfilled), &fulfilled), None);
        assert_eq!(wanted(None, &unnamed), None);
        assert_eq!(wanted(None, &json!({"status": "fulfilled", "certificate_id": "no id!"})), None);
    }
}
