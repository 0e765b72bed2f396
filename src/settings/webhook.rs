//! `webhook`: external-dns publishes into us.

use std::net::SocketAddr;

use mcdns_core::{
    check::{Finding, FindingCode},
    dns::OwnerName,
};

use super::{
    Fixed, keep,
    layers::{Layers, Setting},
    parse::{self, Misfit},
};

/// `webhook`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSettings {
    /// `listen`: where external-dns asks; without zones, nobody listens.
    pub listen: Setting<SocketAddr>,
    /// `zones`: apexes that external-dns writes into.
    pub zones: Setting<Vec<OwnerName>>,
    /// `emptying`: whether a call may take away everything at once.
    pub may_empty: Setting<bool>,
}

const EMPTYING: [(&str, bool); 2] = [("hold", false), ("allow", true)];

/// Reads everything under `webhook`.
pub(super) fn read(layers: &mut Layers<'_>, warnings: &mut Vec<Finding>) -> WebhookSettings {
    let listen = layers.value(
        "webhook.listen",
        None,
        SocketAddr::from(([127, 0, 0, 1], 8889)),
        parse::socket_address,
        ToString::to_string,
    );
    let zones = layers.values(
        "webhook.zones",
        None,
        Vec::new(),
        parse::apex,
        |layers, file, node, path| Some(layers.parse_node(file, node, path, parse::apex)?.value),
        ToString::to_string,
    );
    let may_empty = layers.value(
        "webhook.emptying",
        None,
        false,
        |text| parse::word(text, &EMPTYING),
        |value| super::word_of(*value, &EMPTYING),
    );
    let settings = WebhookSettings { listen, zones, may_empty };
    if settings.zones.value.is_empty() && settings.listen.origin != super::Origin::Default {
        let help = "name the zones that external-dns writes into: zones: [example.net]";
        layers.refuse("webhook.zones", &settings.listen.origin, Misfit::new("is missing beside listen", help));
    }
    if !settings.zones.value.is_empty() && !settings.listen.value.ip().is_loopback() {
        let message =
            format!("{} is no loopback address, and whoever reaches it writes the zones", settings.listen.value);
        let finding = Finding::new(FindingCode::RefusedSetting, message).field("webhook.listen");
        let finding = finding.help("the protocol has no passwords; run external-dns in the same pod");
        warnings.push(Finding { severity: mcdns_core::check::Severity::Warning, ..finding });
    }
    settings
}

impl WebhookSettings {
    /// True if there is somebody to listen for.
    pub fn is_on(&self) -> bool {
        !self.zones.value.is_empty()
    }

    /// Puts everything back to what `running` has, and tells what was something else.
    pub(super) fn keep(&mut self, running: &Self, changed: &mut Vec<Fixed>) {
        keep(changed, "webhook.listen", &mut self.listen, &running.listen);
        keep(changed, "webhook.zones", &mut self.zones, &running.zones);
        keep(changed, "webhook.emptying", &mut self.may_empty, &running.may_empty);
    }
}
