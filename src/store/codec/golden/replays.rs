//! Replays, as they were written once.

use super::*;
use crate::model::replay::{Course, Cursor, Progress, Range, ReplayStatus, Select};
use crate::store::codec::rare::{Asked, read_replay, read_replay_progress, replay, replay_progress};

#[test]
fn replays_as_asked_for_and_how_they_are_doing() {
    let id = ReplayId { number: ReplayNumber(3), random: 77 };
    let endpoint_id = EndpointId { number: EndpointNumber(5), random: 12345 };
    let range = Range {
        after: Position(4),
        until: Position(1 << 40),
        asked_since: None,
        asked_until: None,
        types: vec![Pattern::Everything, "certificate.active".parse().unwrap()],
        filter: Filter { jurisdictions: vec!["US-CA".into()], ..Filter::default() },
        resource_id: Some("cert_1".parse().unwrap()),
        event_ids: vec![EventId { position: Position(9), epoch: 1_795_233_600, start: 7 }],
        select: Select::Failed,
    };
    let asked = |course| Asked { id, endpoint_id, created_at: at(1), course };
    let dated = Range { asked_since: Some(at(2)), asked_until: Some(at(3)), ..range.clone() };
    let courses = [Course::Log(range), Course::Snapshots(Filter::default()), Course::Log(dated)];
    check(include_str!("replay.hex"), &courses.map(asked), replay, |_, bytes| read_replay(bytes));
    let progress = |cursor, status, ended_at| Progress {
        cursor,
        status,
        ended_at,
        matched: 10,
        delivered: 5,
        failed: 3,
        canceled: 2,
        cut: 0,
    };
    let values = [
        progress(Cursor::Log(Position(7)), ReplayStatus::Running, None),
        progress(Cursor::Snapshots(None), ReplayStatus::Running, None),
        progress(Cursor::Snapshots(Some(key(Kind::Certificate))), ReplayStatus::Canceled, Some(at(2))),
        progress(Cursor::End, ReplayStatus::Completed, Some(at(3))),
        Progress { cut: 7, ..progress(Cursor::Log(Position(7)), ReplayStatus::Running, None) },
    ];
    check(include_str!("replay_progress.hex"), &values, replay_progress, |_, bytes| read_replay_progress(bytes));
}
