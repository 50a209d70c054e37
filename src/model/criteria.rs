//! Which resources a list is asked for: the vendor's own filters and one of ours, over what a resource shows.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::json::Fields;
use super::resource::{BadName, Kind, ResourceId, Snapshot, SourceName, instant};
use super::time::{Timestamp, plain_date};

/// A customer, by one of the two ids that name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CustomerId {
    /// The upstream's.
    Upstream(String),
    /// The account's own.
    Reference(String),
}

impl CustomerId {
    /// The id itself.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Upstream(id) | Self::Reference(id) => id,
        }
    }

    /// Whether it names the customer that a resource shows.
    pub fn names(&self, customer: Option<&Value>) -> bool {
        let (field, id) = match self {
            Self::Upstream(id) => ("id", id),
            Self::Reference(id) => ("reference_customer_id", id),
        };
        customer.and_then(|customer| customer.get(field)).and_then(Value::as_str) == Some(id)
    }
}

/// A span of time with both of its ends in it, open where an end is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The first instant of it.
    pub after: Option<Timestamp>,
    /// The last instant of it.
    pub before: Option<Timestamp>,
}

impl Window {
    /// Whether an instant lies in it. What is at no known instant lies in no span but that of all time.
    pub fn holds(&self, at: Option<Timestamp>) -> bool {
        match at {
            Some(at) => self.after.is_none_or(|after| after <= at) && self.before.is_none_or(|before| at <= before),
            None => *self == Self::default(),
        }
    }
}

/// The days from now on within which a date is to lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// When it is looked.
    pub now: Timestamp,
    /// Where upstream's dates, which carry no time zone, are.
    pub zone: TimeZone,
    /// How many days ahead the last day is; 0: only today.
    pub days: u16,
}

impl Horizon {
    /// Whether a date lies within: a plain one is good to the end of its day, an instant is over once it has passed.
    pub fn holds(&self, date: &str) -> bool {
        let today = self.now.day_in(&self.zone);
        let is_near = |day: Date| {
            let ahead = (day - today).get_days();
            0 <= ahead && ahead <= i32::from(self.days)
        };
        match plain_date(date) {
            Some(day) => is_near(day),
            None => {
                let instant = date.parse::<Timestamp>().ok().filter(|instant| *instant > self.now);
                instant.is_some_and(|instant| is_near(instant.day_in(&self.zone)))
            }
        }
    }
}

/// What a resource must show to be in a list; what is missing here, it need not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Criteria {
    /// Its top-level status.
    pub status: Option<&'static str>,
    /// Its customer.
    pub customer: Option<CustomerId>,
    /// A jurisdiction that it covers.
    pub jurisdiction: Option<String>,
    /// Its certificate type, by stable identifier or by numeric id, as far as it shows them.
    pub certificate_type_id: Option<String>,
    /// When it was created.
    pub created: Window,
    /// When it was updated.
    pub updated: Window,
    /// When it expires; where a jurisdiction is asked for, when it expires there.
    pub expiring: Option<Horizon>,
}

impl Criteria {
    /// Whether a resource of a kind with these fields meets all of them.
    pub fn meets(&self, kind: Kind, fields: &Fields) -> bool {
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        self.status.is_none_or(|status| text("status") == Some(status))
            && self.customer.as_ref().is_none_or(|customer| customer.names(fields.get("customer")))
            && self.certificate_type_id.as_ref().is_none_or(|id| is_of_type(fields, id))
            && (self.created == Window::default() || self.created.holds(instant(fields, "created_at")))
            && (self.updated == Window::default() || self.updated.holds(instant(fields, "updated_at")))
            && match &self.jurisdiction {
                Some(id) => {
                    entries(fields).filter(|entry| entry_id(entry) == Some(id)).any(|entry| self.is_near(entry))
                }
                None => self.expiring.as_ref().is_none_or(|near| match kind {
                    Kind::Certificate => text("expiration_date").is_some_and(|date| near.holds(date)),
                    Kind::CertificateRequest => text("expires_at").is_some_and(|date| near.holds(date)),
                }),
            }
    }

    fn is_near(&self, entry: &Value) -> bool {
        let date = entry.get("expiration_date").and_then(Value::as_str);
        self.expiring.as_ref().is_none_or(|near| date.is_some_and(|date| near.holds(date)))
    }
}

