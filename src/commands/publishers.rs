//! From settings to publishers.

use std::sync::Arc;

use mcdns_core::{
    check::{Finding, FindingCode},
    plan::ManagerId,
    records::EmptyLevels,
};
use mcdns_memory::{Memory, Store};
use mcdns_publish::{Destination, Publisher};

use crate::settings::{DestinationSettings, ProviderSection, PublishSettings};

/// The destinations of the settings, in their order; `empty_levels` is what holds where an entry says nothing. Findings
/// are what a provider refuses of its own settings; entries with such are left out.
pub(crate) fn destinations(settings: &PublishSettings, empty_levels: EmptyLevels) -> (Vec<Destination>, Vec<Finding>) {
    let (mut destinations, mut findings) = (Vec::new(), Vec::new());
    let Some(manager) = &settings.manager else { return (destinations, findings) };
    for one in &settings.to {
        match publisher(one, manager) {
            Ok(publisher) => destinations.push(Destination {
                publisher,
                zones: one.zones.clone(),
                options: one.options,
                empty_levels: one.empty_levels.unwrap_or(empty_levels),
            }),
            Err(why) => findings.push(refusal(&one.provider, why)),
        }
    }
    (destinations, findings)
}

/// Makes one publisher. Each provider has its arm here and reads its own section; connections are made later.
fn publisher(settings: &DestinationSettings, manager: &ManagerId) -> Result<Arc<dyn Publisher>, String> {
    match settings.provider.word {
        "memory" => {
            let store = Store::new(settings.zones.iter().cloned());
            Ok(Arc::new(Memory::new(&settings.name, manager.clone(), store)))
        }
        "etcd" => mcdns_etcd::publisher(&settings.name, &settings.zones, manager, &settings.provider.value),
        "route53" => mcdns_route53::publisher(&settings.name, &settings.zones, manager, &settings.provider.value),
        "webhook" => mcdns_webhook::publisher(&settings.name, &settings.zones, manager, &settings.provider.value),
        word => Err(format!("the provider {word} is not available in this version")),
    }
}

fn refusal(section: &ProviderSection, why: String) -> Finding {
    Finding::new(FindingCode::RefusedSetting, why).at(&section.file, section.line, 0).field(&section.path)
}
