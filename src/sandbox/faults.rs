//! Failing on demand.

use std::time::Duration;

use axum::http::{HeaderValue, Method};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::dice::Dice;

/// What can go wrong with a call, by the word that asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The call is not done, and answered with `status` (500 if missing).
    Status,
    /// The call is not done, and answered with 429 and `retry_after` (seconds or a date; none if missing).
    Throttle,
    /// The call is not done, and answered with an HTML page and `status` (502 if missing).
    Html,
    /// The call waits for `delay` (`"3s"` if missing) and is done then.
    Delay,
    /// The call is done, and the connection closed without an answer.
    Close,
    /// The call is done, and the connection closed in the middle of the answer's body.
    Truncate,
    /// A page with more behind it has no `next_cursor`.
    NoCursor,
    /// A page that was asked for with a cursor, and has more behind it, gives that cursor again.
    RepeatCursor,
    /// A page with more behind it says that it is the last.
    CutShort,
    /// A page with more behind it shows nothing.
    EmptyPage,
    /// The first row of a page has a number for an id.
    MalformedRow,
}

/// An order to fail, as somebody gives it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    fault: FaultKind,
    /// The HTTP status.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// The `Retry-After` header, as it is to be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<String>,
    /// A duration such as `"3s"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    delay: Option<String>,
    /// Only for paths that begin so.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// Only for this method.
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    /// So many times; once if missing, unless there is a share.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u32>,
    /// To this share of the calls, chosen by chance.
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<f64>,
}

/// What is sent instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instead {
    /// One of the vendor's errors.
    Error {
        /// The HTTP status.
        status: u16,
        /// The `Retry-After` header.
        retry_after: Option<String>,
    },
    /// What a proxy in front of the vendor might say.
    Html {
        /// The HTTP status.
        status: u16,
    },
}

/// What is done to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoiling {
    /// It loses its `next_cursor`.
    NoCursor,
    /// It gives the cursor again that it was asked for with.
    RepeatCursor,
    /// It says that it is the last.
    CutShort,
    /// It shows nothing.
    EmptyPage,
    /// Its first row has a number for an id.
    MalformedRow,
}

/// Where a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Before the answer.
    Before,
    /// In the middle of its body.
    Within,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Effect {
    Wait(Duration),
    Instead(Instead),
    Spoil(Spoiling),
    Break(Break),
}

/// An order in force.
#[derive(Clone, Debug, Serialize)]
pub struct Fault {
    order: Order,
    /// How often it will still strike; `None`: without end.
    left: Option<u32>,
    #[serde(skip)]
    effect: Effect,
}

impl TryFrom<Order> for Fault {
    type Error = String;

    fn try_from(order: Order) -> Result<Self, String> {
        if order.status.is_some_and(|status| !(200..=599).contains(&status)) {
            return Err("status: must be from 200 to 599".into());
        }
        if order.share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Err("share: must be from 0 to 1".into());
        }
        if order.retry_after.as_ref().is_some_and(|text| HeaderValue::from_str(text).is_err()) {
            return Err("retry_after: cannot be sent as a header".into());
        }
        let delay = order.delay.as_deref().unwrap_or("3s");
        let delay = humantime::parse_duration(delay).map_err(|error| format!("delay: {error}"))?;
        let status = |ordinary| order.status.unwrap_or(ordinary);
        let error = |status| Effect::Instead(Instead::Error { status, retry_after: order.retry_after.clone() });
        let effect = match order.fault {
            FaultKind::Status => error(status(500)),
            FaultKind::Throttle => error(429),
            FaultKind::Html => Effect::Instead(Instead::Html { status: status(502) }),
            FaultKind::Delay => Effect::Wait(delay),
            FaultKind::Close => Effect::Break(Break::Before),
            FaultKind::Truncate => Effect::Break(Break::Within),
            FaultKind::NoCursor => Effect::Spoil(Spoiling::NoCursor),
            FaultKind::RepeatCursor => Effect::Spoil(Spoiling::RepeatCursor),
            FaultKind::CutShort => Effect::Spoil(Spoiling::CutShort),
            FaultKind::EmptyPage => Effect::Spoil(Spoiling::EmptyPage),
            FaultKind::MalformedRow => Effect::Spoil(Spoiling::MalformedRow),
        };
        let once = order.share.is_none().then_some(1);
        Ok(Self { left: order.next.or(once), order, effect })
    }
}

