//! What somebody waits for: calls through our API that ask upstream before all passes, and whose answers are applied
//! at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::pass::{Halt, Looked, Pass, Surroundings, Tally};
use super::Watcher;
use super::look::Ending;
use crate::model::event::Cause;
use crate::model::resource::{Kind, ResourceId};
use crate::model::time::Timestamp;
use crate::source::SourceError;
use crate::source::command::{Command, Commands};
use crate::store::StoreError;

/// Why a call gave nothing that can be used.
#[derive(Debug, thiserror::Error)]
pub enum CallFailed {
    /// Upstream said so, or said nothing.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Stopping,
    /// The store did not do what it was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Halt> for CallFailed {
    fn from(halt: Halt) -> Self {
        match halt {
            // A call waits neither for the baseline, nor for room, nor until the source is resumed.
            Halt::Stopped | Halt::NoRoom | Halt::Paused | Halt::NoBaseline => Self::Stopping,
            Halt::Unauthorized(error) => Self::Source(error),
            Halt::Store(error) => Self::Store(error),
        }
    }
}

/// The calls under way. Each is a task of its own: an answer is applied although whoever asked has hung up.
#[derive(Debug, Default)]
pub(super) struct Calls {
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Whether an answer may have changed an agenda since the loop looked.
    has_news: AtomicBool,
}

impl Calls {
    /// Whether there was an answer since the last look.
    pub(super) fn take_news(&self) -> bool {
        self.has_news.swap(false, Ordering::Relaxed)
    }

    /// Asks nothing more, and waits until what was answered is applied.
    pub(super) async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Watcher {
    /// Asks for a resource by id, before all passes, and applies the answer; `request_id` names the call that wants to
    /// know. Gives the instant as of which the snapshot is true; `None` if upstream does not know such a resource, or
    /// hides it from lists. Neither is taken for a removal, which only a sweep may infer.
    ///
    /// # Errors
    /// If there is no answer that can be used. It is not asked again: whoever waits wants to know at once.
    pub async fn refresh(
        self: &Arc<Self>,
        kind: Kind,
        id: ResourceId,
        request_id: String,
    ) -> Result<Option<Timestamp>, CallFailed> {
        let watcher = Arc::clone(self);
        let call = async move {
            let observe = |_: &Tally| {};
            let mut pass = Pass::of_call(None, &request_id, watcher.surroundings(&observe));
            watcher.applier.begin(watcher.clock.now()).await?;
            let looked = pass.ask_for(kind, &id).await;
            watcher.called(&pass).await?;
            Ok(match looked?? {
                Looked::Seen(at) => Some(at),
                Looked::NotFound | Looked::NotListed => None,
            })
        };
        self.calls.tasks.spawn(call).await.unwrap_or(Err(CallFailed::Stopping))
    }

    /// Asks for a change at the account, before all passes, and applies the answer; `request_id` names the call that
    /// wants it. Gives the resource that it is about.
    ///
    /// # Errors
    /// If there is no answer that can be used; then nobody knows whether the change was made, and the next pass tells.
    pub async fn command(
        self: &Arc<Self>,
        account: Arc<dyn Commands>,
        command: Command,
        request_id: String,
    ) -> Result<ResourceId, CallFailed> {
        let watcher = Arc::clone(self);
        let call = async move {
            let observe = |_: &Tally| {};
            let mut pass = Pass::of_call(Some(Cause::Write), &request_id, watcher.surroundings(&observe));
            watcher.applier.begin(watcher.clock.now()).await?;
            let answered = pass.command(&*account, &command).await;
            watcher.called(&pass).await?;
            Ok(answered??)
        };
        self.calls.tasks.spawn(call).await.unwrap_or(Err(CallFailed::Stopping))
    }

    fn surroundings<'a>(&'a self, observe: &'a (dyn Fn(&Tally) + Sync)) -> Surroundings<'a> {
        Surroundings {
            applier: &self.applier,
            upstream: &self.upstream,
            clock: &*self.clock,
            settings: &self.settings,
            stop: &self.calls.stop,
            observe,
        }
    }

    /// What follows from an answer that was applied.
    async fn called(&self, pass: &Pass<'_>) -> Result<(), StoreError> {
        self.tell_of_end(pass.tally(), &Ending::of_a_call()).await?;
        self.calls.has_news.store(true, Ordering::Relaxed);
        self.wake.notify_one();
        Ok(())
    }
}
