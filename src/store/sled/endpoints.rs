//! Endpoints, their numbers and their subscribers' names for them.

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::act::Act;
use super::deliveries::bad_key;
use super::stage::Stage;
use super::{Reader, SledStore, keys};
use crate::model::delivery::DeliveryRecord;
use crate::model::endpoint::{Endpoint, EndpointStatus};
use crate::model::id::{DeliveryId, EndpointId, EndpointNumber};
use crate::model::time::Timestamp;
use crate::store::codec::{self, endpoint as rows};
use crate::store::{Deed, DeliveryQuery, Disabling, EndpointStore, Filtered, StoreError, Updated};

/// A uid is a key, and long keys make the tree's inner nodes large.
const UID_BYTES_MAX: usize = 256;

/// The number of the first endpoint.
const FIRST_NUMBER: u64 = 1;

impl Stage<'_> {
    /// Registers an endpoint under the next number.
    pub(super) fn create(&mut self, mut endpoint: Endpoint, deed: Deed) -> Result<Endpoint, StoreError> {
        let unnumbered = endpoint.id;
        let number = self.number(keys::NEXT_ENDPOINT)?.unwrap_or(FIRST_NUMBER);
        let next = codec::number(number + 1);
        let max = u32::MAX as usize;
        let number = u32::try_from(number).map_err(|_| StoreError::TooLarge {
            what: "the number of endpoints ever registered",
            size: usize::try_from(number).unwrap_or(usize::MAX),
            max,
            sights_before: 0,
        })?;
        endpoint.id.number = EndpointNumber(number);
        self.take_uid(&endpoint)?;
        self.put(keys::NEXT_ENDPOINT, next)?;
        self.write_endpoint(&endpoint)?;
        // Until deliveries have taken it up: what it asked for may lie below the live mark.
        let start = self.kept_from(endpoint.start)?;
        self.put(&keys::own_position(endpoint.id.number), codec::number(start.0))?;
        self.keep_deed(deed.renamed(&unnumbered, &endpoint.id))?;
        Ok(endpoint)
    }

    /// Replaces an endpoint, if it is still as it was seen.
    pub(super) fn update(&mut self, seen: &Endpoint, endpoint: &Endpoint, deed: Deed) -> Result<Updated, StoreError> {
        let Some(former) = self.endpoint(endpoint.id)? else { return Ok(Updated::Gone) };
        if former != *seen {
            return Ok(Updated::Changed);
        }
        if former.uid != endpoint.uid {
            self.take_uid(endpoint)?;
            self.give_up_uid(former.uid.as_deref())?;
        }
        if endpoint.status == EndpointStatus::Enabled && former.status == EndpointStatus::Disabled {
            self.remove(&keys::missed(endpoint.id.number))?;
        }
        self.write_endpoint(endpoint)?;
        self.keep_deed(deed)?;
        Ok(Updated::Yes)
    }

    /// Disables an endpoint; `false` if it is not one that is meant.
    pub(super) fn disable(&mut self, disabling: &Disabling) -> Result<bool, StoreError> {
        let Disabling { id, url, reason, at, told: _ } = disabling;
        let meant = |known: &Endpoint| known.url == *url && known.status == EndpointStatus::Enabled;
        let Some(known) = self.endpoint(*id)?.filter(meant) else { return Ok(false) };
        self.write_endpoint(&Endpoint {
            status: EndpointStatus::Disabled,
            disabled_reason: Some(*reason),
            updated_at: *at,
            ..known
        })?;
        Ok(true)
    }

    /// Forgets secrets that no longer sign; `false` if there are none.
    pub(super) fn forget_secrets(&mut self, id: EndpointId, now: Timestamp) -> Result<bool, StoreError> {
        let has_ended = |known: &Endpoint| known.secrets.iter().any(|secret| !secret.is_live(now));
        let Some(mut known) = self.endpoint(id)?.filter(has_ended) else { return Ok(false) };
        known.secrets.retain(|secret| secret.is_live(now));
        self.write_endpoint(&known)?;
        Ok(true)
    }

    /// Deletes an endpoint and marks that what waits for it must be canceled; `false` if there is none of that id.
    pub(super) fn delete(&mut self, id: EndpointId, deed: Deed) -> Result<bool, StoreError> {
        let Some(former) = self.registered(id)? else { return Ok(false) };
        self.give_up_uid(former.uid.as_deref())?;
        self.remove(&keys::endpoint(id.number))?;
        self.remove(&keys::own_position(id.number))?;
        self.remove(&keys::health(id.number))?;
        self.remove(&keys::missed(id.number))?;
        self.put(&keys::cancellation(id.number), Vec::new())?;
        self.tell_change(id.number);
        self.keep_deed(deed)?;
        Ok(true)
    }

    /// One endpoint by id.
    pub(super) fn endpoint(&self, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
        let row = self.get(&keys::endpoint(id.number))?;
        let known = row.map(|row| rows::read_endpoint(&row, self.vault)).transpose()?;
        Ok(known.filter(|known| known.id == id))
    }

    fn registered(&self, id: EndpointId) -> Result<Option<rows::Identity>, StoreError> {
        let row = self.get(&keys::endpoint(id.number))?;
        let identity = row.map(|row| rows::read_identity(&row)).transpose()?;
        Ok(identity.filter(|identity| identity.id == id))
    }

    fn take_uid(&mut self, endpoint: &Endpoint) -> Result<(), StoreError> {
        let Some(uid) = &endpoint.uid else { return Ok(()) };
        if uid.len() > UID_BYTES_MAX {
            return Err(StoreError::TooLarge {
                what: "the uid",
                size: uid.len(),
                max: UID_BYTES_MAX,
                sights_before: 0,
            });
        }
        let key = keys::uid(uid);
        if self.get(&key)?.is_some() {
            return Err(StoreError::UidTaken(uid.clone()));
        }
        self.put(&key, codec::number(endpoint.id.number.0.into()))
    }

    fn give_up_uid(&mut self, uid: Option<&str>) -> Result<(), StoreError> {
        uid.map_or(Ok(()), |uid| self.remove(&keys::uid(uid)))
    }

    /// Writes an endpoint that is there, and tells that it changed.
    pub(super) fn write_endpoint(&mut self, endpoint: &Endpoint) -> Result<(), StoreError> {
        let row = rows::endpoint(endpoint, self.vault);
        self.tell_change(endpoint.id.number);
        self.put(&keys::endpoint(endpoint.id.number), row)
    }
}

