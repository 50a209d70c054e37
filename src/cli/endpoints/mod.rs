//! `certhook endpoints`: who gets events, and how.
//!
//! Secrets are written only where they are asked for.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use self::settings::{Settings, Start, read_secret, start};
use super::deliveries::show_attempt;
use super::filter::FilterArguments;
use super::gateway::Session;
use super::lists::{Columns, ListArguments, list};
use super::output::{Output, text, words};
use super::replay;
use super::usage::{BadUsage, examined, name};
use crate::api::examine::{self, FieldError};
use crate::client::Query;
use crate::clock::{Clock, SystemClock};
use crate::model::event::EventType;
use crate::model::time::Timestamp;

mod settings;

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// All of them, newest first
    List(ListArguments),
    /// Registers one; from then on it gets events
    Create(Create),
    /// One of them, with what it has not got yet
    Show(Show),
    /// Changes what is given, and nothing else
    Update(Update),
    /// Deletes one, and with it what it has not got yet
    Delete(Endpoint),
    /// Sends an example now, and tells how it went
    Test(Test),
    /// Takes up where it stopped
    Enable(Enable),
    /// Sends nothing any more; its place in the log is kept
    Disable(Endpoint),
    /// Lets another secret sign
    Rotate(Rotate),
    /// Everything that waits becomes due at once
    Recover(Endpoint),
    /// Sends what every certificate and request is now, and waits until that is done
    Resync(Resync),
}

#[derive(Debug, Args)]
pub(super) struct Endpoint {
    /// The endpoint, by id or uid
    #[arg(value_parser = name)]
    endpoint: String,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Where its deliveries go
    url: String,
    /// If there is one with this uid, gives it these settings and no others, instead of failing; its secret stays
    #[arg(long, requires = "uid")]
    replace: bool,
    /// With which event it begins: now, earliest, an event's id, an instant, or how long ago
    #[arg(long, value_parser = start)]
    start: Option<Start>,
    /// Writes its secret, too
    #[arg(long)]
    show_secret: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    #[command(flatten)]
    which: Endpoint,
    /// Its secret alone
    #[arg(long)]
    secret: bool,
}

#[derive(Debug, Args)]
pub(super) struct Update {
    #[command(flatten)]
    which: Endpoint,
    /// Where its deliveries go
    #[arg(long)]
    url: Option<String>,
    /// Fields that become what they are by default, or parts of them (rate_limit, filter.jurisdictions, headers.x-key)
    #[arg(long, value_name = "FIELD", value_delimiter = ',')]
    unset: Vec<String>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Args)]
pub(super) struct Test {
    #[command(flatten)]
    which: Endpoint,
    /// Of which type the example is
    #[arg(long = "type", value_name = "TYPE", default_value = "webhook.test")]
    event_type: EventType,
}

#[derive(Debug, Args)]
pub(super) struct Enable {
    #[command(flatten)]
    which: Endpoint,
    /// Goes on with what happens from now on
    #[arg(long)]
    skip_missed: bool,
}

#[derive(Debug, Args)]
pub(super) struct Rotate {
    #[command(flatten)]
    which: Endpoint,
    /// How long the former secret signs, too (24h)
    #[arg(long, value_name = "DURATION")]
    overlap: Option<String>,
    /// A file with the new secret (whsec_…), instead of one that is drawn
    #[arg(long, value_name = "FILE")]
    secret_file: Option<std::path::PathBuf>,
    /// Writes the new secret, too
    #[arg(long)]
    show_secret: bool,
}

#[derive(Debug, Args)]
pub(super) struct Resync {
    #[command(flatten)]
    which: Endpoint,
    /// Does not wait until it is done
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    filter: FilterArguments,
}

const ENDPOINTS: Columns = Columns {
    header: &["id", "uid", "status", "health", "types", "url"],
    row: |endpoint| {
        let fields = ["/id", "/uid", "/status", "/health/state", "/types", "/url"];
        fields.map(|field| text(endpoint, field)).into()
    },
};

