//! Traps of exemption certificates.

use certhook::model::resource::Download;

use super::*;

#[tokio::test]
async fn a_status_is_required_and_yet_the_examples_of_lists_drop_both_kinds() {
    let world = World::settled(|book| {
        book.rows_as_in_the_examples = true;
        book.put(certificate("cert_1"));
        book.put(request("cert_req_1"));
    })
    .await;
    assert_eq!(world.fields(Kind::Certificate, "cert_1")["status"], "active", "asked for by id");
    assert_eq!(world.fields(Kind::Certificate, "cert_1")["jurisdictions"][0]["status"], "active");
    assert_eq!(world.fields(Kind::CertificateRequest, "cert_req_1")["status"], "pending");
    assert_eq!(world.told().await, [""; 0]);
    assert_eq!(world.told_by(PassKind::Sweep).await, [""; 0], "what a row leaves out is unknown and not null");
    world.update("cert_1", |object| turn(object, "invalid"));
    world.update("cert_req_1", |object| object["status"] = json!("canceled"));
    assert_eq!(
        world.told().await,
        [
            "cert_1 certificate.invalid",
            "cert_1 certificate.jurisdiction.invalid",
            "cert_req_1 certificate_request.canceled"
        ]
    );
    assert_eq!(world.told().await, [""; 0]);
}

#[tokio::test]
async fn a_jurisdictions_status_and_the_top_level_one_can_each_change_alone() {
    let world = World::settled(|book| book.put(certificate("cert_1"))).await;
    world.update("cert_1", |object| object["jurisdictions"][0]["status"] = json!("expired"));
    assert_eq!(world.told().await, ["cert_1 certificate.jurisdiction.expired"]);
    world.update("cert_1", |object| object["status"] = json!("expired"));
    assert_eq!(world.told().await, ["cert_1 certificate.expired"]);
    world.update("cert_1", |object| object["status"] = json!("active"));
    assert_eq!(world.told().await, ["cert_1 certificate.active"], "the summary follows no rule that we know");
}

#[tokio::test]
async fn instants_have_milliseconds_on_one_page_and_whole_seconds_on_another() {
    let world = World::settled(|book| {
        book.put(certificate("cert_1"));
        book.put(request("cert_req_1"));
    })
    .await;
    for rows_as_in_the_examples in [true, false, true] {
        world.edit(|book| book.rows_as_in_the_examples = rows_as_in_the_examples);
        assert_eq!(world.told_by(PassKind::Sweep).await, [""; 0], "another spelling is no change");
        assert_eq!(world.told().await, [""; 0]);
    }
    // A row shows the second in which it changed, and no part of it.
    world.clock.advance(Duration::from_millis(789));
    world.update("cert_1", |object| object["status"] = json!("invalid"));
    assert_eq!(world.told().await, ["cert_1 certificate.invalid"]);
    assert_eq!(world.told().await, [""; 0]);
}

#[tokio::test]
async fn effective_and_expiration_dates_carry_no_time_zone() {
    let world = World::settled(|book| book.put(certificate("cert_1"))).await;
    let dates = |world: &World| {
        let fields = world.fields(Kind::Certificate, "cert_1");
        (fields["effective_date"].clone(), fields["expiration_date"].clone())
    };
    assert_eq!(dates(&world), (json!("2026-01-01"), json!("2027-01-01")), "kept as days, not as midnights somewhere");
    world.update("cert_1", |object| object["effective_date"] = json!("2026-01-02"));
    assert_eq!(world.told().await, ["cert_1 certificate.updated"]);
    world.update("cert_1", |object| object["expiration_date"] = json!("2027-01-02"));
    assert_eq!(world.told().await, ["cert_1 certificate.renewed"]);
    assert_eq!(dates(&world), (json!("2026-01-02"), json!("2027-01-02")));
}

#[tokio::test]
async fn dates_may_be_null() {
    let dateless = |object: &mut Value| {
        for name in ["effective_date", "expiration_date"] {
            (object[name], object["jurisdictions"][0][name]) = (Value::Null, Value::Null);
        }
    };
    let world = World::settled(|book| {
        book.put(certificate("cert_1"));
        book.change("cert_1", dateless);
    })
    .await;
    assert_eq!(world.told().await, [""; 0]);
    world.update("cert_1", |object| *object = certificate("cert_1"));
    assert_eq!(world.told().await, ["cert_1 certificate.updated"], "from no date to one is no renewal");
    world.update("cert_1", dateless);
    assert_eq!(world.told().await, ["cert_1 certificate.updated"]);
}

