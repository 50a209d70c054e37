//! Removals that are withheld: what no list of the vendor's shows any more, and what is to become of it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::audit::Audited;
use super::commands::Undecided;
use super::error::{ApiError, Problems};
use super::input::Input;
use super::openapi::examples;
use super::page::{List, Page, PageQuery};
use super::request::{Body, Named, NoQuery, Query};
use super::sources::not_found;
use super::state::Api;
use crate::model::resource::{Absence, AbsenceState, BadName, Kind, ResourceId};
use crate::model::source::RemovalDecision;
use crate::model::time::Timestamp;

/// So many ids are decided in one call; without ids, all are.
pub(super) const IDS_MAX: usize = 1_000;

/// What the words of `decision` stand for.
pub(super) const DECISIONS: [(&str, RemovalDecision); 2] =
    [("confirm", RemovalDecision::Confirm), ("keep", RemovalDecision::Keep)];

/// A resource that no list of the vendor's shows any more, and that was not removed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Removal", example = examples::removal())]
pub(super) struct View {
    /// The word for it.
    #[schemars(extend("const" = "removal"))]
    object: &'static str,
    /// What it is.
    resource: Kind,
    /// Its id.
    id: ResourceId,
    /// How it stands.
    removal: AbsenceState,
    /// When the first sweep began that did not show it.
    absent_since: Timestamp,
}

/// Where a list goes on.
#[derive(Clone, Debug)]
struct Place(Kind, ResourceId);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.1)
    }
}

impl FromStr for Place {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let (kind, id) = text.split_once(' ').ok_or(BadName("a kind and an id"))?;
        Ok(Self(kind.parse()?, id.parse()?))
    }
}

/// `GET /v1/sources/{name}/removals`, by kind and id.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    Query(mut input): Query,
) -> Result<Json<Page<View>>, ApiError> {
    let page = PageQuery::<Place>::take_unordered(&mut input, List::Removals);
    input.finish()?;
    let source = name.parse().map_err(|_| not_found(&name))?;
    let after = page.after.clone().map(|Place(kind, id)| (kind, id));
    let absences = api.sources.absences(&source, after, page.limit + 1).await.ok_or_else(|| not_found(&name))??;
    let views = absences.into_iter().map(|Absence { key, state, since }| View {
        object: "removal",
        resource: key.kind,
        id: key.id,
        removal: state,
        absent_since: since,
    });
    Ok(Json(page.answer_with_one_more(views.collect(), |view: &View| Place(view.resource, view.id.clone()))))
}

/// What a decision led to.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DecidedRemovals", example = examples::decided())]
pub(super) struct Decided {
    /// The word for it.
    #[schemars(extend("const" = "removal_decision"))]
    object: &'static str,
    /// What was decided.
    decision: RemovalDecision,
    /// About how many.
    decided: u64,
}

/// `POST /v1/sources/{name}/removals`: decides on some of them, or on all.
pub(super) async fn decide(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    _: NoQuery,
    Body(fields): Body,
) -> Result<(Audited, Json<Decided>), ApiError> {
    let mut input = Input::of_body(fields);
    let has_decision = input.has("decision");
    let decision = input.choice("decision", &DECISIONS);
    if !has_decision {
        input.report("decision", "is missing: confirm (they may go) or keep (they are still there)");
    }
    let ids = input.list("ids", IDS_MAX, read_id);
    input.finish()?;
    let Some(decision) = decision else { return Err(ApiError::internal()) };
    let source = name.parse().map_err(|_| not_found(&name))?;
    let decided = api.sources.decide(&source, decision, ids.clone()).await.ok_or_else(|| not_found(&name))?;
    match decided {
        Ok(decided) => {
            let audited = Audited::states(None, &json!({"decision": decision, "decided": decided, "ids": ids}));
            Ok((audited, Json(Decided { object: "removal_decision", decision, decided })))
        }
        Err(Undecided::Store(error)) => Err(error.into()),
        Err(Undecided::NotWithheld(ids)) => {
            let mut problems = Problems::default();
            for id in ids {
                problems.report("ids", format!("the removal of {id} is not withheld; nothing was decided"));
            }
            Err(problems.into())
        }
    }
}

fn read_id(value: &Value) -> Result<ResourceId, String> {
    let text = value.as_str().ok_or("must be a string")?;
    text.parse().map_err(|error: BadName| error.to_string())
}
