//! How likely everything is.

use std::time::Duration;

use certhook::model::resource::Kind;
use certhook::model::source::PassKind;
use certhook::source::SourceError;
use proptest::prelude::*;
use proptest::sample::select;

use super::steps::{Alteration, Case, Change, JURISDICTIONS, Mishap, NEW_FIELDS, Step, World};
use crate::support::scripted_source::calls::{Fault, Malformation};
use crate::support::scripted_source::showing::LostCursor;

/// So many resources of each kind there can be.
const RESOURCES: u8 = 5;

const CERTIFICATE_WORDS: [&str; 7] = ["processing", "needs_info", "active", "expiring", "expired", "invalid", "odd"];
const REQUEST_WORDS: [&str; 5] = ["pending", "fulfilled", "canceled", "invalid", "odd"];

/// What a set of cases is about: the chances of everything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Emphasis {
    /// Of a hundred worlds, in how many rows lack the status.
    pub(super) rows_lack_status: u32,
    /// Of a hundred worlds, in how many there are reminders, and time passes in days.
    pub(super) dates: u32,
    /// Of a hundred worlds, in how many little may be gone at once.
    pub(super) small_guard: u32,
    /// At how many calls of a pass something may happen.
    pub(super) mishaps_max: usize,
}

fn chance(percent: u32) -> impl Strategy<Value = bool> {
    prop::bool::weighted(f64::from(percent) / 100.0)
}

fn world(emphasis: Emphasis) -> impl Strategy<Value = World> {
    let showing = (1..5_usize, any::<bool>(), any::<bool>(), chance(25), chance(emphasis.rows_lack_status));
    let spelling = (select(vec![[false, false], [true, false], [false, true]]), chance(30), chance(30), chance(85));
    let clock = (any::<bool>(), any::<bool>(), select(vec![0, 0, 180, -180]));
    let zone = select(vec!["UTC", "America/New_York", "Pacific/Auckland"]);
    let thresholds = prop_oneof![
        emphasis.dates => thresholds(),
        100 - emphasis.dates => Just(Vec::new()),
    ];
    let ours = (chance(emphasis.small_guard), thresholds, zone, chance(15), chance(85));
    (showing, spelling, clock, ours).prop_map(
        |(
            (page_size, is_descending, bounds_are_exclusive, is_lost, rows_lack_status),
            (rows_lack_memo, rows_in_whole_seconds, answers_omit_nulls, tells_time),
            (clock_moves_bump, archived_by_id, ahead),
            (is_small, will_expire, zone, baseline_is_told, begins_well),
        )| World {
            page_size,
            is_descending,
            bounds_are_exclusive,
            lost_cursor: if is_lost { LostCursor::EndsTheList } else { LostCursor::Refused },
            rows_lack_status,
            rows_lack_memo,
            rows_in_whole_seconds,
            answers_omit_nulls,
            tells_time,
            clock_moves_bump,
            archived_by_id,
            ahead,
            guard: if is_small { (2, 0.10) } else { (1_000, 0.10) },
            will_expire,
            zone,
            baseline_is_told,
            begins_well,
        },
    )
}

fn days() -> impl Strategy<Value = i32> {
    prop_oneof![4 => -2..10_i32, 2 => 25..35_i32, 1 => Just(400)]
}

fn jurisdiction() -> impl Strategy<Value = &'static str> {
    select(JURISDICTIONS.to_vec())
}

fn field() -> impl Strategy<Value = Alteration> {
    let value = prop_oneof![4 => (0..3_u8).prop_map(Some), 1 => Just(None)];
    (select(NEW_FIELDS.to_vec()), value).prop_map(|(name, value)| Alteration::Field(name, value))
}

/// What can become of a resource as a whole.
fn fate() -> impl Strategy<Value = Alteration> {
    prop_oneof![
        2 => Just(Alteration::Touch),
        3 => Just(Alteration::Archive),
        3 => Just(Alteration::Delete),
        4 => any::<bool>().prop_map(Alteration::Restore),
        2 => (0..8_usize).prop_map(Alteration::Reorder),
    ]
}

