//! SkyDNS keys in etcd, as CoreDNS' plug-in `etcd` reads them.
//!
//! ```text
//!   Group ─ wire ─► keys, values ─ apply ─► transactions that compare revisions ─► etcd ─► CoreDNS
//!   Standing ◄─ read ─ pages of keys ◄───────────────────────────────────────────── etcd
//!   Drift ◄─ watch ──────────────────────────────────────────────────────────────── etcd
//! ```
//!
//! Whose a key is says its member `owner`; one without it is nobody's, unless a TXT record of external-dns says whose the
//! name is. A name is written by one transaction, which compares: nothing of ours there is newer than what the change was
//! planned from, and all of that is still there. So a writer that was frozen, or two that believe to lead, never undo newer
//! work, and a name is never half written. Only a name with more keys than a transaction takes is written in parts, what is
//! new first.
//!
//! Keys are the same for the same name, type, target, cluster and manager, so nothing has to be remembered; see
//! [`mcdns_skydns::Prefix`]. Where an alias stands depends on the names near it; see `names`.

mod apply;
mod client;
mod lease;
mod names;
mod read;
mod settings;
mod state;
mod watch;
mod wire;

use std::sync::Arc;

use futures::{future::BoxFuture, stream::BoxStream};
use mcdns_core::{
    dns::{OwnerName, RecordType},
    plan::{CurrentZone, Group, ManagerId, WantedName},
};
use mcdns_publish::{ApplyReport, Batch, Capabilities, Drift, PublishError, Publisher, ReadName, Unpublishable};
use mcdns_skydns::Prefix;
use serde_json::Value;

use client::{Connection, Range, Reading, Trouble};
use lease::Lease;
use names::Names;
use read::Reader;
use settings::Settings;
use state::{Position, State, Zone};
use wire::{Wire, apex_names};

/// Names in one call of [`Publisher::apply`]: some tens of transactions, so that several are under way at a time.
const MAX_GROUPS: usize = 4_096;
/// Keys below a name up to which reading it is one call, whatever they are.
const FEW: i64 = 256;
/// Pages that wait to be taken apart.
const PAGES: usize = 4;

/// A publisher of SkyDNS keys. A clone shares everything.
#[derive(Debug, Clone)]
pub struct Etcd {
    name: String,
    capabilities: Capabilities,
    wire: Arc<Wire>,
    zones: Vec<OwnerName>,
    settings: Arc<Settings>,
    connection: Connection,
    lease: Lease,
    state: Arc<State>,
}

/// A publisher with the settings of `publish.to[].etcd`. Nothing is connected.
///
/// # Errors
///
/// What is wrong with the settings, as `KEY: what is wrong; help: what would be right`.
pub fn publisher(
    name: &str,
    zones: &[OwnerName],
    manager: &ManagerId,
    section: &Value,
) -> Result<Arc<dyn Publisher>, String> {
    Ok(Arc::new(Etcd::new(name, zones, manager, section)?))
}