impl Reader {
    fn endpoint(&self, number: EndpointNumber) -> Result<Option<Endpoint>, StoreError> {
        let row = self.view.get(&keys::endpoint(number))?;
        row.map(|row| rows::read_endpoint(&row, &self.vault)).transpose()
    }

    fn endpoints(
        &self,
        beyond: Option<EndpointNumber>,
        ascending: bool,
        limit: usize,
    ) -> Result<Vec<Endpoint>, StoreError> {
        let (mut first, mut last) = (EndpointNumber(0), EndpointNumber(u32::MAX));
        match beyond {
            Some(EndpointNumber(number)) if ascending => match number.checked_add(1) {
                Some(next) => first = EndpointNumber(next),
                None => return Ok(Vec::new()),
            },
            Some(EndpointNumber(number)) => match number.checked_sub(1) {
                Some(before) => last = EndpointNumber(before),
                None => return Ok(Vec::new()),
            },
            None => {}
        }
        let rows = self.view.walk(keys::endpoints(first, last), !ascending).take(limit);
        rows.map(|row| rows::read_endpoint(&row?.1, &self.vault)).collect()
    }
}

#[async_trait]
impl EndpointStore for SledStore {
    fn changes(&self) -> broadcast::Receiver<EndpointNumber> {
        self.changes.subscribe()
    }

    async fn create_with(&self, endpoint: Endpoint, deed: Deed) -> Result<Endpoint, StoreError> {
        let (endpoint, deed) = (Box::new(endpoint), Box::new(deed));
        self.write(|done| Act::Create { endpoint, deed, done }).await
    }

    async fn update_with(&self, seen: &Endpoint, endpoint: Endpoint, deed: Deed) -> Result<Updated, StoreError> {
        let (seen, endpoint, deed) = (Box::new(seen.clone()), Box::new(endpoint), Box::new(deed));
        self.write(|done| Act::Update { seen, endpoint, deed, done }).await
    }

    async fn forget_secrets(&self, id: EndpointId, now: Timestamp) -> Result<bool, StoreError> {
        self.write_some_day(|done| Act::ForgetSecrets { id, now, done }).await
    }

    async fn delete_with(&self, id: EndpointId, deed: Deed) -> Result<bool, StoreError> {
        let deed = Box::new(deed);
        self.write(|done| Act::Delete { id, deed, done }).await
    }

    async fn endpoint(&self, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
        Ok(self.by_number(id.number).await?.filter(|endpoint| endpoint.id == id))
    }

    async fn by_number(&self, number: EndpointNumber) -> Result<Option<Endpoint>, StoreError> {
        self.read(move |reader| reader.endpoint(number)).await
    }

    async fn by_uid(&self, uid: &str) -> Result<Option<Endpoint>, StoreError> {
        let uid = uid.to_owned();
        self.read(move |reader| {
            let Some(row) = reader.view.get(&keys::uid(&uid))? else { return Ok(None) };
            let number = u32::try_from(codec::read_number(&row)?).map_err(|_| bad_key())?;
            // Between the two looks it may have been given up, and even been given to another.
            let endpoint = reader.endpoint(EndpointNumber(number))?;
            Ok(endpoint.filter(|endpoint| endpoint.uid.as_deref() == Some(&uid)))
        })
        .await
    }

    async fn endpoints(
        &self,
        beyond: Option<EndpointNumber>,
        ascending: bool,
        limit: usize,
    ) -> Result<Vec<Endpoint>, StoreError> {
        self.read(move |reader| reader.endpoints(beyond, ascending, limit)).await
    }

    async fn deliveries(&self, query: DeliveryQuery) -> Result<Filtered<DeliveryRecord, DeliveryId>, StoreError> {
        self.read(move |reader| reader.deliveries(&query)).await
    }
}