/// A page, as far as it matters for spoiling it.
#[derive(Clone, Copy, Debug)]
pub struct PageShape {
    /// Whether it has rows.
    pub has_rows: bool,
    /// Whether there is more behind it.
    pub has_more: bool,
    /// Whether it was asked for with a cursor.
    pub has_cursor: bool,
}

impl Spoiling {
    const fn fits(self, page: PageShape) -> bool {
        match self {
            Self::NoCursor | Self::CutShort | Self::EmptyPage => page.has_more,
            Self::RepeatCursor => page.has_more && page.has_cursor,
            Self::MalformedRow => page.has_rows,
        }
    }

    /// Spoils a page that was asked for with `cursor`.
    pub fn spoil(self, body: &mut Value, cursor: Option<&str>) {
        let Some(page) = body.as_object_mut() else { return };
        match self {
            Self::NoCursor => drop(page.remove("next_cursor")),
            Self::RepeatCursor => drop(page.insert("next_cursor".into(), cursor.into())),
            Self::CutShort => {
                page.insert("has_more".into(), false.into());
                page.remove("next_cursor");
            }
            Self::EmptyPage => page.values_mut().filter_map(Value::as_array_mut).for_each(Vec::clear),
            Self::MalformedRow => {
                let mut rows = page.values_mut().filter_map(Value::as_array_mut);
                if let Some(row) = rows.find_map(|rows| rows.first_mut()) {
                    row["id"] = 17.into();
                }
            }
        }
    }
}

/// A call, as far as orders look at it.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path.
    pub path: &'a str,
}

