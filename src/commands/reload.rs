//! Settings that are read again while the program runs (SIGHUP).
//!
//! ```text
//!   SIGHUP ─► same file, variables and flags ─┬─ refused ──► everything stays; findings in the log and on the admin port
//!                                             └─ accepted ─► policy, certificates, log level here; zones by the caller;
//!                                                            what is fixed: "takes effect at the next start", once
//! ```
//!
//! There is nothing between the two: one fault in the file, and nothing of it is applied.

use std::{collections::BTreeMap, sync::Arc};

use mcdns_core::check::{Finding, FindingCode};
use mcdns_serve::{Condition, Policy, PolicyStore, Server, TransferHistory};

use super::{answering::set_taps, publishers};
use crate::{
    settings::{Fixed, Settings},
    telemetry,
};

/// What is needed to read settings again, and what came of the last time.
#[derive(Debug)]
pub(super) struct Reload {
    /// In force now; what is fixed is as it was at the start.
    settings: Settings,
    policy: PolicyStore,
    /// Its limits are set here.
    transfers: Arc<TransferHistory>,
    condition: Condition,
    findings: Vec<Finding>,
    /// Changes that wait for the next start and were told, by setting.
    told: BTreeMap<&'static str, String>,
}

impl Reload {
    /// Starts with the settings that the program starts with.
    pub(super) fn new(settings: &Settings, transfers: &Arc<TransferHistory>) -> Self {
        Self {
            transfers: Arc::clone(transfers),
            policy: PolicyStore::new(settings.policy()),
            condition: Condition::Ready,
            findings: settings.warnings.clone(),
            settings: settings.clone(),
            told: BTreeMap::new(),
        }
    }

    /// Where the policy in force is.
    pub(super) fn policy(&self) -> &PolicyStore {
        &self.policy
    }

    /// Says whether what is answered from is as it should be.
    pub(super) fn set_condition(&mut self, condition: Condition) {
        if self.condition != condition {
            self.condition = condition;
            self.store_policy(&self.settings);
        }
    }

    fn store_policy(&self, settings: &Settings) {
        self.policy.store(Policy { condition: self.condition, ..settings.policy() });
    }

    /// What is to be told of the settings: why the last reading was refused, or what is odd about what is in force.
    pub(super) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Reads the settings again. What it gives is in force as far as policy, certificates and the log go; none where
    /// nothing changed, because they are refused.
    pub(super) fn read(&mut self, server: &Server) -> Option<Settings> {
        let mut settings = match self.settings.again().and_then(publishers::accept) {
            Ok(settings) => settings,
            Err(refused) => {
                for finding in &refused.findings {
                    tracing::error!(finding = finding.to_string(), "settings refused; what runs stays in force");
                }
                self.findings = refused.findings;
                return None;
            }
        };
        let waiting = settings.keep_fixed(&self.settings);
        let level = &settings.log_level.value;
        if *level != self.settings.log_level.value
            && let Err(error) = telemetry::set_level(level)
        {
            tracing::error!(%error, "the log level stays as it was");
        }
        self.store_policy(&settings);
        self.transfers.set_limits(settings.transfer_limits);
        renew_certificates(server);
        server.counters().taps().reopen();
        if let Err(error) = set_taps(server, &settings) {
            tracing::error!(error = format!("{error:#}"), "query log and dnstap stay as they were");
        }
        self.findings = settings.warnings.clone();
        for finding in &self.findings {
            tracing::warn!(finding = finding.to_string(), "finding");
        }
        self.tell_waiting(waiting);
        tracing::info!("settings read again");
        self.settings = settings;
        Some(self.settings.clone())
    }

    /// Tells of each change once, for as long as the file has it.
    fn tell_waiting(&mut self, waiting: Vec<Fixed>) {
        let mut told = BTreeMap::new();
        for Fixed { path, origin, value } in waiting {
            let finding = Finding::new(FindingCode::NextStart, "was changed, and takes effect at the next start");
            let finding = origin.place(finding.field(path));
            if self.told.get(path) != Some(&value) {
                tracing::warn!(finding = finding.to_string(), "a setting takes effect at the next start");
            }
            told.insert(path, value);
            self.findings.push(finding);
        }
        self.told = told;
    }
}

/// Has the server read the files of its certificates again; one that cannot be used leaves the one before in place.
fn renew_certificates(server: &Server) {
    for error in server.reload_certificates() {
        let error = anyhow::Error::from(error);
        tracing::error!(error = format!("{error:#}"), "a certificate stays as it was");
    }
}
