//! What a list of resources is asked for: the vendor's own filters, and ours.

use crate::api::input::Input;
use crate::api::state::Api;
use crate::model::criteria::{Criteria, CustomerId, Horizon, Window};
use crate::model::resource::Kind;
use crate::model::source::SourceStatus;

/// Ten years: nobody looks further ahead.
const DAYS_MAX: u16 = 3650;

/// The vendor's vocabulary for certificates.
pub(in crate::api) const CERTIFICATE_STATUSES: [(&str, &str); 6] = [
    ("processing", "processing"),
    ("needs_info", "needs_info"),
    ("active", "active"),
    ("expiring", "expiring"),
    ("expired", "expired"),
    ("invalid", "invalid"),
];

/// The vendor's vocabulary for requests.
pub(in crate::api) const REQUEST_STATUSES: [(&str, &str); 4] =
    [("pending", "pending"), ("fulfilled", "fulfilled"), ("canceled", "canceled"), ("invalid", "invalid")];

/// Which resources of a kind a list is asked for.
pub(super) struct Asked {
    /// Of these sources.
    pub(super) sources: Vec<SourceStatus>,
    /// What they must show.
    pub(super) criteria: Criteria,
    /// Those that were removed instead of those that are there.
    pub(super) removed: bool,
}

impl Asked {
    /// Takes every parameter but those of the page.
    pub(super) fn take(input: &mut Input, kind: Kind, api: &Api) -> Self {
        let sources = sources(input, api);
        let status = match kind {
            Kind::Certificate => input.choice("status", &CERTIFICATE_STATUSES),
            Kind::CertificateRequest => input.choice("status", &REQUEST_STATUSES),
        };
        let customer = customer(input);
        let jurisdiction = match kind {
            Kind::Certificate => input.text("jurisdiction"),
            // The vendor's lists of requests know no such parameter.
            Kind::CertificateRequest => None,
        };
        let certificate_type_id = input.text("certificate_type_id");
        let created = Window { after: input.parsed("created_after"), before: input.parsed("created_before") };
        let updated = Window { after: input.parsed("updated_after"), before: input.parsed("updated_before") };
        let expiring = days(input, "expiring_within").map(|days| Horizon {
            now: api.clock.now(),
            zone: api.timezone.clone(),
            days,
        });
        let removed = flag(input, "removed");
        let criteria = Criteria { status, customer, jurisdiction, certificate_type_id, created, updated, expiring };
        Self { sources, criteria, removed }
    }
}

/// `source`: that one, or all. One that is not configured is a slip, and not an empty list.
pub(in crate::api) fn sources(input: &mut Input, api: &Api) -> Vec<SourceStatus> {
    let all = api.sources.list();
    let Some(wanted) = input.text("source") else { return all };
    let unknown = no_such_source(&wanted, &all);
    let found: Vec<SourceStatus> = all.into_iter().filter(|source| source.name.as_str() == wanted).collect();
    if found.is_empty() {
        input.report("source", unknown);
    }
    found
}

/// What is wrong with the name of a source that nobody knows.
pub(in crate::api) fn no_such_source(name: &str, all: &[SourceStatus]) -> String {
    let names: Vec<&str> = all.iter().map(|source| source.name.as_str()).collect();
    format!("there is no source {name:?}; there are: {}", names.join(", "))
}

/// What an id of a customer is taken for.
type Names = fn(String) -> CustomerId;

/// What the words of `id_type` stand for; the first one is the default.
pub(in crate::api) const ID_TYPES: [(&str, Names); 2] =
    [("id", CustomerId::Upstream), ("reference_customer_id", CustomerId::Reference)];

/// Yes and no, in a query.
pub(in crate::api) const FLAGS: [(&str, bool); 2] = [("true", true), ("false", false)];

/// `customer_id` and `id_type`, which must be right although there may be nothing for it to tell of.
pub(in crate::api) fn customer(input: &mut Input) -> Option<CustomerId> {
    let customer = input.choice("id_type", &ID_TYPES).unwrap_or(ID_TYPES[0].1);
    input.text("customer_id").map(customer)
}

/// `true`, or by default not.
pub(super) fn flag(input: &mut Input, name: &'static str) -> bool {
    input.choice(name, &FLAGS).unwrap_or(false)
}

/// A number of days, such as `30d`: dates have no hours.
fn days(input: &mut Input, name: &'static str) -> Option<u16> {
    let text = input.text(name)?;
    let digits = text.strip_suffix('d').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let days = digits.and_then(|digits| digits.parse().ok()).filter(|days| *days <= DAYS_MAX);
    if days.is_none() {
        input.report(name, format!("must be a number of days such as 30d, from 0d to {DAYS_MAX}d"));
    }
    days
}