/// The orders in force, oldest first. At each moment of a call the oldest one that fits strikes, and is one stroke
/// nearer to its end then.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Adds an order.
    pub fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// Drops all orders.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// How long a call that has just arrived is to wait.
    pub fn wait(&mut self, target: Target<'_>, dice: &mut Dice) -> Option<Duration> {
        self.strike(target, dice, |effect| if let Effect::Wait(wait) = effect { Some(*wait) } else { None })
    }

    /// What is sent instead of doing a call.
    pub fn instead(&mut self, target: Target<'_>, dice: &mut Dice) -> Option<Instead> {
        self.strike(target, dice, |effect| if let Effect::Instead(it) = effect { Some(it.clone()) } else { None })
    }

    /// What is done to the page that answers a call.
    pub fn spoiling(&mut self, target: Target<'_>, page: PageShape, dice: &mut Dice) -> Option<Spoiling> {
        self.strike(target, dice, |effect| match effect {
            Effect::Spoil(spoiling) if spoiling.fits(page) => Some(*spoiling),
            Effect::Spoil(_) | Effect::Wait(_) | Effect::Instead(_) | Effect::Break(_) => None,
        })
    }

    /// Where the connection breaks that an answer is about to be sent over.
    pub fn breaking(&mut self, target: Target<'_>, dice: &mut Dice) -> Option<Break> {
        self.strike(target, dice, |effect| if let Effect::Break(it) = effect { Some(*it) } else { None })
    }

    fn strike<T>(&mut self, target: Target<'_>, dice: &mut Dice, fits: impl Fn(&Effect) -> Option<T>) -> Option<T> {
        let (index, struck) = self.0.iter().enumerate().find_map(|(index, fault)| {
            let order = &fault.order;
            let meant = order.path.as_ref().is_none_or(|path| target.path.starts_with(path))
                && order.method.as_ref().is_none_or(|method| method.eq_ignore_ascii_case(target.method.as_str()));
            let struck = fits(&fault.effect).filter(|_| meant && fault.left != Some(0))?;
            let hit = order.share.is_none_or(|share| dice.chance() < share);
            hit.then_some((index, struck))
        })?;
        let fault = &mut self.0[index];
        fault.left = fault.left.map(|left| left - 1);
        self.0.retain(|fault| fault.left != Some(0));
        Some(struck)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault(order: Value) -> Result<Fault, String> {
        serde_json::from_value::<Order>(order).map_err(|error| error.to_string())?.try_into()
    }

    fn faults(order: Value) -> Faults {
        Faults(vec![fault(order).expect("a good order")])
    }

    const fn target(path: &str) -> Target<'_> {
        Target { method: &Method::GET, path }
    }

    #[test]
    fn an_order_strikes_as_often_as_it_says_and_only_what_it_means() {
        let order = json!({"fault": "status", "status": 503, "next": 2, "path": "/tax/certificates"});
        let (mut faults, mut dice) = (faults(order), Dice::seeded(1));
        assert_eq!(faults.instead(target("/tax/certificate-requests"), &mut dice), None);
        assert_eq!(faults.breaking(target("/tax/certificates"), &mut dice), None);
        let error = Some(Instead::Error { status: 503, retry_after: None });
        assert_eq!(faults.instead(target("/tax/certificates"), &mut dice), error);
        assert_eq!(faults.instead(target("/tax/certificates/cert_1"), &mut dice), error);
        assert_eq!(faults.instead(target("/tax/certificates"), &mut dice), None);
        assert!(faults.0.is_empty());
    }

    #[test]
    fn a_share_strikes_about_that_share() {
        let (mut faults, mut dice) = (faults(json!({"fault": "close", "share": 0.2})), Dice::seeded(1));
        let struck = (0..1_000).filter(|_| faults.breaking(target("/"), &mut dice).is_some()).count();
        assert!((150..250).contains(&struck), "{struck}");
    }

    #[test]
    fn a_fault_of_pages_waits_for_a_page_that_it_fits() {
        let (mut faults, mut dice) = (faults(json!({"fault": "repeat_cursor"})), Dice::seeded(1));
        for (has_more, has_cursor) in [(false, true), (true, false), (true, true)] {
            let page = PageShape { has_rows: true, has_more, has_cursor };
            let struck = faults.spoiling(target("/"), page, &mut dice).is_some();
            assert_eq!(struck, has_more && has_cursor, "{page:?}");
        }
    }

    #[test]
    fn pages_are_spoiled_as_ordered() {
        let page = json!({"object": "list", "certificates": [{"id": "b"}], "has_more": true, "next_cursor": "b"});
        let table = [
            (Spoiling::NoCursor, json!({"object": "list", "certificates": [{"id": "b"}], "has_more": true})),
            (Spoiling::CutShort, json!({"object": "list", "certificates": [{"id": "b"}], "has_more": false})),
            (
                Spoiling::RepeatCursor,
                json!({"object": "list", "certificates": [{"id": "b"}], "has_more": true, "next_cursor": "a"}),
            ),
            (Spoiling::EmptyPage, json!({"object": "list", "certificates": [], "has_more": true, "next_cursor": "b"})),
            (
                Spoiling::MalformedRow,
                json!({"object": "list", "certificates": [{"id": 17}], "has_more": true, "next_cursor": "b"}),
            ),
        ];
        for (spoiling, expected) in table {
            let mut spoiled = page.clone();
            spoiling.spoil(&mut spoiled, Some("a"));
            assert_eq!(spoiled, expected, "{spoiling:?}");
        }
    }

    #[test]
    fn bad_orders_are_refused_with_their_reason() {
        for (bad, reason) in [
            (json!({"fault": "status", "status": 99}), "status: must be from 200 to 599"),
            (json!({"fault": "status", "share": 1.5}), "share: must be from 0 to 1"),
            (json!({"fault": "throttle", "retry_after": "a\nb"}), "retry_after: cannot be sent as a header"),
            (json!({"fault": "delay", "delay": "soon"}), "delay: expected number at 0"),
        ] {
            assert_eq!(fault(bad).expect_err("it is bad"), reason);
        }
        assert!(fault(json!({"fault": "earthquake"})).expect_err("unknown").contains("earthquake"));
        assert!(fault(json!({"fault": "close", "nxt": 1})).expect_err("unknown").contains("nxt"));
    }
}
