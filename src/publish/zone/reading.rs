//! What stands there: read as a whole beside everything else, or name by name.
//!
//! ```text
//!   begin_reading ──────────── the publisher lists the zone ───────────► compare: plan for all of it
//!        └─ meanwhile names are changed, or come in doubt: what is known of them is newer than what is listed,
//!           and where they are few they are read by themselves
//! ```

use std::{collections::BTreeSet, future::Future};

use mcdns_core::{dns::OwnerName, model::Timestamp, plan::CurrentZone};

use super::{PublishedZone, Scope, Step, WantedSource, failed};
use crate::{PublishError, Publisher, ReadName};

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
        let (publisher, apex, below) = (self.publisher.clone(), self.apex.clone(), self.below.clone());
        async move { read_own(&*publisher, &apex, &below).await }
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
            Ok(reading) => reading,
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
        if self.since.len() <= READ_SINGLY {
            // A publisher that remembers something of a reading did not see these in it. More would never come to an end
            // in a zone that changes all the time; the next reading sees them.
            self.doubtful.extend(self.since.iter().cloned());
        }
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
        let others = others(&*self.publisher, &self.apex, &self.below).await?;
        for owner in doubtful {
            if is_theirs(&others, &owner) {
                self.doubtful.remove(&owner);
                continue;
            }
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
        read_own(&*self.publisher, &self.apex, &self.below).await
    }
}

/// What of a zone is its own.
async fn read_own(
    publisher: &dyn Publisher,
    apex: &OwnerName,
    below: &[OwnerName],
) -> Result<CurrentZone, PublishError> {
    let mut read = publisher.read(apex).await?.of(apex);
    let others = others(publisher, apex, below).await?;
    if !others.is_empty() {
        read.names.retain(|owner, _| !is_theirs(&others, owner));
        read.unreadable.retain(|owner, _| !is_theirs(&others, owner));
    }
    Ok(read)
}

/// The zones below that stand together with this one.
pub(super) async fn others<'a>(
    publisher: &dyn Publisher,
    apex: &OwnerName,
    below: &'a [OwnerName],
) -> Result<Vec<&'a OwnerName>, PublishError> {
    let mut others = Vec::new();
    for child in below {
        if publisher.holds_together(apex, child).await? {
            others.push(child);
        }
    }
    Ok(others)
}

/// True if a name is one of these zones'.
pub(super) fn is_theirs(others: &[&OwnerName], owner: &OwnerName) -> bool {
    others.iter().any(|zone| owner.is_at_or_below(zone))
}
