//! Resources of which a complete sweep was no sight, although it was complete: what it showed of them could not be used,
//! or it did not show them and whether they are gone could not be told.

use certhook::model::resource::Removal;
use certhook::model::source::RemovalDecision;

use super::removal::{archive, removal, stocked};
use super::*;

const ID: &str = "cert_07";

/// Keeps what upstream shows of the resource from being used.
fn spoil(world: &World, trap: &str) {
    world.source.edit(|book| book.change(CERTIFICATE, ID, |object| object["trap"] = json!(trap)));
}

fn mend(world: &World) {
    world.source.edit(|book| {
        book.change(CERTIFICATE, ID, |object| drop(object.as_object_mut().expect("an object").shift_remove("trap")));
    });
}

/// Runs a sweep that is complete, a minute later than what happened last.
async fn sweep(world: &World, watcher: &Watcher) {
    world.tick(60);
    let report = run(watcher, PassKind::Sweep).await;
    assert_eq!(report.status, PassStatus::Complete, "{:?}", report.error);
}

/// What was told of the resource, each with the last instant at which it was not so yet.
fn told(world: &World) -> Vec<(String, Timestamp)> {
    let sights = world.store.take_sights().into_iter();
    let of_resource = sights.filter(|(sight, _)| sight.resource().is_some_and(|key| key.id.as_str() == ID));
    let events = of_resource.flat_map(|(sight, drafts)| {
        let after = sight.detection.observed_after.expect("it was seen before");
        drafts.into_iter().map(move |draft| (draft.event_type.as_str().to_owned(), after))
    });
    events.collect()
}

/// How a sweep comes to show something that cannot be used.
#[derive(Clone, Copy, Debug)]
enum Unusable {
    /// The row says nothing.
    Row(&'static str),
    /// The row does not say the status, and its id answers with nonsense.
    Answer,
    /// The row does not say the status, and its id is not found.
    NotFound,
}

const UNUSABLE: [Unusable; 4] =
    [Unusable::Row("malformed"), Unusable::Row("unreadable"), Unusable::Answer, Unusable::NotFound];

impl Unusable {
    fn world(self) -> World {
        let world = World::new();
        world.source.set_page_size(100);
        if matches!(self, Self::Answer | Self::NotFound) {
            world.source.drop_status_from_rows();
        }
        world
    }