fn is_of_type(fields: &Fields, id: &str) -> bool {
    let shown = fields.get("certificate_type");
    let ids = ["certificate_identifier", "id"].map(|name| shown.and_then(|shown| shown.get(name)));
    ids.into_iter().chain([fields.get("certificate_type_id")]).flatten().any(|shown| shown.as_str() == Some(id))
}

/// The entries of what a resource covers: objects on certificates, texts on requests.
pub(super) fn entries(fields: &Fields) -> impl Iterator<Item = &Value> {
    fields.get("jurisdictions").and_then(Value::as_array).into_iter().flatten()
}

/// The jurisdiction of an entry.
pub(super) fn entry_id(entry: &Value) -> Option<&str> {
    entry.get("jurisdiction_id").unwrap_or(entry).as_str()
}

/// Where a resource stands in a list: by its creation, then by its id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListPlace {
    /// When it was created; the earliest instant there is for one that does not tell.
    pub created_at: Timestamp,
    /// Its id.
    pub id: ResourceId,
    /// The source that holds it.
    pub source: SourceName,
}

impl ListPlace {
    /// That of a resource that tells, or does not, when it was created.
    pub fn new(created_at: Option<Timestamp>, id: ResourceId, source: SourceName) -> Self {
        Self { created_at: created_at.unwrap_or(Timestamp::from_millis(i64::MIN)), id, source }
    }

    /// That of a snapshot.
    pub fn of(snapshot: &Snapshot) -> Self {
        let created_at = instant(&snapshot.object.fields(), "created_at");
        Self::new(created_at, snapshot.key.id.clone(), snapshot.key.source.clone())
    }
}

impl fmt::Display for ListPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.created_at.as_millis(), self.id, self.source)
    }
}

