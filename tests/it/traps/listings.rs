//! Traps of lists and their pages.

use super::*;

/// Five certificates, which are three pages.
fn five(book: &mut Book) {
    for number in 1..=5 {
        book.put(certificate(&format!("cert_{number}")));
    }
}

fn statuses(world: &World) -> Vec<Value> {
    (1..=5).map(|number| world.fields(Kind::Certificate, &format!("cert_{number}"))["status"].clone()).collect()
}

#[tokio::test]
async fn next_cursor_is_the_last_id_of_the_page_and_left_out_on_the_final_one() {
    let world = World::settled(five).await;
    assert_eq!(world.told_by(PassKind::Sweep).await, [""; 0]);
    let calls = world.upstream.take_calls();
    assert_eq!(
        calls,
        [
            "/tax/certificates?limit=2",
            "/tax/certificates?limit=2&cursor=cert_2",
            "/tax/certificates?limit=2&cursor=cert_4",
            "/tax/certificate-requests?limit=2"
        ]
    );
}

#[tokio::test]
async fn a_row_that_is_gone_between_two_pages_may_turn_its_cursor_into_an_error() {
    let world = World::settled(five).await;
    for number in 1..=5 {
        world.update(&format!("cert_{number}"), |object| object["status"] = json!("invalid"));
    }
    world.tick(30);
    let watermark = world.watcher.status().watermark;
    world.edit(|book| book.after_first_page = Some(Box::new(|book| book.remove("cert_2"))));
    let report = world.pass(PassKind::Changes).await;
    assert_eq!(report.status, PassStatus::Incomplete);
    assert!(report.error.expect("a reason").contains("page 2: upstream refuses the call: INVALID_REQUEST (400)"));
    assert_eq!(world.store.take_told(), ["cert_1 certificate.invalid", "cert_2 certificate.invalid"]);
    assert_eq!(world.watcher.status().watermark, watermark, "the next pass asks from there");
    let rest = ["cert_3 certificate.invalid", "cert_4 certificate.invalid", "cert_5 certificate.invalid"];
    assert_eq!(world.told().await, rest);
}

#[tokio::test]
async fn a_row_that_is_gone_between_two_pages_may_cut_the_list_short_in_silence() {
    let world = World::settled(|book| {
        five(book);
        book.lost_cursors_end_the_list = true;
    })
    .await;
    for number in 1..=5 {
        world.update(&format!("cert_{number}"), |object| object["status"] = json!("invalid"));
    }
    world.edit(|book| {
        book.after_first_page = Some(Box::new(|book| {
            // It leaves the list, and comes back later.
            book.hidden.push("cert_2".into());
        }));
    });
    assert_eq!(world.told().await, ["cert_1 certificate.invalid", "cert_2 certificate.invalid"]);
    assert_eq!(statuses(&world), ["invalid", "invalid", "active", "active", "active"], "nothing is taken for gone");
    world.edit(|book| book.hidden.clear());
    let rest = ["cert_3 certificate.invalid", "cert_4 certificate.invalid", "cert_5 certificate.invalid"];
    assert_eq!(world.told_by(PassKind::Sweep).await, rest, "the next sweep at the latest finds them");
}

#[tokio::test]
async fn an_unknown_query_parameter_may_be_refused_so_none_is_sent() {
    let world = World::settled(|book| {
        five(book);
        book.put(request("cert_req_1"));
    })
    .await;
    world.update("cert_5", |object| object["status"] = json!("invalid"));
    // The upstream of these tests refuses whatever the pages do not name; a pass that sent it would be incomplete.
    assert_eq!(world.told().await, ["cert_5 certificate.invalid"]);
    assert_eq!(world.told_by(PassKind::Sweep).await, [""; 0]);
}

#[tokio::test]
async fn an_unknown_customer_gives_an_empty_list_so_no_list_is_asked_for_by_customer() {
    let world = World::settled(five).await;
    world.update("cert_1", |object| object["customer"] = json!({"id": "cust_2", "reference_customer_id": null}));
    assert_eq!(world.told().await, ["cert_1 certificate.updated"]);
    world.told_by(PassKind::Sweep).await;
    let calls = world.upstream.take_calls();
    // `id_type` is validated even without `customer_id`.
    assert!(calls.iter().all(|call| !call.contains("customer") && !call.contains("id_type")), "{calls:?}");
}

#[tokio::test]
async fn the_order_of_lists_is_unknown() {
    for newest_first in [false, true] {
        let world = World::settled(|book| {
            five(book);
            book.newest_first = newest_first;
        })
        .await;
        for number in 1..=5 {
            world.update(&format!("cert_{number}"), |object| object["status"] = json!("invalid"));
        }
        let mut told = world.told().await;
        told.sort();
        let expected: Vec<String> = (1..=5).map(|number| format!("cert_{number} certificate.invalid")).collect();
        assert_eq!(told, expected);
    }
}

#[tokio::test]
async fn whether_updated_after_is_inclusive_is_unknown() {
    for bounds_are_excluded in [false, true] {
        let world = World::settled(|book| {
            five(book);
            book.bounds_are_excluded = bounds_are_excluded;
        })
        .await;
        assert_eq!(world.told().await, [""; 0]);
        let watermark = world.watcher.status().watermark.expect("a pass was complete").to_string();
        // Upstream shows it late, with the very instant at which that pass began.
        world.edit(|book| {
            book.change("cert_3", |object| {
                (object["status"], object["updated_at"]) = (json!("invalid"), json!(watermark));
            });
        });
        assert_eq!(world.told().await, ["cert_3 certificate.invalid"], "excluded: {bounds_are_excluded}");
        assert_eq!(world.told().await, [""; 0]);
    }
}
