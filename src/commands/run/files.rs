//! What `run` reads from files: a federation directory and a hosts file; and the resolver in its place.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Result;
use mcdns_core::model::{Object, ObjectKey, Observation};
use mcdns_sources::{
    directory::{Batch, Directory},
    hosts::HostsFile,
    resolver::{Resolver, Wanted},
};
use tokio::sync::{mpsc, watch};

/// The first look at the directory. Where it cannot be read and something is known from before, that is served.
pub(super) fn first_batch(directory: &mut Directory, something_known: bool) -> Result<Batch> {
    match directory.scan() {
        Ok(batch) => Ok(batch),
        Err(error) if something_known => {
            let error = anyhow::Error::from(error);
            tracing::warn!(
                error = format!("{error:#}"),
                "the federation directory cannot be read; serving what is known from before"
            );
            Ok(Batch { lost: true, ..Batch::default() })
        }
        Err(error) => Err(anyhow::Error::from(error).context("the federation directory cannot be opened")),
    }
}

/// The hosts file in a federation directory that is away now, if it was read when the directory was there.
pub(super) fn hosts_of_before(directory: &Path, known: &[(ObjectKey, Arc<Object>)]) -> Option<PathBuf> {
    let file = directory.join("hosts");
    let shown = file.to_string_lossy();
    let mut origins = known.iter().filter_map(|(_, object)| object.origin.as_ref());
    origins.any(|origin| *origin.file == *shown).then_some(file)
}

/// The first look at the hosts file. Where it cannot be read and something is known from before, that counts.
pub(super) fn open_hosts(file: &Path, known: Vec<(ObjectKey, Arc<Object>)>) -> Result<(HostsFile, Batch)> {
    let something_known = !known.is_empty();
    let mut hosts = HostsFile::new(file);
    hosts.adopt(known);
    match hosts.scan() {
        Ok(batch) => Ok((hosts, batch)),
        Err(error) if something_known => {
            tracing::warn!(file = %file.display(), %error, "the hosts file cannot be read; its last good addresses count");
            Ok((hosts, Batch { lost: true, ..Batch::default() }))
        }
        Err(error) => {
            Err(anyhow::Error::from(error).context(format!("the hosts file {} cannot be read", file.display())))
        }
    }
}

/// Looks up host names from now on. Without a resolver they have no addresses.
pub(super) fn start_resolver(
    known: Vec<(ObjectKey, Arc<Object>)>,
    wants: watch::Receiver<Wanted>,
    sender: mpsc::Sender<Vec<Observation>>,
) {
    match Resolver::system() {
        Ok(mut resolver) => {
            resolver.adopt(known);
            // The task ends with the channels.
            drop(resolver.spawn(wants, sender));
        }
        Err(error) => {
            let error = anyhow::Error::from(error);
            tracing::warn!(
                error = format!("{error:#}"),
                "no resolver, so host names of load balancers have no addresses"
            );
        }
    }
}
