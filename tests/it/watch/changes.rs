//! What somebody asks upstream to change through us: the answer is applied at once, as far as it goes.

use async_trait::async_trait;
use certhook::model::event::Cause;
use certhook::model::json::Fields;
use certhook::model::resource::{Coverage, Download, ResourceId, ResourceKey, Seen};
use certhook::source::command::{Command, Commands, Document};
use certhook::source::{Exchange, SourceError};

use super::*;

/// An account that makes a change and shows so much of it.
#[derive(Debug)]
struct Account {
    shown: Value,
    answered_at: Timestamp,
}

#[async_trait]
impl Commands for Account {
    async fn command(&self, _: &Command) -> Result<(Box<Seen>, Exchange), SourceError> {
        let source = "numeral".parse().expect("a name");
        let id = self.shown["id"].as_str().expect("an id").parse().expect("an id");
        let key = ResourceKey { source, kind: REQUEST, id };
        let fields: Fields = self.shown.as_object().expect("an object").clone();
        let at = self.answered_at;
        let exchange = Exchange { asked_at: at, answered_at: at, upstream_at: None };
        let seen = Seen { key, fields, coverage: Coverage::Row, download: Download::Unknown };
        Ok((Box::new(seen), exchange))
    }

    async fn document(&self, _: &ResourceId) -> Result<Option<Document>, SourceError> {
        Ok(None)
    }
}

async fn answer(world: &World, watcher: &Arc<Watcher>, command: Command, shown: Value) {
    let account = Arc::new(Account { shown, answered_at: world.now() });
    watcher.command(account, command, "req_call".into()).await.expect("it is done");
}

/// Makes a request and answers with these of its fields; none: with all.
async fn trigger(world: &World, watcher: &Arc<Watcher>, id: &str, fields: &[&str]) {
    let mut made = request(id, "pending");
    made["created_at"] = json!(world.now().to_string());
    world.put(REQUEST, made.clone());
    if !fields.is_empty() {
        made.as_object_mut().expect("an object").retain(|name, _| fields.contains(&name.as_str()));
    }
    let command = Command::Trigger { customer_id: "cust_1".parse().expect("an id"), body: Fields::new() };
    answer(world, watcher, command, made).await;
}

fn cancel(id: &str) -> Command {
    Command::Cancel(id.parse().expect("an id"))
}

#[tokio::test]
async fn what_an_answer_does_not_show_stays_as_it_was() {
    let world = World::new();
    world.put(REQUEST, request("creq_1", "pending"));
    let watcher = world.settled().await;
    world.set_status(REQUEST, "creq_1", "canceled");
    answer(&world, &watcher, cancel("creq_1"), json!({"id": "creq_1", "status": "canceled"})).await;
    assert_eq!(world.told(), ["creq_1 certificate_request.canceled"]);
    let known = world.store.snapshot(REQUEST, "creq_1").expect("it is known");
    assert_eq!(known.object.fields()["customer"], request("creq_1", "canceled")["customer"]);
    run(&watcher, PassKind::Sweep).await;
    assert_eq!(world.told(), [""; 0], "and there is nothing more to tell");
}

#[tokio::test]
async fn a_new_resource_of_which_an_answer_shows_little_is_asked_for_before_it_is_told() {
    for shown in [["id"].as_slice(), &["id", "status"]] {
        let world = World::new();
        let watcher = world.settled().await;
        trigger(&world, &watcher, "creq_1", shown).await;
        let sights = world.store.take_sights();
        let [(sight, drafts)] = sights.as_slice() else { panic!("{sights:?}") };
        assert_eq!(drafts[0].event_type.as_str(), "certificate_request.created");
        assert_eq!(
            (sight.detection.pass, sight.detection.request_id.as_deref()),
            (Some(Cause::Write), Some("req_call"))
        );
        let known = world.store.snapshot(REQUEST, "creq_1").expect("it is known");
        assert_eq!(known.object.fields()["customer"], request("creq_1", "pending")["customer"]);
        run(&watcher, PassKind::Changes).await;
        assert_eq!(world.told(), [""; 0], "and there is nothing more to tell");
    }
}

#[tokio::test]
async fn what_is_made_behind_the_back_of_a_sweep_is_not_missing_from_it() {
    for shown in [[].as_slice(), &["id"]] {
        let world = World::new();
        ["cert_1", "cert_2"].iter().for_each(|id| world.put(CERTIFICATE, certificate(id, "active")));
        world.put(REQUEST, request("creq_0", "pending"));
        let watcher = world.settled().await;
        world.remove(CERTIFICATE, "cert_1");
        let late = world.source.delay_page((REQUEST, 1));
        let meanwhile = async {
            late.rendered.notified().await;
            trigger(&world, &watcher, "creq_1", shown).await;
            late.released.notify_one();
        };
        let began = world.now();
        let (report, ()) = tokio::join!(run(&watcher, PassKind::Sweep), meanwhile);
        assert_eq!((report.status, report.error), (PassStatus::Complete, None));
        assert_eq!(world.store.only_progress().swept_at, Some(began));
        assert_eq!(world.told(), ["creq_1 certificate_request.created", "cert_1 certificate.removed"]);
        world.tick(60);
        world.source.edit(|book| book.archive("creq_1"));
        assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
        assert_eq!(world.told(), ["creq_1 certificate_request.removed"], "from the next one it is");
    }
}

#[tokio::test]
async fn no_guard_is_alarmed_by_what_is_made_behind_the_back_of_a_sweep() {
    let world = World::new();
    let watcher = world.settled().await;
    let late = world.source.delay_page((REQUEST, 1));
    let meanwhile = async {
        late.rendered.notified().await;
        for id in ["creq_1", "creq_2"] {
            trigger(&world, &watcher, id, &[]).await;
        }
        late.released.notify_one();
    };
    let (report, ()) = tokio::join!(run(&watcher, PassKind::Sweep), meanwhile);
    assert_eq!(report.status, PassStatus::Complete);
    assert_eq!(world.told(), ["creq_1 certificate_request.created", "creq_2 certificate_request.created"]);
    assert_eq!(watcher.absences(None, 10).await.expect("the store"), []);
}
