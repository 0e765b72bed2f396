//! Giving root up once the sockets are bound.
//!
//! Ports below 1024 need root or the capability `CAP_NET_BIND_SERVICE`; answering needs neither. There are two ways:
//!
//! * Started as root with a user in the settings: bind, then [`drop_privileges`], then serve. All capabilities go with
//!   it, so a port below 1024 that is added later needs a restart (or a hand-over from a new process that starts as
//!   root).
//! * Started as that user from the start, with the one capability. For systemd, in the unit:
//!
//! ```text
//!   [Service]
//!   User=mcdns
//!   AmbientCapabilities=CAP_NET_BIND_SERVICE
//!   CapabilityBoundingSet=CAP_NET_BIND_SERVICE
//!   NoNewPrivileges=yes
//!   StateDirectory=mcdns
//! ```
//!
//! Either way the state directory and the place of the hand-over socket must belong to the user. There is no chroot:
//! certificates and master files are read again while the server runs.

use nix::{
    errno::Errno,
    unistd::{
        Gid, Group, Uid, User, getegid, geteuid, getgid, getgroups, getuid, setgroups, setresgid, setresuid, setuid,
    },
};
use thiserror::Error;

/// Why privileges could not be given up. None of them is worth a retry: the settings or the way the program is started
/// must change.
#[derive(Debug, Error)]
pub enum PrivilegeError {
    /// No such user.
    #[error("there is no user {0:?} on this machine; create it, or correct the settings")]
    NoUser(String),
    /// No such group.
    #[error("there is no group {0:?} on this machine; create it, or correct the settings")]
    NoGroup(String),
    /// Root is no user to change to.
    #[error("{0:?} is root; name a user that has no privileges")]
    Root(String),
    /// Only root can become somebody else.
    #[error("only root can become user {user:?}, and this process runs as user {uid}; start it as root or as {user:?}")]
    NotRoot {
        /// The user of the settings.
        user: String,
        /// The user that the process has.
        uid: u32,
    },
    /// The system refuses it.
    #[error("the system does not let this process become user {user:?} ({call})")]
    Refused {
        /// The user of the settings.
        user: String,
        /// What was tried.
        call: &'static str,
        /// Why it failed.
        source: Errno,
    },
    /// Root can be had again, so it was not given up.
    #[error("root was given up for user {0:?}, but could be had again")]
    Regained(String),
}

/// Makes the whole process run as `user` and `group` (by default the user's own), with no other groups. Call it after
/// the sockets are bound and before anything is served or written; files of the state directory that belong to
/// somebody else cannot be written any more. A process that is this user already is left as it is.
///
/// User and group are names or numbers.
pub fn drop_privileges(user: &str, group: Option<&str>) -> Result<(), PrivilegeError> {
    let (uid, own_group) = find_user(user)?;
    let gid = match group {
        Some(group) => find_group(group)?,
        None => own_group,
    };
    if uid.is_root() {
        return Err(PrivilegeError::Root(user.to_owned()));
    }
    if geteuid() == uid && getuid() == uid && getegid() == gid {
        return Ok(());
    }
    if !geteuid().is_root() {
        return Err(PrivilegeError::NotRoot { user: user.to_owned(), uid: geteuid().as_raw() });
    }
    let refused = |call| move |source| PrivilegeError::Refused { user: user.to_owned(), call, source };
    // In this order: who is not root any more cannot change groups.
    setgroups(&[gid]).map_err(refused("setgroups"))?;
    setresgid(gid, gid, gid).map_err(refused("setresgid"))?;
    setresuid(uid, uid, uid).map_err(refused("setresuid"))?;
    let is_done = getuid() == uid && geteuid() == uid && getgid() == gid && getegid() == gid;
    let has_groups = getgroups().is_ok_and(|groups| groups.iter().all(|&other| other == gid));
    if !is_done || !has_groups || setuid(Uid::from_raw(0)).is_ok() {
        return Err(PrivilegeError::Regained(user.to_owned()));
    }
    tracing::info!(uid = uid.as_raw(), gid = gid.as_raw(), "privileges were given up");
    Ok(())
}

fn find_user(user: &str) -> Result<(Uid, Gid), PrivilegeError> {
    let found = match user.parse() {
        Ok(number) => User::from_uid(Uid::from_raw(number)),
        Err(_) => User::from_name(user),
    };
    match (found, user.parse()) {
        (Ok(Some(found)), _) => Ok((found.uid, found.gid)),
        // A number needs no entry in the list of users, as in containers.
        (_, Ok(number)) => Ok((Uid::from_raw(number), Gid::from_raw(number))),
        _ => Err(PrivilegeError::NoUser(user.to_owned())),
    }
}

fn find_group(group: &str) -> Result<Gid, PrivilegeError> {
    if let Ok(number) = group.parse() {
        return Ok(Gid::from_raw(number));
    }
    match Group::from_name(group) {
        Ok(Some(found)) => Ok(found.gid),
        _ => Err(PrivilegeError::NoGroup(group.to_owned())),
    }
}