/// Does what is asked of the endpoints.
pub(super) async fn endpoints(session: &Session, action: Action) -> anyhow::Result<()> {
    match action {
        Action::List(much) => list(session, &["v1", "endpoints"], Query::new(), &much, &ENDPOINTS).await,
        Action::Create(arguments) => create(session, arguments).await,
        Action::Show(Show { which: Endpoint { endpoint }, secret }) => show(session, &endpoint, secret).await,
        Action::Update(arguments) => update(session, arguments).await,
        Action::Delete(Endpoint { endpoint }) => {
            let answer = session.client.delete(&["v1", "endpoints", &endpoint]).await;
            let deleted = session.about_endpoint(&endpoint, answer).await?;
            session.output.value(&deleted, |output| output.line(&format!("{endpoint} is deleted.")))?;
            Ok(())
        }
        Action::Test(arguments) => test(session, arguments).await,
        Action::Enable(Enable { which: Endpoint { endpoint }, skip_missed }) => {
            switch(session, &endpoint, "enable", &json!({ "catch_up": !skip_missed })).await
        }
        Action::Disable(Endpoint { endpoint }) => switch(session, &endpoint, "disable", &json!({})).await,
        Action::Rotate(arguments) => rotate(session, arguments).await,
        Action::Recover(Endpoint { endpoint }) => switch(session, &endpoint, "recover", &json!({})).await,
        Action::Resync(Resync { which: Endpoint { endpoint }, detach, filter }) => {
            let body = filter.given().map_or_else(|| json!({}), |filter| json!({ "filter": filter }));
            let answer = session.client.post(&["v1", "endpoints", &endpoint, "resync"], &body).await;
            replay::wait(session, session.about_endpoint(&endpoint, answer).await?, detach).await
        }
    }
}

async fn create(session: &Session, arguments: Create) -> anyhow::Result<()> {
    let Create { url, replace, start, show_secret, settings } = arguments;
    let mut body = settings.given()?;
    body.insert("url".into(), url.into());
    body.extend(start.map(|start| ("start".into(), start.given(session.now))));
    let as_given = |error: FieldError| match error.field.as_str() {
        "url" => FieldError { field: "<URL>".into(), ..error },
        _ => error,
    };
    examined(examine::registration(body.clone()).into_iter().map(as_given).collect())?;
    let created = match body.get("uid").and_then(Value::as_str).map(str::to_owned).filter(|_| replace) {
        Some(uid) => session.client.put(&["v1", "endpoints", &uid], &body.into()).await?,
        None => session.client.post(&["v1", "endpoints"], &body.into()).await?,
    };
    let name = created.get("uid").filter(|uid| !uid.is_null()).or(created.get("id")).map(words).unwrap_or_default();
    // One that was there keeps its secret, and the answer does not tell it.
    let show_secret = show_secret && created.get("secret").is_some();
    tell_secret(session, &name, created, show_secret, tell)
}

async fn show(session: &Session, endpoint: &str, secret: bool) -> anyhow::Result<()> {
    let path = ["v1", "endpoints", endpoint, "secret"];
    let answer = session.client.get(if secret { &path } else { &path[..3] }, &[]).await;
    let shown = session.about_endpoint(endpoint, answer).await?;
    session.output.value(
        &shown,
        |output| {
            if secret { output.line(&text(&shown, "/secret")) } else { tell(output, &shown) }
        },
    )?;
    let older = shown.get("previous").and_then(Value::as_array).map_or(0, Vec::len);
    if secret && older > 0 {
        session.output.note(&format!("{older} that came before it still sign, too: --json shows them."));
    }
    Ok(())
}

async fn update(session: &Session, arguments: Update) -> anyhow::Result<()> {
    let Update { which: Endpoint { endpoint }, url, unset, settings } = arguments;
    let mut body = settings.given()?;
    body.extend(url.map(|url| ("url".into(), url.into())));
    let unset = settings::unset(&unset, &body)?;
    for (field, parts) in unset.clone() {
        match (body.get_mut(&field), parts) {
            (Some(Value::Object(given)), Value::Object(parts)) => given.extend(parts),
            (_, parts) => drop(body.insert(field, parts)),
        }
    }
    if body.is_empty() {
        return Err(
            BadUsage::of("certhook endpoints update", "say what is to change: --url, --types, --unset, …").into()
        );
    }
    let is_unset = |field: &str| unset.keys().any(|name| field.split('.').next() == Some(name));
    let as_given = |error: FieldError| match is_unset(&error.field) {
        true => FieldError { field: format!("unset {}", error.field), ..error },
        false => error,
    };
    examined(examine::change(body.clone()).into_iter().map(as_given).collect())?;
    let answer = session.client.patch(&["v1", "endpoints", &endpoint], &body.into()).await;
    let updated = session.about_endpoint(&endpoint, answer).await?;
    session.output.value(&updated, |output| tell(output, &updated))?;
    Ok(())
}

