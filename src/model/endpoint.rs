//! Subscribers.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde::{Deserialize, Serialize};

use super::event::EventType;
use super::filter::Filter;
use super::id::{EndpointId, Position};
use super::pattern::Pattern;
use super::time::Timestamp;

/// Whether an endpoint gets anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndpointStatus {
    /// It gets what it asked for.
    Enabled,
    /// It gets nothing; its place in the log is kept.
    Disabled,
}

/// Why an endpoint is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DisabledReason {
    /// Through the API.
    Manual,
    /// The receiver answered 410.
    Gone,
    /// It failed without interruption for too long.
    Failing,
}

/// Whether events of one resource wait for each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ordering {
    /// While one is being retried, later events of the same resource wait.
    #[default]
    PerResource,
    /// Every event goes out as soon as it can.
    None,
}

/// How much of an event a delivery carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// All of it.
    #[default]
    Full,
    /// Of `data.object` only `id`, `object`, `status` and `customer`; no `previous_attributes`. Everything else stays.
    Thin,
}

/// The envelope that a delivery's body has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Our own: the event as our API shows it.
    #[default]
    Standard,
    /// CloudEvents 1.0 in structured JSON mode. `data` is the same as in ours; what ours says beside it are attributes.
    #[serde(rename = "cloudevents")]
    CloudEvents,
}

/// How many requests may start within a second, a minute or an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RateLimit {
    count: u32,
    per: Per,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Per {
    Second,
    Minute,
    Hour,
}

/// The text is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a number from 1 to 1000 per second, minute or hour, such as 5/s, 100/m or 1000/h")]
pub struct BadRate;

impl RateLimit {
    /// The time between two requests that are spaced evenly.
    pub fn interval(self) -> Duration {
        let seconds = match self.per {
            Per::Second => 1,
            Per::Minute => 60,
            Per::Hour => 3600,
        };
        Duration::from_secs(seconds) / self.count
    }
}

impl FromStr for RateLimit {
    type Err = BadRate;

    fn from_str(text: &str) -> Result<Self, BadRate> {
        let (count, per) = text.split_once('/').ok_or(BadRate)?;
        let per = match per {
            "s" => Per::Second,
            "m" => Per::Minute,
            "h" => Per::Hour,
            _ => return Err(BadRate),
        };
        let is_plain = count.bytes().all(|byte| byte.is_ascii_digit()) && !count.starts_with('0');
        match count.parse() {
            Ok(count @ 1..=1000) if is_plain => Ok(Self { count, per }),
            Ok(_) | Err(_) => Err(BadRate),
        }
    }
}

impl From<RateLimit> for String {
    fn from(rate: RateLimit) -> Self {
        let per = match rate.per {
            Per::Second => 's',
            Per::Minute => 'm',
            Per::Hour => 'h',
        };
        format!("{}/{per}", rate.count)
    }
}

impl TryFrom<String> for RateLimit {
    type Error = BadRate;

    fn try_from(text: String) -> Result<Self, BadRate> {
        text.parse()
    }
}

/// A key that signs deliveries.
#[derive(Clone, Debug)]
pub struct SigningSecret {
    /// The key's bytes, 24 to 64 of them.
    pub key: SecretSlice<u8>,
    /// When it stops signing; `None` for the current one.
    pub expires_at: Option<Timestamp>,
}

/// The text is no signing secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be whsec_ and the base64 of 24 to 64 bytes")]
pub struct BadSecret;

impl SigningSecret {
    /// What starts the text of every secret.
    const PREFIX: &str = "whsec_";

    /// Reads the text form of Standard Webhooks 1.0: `whsec_` and padded base64 of 24 to 64 bytes.
    ///
    /// # Errors
    /// If it is anything else; the error shows nothing of it.
    pub fn parse_text(text: &str) -> Result<Self, BadSecret> {
        let key = text.strip_prefix(Self::PREFIX).and_then(|rest| STANDARD.decode(rest).ok()).ok_or(BadSecret)?;
        if (24..=64).contains(&key.len()) { Ok(Self { key: key.into(), expires_at: None }) } else { Err(BadSecret) }
    }

