//! Rows of snapshots and of absences.

use super::super::snapshot::{Outline, absence, object_text, read_absence, read_snapshot, row_fingerprint, snapshot};
use super::*;
use crate::model::resource::{
    Absence, AbsenceState, Agenda, Download, OpenList, Reminded, Removal, RemovalReason, Snapshot,
};

fn request(number: u32) -> Json {
    let text = format!(
        r#"{{"id":"cert_1","object":"tax.certificate_request","status":"pending","customer":null,"certificate_id":null,"certificate_type_id":"US-CA-CDTFA-230","jurisdictions":["US-CA","US-{number}"],"created_at":"2026-06-10T18:24:09.123Z","expires_at":null,"livemode":true}}"#
    );
    Json::from_text(text).unwrap()
}

fn plain_snapshot() -> Snapshot {
    Snapshot {
        key: key(Kind::Certificate),
        object_version: 300,
        object: object(),
        observed_at: at(17),
        row_fingerprint: None,
        download: Download::Unknown,
        removed: None,
        is_whole: false,
        open_list: None,
        agenda: Agenda::default(),
    }
}

/// What a snapshot could be before there were open lists and agendas.
fn former_snapshots() -> [Snapshot; 3] {
    let removed = Some(Removal { reason: RemovalReason::Unlisted, at: at(18) });
    let fingerprint = Some(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    [
        Snapshot { download: Download::Missing, row_fingerprint: fingerprint, ..plain_snapshot() },
        Snapshot { download: Download::Available, removed, ..plain_snapshot() },
        plain_snapshot(),
    ]
}

#[test]
fn snapshots() {
    let mut values: Vec<Snapshot> = former_snapshots().into();
    values.push(Snapshot { is_whole: true, ..plain_snapshot() });
    let removed = Some(Removal { reason: RemovalReason::NotFound, at: at(18) });
    let fetch_again = Agenda { fetch_at: Some(at(20)), ..Agenda::default() };
    values.push(Snapshot { removed, agenda: fetch_again, ..plain_snapshot() });
    values.extend(OpenList::ALL.map(|list| Snapshot { open_list: Some(list), ..plain_snapshot() }));
    let done = |jurisdiction_id: Option<&str>, threshold_days| Reminded {
        jurisdiction_id: jurisdiction_id.map(Into::into),
        date: "2027-03-31".into(),
        threshold_days,
    };
    let agenda = Agenda {
        remind_at: Some(at(19)),
        fetch_at: Some(at(20)),
        fetched_at: Some(at(-21)),
        document_missing_since: Some(at(22)),
        reminded: vec![done(None, 7), done(Some("US-CA"), 300)],
    };
    values.push(Snapshot { agenda, ..plain_snapshot() });
    let read = |value: &Snapshot, bytes: &[u8]| read_snapshot(value.key.clone(), bytes);
    check_plain(3, include_str!("snapshot_2.hex"), &values, snapshot, read);
    values.iter().for_each(|value| assert_eq!(Outline::read(&snapshot(value)).unwrap(), Outline::of(value)));

    // The same with objects that are packed.
    let file = include_str!("snapshot_3.hex");
    for (value, number) in values.iter_mut().zip(0..) {
        value.object = if number % 2 == 0 { certificate(number) } else { request(number) };
    }
    check_packed(3, file, &values, snapshot, read);
    for (value, line) in values.iter().zip(file.lines()) {
        let row = bytes_of(line);
        assert_eq!(Outline::read(&row).unwrap(), Outline::of(value));
        assert_eq!(row_fingerprint(&row).unwrap(), (value.removed.is_some(), value.row_fingerprint));
        assert_eq!(object_text(&value.key.id, &row).unwrap(), value.object.text());
    }
}

#[test]
fn former_rows_of_snapshots_are_read() {
    let file = include_str!("snapshot.hex");
    check_read(file, &former_snapshots(), |value, bytes| read_snapshot(value.key.clone(), bytes));
    for (value, line) in former_snapshots().iter().zip(file.lines()) {
        let former = bytes_of(line);
        assert_eq!(Outline::read(&former).unwrap(), Outline::of(value));
        let former_bytes = former.len() - value.removed.iter().map(|_| "\x08unlisted".len() - 1).sum::<usize>();
        assert_eq!(snapshot(value).len(), former_bytes + 3, "what was added costs a byte each while it is empty");
    }
    let unknown = file.lines().nth(1).unwrap().replace(&hex_of(b"unlisted"), &hex_of(b"whatever"));
    let refused = read_snapshot(key(Kind::Certificate), &bytes_of(&unknown)).unwrap_err();
    assert!(refused.to_string().contains(r#"it was removed for "whatever""#), "{refused}");
}

#[test]
fn absences() {
    let states = [AbsenceState::Withheld, AbsenceState::Kept, AbsenceState::Confirmed, AbsenceState::Unknown];
    let values = states.map(|state| Absence { key: key(Kind::Certificate), state, since: at(17) });
    check(include_str!("absence.hex"), &values, absence, |value, bytes| read_absence(value.key.clone(), bytes));
}
