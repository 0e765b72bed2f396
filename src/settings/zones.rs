//! `serve.zones`: what is said about single zones.

use std::{collections::BTreeSet, path::PathBuf};

use mcdns_core::{
    dns::OwnerName,
    records::{NameServer, SoaOptions},
};

use super::{
    layers::Layers,
    parse::{self, Misfit},
    section::Section,
    transfer::{self, TransferSettings},
    tree::{Content, Node},
};

/// One zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneSettings {
    /// Its apex.
    pub apex: OwnerName,
    /// A master file with static records.
    pub file: Option<PathBuf>,
    /// Its name servers; empty where the Domain or the default says.
    pub name_servers: Vec<NameServer>,
    /// Fields of its SOA that are set.
    pub soa: SoaOptions,
    /// Who may have it, and who is told of changes.
    pub transfer: TransferSettings,
}

impl ZoneSettings {
    /// A zone of which nothing is set.
    pub fn new(apex: OwnerName) -> Self {
        Self {
            apex,
            file: None,
            name_servers: Vec::new(),
            soa: SoaOptions::default(),
            transfer: TransferSettings::default(),
        }
    }

    /// Whether it says anything of the records of the zone, which a master file alone says where one is served.
    pub fn shapes_records(&self) -> bool {
        self.file.is_some() || !self.name_servers.is_empty() || self.soa != SoaOptions::default()
    }
}

/// Reads all zones, which may refer to these keys; those with faults are left out, and the faults are in the findings.
pub(super) fn read(layers: &mut Layers<'_>, keys: &BTreeSet<OwnerName>) -> Vec<ZoneSettings> {
    let mut zones: Vec<ZoneSettings> = Vec::new();
    let Some((file, root)) = layers.file.clone() else { return zones };
    let items = root.at("serve.zones").map(Node::items).unwrap_or_default();
    for (index, node) in items.iter().enumerate() {
        let mut section = Section { layers, file: &file, path: format!("serve.zones[{index}]") };
        let Some(zone) = read_zone(&mut section, node, keys) else { continue };
        if zones.iter().any(|other| other.apex == zone.apex) {
            let misfit = Misfit::new(format!("`{}` stands there twice", zone.apex), "keep one of them");
            layers.refuse_node(&file, node, &format!("serve.zones[{index}].apex"), misfit);
        } else {
            zones.push(zone);
        }
    }
    zones
}

fn read_zone(section: &mut Section<'_, '_>, node: &Node, keys: &BTreeSet<OwnerName>) -> Option<ZoneSettings> {
    let Some(apex) = node.child("apex").filter(|apex| apex.content != Content::Nothing) else {
        // What is no mapping was refused by the schema.
        if matches!(node.content, Content::Map(_)) {
            section.refuse(node, "apex", Misfit::new("is missing", "write the name of the zone: apex: example.com"));
        }
        return None;
    };
    let (apex, line) = section.scalar(apex, "apex", parse::apex)?;
    section.row("apex", apex.to_string(), line);
    let mut zone = ZoneSettings::new(apex);
    let not_empty_path = |text: &str| parse::not_empty(text).map(PathBuf::from);
    if let Some((file, line)) = node.child("file").and_then(|node| section.scalar(node, "file", not_empty_path)) {
        section.row("file", file.display().to_string(), line);
        zone.file = Some(file);
    }
    if let Some(servers) = node.child("nameServers") {
        for (index, server) in servers.items().iter().enumerate() {
            zone.name_servers.extend(read_name_server(section, server, &format!("nameServers[{index}]")));
        }
        let shown: Vec<_> = zone.name_servers.iter().map(show_name_server).collect();
        section.row("nameServers", shown.join(", "), servers.line);
    }
    read_soa(section, node, &mut zone.soa);
    zone.transfer = transfer::read(section, node, keys);
    Some(zone)
}

fn read_name_server(section: &mut Section<'_, '_>, node: &Node, key: &str) -> Option<NameServer> {
    let Some(name) = node.child("name") else {
        if matches!(node.content, Content::Map(_)) {
            let misfit = Misfit::new("is missing", "write {name: ns1.example.com, addresses: [192.0.2.1]}");
            section.refuse(node, &format!("{key}.name"), misfit);
        }
        return None;
    };
    let name = section.scalar(name, &format!("{key}.name"), parse::host_name);
    let mut addresses = Vec::new();
    let items = node.child("addresses").map(Node::items).unwrap_or_default();
    for (index, item) in items.iter().enumerate() {
        let address = section.scalar(item, &format!("{key}.addresses[{index}]"), parse::address);
        addresses.extend(address.map(|(address, _)| address));
    }
    Some(NameServer { name: name?.0, addresses })
}

fn read_soa(section: &mut Section<'_, '_>, node: &Node, soa: &mut SoaOptions) {
    let Some(node) = node.child("soa") else { return };
    if let Some((contact, line)) =
        node.child("contact").and_then(|node| section.scalar(node, "soa.contact", parse::mailbox))
    {
        section.row("soa.contact", contact.to_string(), line);
        soa.contact = Some(contact);
    }
    let numbers = [
        ("refresh", &mut soa.refresh),
        ("retry", &mut soa.retry),
        ("expire", &mut soa.expire),
        ("negativeTtl", &mut soa.negative_ttl),
    ];
    for (key, target) in numbers {
        let Some(value) = node.child(key) else { continue };
        if let Some((seconds, line)) = section.scalar(value, &format!("soa.{key}"), parse::seconds) {
            section.row(&format!("soa.{key}"), seconds.to_string(), line);
            *target = Some(seconds);
        }
    }
}

fn show_name_server(server: &NameServer) -> String {
    let addresses: Vec<_> = server.addresses.iter().map(ToString::to_string).collect();
    if addresses.is_empty() { server.name.to_string() } else { format!("{} ({})", server.name, addresses.join(" ")) }
}