    /// The text that [`Self::parse_text`] reads, for the subscriber alone.
    pub fn to_text(&self) -> SecretString {
        format!("{}{}", Self::PREFIX, STANDARD.encode(self.key.expose_secret())).into()
    }

    /// Whether it signs at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| now < at)
    }
}

impl PartialEq for SigningSecret {
    fn eq(&self, other: &Self) -> bool {
        self.key.expose_secret() == other.key.expose_secret() && self.expires_at == other.expires_at
    }
}

/// How many secrets may sign at a time: each adds 48 bytes to a header and a hash over the body to every attempt.
pub const LIVE_SECRETS_MAX: usize = 10;

/// Why a secret cannot take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RotationError {
    /// It is the current one, and those before it were to go on.
    #[error(
        "is the secret that signs already; give another one, or leave it out to have one drawn, or give \"overlap\": \
         \"0s\", so that the older ones stop and this one stays"
    )]
    SameSecret,
    /// Too many would sign.
    #[error(
        "{LIVE_SECRETS_MAX} secrets sign already, and no more can; wait until {until}, when the first of them stops, \
         or give \"overlap\": \"0s\", so that all of them stop at once"
    )]
    TooMany {
        /// When there is room again.
        until: Timestamp,
    },
}

/// An endpoint's secrets after `fresh` took over at `now`, the newest first: the former current one signs for another
/// `overlap`, those before it for as long as they were promised, and one that signs no longer is left out. Without an
/// overlap nothing but `fresh` signs, whatever was promised: somebody may have got hold of any of the others.
///
/// # Errors
/// If `fresh` is the current one and there is an overlap, or more than [`LIVE_SECRETS_MAX`] would sign.
pub fn rotated(
    secrets: &[SigningSecret],
    fresh: SigningSecret,
    overlap: Duration,
    now: Timestamp,
) -> Result<Vec<SigningSecret>, RotationError> {
    if overlap.is_zero() {
        return Ok(vec![SigningSecret { expires_at: None, ..fresh }]);
    }
    let is_fresh = |secret: &SigningSecret| secret.key.expose_secret() == fresh.key.expose_secret();
    if secrets.first().is_some_and(is_fresh) {
        return Err(RotationError::SameSecret);
    }
    let former = secrets.iter().filter(|secret| !is_fresh(secret)).map(|secret| {
        let expires_at = secret.expires_at.unwrap_or(now.plus(overlap));
        SigningSecret { key: secret.key.clone(), expires_at: Some(expires_at) }
    });
    let former: Vec<_> = former.filter(|secret| secret.is_live(now)).collect();
    if former.len() >= LIVE_SECRETS_MAX {
        let ends = secrets.iter().filter(|secret| secret.is_live(now)).filter_map(|secret| secret.expires_at);
        let until = ends.min().unwrap_or(now);
        return Err(RotationError::TooMany { until });
    }
    let fresh = SigningSecret { expires_at: None, ..fresh };
    Ok(std::iter::once(fresh).chain(former).collect())
}

/// What people see where something is confidential.
pub const MASK: &str = "***";

/// A URL whose query may be confidential: `Debug` shows it masked.
#[derive(Clone)]
pub struct EndpointUrl(Arc<url::Url>);

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EndpointUrl").field(&self.masked()).finish()
    }
}

impl EndpointUrl {
    /// Takes a URL that was checked.
    pub fn new(url: &url::Url) -> Self {
        Self(Arc::new(url.clone()))
    }

    /// The whole URL, for the connection and the store alone.
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }

    /// The same, taken apart; for the connection alone.
    pub fn expose_parts(&self) -> &url::Url {
        &self.0
    }

    /// The host that it names.
    pub fn host(&self) -> String {
        self.0.host_str().unwrap_or_default().to_owned()
    }

    /// The URL with its query masked, for people.
    pub fn masked(&self) -> String {
        match self.expose().split_once('?') {
            Some((before, _)) => format!("{before}?{MASK}"),
            None => self.expose().into(),
        }
    }
}

