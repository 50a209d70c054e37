//! What an endpoint wants to hear about beside its event types.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::{Event, EventDraft, EventType, Sight};
use super::json::{Fields, Json};
use super::resource::SourceName;

/// Keys are ANDed, the values of one key ORed, an empty key matches everything. The two customer lists are one
/// condition. Of a filter only `sources` applies to what the gateway says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Names of sources.
    pub sources: Vec<SourceName>,
    /// The upstream's customer ids.
    pub customer_ids: Vec<String>,
    /// The account's own customer ids.
    pub reference_customer_ids: Vec<String>,
    /// Jurisdiction ids such as `US-CA`.
    pub jurisdictions: Vec<String>,
    /// Certificate types, by stable identifier or by numeric id.
    pub certificate_type_ids: Vec<String>,
    /// Thresholds of `will_expire`; other events are not concerned.
    pub will_expire_days: Vec<u32>,
}

/// What a filter can ask of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Its source is one of `sources`.
    Source,
    /// One of its customers, now or before, is in one of the two lists.
    Customer,
    /// One of its jurisdictions is one of `jurisdictions`.
    Jurisdiction,
    /// Its certificate type is one of `certificate_type_ids`.
    CertificateType,
    /// One of the thresholds that it has crossed is one of `will_expire_days`.
    WillExpireDays,
}

/// Something that a filter can name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Named<'a> {
    /// A customer, by the upstream's id.
    Customer(Cow<'a, str>),
    /// A customer, by the account's own id.
    ReferenceCustomer(Cow<'a, str>),
    /// A jurisdiction.
    Jurisdiction(Cow<'a, str>),
    /// A certificate type, by either of its names.
    CertificateType(Cow<'a, str>),
}

impl Named<'_> {
    /// The same for longer.
    pub fn owned(&self) -> Named<'static> {
        let owned = |text: &Cow<'_, str>| Cow::Owned(text.clone().into_owned());
        match self {
            Self::Customer(id) => Named::Customer(owned(id)),
            Self::ReferenceCustomer(id) => Named::ReferenceCustomer(owned(id)),
            Self::Jurisdiction(id) => Named::Jurisdiction(owned(id)),
            Self::CertificateType(id) => Named::CertificateType(owned(id)),
        }
    }
}

/// What filters look at, taken from an event once and matched against many filters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facets {
    source: Option<SourceName>,
    about_a_resource: bool,
    customer_ids: Vec<String>,
    reference_customer_ids: Vec<String>,
    jurisdictions: Vec<String>,
    certificate_type_ids: Vec<String>,
    /// Those that a reminder tells of, which are several after an outage.
    thresholds_crossed: Vec<u64>,
}

impl Facets {
    /// Collects them from the resource as it is now and as it was before; an event that names a jurisdiction is
    /// about that one alone.
    pub fn of(event: &Event) -> Self {
        Self::told(&event.sight, event.event_type, &event.details)
    }

    /// The same of an event that is not in the log yet.
    pub fn of_draft(sight: &Sight, draft: &EventDraft) -> Self {
        Self::told(sight, draft.event_type, &draft.details)
    }

    fn told(sight: &Sight, event_type: EventType, details: &Json) -> Self {
        let mut facets = Self {
            source: sight.source().cloned(),
            about_a_resource: event_type.is_about_a_resource(),
            ..Self::default()
        };
        if !facets.about_a_resource {
            return facets;
        }
        facets.collect(&sight.object.fields());
        facets.collect(&sight.previous_attributes.fields());
        let details = details.fields();
        if let Some(jurisdiction) = details.get("jurisdiction_id").and_then(Value::as_str) {
            facets.jurisdictions = vec![jurisdiction.into()];
        }
        let reminds = matches!(event_type, EventType::CertificateWillExpire | EventType::RequestWillExpire);
        if reminds {
            let crossed = details.get("thresholds_crossed").and_then(Value::as_array).into_iter().flatten();
            facets.thresholds_crossed = crossed.filter_map(Value::as_u64).collect();
        }
        facets
    }

