//! What the writer is asked for.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::backup::{Changed, Row};
use crate::model::audit::AuditEntry;
use crate::model::delivery::DeliveryRecord;
use crate::model::endpoint::Endpoint;
use crate::model::event::{EventDraft, Sight};
use crate::model::id::{AuditId, DeliveryId, EndpointId, KeyId, Position, ReplayId, ReplayNumber};
use crate::model::key::Key;
use crate::model::replay::{Replay, ReplayStatus};
use crate::model::source::SourceProgress;
use crate::model::time::Timestamp;
use crate::store::retention::GivenUp;
use crate::store::{AnswerName, Deed, DeliveryCommit, KeptAnswer, SightCommit, StoreError, Updated};

/// Where the answer goes.
pub(super) type Done<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the writer is asked for about who uses the API.
pub(super) enum Access {
    /// A new key.
    CreateKey { key: Box<Key>, deed: Box<Deed>, done: Done<Key> },
    /// A key is no more.
    DeleteKey { id: KeyId, deed: Box<Deed>, done: Done<Option<Key>> },
    /// Keys were used.
    KeepUses { uses: Vec<(KeyId, Timestamp)>, done: Done<()> },
    /// Something was changed through the API.
    Audit { entry: Box<AuditEntry>, done: Done<AuditId> },
    /// Entries of the audit log are no longer kept.
    ForgetAudited { ids: Vec<AuditId>, done: Done<usize> },
    /// A call was answered.
    KeepAnswer { name: AnswerName, answer: Box<KeptAnswer>, done: Done<()> },
    /// Answers have expired.
    ForgetAnswers { expired: Vec<(Timestamp, AnswerName)>, done: Done<usize> },
}

/// What the writer is asked for.
pub(super) enum Act {
    /// Sights, in their order, and then the progress.
    Sights { sights: Vec<SightCommit>, progress: Option<SourceProgress>, done: Done<()> },
    /// What deliveries leave behind.
    Deliveries { commit: Arc<DeliveryCommit>, done: Done<()> },
    /// A new endpoint.
    Create { endpoint: Box<Endpoint>, deed: Box<Deed>, done: Done<Endpoint> },
    /// An endpoint as it is now, if it was as it was seen.
    Update { seen: Box<Endpoint>, endpoint: Box<Endpoint>, deed: Box<Deed>, done: Done<Updated> },
    /// Secrets of an endpoint that no longer sign are no more.
    ForgetSecrets { id: EndpointId, now: Timestamp, done: Done<bool> },
    /// An endpoint is no more.
    Delete { id: EndpointId, deed: Box<Deed>, done: Done<bool> },
    /// A new replay.
    BeginReplay { replay: Box<Replay>, done: Done<Option<Replay>> },
    /// What resources are now, for a resync.
    TellSnapshots { id: ReplayId, told: Vec<(Sight, EventDraft)>, now: Timestamp, done: Done<Vec<DeliveryRecord>> },
    /// A replay has ended.
    EndReplay { id: ReplayId, status: ReplayStatus, now: Timestamp, done: Done<bool> },
    /// Events are no longer kept.
    CutEvents { until: Position, done: Done<Position> },
    /// An endpoint does not get something any more.
    GiveUp { given_up: Box<GivenUp>, done: Done<bool> },
    /// Records of deliveries are no longer kept, unless they are not as old as they seemed.
    Forget { ids: Vec<DeliveryId>, before: Timestamp, done: Done<usize> },
    /// Replays that have ended are no longer kept.
    ForgetReplays { ended: Vec<ReplayNumber>, done: Done<usize> },
    /// Something about who uses the API.
    Access(Access),
    /// A value that the caller will look for.
    Check { value: u64, done: Done<()> },
    /// The last rows of a backup; `None` if too many have changed.
    EndBackup { changed: Arc<Changed>, done: Done<Option<Vec<Row>>> },
    /// The end: nothing after it is taken.
    Close { done: oneshot::Sender<()> },
}

fn say<T>(done: Done<T>) {
    // Whoever asked may have given up.
    let _gone = done.send(Err(StoreError::Full));
}

impl Access {
    /// Says that there is no room for it.
    fn refuse(self) {
        match self {
            Self::CreateKey { done, .. } => say(done),
            Self::DeleteKey { done, .. } => say(done),
            Self::KeepUses { done, .. } | Self::KeepAnswer { done, .. } => say(done),
            Self::Audit { done, .. } => say(done),
            Self::ForgetAudited { done, .. } | Self::ForgetAnswers { done, .. } => say(done),
        }
    }
}

impl Act {
    /// Whether it needs no room.
    pub(super) fn writes_nothing(&self) -> bool {
        matches!(self, Self::EndBackup { .. } | Self::Close { .. })
    }

    /// Says that there is no room for it. The end needs none: returns whoever asked for it.
    pub(super) fn refuse(self) -> Option<oneshot::Sender<()>> {
        match self {
            Self::Close { done } => return Some(done),
            Self::Sights { done, .. } | Self::Deliveries { done, .. } | Self::Check { done, .. } => say(done),
            Self::Create { done, .. } => say(done),
            Self::Update { done, .. } => say(done),
            Self::ForgetSecrets { done, .. }
            | Self::Delete { done, .. }
            | Self::EndReplay { done, .. }
            | Self::GiveUp { done, .. } => say(done),
            Self::BeginReplay { done, .. } => say(done),
            Self::TellSnapshots { done, .. } => say(done),
            Self::CutEvents { done, .. } => say(done),
            Self::Access(act) => act.refuse(),
            Self::EndBackup { done, .. } => say(done),
            Self::Forget { done, .. } | Self::ForgetReplays { done, .. } => say(done),
        }
        None
    }
}
