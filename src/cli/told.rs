//! Errors as they are told to whoever gave the command: what is wrong, and what to do about it.

use std::io;

use serde_json::{Value, json};

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
    let Some(client) = error.chain().find_map(|cause| cause.downcast_ref::<ClientError>()) else {
        return format!("{error:#}");
    };
    // Contexts around it say what to do, not what was being done.
    let advice = error.chain().take_while(|cause| cause.downcast_ref::<ClientError>().is_none());
    let advice = advice.map(ToString::to_string).chain(remedy(client));
    advice.fold(client.to_string(), |told, line| format!("{told}\n{line}"))
}

/// The same for programs: the API's own error where it is one.
pub(super) fn for_programs(error: &anyhow::Error) -> Value {
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
        ClientError::Refused(_)
        | ClientError::Unfinished { .. }
        | ClientError::Foreign { .. }
        | ClientError::Setup(_) => None,
    }
}
