//! `kill -9` of a process that cuts its log while it goes on, again and again on the same folder. After each, the log is
//! whole from where it begins to its head, it does not begin earlier than it was told, and what was given up is told.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use certhook::clock::ManualClock;
use certhook::model::delivery::DeliveryStatus;
use certhook::model::endpoint::Endpoint;
use certhook::model::event::{EventDraft, EventType};
use certhook::model::id::Position;
use certhook::store::retention::{GivenUp, Missed};
use certhook::store::sled::SledStore;
use certhook::store::{DeliveryCommit, Settings, Store};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::kill_child::Chance;
use super::samples::*;

/// How often the process is killed.
const ROUNDS: u64 = 16;

/// Stands before the folder in the arguments of the child; the test runner takes it for the name of a test that there
/// is not.
const FOR_CHILD: &str = "killed-cutting-in=";

fn open(folder: &Path) -> Arc<dyn Store> {
    let settings = Settings { path: folder.join("data"), encryption_key: None, min_free: 0 };
    SledStore::open(&settings, &ManualClock::at(at(0))).unwrap()
}

/// No test by itself: it is what the other one starts as a process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_cuts_until_it_is_killed() {
    let folder = std::env::args().find_map(|argument| argument.strip_prefix(FOR_CHILD).map(str::to_owned));
    let Some(folder) = folder else { return };
    work(open(Path::new(&folder))).await;
}

/// Tells where the log begins after each cut.
async fn work(store: Arc<dyn Store>) {
    let behind = match store.by_uid("behind").await.unwrap() {
        Some(known) => known,
        None => store.create(Endpoint { start: Position::START, ..endpoint(Some("behind")) }).await.unwrap(),
    };
    loop {
        let head = store.head().borrow().0;
        // Some rows are so long that they are cut into parts.
        let sights = (0..20).map(|number| {
            let bytes = if number % 7 == 0 { 15_000 } else { 50 };
            told(sized_snapshot(number, head + number + 1, bytes), at(1), 1 + number as usize % 3)
        });
        store.commit_sights(sights.collect(), None).await.unwrap();
        let until = store.head().borrow().0.saturating_sub(30);
        let first = store.first().0;
        let tried = (first..=until).step_by(5);
        let records = tried.map(|position| record(position, &behind, DeliveryStatus::Pending, Some(at(9))));
        let commit = DeliveryCommit {
            records: records.collect(),
            live_mark: Some(Position(until)),
            ..DeliveryCommit::default()
        };
        store.commit_deliveries(commit).await.unwrap();
        // With what a kill has left of an earlier one.
        let waiting = store.waiting(behind.id.number, usize::MAX).await.unwrap();
        let waiting = waiting.iter().map(|one| one.id).filter(|id| id.position.0 <= until).collect();
        let missed = Missed { count: until.saturating_sub(first), more: false };
        let told = Some((sight_of(&snapshot(77, 1), at(1)), EventDraft::plain(EventType::EndpointGap)));
        let given_up = GivenUp { endpoint: behind.id, until: Position(until), waiting, missed, told };
        assert!(store.give_up(given_up).await.unwrap());
        let first = super::retention::cut(&store, until).await;
        store.forget_deliveries(None, Position(until), at(100_000)).await.unwrap();
        println!("first {first}");
    }
}

/// Lets a process cut, kills it, and gives where the log began as it was told last.
async fn killed(folder: &Path, chance: &mut Chance) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["store::kill_cut::a_process_that_cuts_until_it_is_killed", "--exact", "--nocapture"])
        .arg(format!("{FOR_CHILD}{}", folder.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).contains("first ") {
        assert_ne!(output.read_buf(&mut text).await.unwrap(), 0, "the process ended by itself");
    }
    let lifetime = Duration::from_micros(chance.below(120_000));
    tokio::select! {
        _ = tokio::time::sleep(lifetime) => child.start_kill().unwrap(),
        read = output.read_to_end(&mut text) => panic!("the process ended by itself: {read:?}"),
    }
    output.read_to_end(&mut text).await.unwrap();
    child.wait().await.unwrap();
    let text = String::from_utf8(text).unwrap();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().filter_map(|line| line.strip_prefix("first ")?.parse().ok()).max().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_in_the_midst_of_a_cut_leaves_a_log_that_is_whole_from_where_it_begins() {
    let seed = u64::from_le_bytes(certhook::clock::random_bytes());
    println!("seed {seed}");
    let folder = TempDir::new().unwrap();
    let mut chance = Chance(seed);
    let mut former = 0;
    for _ in 0..ROUNDS {
        let told = killed(folder.path(), &mut chance).await;
        assert!(told > former, "it did work");
        former = told;
        let store = open(folder.path());
        let (first, head) = (store.first().0, store.head().borrow().0);
        assert!(first >= told, "the log began at {told} and begins at {first}");
        let events = store.events_after(Position::START, usize::MAX).await.unwrap();
        assert_eq!(positions(&events), (first..=head).collect::<Vec<_>>());
        let mut backwards = store.events_before(Position(u64::MAX), usize::MAX).await.unwrap();
        backwards.reverse();
        assert_eq!(backwards, events);
        assert_eq!(store.event(Position(first - 1)).await.unwrap(), None);
        let behind = store.by_uid("behind").await.unwrap().unwrap();
        let own = store.positions().await.unwrap().own;
        assert_eq!(own, [(behind.id.number, behind.start)], "where it goes on is said twice and alike");
        assert!(own[0].1.0 >= first - 1, "the log was cut before the endpoint had given it up");
        let missed = store.missed(behind.id.number).await.unwrap();
        assert!(missed.count > 0 && !missed.more);
        let waiting = store.waiting(behind.id.number, usize::MAX).await.unwrap();
        assert!(waiting.iter().all(|one| one.id.position.0 >= first), "what is cut is pending");
        store.close().await;
    }
}
