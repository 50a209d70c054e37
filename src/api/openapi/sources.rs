//! Sources, their passes, and removals that are withheld.

use serde_json::{Value, json};

use super::operation::Operation;
use super::resources::resource_id;
use super::words::{by_default, choice, form, list as listed, object, or_null};
use crate::api::error::ErrorKind;
use crate::api::page::Page;
use crate::api::removals::{DECISIONS, Decided, IDS_MAX, View};
use crate::model::source::{PassKind, PassReport, SourceStatus};

const GROUP: &str = "Sources";

/// The name of a source.
pub(super) fn source_name(description: &str) -> Value {
    form(description, "^[a-z0-9_-]{1,32}$", "numeral")
}

fn about(id: &'static str, summary: &'static str, description: &str) -> Operation {
    let name = source_name("The source's name in the configuration.");
    Operation::new(GROUP, id, summary, description).path("name", name).fails(&[ErrorKind::SourceNotFound])
}

/// `GET /v1/sources`.
pub(in crate::api) fn list() -> Operation {
    Operation::new(GROUP, "listSources", "List sources", "In the order of the configuration.")
        .page()
        .answers::<Page<SourceStatus>>(200, "A page of sources.")
}

/// `GET /v1/sources/{name}`.
pub(in crate::api) fn show() -> Operation {
    about("getSource", "Show a source", "How it stands: whether it can be read, how far behind it is, its last passes.")
        .answers::<SourceStatus>(200, "The source.")
}

/// `POST /v1/sources/{name}/poll`.
pub(in crate::api) fn poll() -> Operation {
    let passes = [PassKind::Changes, PassKind::Open, PassKind::Sweep].map(|pass| (pass.as_str(), pass));
    let pass =
        choice("`changes` (what was updated lately), `open` (what is pending) or `sweep` (everything).", &passes);
    let body = object("", &[], json!({"pass": or_null(by_default(pass, "changes"))}));
    let description =
        "Asks for a pass and does not wait for it. If one of that kind waits already, that one is answered.";
    about("pollSource", "Ask for a pass", description)
        .body(body, json!({"pass": "sweep"}))
        .answers::<PassReport>(202, "The pass.")
        .fails(&[ErrorKind::SourcePaused])
}

/// `POST /v1/sources/{name}/pause`.
pub(in crate::api) fn pause() -> Operation {
    let description = "No pass begins until it is resumed, also after a restart; one under way ends. Reminders \
        (`will_expire`) go on, and so do calls that are passed upstream.";
    about("pauseSource", "Leave a source alone", description)
        .empty_body()
        .answers::<SourceStatus>(200, "The source as it stands now.")
}

/// `POST /v1/sources/{name}/resume`.
pub(in crate::api) fn resume() -> Operation {
    about("resumeSource", "Poll a source again", "What was missed meanwhile is found by the next passes.")
        .empty_body()
        .answers::<SourceStatus>(200, "The source as it stands now.")
}

/// `GET /v1/sources/{name}/passes`.
pub(in crate::api) fn passes() -> Operation {
    about("listPasses", "List passes", "The last ones that this process ran, newest first unless `order=asc`.")
        .ordered_page()
        .answers::<Page<PassReport>>(200, "A page of passes.")
}

/// `GET /v1/sources/{name}/removals`.
pub(in crate::api) fn removals() -> Operation {
    let description = "What no list of the vendor's shows any more, and that was not removed: because so much is gone \
        at once that somebody must decide, or because it could not be told whether it is gone. By kind and id.";
    about("listRemovals", "List what may be gone", description)
        .page()
        .answers::<Page<View>>(200, "A page of resources.")
}

/// `POST /v1/sources/{name}/removals`.
pub(in crate::api) fn decide() -> Operation {
    let decision = choice(
        "`confirm`: they may go; each is asked for by id, and removed if it is gone. `keep`: they are still there; \
         nothing is asked about them before a list has shown them again.",
        &DECISIONS,
    );
    let ids = listed("Which ones; all by default.", &resource_id("An id."), 0..=IDS_MAX);
    let body = object("", &["decision"], json!({"decision": decision, "ids": or_null(ids)}));
    about("decideRemovals", "Decide on withheld removals", "Of some of them, or of all.")
        .body(body, json!({"decision": "confirm", "ids": ["cert_8f3K2"]}))
        .answers::<Decided>(200, "What was decided.")
        .fails(&[ErrorKind::InsufficientStorage])
}