impl Etcd {
    /// The same as [`publisher`], as what it is.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn new(name: &str, zones: &[OwnerName], manager: &ManagerId, section: &Value) -> Result<Self, String> {
        let settings = Arc::new(Settings::read(section, zones)?);
        let mut types = vec![
            RecordType::A,
            RecordType::AAAA,
            RecordType::CNAME,
            RecordType::TXT,
            RecordType::MX,
            RecordType::SRV,
            RecordType::PTR,
        ];
        let apex_ns = !settings.name_servers.is_empty();
        types.extend(apex_ns.then_some(RecordType::NS));
        let capabilities =
            Capabilities { wildcard: false, apex_ns, max_groups: MAX_GROUPS, ..Capabilities::plain(types) };
        let wire = Wire {
            prefix: Prefix::new(&settings.prefix),
            manager: manager.clone(),
            name_servers: settings.name_servers.clone(),
        };
        let connection = Connection::new(settings.clone());
        let lease = Lease::new(&connection, settings.lease, name, manager);
        Ok(Self {
            name: name.to_owned(),
            capabilities,
            wire: Arc::new(wire),
            zones: zones.to_vec(),
            settings,
            connection,
            lease,
            state: Arc::default(),
        })
    }

    async fn read_zone(&self, apex: &OwnerName) -> Result<CurrentZone, Trouble> {
        let key = self.zone_key(apex)?;
        let (from, end) = ([&*key, b"/"].concat(), [&*key, b"0"].concat());
        let (sender, mut pages) = tokio::sync::mpsc::channel(PAGES);
        let (wire, zones, lease, owned) = (self.wire.clone(), self.zones.clone(), self.lease.id(), apex.clone());
        // Taking keys apart is work, which must not hold up others.
        let reader = tokio::task::spawn_blocking(move || {
            let mut reader = Reader::new(&wire, &owned, &zones, lease);
            let mut is_whole = false;
            while let Some(page) = pages.blocking_recv() {
                match page {
                    Some(page) => reader.take(page),
                    None => is_whole = true,
                }
            }
            // What was read in part is not the zone.
            is_whole.then(|| reader.finish())
        });
        let (revision, cluster) = self.connection.read_pages(&(key, None), 0, &sender).await?;
        self.connection.read_pages(&(from, Some(end)), revision, &sender).await?;
        // Whoever takes them apart ends with the sender.
        let _ = sender.send(None).await;
        drop(sender);
        let read = reader.await.ok().flatten();
        let (zone, names) = read.ok_or_else(|| client::unavailable("the reading was given up"))?;
        tracing::debug!(zone = %apex, names = zone.names.len(), revision, "keys were read");
        self.state.was_read(&self.wire, apex, names, Position { revision, cluster });
        Ok(zone)
    }

    async fn read_one(&self, apex: &OwnerName, owner: &OwnerName) -> Result<ReadName, Trouble> {
        let key = self.zone_key(owner)?;
        let below: Range = ([&*key, b"/"].concat(), Some([&*key, b"0"].concat()));
        let own: Range = (key.clone(), None);
        let mut reading = Reading { more: true, ..Reading::default() };
        if owner != apex {
            reading = self.connection.read(&[own.clone(), below], FEW).await?;
        }
        if reading.more {
            // A name above many others: what is ours, and other managers', is together; what else others have there is
            // known from the last reading of the zone.
            let mut ranges = vec![own, targets(&key)];
            if let Some((addresses, servers)) = apex_names(apex).filter(|_| owner == apex) {
                for name in [addresses, servers] {
                    let key = self.zone_key(&name)?;
                    ranges.push(([&*key, b"/"].concat(), Some([&*key, b"0"].concat())));
                }
            }
            if !self.knows_others(apex, owner) {
                return Ok(ReadName::Costly);
            }
            reading = self.connection.read(&ranges, 0).await?;
        }
        let mut reader = Reader::new(&self.wire, apex, &self.zones, self.lease.id());
        reader.take(reading.keys);
        let mut zones = self.state.zones();
        let zone = zones.entry(apex.clone()).or_insert_with(|| Zone::new(&self.wire, apex));
        // What is unreadable is among what a reading of the zone tells of.
        let Ok((standing, place)) = reader.one(owner, &zone.names) else { return Ok(ReadName::Costly) };
        zone.names.note(owner, standing.as_ref(), place);
        Ok(ReadName::Standing(standing.map(Box::new)))
    }

    /// True if nobody else has something at a name, as far as is known.
    fn knows_others(&self, apex: &OwnerName, owner: &OwnerName) -> bool {
        self.state.zones().get(apex).is_some_and(|zone| Names::others(&zone.names, owner).is_empty())
    }

    fn zone_key(&self, name: &OwnerName) -> Result<Vec<u8>, Trouble> {
        let no_key = || {
            let words = "a label with a slash has no key".to_owned();
            Trouble::Error(PublishError::NoZone { apex: name.clone(), words })
        };
        self.wire.prefix.key(name).ok_or_else(no_key)
    }
}

/// Where all managers have targets of the name with this key.
fn targets(key: &[u8]) -> Range {
    ([key, b"/="].concat(), Some([key, b"/>"].concat()))
}

impl Publisher for Etcd {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn translate(&self, wanted: &WantedName) -> Result<Group, Unpublishable> {
        self.wire.translate(wanted)
    }

    /// etcd has no zones: those of the settings.
    fn zones(&self) -> BoxFuture<'_, Result<Vec<OwnerName>, PublishError>> {
        Box::pin(async { Ok(self.zones.clone()) })
    }

    fn read<'a>(&'a self, apex: &'a OwnerName) -> BoxFuture<'a, Result<CurrentZone, PublishError>> {
        Box::pin(async move { self.read_zone(apex).await.map_err(Trouble::error) })
    }

    fn read_name<'a>(
        &'a self,
        apex: &'a OwnerName,
        owner: &'a OwnerName,
    ) -> BoxFuture<'a, Result<ReadName, PublishError>> {
        Box::pin(async move { self.read_one(apex, owner).await.map_err(Trouble::error) })
    }

    fn apply<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<ApplyReport, PublishError>> {
        Box::pin(self.apply_batch(batch))
    }

    fn changes<'a>(&'a self, apex: &'a OwnerName) -> Option<BoxStream<'a, Result<Drift, PublishError>>> {
        Some(self.watch(apex))
    }
}
