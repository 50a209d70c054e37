//! What somebody wants to keep although no list shows it.

use super::*;

#[tokio::test]
async fn what_somebody_wants_to_keep_is_neither_counted_nor_asked_for() {
    let world = World::new();
    let watcher = withheld(&world).await;
    assert_eq!(watcher.decide(RemovalDecision::Keep, None).await.expect("decided"), 12);
    lose(&world, CERTIFICATE, 14);
    run(&watcher, PassKind::Sweep).await;
    assert_eq!(world.told(), removed([12, 13]), "two that are new are below the guard");
    assert_eq!(in_state(&watcher, AbsenceState::Kept).await, ids(0..12));
    let watcher = world.watcher().await;
    world.source.take_gets();
    run(&watcher, PassKind::Sweep).await;
    run(&watcher, PassKind::Deadline).await;
    assert_eq!((world.told(), world.source.take_gets()), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn what_is_kept_and_listed_again_is_kept_no_longer() {
    let passes = [PassKind::Changes, PassKind::Sweep];
    for (pass, restarts) in passes.into_iter().flat_map(|pass| [(pass, false), (pass, true)]) {
        let world = World::new();
        let mut watcher = withheld(&world).await;
        decide(&watcher, RemovalDecision::Keep, 0..12).await;
        put(&world, CERTIFICATE, 5);
        world.set_status(CERTIFICATE, &name(CERTIFICATE, 5), "expiring");
        world.told();
        run(&watcher, pass).await;
        assert_eq!(world.told(), ["cert_005 certificate.expiring"]);
        if restarts {
            watcher = world.watcher().await;
        }
        world.remove(CERTIFICATE, &name(CERTIFICATE, 5));
        run(&watcher, PassKind::Sweep).await;
        assert_eq!(world.told(), removed([5]), "{pass:?}, restarts: {restarts}");
        assert_eq!(in_state(&watcher, AbsenceState::Kept).await.len(), 11);
    }
}

#[tokio::test]
async fn an_answer_by_id_does_not_end_what_is_kept() {
    let world = World::new();
    for number in 0..12 {
        world.put(REQUEST, request(&name(REQUEST, number), "pending"));
        world.put(REQUEST, request(&name(REQUEST, number + 12), "fulfilled"));
    }
    let watcher = world.settled().await;
    (0..12).for_each(|number| world.source.edit(|book| book.archive(&name(REQUEST, number))));
    run(&watcher, PassKind::Sweep).await;
    assert_eq!(world.told(), WITHHELD);
    watcher.decide(RemovalDecision::Keep, None).await.expect("decided");
    for _ in 0..2 {
        run(&watcher, PassKind::Open).await;
        assert_eq!(world.source.take_gets().len(), 12, "the open pass asks for each");
        run(&watcher, PassKind::Sweep).await;
    }
    assert_eq!(in_state(&watcher, AbsenceState::Kept).await.len(), 12);
    assert_eq!(world.told(), [""; 0]);
}

#[tokio::test]
async fn what_answers_to_its_id_with_what_cannot_be_used_is_kept_all_the_same() {
    let mut world = World::new();
    world.settings.removal_guard = RemovalGuard { count: 2, share: 0.10 };
    let watcher = stocked(&world, [20, 0]).await;
    for number in 0..3 {
        let id = name(CERTIFICATE, number);
        world.source.edit(|book| {
            book.change(CERTIFICATE, &id, |object| object["trap"] = json!("malformed"));
            book.archive(&id);
        });
    }
    run(&watcher, PassKind::Sweep).await;
    decide(&watcher, RemovalDecision::Keep, 0..3).await;
    // Their dates pass, so they are asked for by id.
    world.tick(60 * 86_400);
    run(&watcher, PassKind::Deadline).await;
    assert_eq!(world.source.take_gets().len(), 20);
    run(&watcher, PassKind::Sweep).await;
    assert_eq!(in_state(&watcher, AbsenceState::Kept).await, ids(0..3));
}
