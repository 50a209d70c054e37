//! Errors as they are told to whoever gave the command: what is wrong, and what to do about it.

use std::io;

use serde_json::{Value, json};

use super::usage::BadUsage;
use crate::client::ClientError;
use crate::config::SANDBOX_KEY;

/// What a gateway answers to a key that it does not know, or to none.
const UNAUTHORIZED: u16 = 401;

/// Whether the one who read has gone, who needs to hear of nothing any more.
pub(super) fn is_nobody_there(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// An error and its causes once, for people; what to do about it on the lines below.
pub(super) fn for_people(error: &anyhow::Error) -> String {
    if let Some(usage) = error.downcast_ref::<BadUsage>() {
        // As clap says what it finds by itself.
        return format!("error: {usage}\n\nFor more information, try '--help'.");
    }
    let Some(client) = error.chain().find_map(|cause| cause.downcast_ref::<ClientError>()) else {
        return format!("certhook: {error:#}");
    };
    // Contexts around it say what to do, not what was being done.
    let advice = error.chain().take_while(|cause| cause.downcast_ref::<ClientError>().is_none());
    let advice: Vec<_> = advice.map(ToString::to_string).collect();
    let advice = if advice.is_empty() { remedy(client).into_iter().collect() } else { advice };
    advice.into_iter().fold(format!("certhook: {client}"), |told, line| format!("{told}\n{line}"))
}

/// The same for programs: the API's own error where it is one.
pub(super) fn for_programs(error: &anyhow::Error) -> Value {
    if let Some(usage) = error.downcast_ref::<BadUsage>() {
        return usage.value();
    }
    let client = error.chain().find_map(|cause| cause.downcast_ref::<ClientError>());
    let word = match client {
        Some(ClientError::Refused(refusal)) => return refusal.body.clone(),
        Some(ClientError::Unreachable { .. }) => "UNREACHABLE",
        Some(ClientError::Unfinished { .. }) => "UNFINISHED",
        Some(ClientError::Foreign { .. }) => "NOT_CERTHOOK",
        Some(ClientError::Setup(_)) | None => "FAILED",
    };
    json!({ "type": word, "message": format!("{error:#}") })
}

fn remedy(error: &ClientError) -> Option<String> {
    match error {
        ClientError::Unreachable { .. } => Some(
            "start a gateway (certhook serve; to try it out, certhook serve --sandbox), or say where one runs: --api \
             URL or CERTHOOK_API"
                .into(),
        ),
        ClientError::Refused(refusal) if refusal.status == UNAUTHORIZED => Some(format!(
            "give a key of that gateway with CERTHOOK_API_KEY or --key: what server.api_key is there, or one that \
             `certhook keys create` has made; in the sandbox it is {SANDBOX_KEY}"
        )),
        ClientError::Refused(refusal) => command(refusal.word()).map(Into::into),
        ClientError::Unfinished { .. } | ClientError::Foreign { .. } | ClientError::Setup(_) => None,
    }
}

/// The command that helps on from an error of the API.
fn command(word: &str) -> Option<&'static str> {
    Some(match word {
        "EVENT_NOT_FOUND" => "certhook events list shows those that are kept",
        "DELIVERY_NOT_FOUND" => {
            "certhook deliveries list shows those that were tried; certhook events show EVENT how one stands with everybody"
        }
        "DELIVERY_ENDED" => "certhook replay ENDPOINT --event EVENT --select all sends it once more",
        "REPLAY_NOT_FOUND" => "certhook replays list shows them",
        "KEY_NOT_FOUND" => "certhook keys list shows them",
        "UID_TAKEN" => "certhook endpoints update changes that one",
        "ENDPOINT_DISABLED" => "certhook endpoints enable takes up where it stopped",
        "SOURCE_PAUSED" => "certhook sources resume lets it be looked at again",
        _ => return None,
    })
}