impl PartialEq for EndpointUrl {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

/// Headers of the subscriber's own, by their names in lower case. Values may be confidential: `Debug` shows none.
#[derive(Clone, Debug, Default)]
pub struct OwnHeaders(BTreeMap<String, SecretString>);

impl OwnHeaders {
    /// Takes headers that were checked; the names must be in lower case.
    pub fn new(headers: BTreeMap<String, SecretString>) -> Self {
        Self(headers)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values, for the connection and the store alone.
    pub fn expose(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.expose_secret()))
    }

    /// The names, each with what stands for its value, for people.
    pub fn masked(&self) -> BTreeMap<String, &'static str> {
        self.0.keys().map(|name| (name.clone(), MASK)).collect()
    }
}

impl PartialEq for OwnHeaders {
    fn eq(&self, other: &Self) -> bool {
        self.expose().eq(other.expose())
    }
}

/// A subscriber: where events go, which ones, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Given at registration.
    pub id: EndpointId,
    /// The subscriber's own name for it, unique if given.
    pub uid: Option<String>,
    /// Where events go.
    pub url: EndpointUrl,
    /// Free text for people.
    pub description: String,
    /// Which types it gets; never empty.
    pub types: Vec<Pattern>,
    /// What else an event must meet.
    pub filter: Filter,
    /// How much of an event it gets.
    pub payload: Payload,
    /// In which envelope.
    pub format: Format,
    /// What goes along in every request to it.
    pub headers: OwnHeaders,
    /// Whether events of one resource wait for each other.
    pub ordering: Ordering,
    /// Its own waits between attempts, instead of the configured ones.
    pub retry: Option<Vec<Duration>>,
    /// Its own limit of requests at a time, instead of the configured one.
    pub max_in_flight: Option<u32>,
    /// How fast requests may follow each other; as fast as they can if none is given.
    pub rate_limit: Option<RateLimit>,
    /// The subscriber's own notes.
    pub metadata: BTreeMap<String, String>,
    /// Current first, then those that still sign for a while.
    pub secrets: Vec<SigningSecret>,
    /// Whether it gets anything.
    pub status: EndpointStatus,
    /// Why it does not.
    pub disabled_reason: Option<DisabledReason>,
    /// Events up to this position are not for it.
    pub start: Position,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it was last enabled, or registered. It tells one time of being enabled from the next.
    pub enabled_at: Timestamp,
}

impl Endpoint {
    /// Whether one of its patterns means that type.
    pub fn wants(&self, event_type: EventType) -> bool {
        self.types.iter().any(|pattern| pattern.matches(event_type))
    }

