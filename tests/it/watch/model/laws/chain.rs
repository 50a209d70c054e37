//! The events of a resource form an unbroken chain.

use certhook::model::json::Fields;
use serde_json::Value;

use super::super::life::{Known, Life};
use super::super::meaning::{differences, jurisdiction, meaning, without_memos};
use super::super::record::Record;
use super::super::steps::{MEMO, NEW_FIELDS};
use super::{Verdict, demand};

/// Each sight starts where the last ended, versions have no gaps, and the last equals the snapshot.
pub(super) fn versions_have_no_gaps_and_each_sight_begins_where_the_last_ended(
    record: &Record,
    life: &Life,
) -> Verdict {
    let mut before: Option<&Known> = None;
    for known in &life.known {
        let mut version = before.map_or(0, |before| before.snapshot.object_version);
        let mut told: Option<Value> = before.map(|before| before.state.clone());
        let observed = known.told.len() - known.derived().count();
        demand(observed <= 1, || format!("one commit tells {observed} sights"))?;
        if let Some((sight, drafts)) = known.observed() {
            demand(!drafts.is_empty(), || "a sight tells nothing".into())?;
            version += 1;
            let previous = sight.previous_attributes.fields();
            let after = sight.object.fields();
            let start = meaning(&over(&after, &previous));
            let after = meaning(&Value::Object(after));
            check_start(record, before, &start, &previous)?;
            for name in previous.keys() {
                let differs = name != "updated_at" && differences(&start, &after).contains(&name.as_str());
                demand(differs, || format!("{name} is said to have changed, and did not, at {}", known.at))?;
            }
            told = Some(after);
        }
        for (sight, _) in &known.told {
            let has = sight.detection.object_version;
            demand(has == version, || format!("version {has} follows {} at {}", version - 1, known.at))?;
        }
        let has = known.snapshot.object_version;
        demand(has == version, || format!("the snapshot has version {has} and not {version} at {}", known.at))?;
        if let Some(told) = &told {
            let unlike = differences(told, &known.state);
            let loud = unlike.iter().find(|name| !may_be_silent(record, before, name, &known.state));
            demand(loud.is_none(), || format!("{loud:?} changed in silence at {}", known.at))?;
        }
        before = Some(known);
    }
    Ok(())
}

/// An object as it was before.
fn over(after: &Fields, previous: &Fields) -> Value {
    let mut before = after.clone();
    before.extend(previous.clone());
    Value::Object(before)
}

fn check_start(record: &Record, before: Option<&Known>, start: &Value, previous: &Fields) -> Verdict {
    let Some(before) = before else {
        return demand(previous.is_empty(), || "a first sight has no former state".into());
    };
    let unlike = differences(&before.state, start);
    let loud = unlike.iter().find(|name| !may_be_silent(record, Some(before), name, start));
    demand(loud.is_none(), || format!("the chain breaks at {loud:?} after {}", before.at))
}

/// Whether a field may differ from what was known without a word: `updated_at`; a field that upstream has come up with
/// (see `fields`); and what no row shows, as long as no answer by id has shown it.
fn may_be_silent(record: &Record, before: Option<&Known>, name: &str, after: &Value) -> bool {
    let Some(before) = before else { return true };
    let lack = record.played.world.rows_lack_memo;
    match name {
        "updated_at" => true,
        "jurisdictions" => {
            lack[1] && without_memos(&before.state)[name] == without_memos(after)[name] && are_news(before, after)
        }
        _ if name == MEMO || NEW_FIELDS.contains(&name) => before.object.get(name).is_none(),
        _ => false,
    }
}

/// Whether the memos of entries differ only where none was known.
fn are_news(before: &Known, after: &Value) -> bool {
    let entries = |state: &Value| state["jurisdictions"].as_array().cloned().unwrap_or_default();
    let known = entries(&before.object);
    entries(after).iter().all(|entry| {
        let known = known.iter().find(|known| jurisdiction(known) == jurisdiction(entry));
        known.is_none_or(|known| known.get(MEMO).is_none_or(|memo| meaning(memo) == entry[MEMO]))
    })
}
