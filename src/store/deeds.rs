//! What tells of a change that was made through the API, and is committed in one act with it.

use std::fmt::Display;

use super::{AnswerName, KeptAnswer};
use crate::model::audit::AuditEntry;
use crate::model::json::Json;

/// What tells of a change: durable together with it, so that there is never the one without the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deed {
    /// The entry of the audit log. The store gives the number in its id; the rest of the id comes with the value.
    pub entry: Option<AuditEntry>,
    /// The answer for whoever asks the same again.
    pub answer: Option<(AnswerName, KeptAnswer)>,
}

impl Deed {
    /// The same where something new has the id that it was given: the store gives the number, which was not known when
    /// its answer was written. Ids of a kind have one length and are drawn at random, so nothing else is met.
    #[must_use]
    pub fn renamed(mut self, from: &impl Display, to: &impl Display) -> Self {
        let (from, to) = (from.to_string(), to.to_string());
        let rename = |text: &mut String| *text = text.replace(&from, &to);
        if let Some(entry) = &mut self.entry {
            entry.resource_id.iter_mut().for_each(rename);
            let after = entry.after.take();
            entry.after = after.map(|after| Json::from_text(after.text().replace(&from, &to)).unwrap_or(after));
        }
        if let Some((_, answer)) = &mut self.answer {
            answer.headers.iter_mut().for_each(|(_, value)| rename(value));
            let body = answer.body.take().map(String::from_utf8);
            answer.body = body.map(|body| match body {
                Ok(text) => text.replace(&from, &to).into_bytes(),
                Err(other) => other.into_bytes(),
            });
        }
        self
    }

    /// The same without the body of the answer, where all of it is more than one act can hold.
    #[must_use]
    pub fn without_body(mut self) -> Self {
        if let Some((_, answer)) = &mut self.answer {
            answer.body = None;
        }
        self
    }
}
