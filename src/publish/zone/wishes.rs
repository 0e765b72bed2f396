//! What is wanted, in the form of a publisher.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mcdns_core::{
    dns::OwnerName,
    plan::{Desired, Group, WantedName},
};

use super::{
    PublishedZone,
    reading::{is_theirs, others},
};
use crate::PublishError;

/// What a zone of a publisher should hold, asked each time anew.
pub trait WantedSource: Send + Sync + 'static {
    /// Every name, empty levels as the publisher's settings say; none if there is no such zone.
    fn wanted_names(&self, apex: &OwnerName) -> Option<Vec<WantedName>>;

    /// One name; the same as among all. Outer none: there is no such zone.
    fn wanted_name(&self, apex: &OwnerName, owner: &OwnerName) -> Option<Option<WantedName>>;

    /// Of these names those that are wanted; the same as each by itself. None if there is no such zone. Where asking costs
    /// something each time, this asks once.
    fn wanted_of(&self, apex: &OwnerName, owners: &BTreeSet<OwnerName>) -> Option<Vec<WantedName>> {
        let asked: Option<Vec<_>> = owners.iter().map(|owner| self.wanted_name(apex, owner)).collect();
        Some(asked?.into_iter().flatten().collect())
    }

    /// What made names change that [`PublishedZone::note_causes`] was not told yet. Asked after names were: a comparison
    /// also finds what changed since it was asked for, and the guard is to count that under its cause.
    fn untold_causes(&self) -> BTreeMap<OwnerName, Arc<str>> {
        BTreeMap::new()
    }
}

/// What is wanted, in the form of a publisher.
pub(super) struct Wishes {
    pub(super) desired: BTreeMap<OwnerName, Desired>,
    /// False if the source does not know the zone at all.
    pub(super) zone_known: bool,
    /// What made names change, where the zone was not told yet.
    pub(super) causes: BTreeMap<OwnerName, Arc<str>>,
}

impl PublishedZone {
    pub(super) async fn wishes_of_zone(&self, source: &dyn WantedSource) -> Result<Wishes, PublishError> {
        let wanted = source.wanted_names(&self.apex);
        let causes = source.untold_causes();
        let zone_known = wanted.is_some();
        Ok(Wishes { desired: self.translated(wanted.unwrap_or_default()).await?, zone_known, causes })
    }

    pub(super) async fn wishes(
        &self,
        source: &dyn WantedSource,
        names: &BTreeSet<OwnerName>,
    ) -> Result<Wishes, PublishError> {
        let wanted = source.wanted_of(&self.apex, names);
        let causes = source.untold_causes();
        let zone_known = wanted.is_some();
        Ok(Wishes { desired: self.translated(wanted.unwrap_or_default()).await?, zone_known, causes })
    }

    /// What is wanted in the publisher's form.
    async fn translated(&self, wanted: Vec<WantedName>) -> Result<BTreeMap<OwnerName, Desired>, PublishError> {
        let (mut desired, mut fitting) = (BTreeMap::new(), Vec::with_capacity(wanted.len()));
        let others = others(&*self.publisher, &self.apex, &self.below).await?;
        for wanted in wanted.into_iter().filter(|wanted| !is_theirs(&others, &wanted.owner)) {
            let (owner, unsettled) = (wanted.owner.clone(), wanted.unsettled.clone());
            match self.publisher.capabilities().fit(wanted) {
                Ok(Some(fitted)) => fitting.push(fitted),
                // Nothing of it is known, or nothing that the publisher may touch: what stands there stays.
                Ok(None) => desired.extend(unsettled.map(|why| {
                    let group = Group::new(owner.clone(), []);
                    (owner, Desired::Unsettled { group, reason: String::new(), why })
                })),
                Err(why) => {
                    desired.insert(owner, Desired::Unpublishable(why.0));
                }
            }
        }
        self.publisher.prepare(&self.apex, &fitting).await?;
        desired.extend(fitting.into_iter().map(|wanted| {
            let translated = match self.publisher.translate(&wanted) {
                Ok(group) => match wanted.unsettled {
                    Some(why) => Desired::Unsettled { group, reason: wanted.reason, why },
                    None => Desired::Group { group, reason: wanted.reason },
                },
                Err(why) => Desired::Unpublishable(why.0),
            };
            (wanted.owner, translated)
        }));
        Ok(desired)
    }
}
