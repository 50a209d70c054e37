//! Which endpoints an event is for: one look-up over all of them, not one filter run for each.

use std::collections::{BTreeSet, HashMap};

use crate::model::endpoint::Endpoint;
use crate::model::event::{Event, EventType};
use crate::model::filter::Facets;
use crate::model::id::EndpointNumber;

/// Endpoints by event type, and by customer where their filter names customers. What it finds are candidates: the
/// rest of the filter is checked for those alone.
#[derive(Debug, Default)]
pub(super) struct Index {
    by_type: HashMap<EventType, Candidates>,
    filtered: usize,
}

#[derive(Debug, Default)]
struct Candidates {
    any_customer: BTreeSet<EndpointNumber>,
    by_customer: HashMap<String, BTreeSet<EndpointNumber>>,
}

impl Index {
    /// Adds an endpoint.
    pub(super) fn insert(&mut self, endpoint: &Endpoint) {
        let number = endpoint.id.number;
        self.filtered += usize::from(!endpoint.filter.is_empty());
        for event_type in EventType::ALL.iter().filter(|event_type| endpoint.wants(**event_type)) {
            let candidates = self.by_type.entry(*event_type).or_default();
            let customers = customers_of(endpoint);
            if customers.is_empty() || !event_type.is_about_a_resource() {
                candidates.any_customer.insert(number);
            }
            for customer in customers {
                candidates.by_customer.entry(customer).or_default().insert(number);
            }
        }
    }

    /// Takes an endpoint out; `endpoint` is as it was inserted.
    pub(super) fn remove(&mut self, endpoint: &Endpoint) {
        let number = endpoint.id.number;
        self.filtered -= usize::from(!endpoint.filter.is_empty());
        for candidates in self.by_type.values_mut() {
            candidates.any_customer.remove(&number);
            for customer in customers_of(endpoint) {
                if let Some(numbers) = candidates.by_customer.get_mut(&customer) {
                    numbers.remove(&number);
                    if numbers.is_empty() {
                        candidates.by_customer.remove(&customer);
                    }
                }
            }
        }
    }

    /// The endpoints that an event may be for, in the order of their numbers.
    pub(super) fn candidates(&self, event: &Event, facets: &Facets) -> BTreeSet<EndpointNumber> {
        let Some(candidates) = self.by_type.get(&event.event_type) else { return BTreeSet::new() };
        let mut found = candidates.any_customer.clone();
        if !candidates.by_customer.is_empty() {
            for customer in facets.customers() {
                found.extend(candidates.by_customer.get(&customer).into_iter().flatten());
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
        self.by_type.get(&event_type).is_some_and(|one| !one.any_customer.is_empty() || !one.by_customer.is_empty())
    }
}

fn customers_of(endpoint: &Endpoint) -> Vec<String> {
    let filter = &endpoint.filter;
    let own = filter.customer_ids.iter().map(|id| Facets::customer(id));
    own.chain(filter.reference_customer_ids.iter().map(|id| Facets::reference_customer(id))).collect()
}
