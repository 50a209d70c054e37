//! Which endpoints an event is for: one look-up over all of them, not one filter run for each.

use std::collections::{BTreeSet, HashMap};

use crate::model::endpoint::Endpoint;
use crate::model::event::{Event, EventType};
use crate::model::filter::{Facets, Named};
use crate::model::id::EndpointNumber;

/// Endpoints by event type, and by what their filter names where it names anything. What it finds are candidates: the
/// rest of the filter is checked for those alone.
#[derive(Debug, Default)]
pub(super) struct Index {
    by_type: HashMap<EventType, Candidates>,
    filtered: usize,
}

#[derive(Debug, Default)]
struct Candidates {
    any: BTreeSet<EndpointNumber>,
    by_name: HashMap<Named<'static>, BTreeSet<EndpointNumber>>,
}

impl Index {
    /// Adds an endpoint.
    pub(super) fn insert(&mut self, endpoint: &Endpoint) {
        let number = endpoint.id.number;
        let names = endpoint.filter.names();
        self.filtered += usize::from(!endpoint.filter.is_empty());
        for event_type in EventType::ALL.iter().filter(|event_type| endpoint.wants(**event_type)) {
            let candidates = self.by_type.entry(*event_type).or_default();
            if names.is_empty() || !event_type.is_about_a_resource() {
                candidates.any.insert(number);
                continue;
            }
            for name in &names {
                candidates.by_name.entry(name.owned()).or_default().insert(number);
            }
        }
    }

    /// Takes an endpoint out; `endpoint` is as it was inserted.
    pub(super) fn remove(&mut self, endpoint: &Endpoint) {
        let number = endpoint.id.number;
        let names = endpoint.filter.names();
        self.filtered -= usize::from(!endpoint.filter.is_empty());
        for candidates in self.by_type.values_mut() {
            candidates.any.remove(&number);
            for name in &names {
                if let Some(numbers) = candidates.by_name.get_mut(&name.owned()) {
                    numbers.remove(&number);
                    if numbers.is_empty() {
                        candidates.by_name.remove(&name.owned());
                    }
                }
            }
        }
    }

    /// The endpoints that an event may be for, in the order of their numbers.
    pub(super) fn candidates(&self, event: &Event, facets: &Facets) -> BTreeSet<EndpointNumber> {
        let Some(candidates) = self.by_type.get(&event.event_type) else { return BTreeSet::new() };
        let mut found = candidates.any.clone();
        if !candidates.by_name.is_empty() {
            for name in facets.names() {
                found.extend(candidates.by_name.get(&name).into_iter().flatten());
            }
        }
        found
    }

    /// Whether any endpoint has a filter, so that facets need to be collected at all.
    pub(super) fn looks_at_facets(&self) -> bool {
        self.filtered > 0
    }

    /// Whether any endpoint could want events of that type.
    pub(super) fn has(&self, event_type: EventType) -> bool {
        self.by_type.get(&event_type).is_some_and(|one| !one.any.is_empty() || !one.by_name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::deliver::testing::{endpoint, event};
    use crate::model::filter::Filter;
    use crate::model::json::Json;

    fn some(of: &'static [&str]) -> impl Strategy<Value = Vec<String>> {
        prop::sample::subsequence(of, 0..=of.len()).prop_map(|chosen| chosen.into_iter().map(str::to_owned).collect())
    }

    prop_compose! {
        fn filter()(
            customer_ids in some(&["a", "b"]),
            reference_customer_ids in some(&["a", "c"]),
            jurisdictions in some(&["US-CA", "US-NY"]),
            certificate_type_ids in some(&["12", "US-CA-1"]),
        ) -> Filter {
            Filter { customer_ids, reference_customer_ids, jurisdictions, certificate_type_ids, ..Filter::default() }
        }
    }

    proptest! {
        /// However many filters there are: nobody is forgotten, and nobody who was taken out is found.
        #[test]
        fn whom_a_filter_lets_through_is_a_candidate(
            filters in prop::collection::vec((filter(), any::<bool>()), 1..12),
            (customer, reference) in (prop::sample::select(&["a", "b", "x"]), prop::sample::select(&["a", "c", "x"])),
            (jurisdictions, kind) in (some(&["US-CA", "US-NY", "XX"]), prop::sample::select(&["12", "US-CA-1", "x"])),
        ) {
            let mut event = Arc::unwrap_or_clone(event(1, "cert_1"));
            let customer = json!({"id": customer, "reference_customer_id": reference});
            let object = json!({"customer": customer, "jurisdictions": jurisdictions, "certificate_type": {"id": kind}});
            Arc::make_mut(&mut event.sight).object = Json::of(&object);
            let mut index = Index::default();
            let endpoints: Vec<_> = filters.into_iter().zip(1..).map(|((filter, stays), number)| {
                (Endpoint { filter, ..endpoint(number) }, stays)
            }).collect();
            endpoints.iter().for_each(|(endpoint, _)| index.insert(endpoint));
            endpoints.iter().filter(|(_, stays)| !stays).for_each(|(endpoint, _)| index.remove(endpoint));
            let facets = Facets::of(&event);
            let found = index.candidates(&event, &facets);
            for (endpoint, stays) in endpoints {
                let number = endpoint.id.number;
                if stays && endpoint.filter.matches(&facets) {
                    prop_assert!(found.contains(&number), "{number:?} is forgotten");
                }
                prop_assert!(stays || !found.contains(&number), "{number:?} was taken out");
            }
        }
    }
}
