//! What must hold however edits, passes and faults fall together.

use certhook::detect::compare::changed_fields;
use certhook::source::SourceError;
use proptest::prelude::*;

use super::*;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// A resource gets a status, and a new `updated_at` unless the clock stood still.
    Edit { kind: Kind, id: u8, status: u8 },
    /// Time passes.
    Tick(u8),
    /// A pass of each kind runs, side by side; something may go wrong, and something change, on a page of them.
    Passes { changes: bool, sweep: bool, fault: Option<(Kind, u64, u8)>, edit: Option<(Kind, u8, u8)> },
}

fn kind() -> impl Strategy<Value = Kind> {
    proptest::sample::select(Kind::ALL.to_vec())
}

fn step() -> impl Strategy<Value = Step> {
    let fault = proptest::option::of((kind(), 1..4_u64, 0..3_u8));
    let edit = proptest::option::of((kind(), 0..25_u8, 0..4_u8));
    prop_oneof![
        4 => (kind(), 0..25_u8, 0..4_u8).prop_map(|(kind, id, status)| Step::Edit { kind, id, status }),
        2 => (0..120_u8).prop_map(Step::Tick),
        3 => (any::<bool>(), any::<bool>(), fault, edit)
            .prop_map(|(changes, sweep, fault, edit)| Step::Passes { changes, sweep, fault, edit }),
    ]
}

/// The resource as it is after an edit.
fn edited(kind: Kind, id: u8, status: u8, now: &str) -> Value {
    let status = usize::from(status);
    let mut object = match kind {
        Kind::Certificate => certificate(&format!("cert_{id}"), ["processing", "active", "expired", "odd"][status]),
        Kind::CertificateRequest => {
            let mut object = request(&format!("req_{id}"), ["pending", "fulfilled", "canceled", "invalid"][status]);
            if status == 1 {
                object["certificate_id"] = json!(format!("cert_{id}"));
            }
            object
        }
    };
    object["updated_at"] = json!(now);
    object
}

async fn play(world: &World, watcher: &Watcher, step: Step) {
    match step {
        Step::Edit { kind, id, status } => world.put(kind, edited(kind, id, status, &world.now().to_string())),
        Step::Tick(seconds) => world.tick(u64::from(seconds)),
        Step::Passes { changes, sweep, fault, edit } => {
            if let Some((kind, page, fault)) = fault {
                let error = SourceError::Refused { status: 400, kind: "NO".into(), message: "no".into() };
                let faults = [Fault::NoCursor, Fault::Truncated, Fault::Error(error)];
                world.source.break_page((kind, page), faults[usize::from(fault)].clone());
            }
            if let Some((kind, id, status)) = edit {
                let object = edited(kind, id, status, &world.now().to_string());
                world.source.after_page((kind, 1), move |book| book.put(kind, object));
            }
            let run_if = |wanted: bool, kind| async move {
                if wanted {
                    run(watcher, kind).await;
                }
            };
            tokio::join!(run_if(changes, PassKind::Changes), run_if(sweep, PassKind::Sweep));
            // An edit that found no pass would come later with an instant that went back.
            world.source.forget_faults();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The store refuses whatever breaks a chain, so that getting to the end proves those whole.
    #[test]
    fn in_the_end_every_resource_is_known_as_it_is(
        steps in proptest::collection::vec(step(), 1..40), rows_lack_status: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let world = World::new();
            if rows_lack_status {
                world.source.drop_status_from_rows();
            }
            let watcher = world.settled().await;
            for step in steps {
                play(&world, &watcher, step).await;
            }
            world.tick(60);
            assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
            for kind in Kind::ALL {
                for object in world.source.edit(|book| book.all(kind)) {
                    let snapshot = world.store.snapshot(kind, object["id"].as_str().expect("text")).expect("it is known");
                    let mut shown = object.as_object().expect("an object").clone();
                    shown.shift_remove("download_url");
                    assert!(changed_fields(&snapshot.object.fields(), &shown).is_empty(), "{snapshot:?} and {object}");
                }
            }
        });
    }
}