    /// The endpoint with another status from `now` on. One that is disabled already keeps its reason.
    pub fn with_status(self, status: EndpointStatus, now: Timestamp) -> Self {
        if status == self.status {
            return self;
        }
        match status {
            EndpointStatus::Enabled => {
                let enabled_at = now.max(self.enabled_at.plus(Duration::from_millis(1)));
                Self { status, disabled_reason: None, enabled_at, ..self }
            }
            EndpointStatus::Disabled => Self { status, disabled_reason: Some(DisabledReason::Manual), ..self },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reads_back_from_its_text() {
        for length in [24, 32, 64] {
            let secret = SigningSecret { key: vec![7; length].into(), expires_at: None };
            let text = secret.to_text();
            assert_eq!(SigningSecret::parse_text(text.expose_secret()), Ok(secret));
        }
    }

    #[test]
    fn what_is_confidential_is_not_shown_by_debug() {
        let headers = OwnHeaders::new([("authorization".to_owned(), "Bearer canary".into())].into());
        let url = EndpointUrl::new(&"https://a.example/hook?token=canary".parse().expect("a URL"));
        let secret = SigningSecret { key: b"canary".to_vec().into(), expires_at: None };
        let shown = format!("{headers:?} {url:?} {secret:?} {:?} {}", headers.masked(), url.masked());
        assert!(!shown.contains("canary") && !shown.contains("99, 97, 110"), "{shown}");
        assert!(shown.ends_with(r#"{"authorization": "***"} https://a.example/hook?***"#), "{shown}");
    }

    fn secret(byte: u8, expires_at: Option<i64>) -> SigningSecret {
        SigningSecret { key: vec![byte; 32].into(), expires_at: expires_at.map(Timestamp::from_millis) }
    }

    fn rotate(
        secrets: &[SigningSecret],
        byte: u8,
        overlap: u64,
        now: i64,
    ) -> Result<Vec<SigningSecret>, RotationError> {
        rotated(secrets, secret(byte, None), Duration::from_millis(overlap), Timestamp::from_millis(now))
    }

    #[test]
    fn a_rotation_puts_the_new_secret_first_and_lets_the_old_ones_end() {
        let first = vec![secret(1, None)];
        let second = rotate(&first, 2, 100, 0).expect("another secret");
        assert_eq!(second, [secret(2, None), secret(1, Some(100))]);
        let third = rotate(&second, 3, 100, 50).expect("another secret");
        assert_eq!(third, [secret(3, None), secret(2, Some(150)), secret(1, Some(100))]);
        let at_once = rotate(&third, 4, 0, 60).expect("another secret");
        assert_eq!(at_once, [secret(4, None)], "nothing else signs, whatever was promised");
        let kept = rotate(&third, 3, 0, 60).expect("the one that signs");
        assert_eq!(kept, [secret(3, None)], "it stays, and the older ones end");
        let later = rotate(&third, 4, 10, 100).expect("another secret");
        assert_eq!(later, [secret(4, None), secret(3, Some(110)), secret(2, Some(150))], "1 ended at 100");
    }

    #[test]
    fn a_former_secret_can_come_back_and_then_stands_there_once() {
        let secrets = [secret(2, None), secret(1, Some(100))];
        assert_eq!(rotate(&secrets, 1, 50, 0), Ok(vec![secret(1, None), secret(2, Some(50))]));
        assert_eq!(rotate(&secrets, 2, 50, 0), Err(RotationError::SameSecret));
    }

    #[test]
    fn ten_secrets_sign_and_no_eleventh() {
        let mut secrets = vec![secret(0, None)];
        for byte in 1..10 {
            secrets = rotate(&secrets, byte, 1000, byte.into()).expect("fewer than ten");
        }
        assert_eq!(secrets.len(), LIVE_SECRETS_MAX);
        let until = Timestamp::from_millis(1001);
        assert_eq!(rotate(&secrets, 10, 1000, 10), Err(RotationError::TooMany { until }));
        assert_eq!(
            rotate(&secrets, 10, 1, 10),
            Err(RotationError::TooMany { until }),
            "the current one has no end yet"
        );
        assert_eq!(rotate(&secrets, 10, 0, 10).map(|secrets| secrets.len()), Ok(1), "all of them stop at once");
        assert_eq!(rotate(&secrets, 5, 1000, 10).map(|secrets| secrets.len()), Ok(10), "one of the ten comes back");
        assert_eq!(rotate(&secrets, 10, 1000, 1001).map(|secrets| secrets.len()), Ok(10), "the first one has ended");
    }

    #[test]
    fn a_rate_reads_back_from_its_text() {
        for (text, millis) in [("1/s", 1000), ("5/s", 200), ("1000/s", 1), ("100/m", 600), ("1/h", 3_600_000)] {
            let rate: RateLimit = text.parse().expect(text);
            assert_eq!((String::from(rate), rate.interval()), (text.to_owned(), Duration::from_millis(millis)));
        }
        for text in ["", "5", "/s", "0/s", "05/s", "+5/s", "-5/s", "5.5/s", "1001/s", "5/d", "5/S", "5 /s", "5/s "] {
            assert_eq!(text.parse::<RateLimit>(), Err(BadRate), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let short = format!("whsec_{}", STANDARD.encode([7; 23]));
        let long = format!("whsec_{}", STANDARD.encode([7; 65]));
        let bare = STANDARD.encode([7; 32]);
        let urlsafe = format!("whsec_{}", "-_".repeat(22));
        for text in ["", "whsec_", "whsec_!", &short, &long, &bare, &urlsafe] {
            assert_eq!(SigningSecret::parse_text(text), Err(BadSecret), "{text:?}");
        }
    }
}