async fn test(session: &Session, arguments: Test) -> anyhow::Result<()> {
    let Test { which: Endpoint { endpoint }, event_type } = arguments;
    let body = json!({ "type": event_type.as_str() });
    let answer = session.client.post_and_wait(&["v1", "endpoints", &endpoint, "test"], &body).await;
    let attempt = session.about_endpoint(&endpoint, answer).await?;
    session.output.value(&attempt, |output| show_attempt(output, &attempt))?;
    let outcome = text(&attempt, "/outcome");
    anyhow::ensure!(outcome == "delivered", "the endpoint did not take it: {outcome}");
    Ok(())
}

async fn switch(session: &Session, endpoint: &str, action: &str, body: &Value) -> anyhow::Result<()> {
    let answer = session.client.post(&["v1", "endpoints", endpoint, action], body).await;
    let endpoint = session.about_endpoint(endpoint, answer).await?;
    session.output.value(&endpoint, |output| tell(output, &endpoint))?;
    Ok(())
}

async fn rotate(session: &Session, arguments: Rotate) -> anyhow::Result<()> {
    let Rotate { which: Endpoint { endpoint }, overlap, secret_file, show_secret } = arguments;
    let secret = secret_file.map(read_secret).transpose()?;
    let given = [("overlap", overlap), ("secret", secret)];
    let body: Map<_, _> = given.into_iter().filter_map(|(name, value)| Some((name.into(), value?.into()))).collect();
    examined(examine::rotation(body.clone()))?;
    let answer = session.client.post(&["v1", "endpoints", &endpoint, "secret", "rotate"], &body.into()).await;
    let rotated = session.about_endpoint(&endpoint, answer).await?;
    let now = SystemClock::default().now();
    tell_secret(session, &endpoint, rotated, show_secret, |output, rotated| {
        let until = text(rotated, "/previous_expires_at");
        match until.parse().is_ok_and(|until: Timestamp| until > now) {
            true => output.line(&format!("The new secret signs; the former one does, too, until {until}.")),
            false => output.line("The new secret signs, and no older one."),
        }
    })
}

/// Tells an answer that holds an endpoint's secret, which is left out unless it was asked for.
fn tell_secret(
    session: &Session,
    endpoint: &str,
    mut answer: Value,
    show_secret: bool,
    tell: impl FnOnce(Output, &Value) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    let secret = text(&answer, "/secret");
    if let (false, Some(fields)) = (show_secret, answer.as_object_mut()) {
        fields.shift_remove("secret");
    }
    let output = session.output;
    output.value(&answer, |output| tell(output, &answer))?;
    if !output.is_json() {
        match show_secret {
            true => output.line(&secret)?,
            false => output.note(&format!("Its secret: certhook endpoints show {endpoint} --secret")),
        }
    }
    Ok(())
}

/// An endpoint, with all that an answer says of it.
fn tell(output: Output, endpoint: &Value) -> std::io::Result<()> {
    let plain = |field| text(endpoint, field);
    let mut fields = vec![
        ("id", plain("/id")),
        ("uid", plain("/uid")),
        ("url", plain("/url")),
        ("description", plain("/description")),
        ("status", plain("/status")),
        ("disabled because", plain("/disabled_reason")),
        ("health", plain("/health/state")),
        ("failures in a row", plain("/health/consecutive_failures")),
        ("last success", plain("/health/last_success_at")),
        ("last failure", plain("/health/last_failure_at")),
        ("pending", counted(endpoint, "pending")),
        ("oldest pending", plain("/oldest_pending_at")),
        ("resumed", counted(endpoint, "resumed")),
        ("cut by retention", counted(endpoint, "cut")),
        ("types", plain("/types")),
        ("filter", plain("/filter")),
        ("payload", plain("/payload")),
        ("format", plain("/format")),
        ("ordering", plain("/ordering")),
        ("headers", plain("/headers")),
        ("retry", plain("/retry")),
        ("rate limit", plain("/rate_limit")),
        ("max in flight", plain("/max_in_flight")),
        ("metadata", plain("/metadata")),
        ("created at", plain("/created_at")),
        ("updated at", plain("/updated_at")),
    ];
    fields.retain(|(_, value)| value != "-");
    output.fields(fields)
}

/// A count, and whether there are more than were counted.
pub(super) fn counted(endpoint: &Value, field: &str) -> String {
    let more = endpoint.get(format!("{field}_more")).is_some();
    format!("{}{}", text(endpoint, &format!("/{field}")), if more { " and more" } else { "" })
}