#[tokio::test]
async fn a_renewal_may_change_dates_under_the_same_id_and_expired_become_active() {
    let world = World::settled(|book| {
        let mut lapsed = certificate_that_is("cert_1", "expired");
        lapsed["expiration_date"] = json!("2026-06-01");
        lapsed["jurisdictions"][0]["expiration_date"] = json!("2026-06-01");
        book.put(lapsed);
    })
    .await;
    world.update("cert_1", |object| *object = certificate("cert_1"));
    assert_eq!(
        world.told().await,
        ["cert_1 certificate.active", "cert_1 certificate.renewed", "cert_1 certificate.jurisdiction.active"]
    );
}

#[tokio::test]
async fn a_status_that_only_the_clock_moved_may_leave_updated_at_as_it_was() {
    let world = World::settled(|book| book.put(certificate("cert_1"))).await;
    world.edit(|book| book.change("cert_1", |object| object["status"] = json!("expired")));
    assert_eq!(world.told().await, [""; 0], "what was updated before is not asked for");
    assert_eq!(world.told_by(PassKind::Sweep).await, ["cert_1 certificate.expired"]);
}

#[tokio::test]
async fn an_archived_certificate_may_answer_by_id_although_no_list_shows_it() {
    let world = World::settled(|book| {
        book.put(request("cert_req_1"));
        book.put(certificate("cert_1"));
        book.hidden.push("cert_1".into());
    })
    .await;
    assert!(world.store.snapshot(Kind::Certificate, "cert_1").is_none());
    world.update("cert_req_1", |object| {
        (object["status"], object["certificate_id"]) = (json!("fulfilled"), json!("cert_1"));
    });
    let told = world.told().await;
    assert_eq!((told.len(), told[0].as_str()), (5, "cert_1 certificate.created"), "{told:?}");
    assert_eq!(told[4], "cert_req_1 certificate_request.fulfilled");
}

#[tokio::test]
async fn another_tenants_id_answers_404_too_so_one_404_proves_no_deletion() {
    let world = World::settled(|book| {
        book.rows_as_in_the_examples = true;
        book.put(certificate("cert_1"));
    })
    .await;
    let before = world.snapshot(Kind::Certificate, "cert_1");
    world.update("cert_1", |object| object["status"] = json!("invalid"));
    world.edit(|book| book.not_by_id.push("cert_1".into()));
    assert_eq!(world.told().await, [""; 0], "the row is there, and what it moved to cannot be known");
    let after = world.snapshot(Kind::Certificate, "cert_1");
    assert_eq!((after.removed, after.object), (None, before.object));
    world.edit(|book| book.not_by_id.clear());
    assert_eq!(world.told().await, ["cert_1 certificate.invalid"]);
}

#[tokio::test]
async fn a_customers_own_id_may_be_null() {
    let world = World::settled(|book| {
        book.put(certificate("cert_1"));
        book.change("cert_1", |object| object["customer"]["reference_customer_id"] = Value::Null);
    })
    .await;
    assert_eq!(world.told().await, [""; 0]);
    world.update("cert_1", |object| object["customer"]["reference_customer_id"] = json!("20506"));
    assert_eq!(world.told().await, ["cert_1 certificate.updated"]);
}

#[tokio::test]
async fn no_prefix_of_an_id_is_a_rule() {
    let world = World::settled(|_| {}).await;
    for id in ["cus_6126acaf", "cust_6126acaf", "12", "-", "CERT_1"] {
        let mut object = certificate_that_is(id, "processing");
        object["jurisdictions"] = json!([]);
        object["customer"]["id"] = json!(format!("cus_{id}"));
        world.add(object);
        assert_eq!(world.told().await, [format!("{id} certificate.created")]);
    }
}

#[tokio::test]
async fn the_end_of_a_review_has_the_name_that_the_vendor_has_announced() {
    let world = World::settled(|book| book.put(certificate_that_is("cert_1", "needs_info"))).await;
    world.update("cert_1", |object| object["status"] = json!("active"));
    assert_eq!(world.told().await, ["cert_1 certificate.processing_completed", "cert_1 certificate.active"]);
}

#[tokio::test]
async fn a_download_url_is_another_at_every_look_and_whoever_has_it_can_read_the_document() {
    let world = World::settled(|book| {
        book.rows_as_in_the_examples = true;
        book.put(certificate("cert_1"));
    })
    .await;
    for signature in ["canary-1", "canary-2"] {
        let url = format!("https://signed.example.com/doc?X-Amz-Signature={signature}");
        world.update("cert_1", |object| object["download_url"] = json!(url));
        assert_eq!(world.told().await, [""; 0]);
    }
    let known = world.snapshot(Kind::Certificate, "cert_1");
    assert_eq!(known.download, Download::Available, "it was asked for by id");
    assert!(!known.object.text().contains("canary") && !format!("{known:?}").contains("canary"));
}
