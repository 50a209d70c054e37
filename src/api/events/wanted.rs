//! Which events a list or a stream is asked for, beside their time.

use crate::api::input::Input;
use crate::model::event::Event;
use crate::model::filter::{Facets, Filter};
use crate::model::pattern::Pattern;
use crate::model::resource::{ResourceId, SourceName};

/// All conditions together; one that is not there is met by everything.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Any of them; none at all means every type, what the gateway says about itself included.
    types: Option<Vec<Pattern>>,
    resource_id: Option<ResourceId>,
    pub(super) source: Option<SourceName>,
    /// Customers and jurisdictions.
    filter: Filter,
}

impl Wanted {
    /// Takes everything that a list can be asked for.
    pub(super) fn take(input: &mut Input) -> Self {
        let Self { types, .. } = Self::take_types(input);
        let source = input.parsed("source");
        let resource_id = input.parsed("resource_id");
        let mut filter = Filter::default();
        let id_types = [("id", false), ("reference_customer_id", true)];
        let by_reference = input.choice("id_type", &id_types).unwrap_or(false);
        let customers = if by_reference { &mut filter.reference_customer_ids } else { &mut filter.customer_ids };
        customers.extend(input.text("customer_id"));
        filter.jurisdictions.extend(input.text("jurisdiction"));
        Self { types, resource_id, source, filter }
    }

    /// Takes `types`, patterns with commas between them.
    pub(super) fn take_types(input: &mut Input) -> Self {
        let Some(text) = input.text("types") else { return Self::default() };
        let mut patterns = Vec::new();
        for part in text.split(',') {
            match part.trim().parse() {
                Ok(pattern) => patterns.push(pattern),
                Err(why) => input.report("types", why),
            }
        }
        Self { types: Some(patterns), ..Self::default() }
    }

    /// Whether nothing is asked for, so that every event is meant.
    pub(super) fn is_everything(&self) -> bool {
        self.types.is_none() && self.resource_id.is_none() && self.source.is_none() && self.filter.is_empty()
    }

    /// What is cheap is looked at first. An endpoint's filter lets everything through that is about no resource;
    /// who asks for a customer's or a jurisdiction's events wants only those.
    pub(super) fn matches(&self, event: &Event) -> bool {
        self.types.as_ref().is_none_or(|types| types.iter().any(|pattern| pattern.matches(event.event_type)))
            && self.resource_id.as_ref().is_none_or(|id| event.sight.resource().is_some_and(|key| key.id == *id))
            && self.source.as_ref().is_none_or(|name| event.sight.source() == Some(name))
            && (self.filter.is_empty()
                || event.event_type.is_about_a_resource() && self.filter.matches(&Facets::of(event)))
    }
}