    /// A complete sweep that cannot use what it shows of the resource.
    async fn sweep(self, world: &World, watcher: &Watcher) {
        let shown = world.source.edit(|book| book.all(CERTIFICATE)).into_iter().find(|object| object["id"] == ID);
        match self {
            Self::Row(trap) => spoil(world, trap),
            Self::Answer => world.source.after_page((CERTIFICATE, 1), |book| {
                book.change(CERTIFICATE, ID, |object| object["trap"] = json!("malformed"));
            }),
            Self::NotFound => world.source.after_page((CERTIFICATE, 1), |book| book.remove(CERTIFICATE, ID)),
        }
        sweep(world, watcher).await;
        world.put(CERTIFICATE, shown.expect("it is in the book"));
    }
}

#[tokio::test]
async fn a_sweep_that_could_not_use_what_it_showed_is_no_sight_of_it() {
    for (unusable, restarts) in UNUSABLE.into_iter().flat_map(|unusable| [(unusable, false), (unusable, true)]) {
        let world = unusable.world();
        world.store.ignore(&["risk"]);
        let mut watcher = stocked(&world).await;
        sweep(&world, &watcher).await;
        let last_seen = world.now();
        world.tick(60);
        // Upstream has come to show a further field, and the resource has expired.
        for mut object in world.source.edit(|book| book.all(CERTIFICATE)) {
            object["risk"] = json!("low");
            world.put(CERTIFICATE, object);
        }
        world.set_status(CERTIFICATE, ID, "expired");
        unusable.sweep(&world, &watcher).await;
        assert_eq!(told(&world), [], "{unusable:?}");
        if restarts {
            watcher = world.watcher().await;
        }
        world.tick(60);
        run(&watcher, PassKind::Changes).await;
        assert_eq!(told(&world), [("certificate.expired".to_owned(), last_seen)], "{unusable:?}");
        // The next one that shows it as it is known to be is a sight again.
        sweep(&world, &watcher).await;
        let last_seen = world.now();
        world.tick(60);
        world.set_status(CERTIFICATE, ID, "active");
        run(&watcher, PassKind::Changes).await;
        assert_eq!(told(&world), [("certificate.active".to_owned(), last_seen)], "{unusable:?}");
    }
}

#[tokio::test]
async fn a_sweep_that_could_not_use_what_it_showed_did_not_see_that_it_is_gone() {
    for unusable in UNUSABLE {
        let world = unusable.world();
        let watcher = stocked(&world).await;
        archive(&world, ID);
        for _ in 0..2 {
            sweep(&world, &watcher).await;
        }
        let last_missed = world.now();
        world.store.take_sights();
        world.tick(60);
        world.source.edit(|book| book.unarchive(ID));
        world.set_status(CERTIFICATE, ID, "expired");
        unusable.sweep(&world, &watcher).await;
        assert!(removal(&world, CERTIFICATE, ID).is_some(), "{unusable:?}");
        world.tick(60);
        run(&watcher, PassKind::Changes).await;
        let expected = ["certificate.restored", "certificate.expired"].map(|name| (name.to_owned(), last_missed));
        assert_eq!(told(&world), expected, "{unusable:?}");
    }
}

#[tokio::test]
async fn what_could_not_be_told_to_be_gone_was_last_seen_before_that_sweep() {
    let world = World::new();
    let watcher = stocked(&world).await;
    sweep(&world, &watcher).await;
    let last_seen = world.now();
    world.tick(60);
    archive(&world, ID);
    spoil(&world, "malformed");
    for _ in 0..2 {
        sweep(&world, &watcher).await;
        assert_eq!((told(&world), removal(&world, CERTIFICATE, ID)), (vec![], None));
    }
    assert!(watcher.absences(None, 10).await.expect("the store").is_empty(), "nobody is asked to decide");
    let id = ID.parse().expect("an id");
    assert!(watcher.decide(RemovalDecision::Keep, Some(&[id])).await.is_err());
    assert_eq!(watcher.decide(RemovalDecision::Keep, None).await.expect("the store"), 0);
    mend(&world);
    sweep(&world, &watcher).await;
    assert_eq!(told(&world), [("certificate.removed".to_owned(), last_seen)]);
    assert!(matches!(removal(&world, CERTIFICATE, ID), Some(Removal { at, .. }) if at == world.now()));
}

#[tokio::test]
async fn a_baseline_that_was_taken_up_again_is_no_sight_of_what_an_earlier_try_had_shown() {
    let world = World::new();
    for number in 0..25 {
        world.put(CERTIFICATE, certificate(&format!("cert_{number:02}"), "active"));
    }
    world.source.break_page((REQUEST, 1), Fault::NoCursor);
    world.put(REQUEST, request("cert_req_1", "fulfilled"));
    let watcher = world.watcher().await;
    assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Incomplete);
    let last_seen = world.now();
    world.tick(60);
    archive(&world, ID);
    let watcher = world.watcher().await;
    sweep(&world, &watcher).await;
    sweep(&world, &watcher).await;
    assert_eq!(told(&world), [("certificate.removed".to_owned(), last_seen)]);
}

#[tokio::test]
async fn a_sweep_that_withholds_a_removal_does_not_unsee_what_the_one_before_it_saw() {
    let world = World::new();
    world.source.set_page_size(100);
    let watcher = stocked(&world).await;
    sweep(&world, &watcher).await;
    let last_seen = world.now();
    let shown = world.source.edit(|book| book.all(CERTIFICATE));
    let lost: Vec<_> = shown.into_iter().take(12).collect();
    for object in &lost {
        world.remove(CERTIFICATE, object["id"].as_str().expect("an id"));
    }
    // A second one, of which nobody counts as seen any more, changes nothing.
    for _ in 0..2 {
        sweep(&world, &watcher).await;
    }
    lost.into_iter().for_each(|object| world.put(CERTIFICATE, object));
    world.tick(60);
    world.set_status(CERTIFICATE, ID, "expired");
    run(&watcher, PassKind::Changes).await;
    assert_eq!(told(&world), [("certificate.expired".to_owned(), last_seen)]);
}