fn to_certificate() -> impl Strategy<Value = Alteration> {
    let word = || select(CERTIFICATE_WORDS.to_vec());
    prop_oneof![
        8 => word().prop_map(Alteration::Status),
        5 => (jurisdiction(), word(), days()).prop_map(|(id, word, days)| Alteration::Entry(id, word, days)),
        2 => jurisdiction().prop_map(Alteration::DropEntry),
        2 => prop::option::weighted(0.8, days()).prop_map(Alteration::Date),
        2 => (jurisdiction(), days()).prop_map(|(id, days)| Alteration::EntryDate(id, days)),
        1 => (0..3_u8).prop_map(Alteration::Customer),
        1 => prop::option::weighted(0.8, 0..3_u8).prop_map(Alteration::Memo),
        1 => (jurisdiction(), 0..3_u8).prop_map(|(id, memo)| Alteration::EntryMemo(id, memo)),
        1 => field(),
        2 => (chance(75), any::<bool>()).prop_map(|(has, tells)| Alteration::Document(has, tells)),
        7 => fate(),
    ]
}

fn to_request() -> impl Strategy<Value = Alteration> {
    prop_oneof![
        6 => select(REQUEST_WORDS.to_vec()).prop_map(Alteration::Status),
        3 => (0..RESOURCES, chance(85)).prop_map(|(number, closes)| Alteration::Fulfil(number, closes)),
        2 => jurisdiction().prop_map(|id| Alteration::Entry(id, "", 0)),
        1 => jurisdiction().prop_map(Alteration::DropEntry),
        2 => prop::option::weighted(0.8, days()).prop_map(Alteration::Date),
        1 => (0..3_u8).prop_map(Alteration::Customer),
        1 => prop::option::weighted(0.8, 0..3_u8).prop_map(Alteration::Memo),
        1 => field(),
        5 => fate(),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    // Much happens to few, so that it happens to them again and again.
    let number = || prop_oneof![5 => 0..2_u8, 2 => 2..RESOURCES];
    prop_oneof![
        3 => (number(), to_certificate())
            .prop_map(|(number, what)| Change { kind: Kind::Certificate, number, what }),
        2 => (number(), to_request())
            .prop_map(|(number, what)| Change { kind: Kind::CertificateRequest, number, what }),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    let refused = SourceError::Refused { status: 400, kind: "INVALID_CURSOR".into(), message: "no".into() };
    let unauthorized = SourceError::Unauthorized { status: 401, kind: "UNAUTHORIZED".into(), message: "no".into() };
    let how = select(vec![Malformation::Content, Malformation::Size, Malformation::Nameless]);
    prop_oneof![
        1 => Just(Fault::Error(refused)),
        1 => Just(Fault::Error(unauthorized)),
        1 => Just(Fault::Error(SourceError::Throttled { retry_after: Duration::from_secs(60) })),
        1 => Just(Fault::NoCursor),
        1 => Just(Fault::StrayCursor),
        1 => Just(Fault::RepeatedCursor),
        1 => Just(Fault::EmptyPage),
        2 => Just(Fault::Truncated),
        2 => (0..3_usize).prop_map(Fault::CutShort),
        3 => (0..4_usize, how).prop_map(|(nth, how)| Fault::Malformed(nth, how)),
        1 => Just(Fault::NotFound),
    ]
}

fn mishap() -> impl Strategy<Value = Mishap> {
    prop_oneof![
        8 => change().prop_map(Mishap::Change),
        2 => (1..5_u32).prop_map(Mishap::Tick),
        4 => (1..40_u32).prop_map(Mishap::Late),
        4 => fault().prop_map(Mishap::Fault),
        2 => (1..9_u64).prop_map(Mishap::Trouble),
        1 => Just(Mishap::Stop),
        1 => Just(Mishap::Kill),
    ]
}

fn look(mishaps_max: usize) -> impl Strategy<Value = Step> {
    let kinds = prop_oneof![
        4 => Just(vec![PassKind::Sweep]),
        4 => Just(vec![PassKind::Changes]),
        2 => Just(vec![PassKind::Open]),
        2 => Just(vec![PassKind::Deadline]),
        2 => Just(vec![PassKind::Changes, PassKind::Sweep]),
        1 => Just(vec![PassKind::Open, PassKind::Sweep]),
        1 => Just(vec![PassKind::Changes, PassKind::Open]),
        1 => Just(PassKind::ALL.to_vec()),
    ];
    let mishaps = prop_oneof![
        2 => Just(Vec::new()),
        3 => prop::collection::vec((1..20_u64, mishap()), 0..=mishaps_max),
    ];
    (kinds, mishaps).prop_map(|(kinds, mishaps)| Step::Look(kinds, mishaps))
}

/// How many days ahead of a date there are reminders.
fn thresholds() -> impl Strategy<Value = Vec<u16>> {
    select(vec![vec![30, 7, 1, 0], vec![60, 7, 5, 1], vec![2], Vec::new()])
}

fn step(emphasis: Emphasis) -> impl Strategy<Value = Step> {
    let tick = move |percent: u32| {
        prop_oneof![
            6 => 1..120_u32,
            2 => 120..7_200_u32,
            percent / 20 + 1 => (1..80_u32).prop_map(|hours| hours * 3_600),
        ]
    };
    let offset = prop_oneof![4 => Just(0), 1 => -4_000..-1_i32, 1 => 1..4_000_i32];
    prop_oneof![
        18 => change().prop_map(Step::Change),
        6 => tick(emphasis.dates).prop_map(Step::Tick),
        2 => Just(Step::Nightly),
        14 => look(emphasis.mishaps_max),
        1 => (offset, prop::option::weighted(0.2, thresholds())).prop_map(|(offset, days)| Step::Restart(offset, days)),
        1 => any::<bool>().prop_map(Step::Decide),
    ]
}

fn quiet(kind: PassKind) -> Step {
    Step::Look(vec![kind], Vec::new())
}

/// Something becomes of a resource, somebody looks, something else becomes of it, and so on.
fn episode(
    kind: Kind,
    number: u8,
    fates: Vec<Alteration>,
    looks: impl Strategy<Value = Step> + 'static,
) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(looks, fates.len()).prop_map(move |looks| {
        let changes = fates.iter().map(|what| Step::Change(Change { kind, number, what: what.clone() }));
        changes.zip(looks).flat_map(|(change, look)| [change, look]).collect()
    })
}

/// Steps that lead somewhere together, where chance alone seldom goes.
fn episodes(emphasis: Emphasis) -> impl Strategy<Value = Vec<Step>> {
    let kind = || select(Kind::ALL.to_vec());
    let gone = || prop_oneof![Just(Alteration::Archive), Just(Alteration::Delete)];
    let there_and_back = (kind(), 0..3_u8, gone(), any::<bool>()).prop_flat_map(move |(kind, number, gone, bumps)| {
        let looks = prop_oneof![3 => Just(quiet(PassKind::Sweep)), 1 => look(emphasis.mishaps_max)];
        episode(kind, number, vec![gone, Alteration::Restore(bumps)], looks)
    });
    let words = prop::collection::vec(select(CERTIFICATE_WORDS.to_vec()).prop_map(Alteration::Status), 2..4);
    let words = (0..3_u8, words).prop_flat_map(move |(number, words)| {
        let looks = prop_oneof![1 => Just(quiet(PassKind::Changes)), 1 => look(emphasis.mishaps_max)];
        episode(Kind::Certificate, number, words, looks)
    });
    let dated = (0..3_u8, jurisdiction(), days(), 1..4_u32, 1..30_u32).prop_map(|(number, id, ahead, days, hours)| {
        let what = Alteration::Entry(id, "active", ahead);
        let change = Step::Change(Change { kind: Kind::Certificate, number, what });
        let wait = |hours: u32| [Step::Tick(hours * 3_600), quiet(PassKind::Deadline)];
        let waits = [wait(days * 24), wait(hours)].concat();
        [vec![change, quiet(PassKind::Changes)], waits, vec![Step::Nightly, quiet(PassKind::Open)], wait(7).into()]
            .concat()
    });
    let document = (0..3_u8, 5..400_u32).prop_map(|(number, minutes)| {
        let change = |what| Step::Change(Change { kind: Kind::Certificate, number, what });
        let (review, sweep) = (change(Alteration::Status("processing")), quiet(PassKind::Sweep));
        let document = change(Alteration::Document(true, false));
        vec![review, sweep, document, Step::Tick(minutes * 60), quiet(PassKind::Deadline)]
    });
    let mass = (kind(), 2..5_u8, gone(), any::<bool>()).prop_map(|(kind, count, gone, confirms)| {
        let gone = (0..count).map(|number| Step::Change(Change { kind, number, what: gone.clone() }));
        let looks = [quiet(PassKind::Sweep), Step::Decide(confirms), quiet(PassKind::Deadline), quiet(PassKind::Sweep)];
        gone.chain(looks).collect()
    });
    prop_oneof![4 => there_and_back, 3 => words, 2 => dated, 1 => document, 1 => mass]
}

/// Cases with an emphasis.
pub(super) fn cases(emphasis: Emphasis) -> impl Strategy<Value = Case> {
    let first = prop::collection::vec(change(), 0..10);
    let some = prop_oneof![9 => step(emphasis).prop_map(|step| vec![step]), 1 => episodes(emphasis)];
    let steps = prop::collection::vec(some, 1..36).prop_map(|steps| steps.concat());
    (world(emphasis), first, steps).prop_map(|(world, first, steps)| Case { world, first, steps })
}
