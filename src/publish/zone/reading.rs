//! What stands there: read as a whole beside everything else, or name by name.
//!
//! ```text
//!   begin_reading ──────────── the publisher lists the zone ───────────► compare: plan for all of it
//!        └─ meanwhile names are changed, or come in doubt: what is known of them is newer than what is listed
//! ```

use std::{collections::BTreeSet, future::Future};

use mcdns_core::{dns::OwnerName, model::Timestamp, plan::CurrentZone};

use super::{PublishedZone, Scope, Step, WantedSource, failed};
use crate::{PublishError, ReadName};

/// More names than this are not read one by one: the zone is read instead.
const READ_SINGLY: usize = 16;

impl PublishedZone {
    /// Forgets what was read: somebody else may write now, or did.
    pub fn forget(&mut self) {
        self.current = None;
        self.doubtful.clear();
    }

    /// Somebody else may have changed this name: it is read again before it is planned for.
    pub fn doubt(&mut self, owner: OwnerName) {
        self.since.insert(owner.clone());
        self.doubtful.insert(owner);
    }

    /// True if the whole zone has to be read: it never was, or too much of it is in doubt.
    pub fn needs_reading(&self) -> bool {
        self.current.is_none() || self.doubtful.len() > READ_SINGLY
    }

    /// True if this name can be planned for without a reading of the whole zone.
    pub fn is_known(&self, owner: &OwnerName) -> bool {
        self.current.is_some() && !(self.needs_reading() && self.doubtful.contains(owner))
    }

    /// Reads the whole zone, for [`PublishedZone::compare`]; names can be brought about meanwhile. Of several readings
    /// only that counts which was begun last.
    pub fn begin_reading(&mut self) -> impl Future<Output = Result<CurrentZone, PublishError>> + Send + 'static {
        self.since.clear();
        let (publisher, apex) = (self.publisher.clone(), self.apex.clone());
        async move { publisher.read(&apex).await }
    }

    /// Brings the whole zone to what is wanted now, from the reading that was begun last.
    pub async fn compare(
        &mut self,
        source: &dyn WantedSource,
        reading: Result<CurrentZone, PublishError>,
        now: Timestamp,
    ) -> Step {
        if !self.leadership.holds() {
            self.forget();
            return failed(PublishError::NotLeader, Scope::Zone);
        }
        let mut read = match reading {
            Ok(reading) => self.own(reading),
            Err(error) => return failed(error, Scope::Zone),
        };
        if let Some(mut known) = self.current.take() {
            // The listing may have passed these before they were changed.
            for owner in &self.since {
                match known.names.remove(owner) {
                    Some(standing) => read.names.insert(owner.clone(), standing),
                    None => read.names.remove(owner),
                };
            }
        }
        self.current = Some(read);
        self.doubtful.retain(|owner| self.since.contains(owner));
        if let Err(error) = self.read(&Scope::Names(self.doubtful.clone())).await {
            return failed(error, Scope::Zone);
        }
        self.bring_about(source, Scope::Zone, now).await
    }

    /// Reads what the scope needs to be known.
    pub(super) async fn read(&mut self, scope: &Scope) -> Result<(), PublishError> {
        let doubtful: BTreeSet<OwnerName> = match scope {
            Scope::Names(names) if self.current.is_some() => names & &self.doubtful,
            _ => return self.read_anew().await,
        };
        if doubtful.len() > READ_SINGLY {
            return self.read_anew().await;
        }
        for owner in doubtful {
            let (ReadName::Standing(standing), Some(current)) =
                (self.publisher.read_name(&self.apex, &owner).await?, &mut self.current)
            else {
                return self.read_anew().await;
            };
            match standing {
                Some(standing) => current.names.insert(owner.clone(), *standing),
                None => current.names.remove(&owner),
            };
            self.doubtful.remove(&owner);
        }
        Ok(())
    }

    async fn read_anew(&mut self) -> Result<(), PublishError> {
        self.current = None;
        self.current = Some(self.read_zone().await?);
        self.doubtful.clear();
        Ok(())
    }

    /// The zone as it stands now.
    pub(super) async fn read_zone(&self) -> Result<CurrentZone, PublishError> {
        Ok(self.own(self.publisher.read(&self.apex).await?))
    }

    /// What of a reading is this zone's.
    fn own(&self, reading: CurrentZone) -> CurrentZone {
        reading.of(&self.apex)
    }
}
