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
    for shown in [json!({"id": "creq_1"}), json!({"id": "creq_1", "status": "pending"})] {
        let world = World::new();
        let watcher = world.settled().await;
        let mut made = request("creq_1", "pending");
        made["created_at"] = json!(world.now().to_string());
        world.put(REQUEST, made);
        let command = Command::Trigger { customer_id: "cust_1".parse().expect("an id"), body: Fields::new() };
        answer(&world, &watcher, command, shown).await;
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
