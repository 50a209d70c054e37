//! The events of a certificate come before those of the request that it fulfils.

use certhook::model::resource::Kind;

use super::super::life::{Life, View};
use super::super::record::Record;
use super::{Verdict, demand};

/// Where a request is told to be fulfilled by a certificate, that certificate was known before, unless upstream did not
/// give it.
pub(super) fn a_certificate_comes_before_the_request_that_it_fulfils(record: &Record, life: &Life) -> Verdict {
    for known in &life.known {
        if !known.types().contains(&"certificate_request.fulfilled") {
            continue;
        }
        let Some(id) = known.state["certificate_id"].as_str() else { continue };
        let certificate = record.lives.get(&(Kind::Certificate, id.to_owned()));
        let is_known = certificate.is_some_and(|certificate| certificate.known_at(known.at).is_some());
        let look = record.looks().filter(|look| look.began <= known.at).max_by_key(|look| look.began);
        let from = look.map_or(0, |look| look.began);
        let cannot_be_had = certificate.is_some_and(|certificate| {
            let asked = certificate.by_id.iter().filter(|answer| answer.arrived > from && answer.arrived <= known.at);
            asked.into_iter().any(|answer| matches!(answer.view, View::NotFound | View::Malformed))
        });
        let was_refused = record.was_refused(id, known.at);
        let is_kept = is_known || cannot_be_had || was_refused;
        demand(is_kept, || format!("it is fulfilled by {id}, which nobody has asked for, at {}", known.at))?;
    }
    Ok(())
}
