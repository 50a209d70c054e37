//! A certificate's events come before those of the request that it fulfils.

use certhook::source::SourceError;

use super::*;

fn fulfil(world: &World, id: &str, certificate_id: &str) {
    world.set_status(REQUEST, id, "fulfilled");
    world.source.edit(|book| {
        book.change(REQUEST, id, |object| object["certificate_id"] = json!(certificate_id));
    });
}

const CREATED_THEN_FULFILLED: [&str; 3] = [
    "cert_1 certificate.created",
    "cert_1 certificate.jurisdiction.active",
    "cert_req_1 certificate_request.fulfilled",
];

#[tokio::test]
async fn a_certificate_that_no_listing_shows_yet_is_fetched_first() {
    let world = World::new();
    world.put(REQUEST, request("cert_req_1", "pending"));
    world.put(REQUEST, request("cert_req_2", "pending"));
    let watcher = world.settled().await;
    // It comes to be between the two listings of the pass.
    let now = world.now().to_string();
    world.source.after_page((CERTIFICATE, 1), move |book| {
        book.put(CERTIFICATE, certificate("cert_1", "processing"));
        for id in ["cert_req_1", "cert_req_2"] {
            book.change(REQUEST, id, |object| {
                object["status"] = json!("fulfilled");
                object["certificate_id"] = json!("cert_1");
                object["updated_at"] = json!(now);
            });
        }
    });
    assert_eq!(run(&watcher, PassKind::Changes).await.status, PassStatus::Complete);
    assert_eq!(world.source.take_gets(), ["cert_1"], "once for both");
    let told = world.told();
    assert_eq!(told[..3], CREATED_THEN_FULFILLED);
    assert_eq!(told[3..], ["cert_req_2 certificate_request.fulfilled"]);
}

#[tokio::test]
async fn a_certificate_that_is_known_is_not_fetched() {
    let world = World::new();
    world.put(REQUEST, request("cert_req_1", "pending"));
    let watcher = world.settled().await;
    world.put(CERTIFICATE, certificate("cert_1", "processing"));
    world.set_status(CERTIFICATE, "cert_1", "processing");
    fulfil(&world, "cert_req_1", "cert_1");
    run(&watcher, PassKind::Changes).await;
    assert_eq!(world.source.take_gets(), ["cert_1"], "once, as whatever is under review, and not once more");
    assert_eq!(world.told(), CREATED_THEN_FULFILLED);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_had_holds_nothing_back() {
    let world = World::new();
    world.put(REQUEST, request("cert_req_1", "pending"));
    let watcher = world.settled().await;
    fulfil(&world, "cert_req_1", "cert_hidden");
    assert_eq!(run(&watcher, PassKind::Changes).await.status, PassStatus::Complete);
    assert_eq!(world.told(), ["cert_req_1 certificate_request.fulfilled"]);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_upstream_does_not_answer_about_holds_its_request_back() {
    let world = World::new();
    world.put(REQUEST, request("cert_req_1", "pending"));
    let watcher = world.settled().await;
    world.put(CERTIFICATE, certificate("cert_1", "processing"));
    fulfil(&world, "cert_req_1", "cert_1");
    for _ in 0..2 {
        world.source.break_get("cert_1", SourceError::Unavailable("503".into()));
    }
    assert_eq!(run(&watcher, PassKind::Changes).await.status, PassStatus::Incomplete);
    assert_eq!(world.told(), [""; 0]);
    let report = run(&watcher, PassKind::Changes).await;
    assert_eq!(report.status, PassStatus::Complete, "{:?}", report.error);
    assert_eq!(world.told(), CREATED_THEN_FULFILLED);
}

#[tokio::test]
async fn a_silent_baseline_fetches_no_certificates() {
    let world = World::new();
    let mut fulfilled = request("cert_req_1", "fulfilled");
    fulfilled["certificate_id"] = json!("cert_hidden");
    world.put(REQUEST, fulfilled);
    let watcher = world.watcher().await;
    run(&watcher, PassKind::Sweep).await;
    assert_eq!(world.source.take_gets(), [""; 0]);
    assert_eq!(world.told(), ["numeral gateway.baseline_completed"]);
}

#[tokio::test]
async fn whichever_pass_finds_the_fulfilment_the_certificate_comes_first() {
    let passes = [PassKind::Changes, PassKind::Open, PassKind::Sweep];
    for (pass, rows_lack_status) in passes.into_iter().flat_map(|pass| [(pass, false), (pass, true)]) {
        let world = World::new();
        if rows_lack_status {
            world.source.drop_status_from_rows();
        }
        world.put(REQUEST, request("cert_req_1", "pending"));
        let watcher = world.settled().await;
        fulfil(&world, "cert_req_1", "cert_1");
        // No listing shows it yet.
        world.put(CERTIFICATE, certificate("cert_1", "processing"));
        world.source.edit(|book| book.archive("cert_1"));
        world.tick(3);
        assert_eq!(run(&watcher, pass).await.status, PassStatus::Complete);
        assert_eq!(world.told()[..3], CREATED_THEN_FULFILLED, "{pass:?}, rows without a status: {rows_lack_status}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_named_later_comes_before_the_request_that_names_it() {
    let world = World::new();
    world.put(REQUEST, request("cert_req_1", "pending"));
    let watcher = world.settled().await;
    world.set_status(REQUEST, "cert_req_1", "fulfilled");
    run(&watcher, PassKind::Changes).await;
    assert_eq!(world.told(), ["cert_req_1 certificate_request.fulfilled"]);
    world.tick(30);
    world.put(CERTIFICATE, certificate("cert_1", "processing"));
    fulfil(&world, "cert_req_1", "cert_1");
    run(&watcher, PassKind::Changes).await;
    let told = [CREATED_THEN_FULFILLED[0], CREATED_THEN_FULFILLED[1], "cert_req_1 certificate_request.updated"];
    assert_eq!(world.told(), told);
}