    /// What an index may look an event up by: every customer, jurisdiction and certificate type concerned.
    pub fn names(&self) -> impl Iterator<Item = Named<'_>> {
        let customers = self.customer_ids.iter().map(|id| Named::Customer(id.into()));
        let reference_customers = self.reference_customer_ids.iter().map(|id| Named::ReferenceCustomer(id.into()));
        let jurisdictions = self.jurisdictions.iter().map(|id| Named::Jurisdiction(id.into()));
        let certificate_types = self.certificate_type_ids.iter().map(|id| Named::CertificateType(id.into()));
        customers.chain(reference_customers).chain(jurisdictions).chain(certificate_types)
    }

    fn collect(&mut self, fields: &Fields) {
        if let Some(customer) = fields.get("customer") {
            push(&mut self.customer_ids, customer.get("id"));
            push(&mut self.reference_customer_ids, customer.get("reference_customer_id"));
        }
        for entry in fields.get("jurisdictions").and_then(Value::as_array).into_iter().flatten() {
            push(&mut self.jurisdictions, Some(entry.get("jurisdiction_id").unwrap_or(entry)));
        }
        push(&mut self.certificate_type_ids, fields.get("certificate_type_id"));
        if let Some(certificate_type) = fields.get("certificate_type") {
            push(&mut self.certificate_type_ids, certificate_type.get("certificate_identifier"));
            push(&mut self.certificate_type_ids, certificate_type.get("id"));
        }
    }
}

fn push(values: &mut Vec<String>, value: Option<&Value>) {
    if let Some(text) = value.and_then(Value::as_str)
        && !values.iter().any(|known| known == text)
    {
        values.push(text.into());
    }
}

impl Filter {
    /// Names of which an event about a resource must have one; empty if the filter asks for none. They are those of one
    /// condition, of customers rather than of certificate types or jurisdictions: the fewer events a name means, the
    /// fewer are looked at in vain.
    pub fn names(&self) -> Vec<Named<'_>> {
        let customers = self.customer_ids.iter().map(|id| Named::Customer(id.into()));
        let reference_customers = self.reference_customer_ids.iter().map(|id| Named::ReferenceCustomer(id.into()));
        let customers: Vec<_> = customers.chain(reference_customers).collect();
        if !customers.is_empty() {
            customers
        } else if !self.certificate_type_ids.is_empty() {
            self.certificate_type_ids.iter().map(|id| Named::CertificateType(id.into())).collect()
        } else {
            self.jurisdictions.iter().map(|id| Named::Jurisdiction(id.into())).collect()
        }
    }

    /// Whether it lets everything through, so that no facets need to be collected for it.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an event with these facets is let through.
    pub fn matches(&self, facets: &Facets) -> bool {
        self.mismatch(facets).is_none()
    }

    /// The first condition that an event with these facets does not meet; `None` if it is let through.
    pub fn mismatch(&self, facets: &Facets) -> Option<Condition> {
        if !self.sources.is_empty() && !facets.source.as_ref().is_some_and(|name| self.sources.contains(name)) {
            return Some(Condition::Source);
        }
        if !facets.about_a_resource {
            return None;
        }
        let customers = self.customer_ids.is_empty() && self.reference_customer_ids.is_empty()
            || any(&self.customer_ids, &facets.customer_ids)
            || any(&self.reference_customer_ids, &facets.reference_customer_ids);
        if !customers {
            return Some(Condition::Customer);
        }
        if !self.jurisdictions.is_empty() && !any(&self.jurisdictions, &facets.jurisdictions) {
            return Some(Condition::Jurisdiction);
        }
        if !self.certificate_type_ids.is_empty() && !any(&self.certificate_type_ids, &facets.certificate_type_ids) {
            return Some(Condition::CertificateType);
        }
        let crossed = &facets.thresholds_crossed;
        let is_wanted = |days: &u32| crossed.contains(&u64::from(*days));
        let days =
            self.will_expire_days.is_empty() || crossed.is_empty() || self.will_expire_days.iter().any(is_wanted);
        if days { None } else { Some(Condition::WillExpireDays) }
    }
}

fn any(wanted: &[String], present: &[String]) -> bool {
    wanted.iter().any(|one| present.contains(one))
}
