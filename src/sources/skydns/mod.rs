//! Keys of SkyDNS in etcd, as zones that are answered from them.
//!
//! ```text
//!   Unread ──list──► Fresh ──watch fails──► Stale ──watch again──► Fresh
//!                      ▲ │                    │
//!                      │ └─ compacted ─ list ─┤   what is known stays in force all the time
//!                      └──────────────────────┘
//! ```
//!
//! All keys are listed once, page by page and all at one revision, and then watched from that revision on: a question
//! reads nothing from etcd. A watch does not resume by itself; it is opened again where it ended, and only where etcd has
//! forgotten that (compaction) or is not what it was (another cluster, or a backup: the revision is smaller), all keys are
//! listed again and compared.
//!
//! "Cannot be read" is never "empty": before the first list, zones answer SERVFAIL; after it, an outage changes nothing. Ten
//! keys or more that vanish at once are held in force until they are back or a person releases them.
//!
//! What is wrong with a key costs that key alone, and is told.

mod client;
mod follow;
mod leases;
mod mirror;

#[cfg(test)]
mod mirror_tests;

use std::{fmt, path::PathBuf, time::SystemTime};

use mcdns_core::{
    check::Finding,
    dns::{NameError, OwnerName, Serial},
};
use mcdns_skydns::{LeaseLimits, Prefix, Revision, SkyDnsZone};
use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use mirror::Mirror;

/// Releases that may wait to be looked at.
const RELEASES: usize = 4;

/// Where the keys are and what is answered from them.
#[derive(Debug, Clone)]
pub struct Options {
    /// `http://host:port` or `https://host:port`, one or more of one etcd cluster.
    pub endpoints: Vec<String>,
    /// What keys start with.
    pub prefix: Prefix,
    /// Apexes.
    pub zones: Vec<OwnerName>,
    /// Who asks, where etcd wants to know.
    pub user: Option<User>,
    /// Files in PEM format; they are read again for each connection.
    pub tls: Tls,
    /// How the time that a lease has left counts as a TTL.
    pub leases: LeaseLimits,
    /// Where serials of zones start; they grow by one with each change.
    pub serial: Serial,
}

/// A user of etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: Password,
}

/// A password, which is never shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// The password.
    Text(String),
    /// A file with the password, without the end of its line. It is read again for each connection.
    File(PathBuf),
}

/// What secures the way to etcd.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates of the authorities that are believed; those of the system where there is none.
    pub ca: Option<PathBuf>,
    /// Who we are: a certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// What is known at one moment.
#[derive(Debug, Clone)]
pub struct State {
    /// One for each apex, sorted by it.
    pub zones: Vec<SkyDnsZone>,
    /// What is wrong, the first hundred of each kind; then one finding with the number of the others.
    pub findings: Vec<Finding>,
    /// How well it is known.
    pub standing: Standing,
    /// Keys that are there, bad ones and held ones with them.
    pub keys: usize,
    /// Keys that are left out, in whole or in part.
    pub faulty: usize,
    /// Keys outside all zones.
    pub outside: usize,
    /// What is held, where something is: the word that releases it.
    pub held: Option<String>,
    /// Of the last change that is known.
    pub revision: Revision,
}

/// How well the keys are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// They could not be read yet.
    Unread {
        /// What etcd or the way there says; none before the first try has ended.
        reason: Option<String>,
    },
    /// Every change is seen as it happens.
    Fresh,
    /// They are those of an earlier moment.
    Stale {
        /// When contact was lost.
        since: SystemTime,
        /// What etcd or the way there says.
        reason: String,
    },
}

/// Why the source cannot be opened at all. The settings are at fault; trying again does not help.
#[derive(Debug, Error)]
pub enum OpenError {
    /// There is nobody to ask.
    #[error("no endpoint of etcd is given")]
    NoEndpoint,
    /// Not one that etcd could have.
    #[error("`{0}` is no endpoint of etcd; write http://host:port or https://host:port")]
    Endpoint(String),
    /// Some with and some without TLS.
    #[error("endpoints with http and with https cannot be mixed")]
    Mixed,
    /// Nothing would be answered.
    #[error("no zone is given that keys are to answer for")]
    NoZone,
    /// There is no room for the names that SkyDNS has below it.
    #[error("the zone {apex} is too long for keys")]
    Zone {
        /// The apex.
        apex: OwnerName,
        /// What is too long.
        source: NameError,
    },
    /// TLS settings without TLS.
    #[error("certificates are given for endpoints without TLS; write https://")]
    TlsWithoutHttps,
}

/// Follows the keys until it is dropped.
#[derive(Debug)]
pub struct Follower {
    states: watch::Receiver<State>,
    releases: Releases,
    task: JoinHandle<()>,
}

/// Lets go of what a [`Follower`] holds.
#[derive(Debug, Clone)]
pub struct Releases(mpsc::Sender<Wish>);

/// What comes of a word that is to release what is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Released {
    /// So many keys that were held are gone.
    Keys(usize),
    /// What is held has another word: this one.
    AnotherWord(String),
    /// Nothing is held.
    Nothing,
}

/// Somebody wants to let go of what this word names, and to hear of it. Who has given up waiting wants nothing any more.
#[derive(Debug)]
struct Wish {
    word: String,
    told: oneshot::Sender<Released>,
}

/// Starts to follow the keys. Whether etcd is there does not matter: it is waited for.
///
/// # Errors
///
/// [`OpenError`] for options that can never work.
pub fn open(options: Options) -> Result<Follower, OpenError> {
    client::check(&options)?;
    if options.zones.is_empty() {
        return Err(OpenError::NoZone);
    }
    let mirror = Mirror::new(&options.prefix, &options.zones, options.serial, options.leases)?;
    let (sender, states) = watch::channel(mirror.state(Standing::Unread { reason: None }));
    let (releases, wishes) = mpsc::channel(RELEASES);
    let task = tokio::spawn(follow::follow(options, mirror, sender, wishes));
    Ok(Follower { states, releases: Releases(releases), task })
}

impl Follower {
    /// The newest state, again and again: [`watch::Receiver::changed`] waits for the next. States in between are skipped by
    /// whoever is slow.
    pub fn states(&self) -> watch::Receiver<State> {
        self.states.clone()
    }

    /// What lets go of what is held, for whoever a person tells so.
    pub fn releases(&self) -> Releases {
        self.releases.clone()
    }
}

impl Releases {
    /// Lets go of what is held, if `word` is what [`State::held`] says; it works once, with etcd and without.
    /// While all keys are being listed, that is waited for; nothing is released for whoever stops waiting before.
    pub async fn release(&self, word: &str) -> Released {
        let (told, tells) = oneshot::channel();
        let wish = Wish { word: word.to_owned(), told };
        // Where nobody follows any more, nothing is held.
        if self.0.send(wish).await.is_err() {
            return Released::Nothing;
        }
        tells.await.unwrap_or(Released::Nothing)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.debug_tuple("Text").finish_non_exhaustive(),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unread { reason: None } => f.write_str("not read yet"),
            Self::Unread { reason: Some(reason) } => write!(f, "not read yet: {reason}"),
            Self::Fresh => f.write_str("fresh"),
            Self::Stale { reason, .. } => write!(f, "stale: {reason}"),
        }
    }
}