impl FromStr for ListPlace {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        const RULE: BadName = BadName("milliseconds, an id and a source");
        let mut parts = text.splitn(3, ' ');
        let mut part = || parts.next().ok_or(RULE);
        let created_at = Timestamp::from_millis(part()?.parse().map_err(|_| RULE)?);
        Ok(Self { created_at, id: part()?.parse()?, source: part()?.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn horizon(now: &str, zone: &str, days: u16) -> Horizon {
        Horizon { now: now.parse().expect("an instant"), zone: TimeZone::get(zone).expect("a zone"), days }
    }

    #[test]
    fn a_date_is_near_from_today_to_the_last_day_in_its_zone() {
        let near = horizon("2026-11-21T04:30:00Z", "UTC", 30);
        for (date, expected) in [
            ("2026-11-20", false),
            ("2026-11-21", true),
            ("2026-12-21", true),
            ("2026-12-22", false),
            ("9999-12-31", false),
            ("2026-11-21T04:30:00Z", false),
            ("2026-11-21T04:30:01Z", true),
            ("2026-12-21T23:59:59Z", true),
            ("2026-12-22T00:00:00Z", false),
            ("soon", false),
            ("", false),
        ] {
            assert_eq!(near.holds(date), expected, "{date}");
        }
        let today = |now, zone| horizon(now, zone, 0);
        assert!(today("2026-11-21T04:30:00Z", "America/New_York").holds("2026-11-20"), "it is still the 20th there");
        assert!(!today("2026-11-21T05:00:00Z", "America/New_York").holds("2026-11-20"));
    }

    fn check(criteria: &Criteria, kind: Kind, resource: &Value, expected: bool) {
        assert_eq!(criteria.meets(kind, resource.as_object().expect("an object")), expected, "{criteria:?} {resource}");
    }

    fn certificate() -> Value {
        json!({
            "id": "cert_1", "status": "active",
            "certificate_type": {"id": "12", "certificate_identifier": "US-CA-CDTFA-230"},
            "customer": {"id": "cust_1", "reference_customer_id": "20506"},
            "jurisdictions": [
                {"jurisdiction_id": "US-CA", "status": "active", "expiration_date": "2027-01-01"},
                {"jurisdiction_id": "US-TX", "status": "expiring", "expiration_date": "2026-12-01"},
            ],
            "expiration_date": "2027-01-01",
            "created_at": "2026-01-02T10:15:23Z", "updated_at": "2026-01-05T11:00:00Z",
        })
    }

    #[test]
    fn everything_that_is_asked_for_must_be_shown() {
        let any = Criteria::default();
        let near = |days| Some(horizon("2026-11-21T04:30:00Z", "UTC", days));
        let in_jurisdiction =
            |id: &str, days| Criteria { jurisdiction: Some(id.into()), expiring: near(days), ..Criteria::default() };
        let at = |text: &str| Some(text.parse().expect("an instant"));
        for (criteria, expected) in [
            (any.clone(), true),
            (Criteria { status: Some("active"), ..any.clone() }, true),
            (Criteria { status: Some("expired"), ..any.clone() }, false),
            (Criteria { customer: Some(CustomerId::Upstream("cust_1".into())), ..any.clone() }, true),
            (Criteria { customer: Some(CustomerId::Upstream("20506".into())), ..any.clone() }, false),
            (Criteria { customer: Some(CustomerId::Reference("20506".into())), ..any.clone() }, true),
            (Criteria { certificate_type_id: Some("12".into()), ..any.clone() }, true),
            (Criteria { certificate_type_id: Some("US-CA-CDTFA-230".into()), ..any.clone() }, true),
            (Criteria { certificate_type_id: Some("13".into()), ..any.clone() }, false),
            (Criteria { jurisdiction: Some("US-TX".into()), ..any.clone() }, true),
            (Criteria { jurisdiction: Some("US-NV".into()), ..any.clone() }, false),
            (Criteria { expiring: near(30), ..any.clone() }, false),
            (Criteria { expiring: near(41), ..any.clone() }, true),
            (in_jurisdiction("US-TX", 30), true),
            (in_jurisdiction("US-CA", 30), false),
            (Criteria { created: Window { after: at("2026-01-02T10:15:23Z"), before: None }, ..any.clone() }, true),
            (Criteria { updated: Window { after: None, before: at("2026-01-05T11:00:00Z") }, ..any.clone() }, true),
            (
                Criteria { updated: Window { after: at("2026-01-05T11:00:00.001Z"), before: None }, ..any.clone() },
                false,
            ),
        ] {
            check(&criteria, Kind::Certificate, &certificate(), expected);
        }
    }

    #[test]
    fn a_request_expires_at_an_instant_and_names_its_type_and_jurisdictions() {
        let request = json!({
            "certificate_type_id": "US-CA-CDTFA-230", "jurisdictions": ["US-CA"], "customer": null,
            "expires_at": "2026-11-30T10:00:00Z",
        });
        let expiring = |days| Some(horizon("2026-11-21T04:30:00Z", "UTC", days));
        let any = Criteria::default();
        let kind = Kind::CertificateRequest;
        check(&Criteria { expiring: expiring(9), ..any.clone() }, kind, &request, true);
        check(&Criteria { expiring: expiring(8), ..any.clone() }, kind, &request, false);
        check(&Criteria { certificate_type_id: Some("US-CA-CDTFA-230".into()), ..any.clone() }, kind, &request, true);
        check(&Criteria { jurisdiction: Some("US-CA".into()), ..any.clone() }, kind, &request, true);
        check(&Criteria { customer: Some(CustomerId::Upstream("cust_1".into())), ..any }, kind, &request, false);
    }

    #[test]
    fn what_shows_nothing_meets_only_what_asks_for_nothing() {
        let at = Some(Timestamp::EPOCH);
        let empty = json!({});
        check(&Criteria::default(), Kind::Certificate, &empty, true);
        for criteria in [
            Criteria { created: Window { after: at, before: None }, ..Criteria::default() },
            Criteria { updated: Window { after: None, before: at }, ..Criteria::default() },
            Criteria { expiring: Some(horizon("2026-11-21T04:30:00Z", "UTC", 3650)), ..Criteria::default() },
        ] {
            check(&criteria, Kind::Certificate, &empty, false);
        }
    }

    #[test]
    fn a_place_reads_back_as_it_was_written() {
        for (millis, id) in [(i64::MIN, "a"), (-1, "cert_1"), (1_795_233_600_000, "x-Y_9")] {
            let place = ListPlace {
                created_at: Timestamp::from_millis(millis),
                id: id.parse().expect("an id"),
                source: "numeral-eu_2".parse().expect("a name"),
            };
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for bad in ["", "1", "1 a", "x a numeral", "1 a! numeral", "1 a Numeral", "1 a numeral "] {
            assert!(bad.parse::<ListPlace>().is_err(), "{bad:?}");
        }
    }
}
