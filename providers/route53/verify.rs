//! When a change is in force.
//!
//! Route 53 takes a change and spreads it: `PENDING`, then `INSYNC` (API reference, `GetChange`). Only what it says of the
//! change itself means that something is wrong. That it cannot be asked says nothing about the records.

use std::{sync::atomic::Ordering, time::Duration};

use mcdns_core::dns::OwnerName;
use mcdns_publish::PublishError;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::{Route53, trouble::Trouble};

/// First wait for a change to be in force, then twice as long each time.
const FIRST_POLL: Duration = Duration::from_secs(1);
/// Longest wait between two looks at a change.
const LAST_POLL: Duration = Duration::from_secs(10);
/// How long a change may take. AWS says 60 seconds as a rule.
const MAX_PENDING: Duration = Duration::from_mins(5);
/// What following changes needs to be allowed.
const PERMISSION: &str = "route53:GetChange";

impl Route53 {
    /// Waits until the changes of a receipt are in force.
    ///
    /// # Errors
    ///
    /// One is not, or is not known there. None if that cannot be asked.
    pub(crate) async fn wait_in_sync(&self, apex: &OwnerName, receipt: &str) -> Result<(), PublishError> {
        let (mut waited, mut wait) = (Duration::ZERO, FIRST_POLL);
        let publisher = &self.name;
        for change in receipt.split(' ') {
            loop {
                let pending = match self.account.in_sync(change).await {
                    Ok(is_in_sync) => {
                        self.told.store(false, Ordering::Relaxed);
                        if is_in_sync {
                            break;
                        }
                        true
                    }
                    Err(unknown @ Trouble::Refused(_)) => return Err(unknown.for_loop(apex)),
                    Err(Trouble::Denied(words)) => {
                        if !self.told.swap(true, Ordering::Relaxed) {
                            warn!(
                                publisher,
                                zone = %apex,
                                permission = PERMISSION,
                                words,
                                "whether changes are in force cannot be asked; the permission is missing"
                            );
                        }
                        return Ok(());
                    }
                    Err(trouble) => {
                        debug!(publisher, zone = %apex, ?trouble, "a change cannot be followed now; asking again");
                        false
                    }
                };
                if waited >= MAX_PENDING {
                    if pending {
                        let words = format!("change {change} is PENDING for {} s", waited.as_secs());
                        return Err(PublishError::Unavailable { words });
                    }
                    let seconds = waited.as_secs();
                    warn!(publisher, zone = %apex, change, seconds, "whether a change is in force could not be asked");
                    return Ok(());
                }
                sleep(wait).await;
                waited += wait;
                wait = (wait * 2).min(LAST_POLL);
            }
        }
        Ok(())
    }
}
