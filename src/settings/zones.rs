//! `serve.zones`: what is said about single zones.

use std::{path::PathBuf, sync::Arc};

use mcdns_core::{
    dns::OwnerName,
    records::{NameServer, SoaOptions},
};

use super::{
    layers::{Layers, Origin},
    parse::{self, Misfit},
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
}

impl ZoneSettings {
    /// A zone of which nothing is set.
    pub fn new(apex: OwnerName) -> Self {
        Self { apex, file: None, name_servers: Vec::new(), soa: SoaOptions::default() }
    }
}

/// Reads all zones; those with faults are left out, and the faults are in the findings.
pub(super) fn read(layers: &mut Layers<'_>) -> Vec<ZoneSettings> {
    let mut zones: Vec<ZoneSettings> = Vec::new();
    let Some((file, root)) = layers.file.clone() else { return zones };
    let items = root.at("serve.zones").map(Node::items).unwrap_or_default();
    for (index, node) in items.iter().enumerate() {
        let mut reader = Reader { layers, file: &file, path: format!("serve.zones[{index}]") };
        let Some(zone) = reader.zone(node) else { continue };
        if zones.iter().any(|other| other.apex == zone.apex) {
            let misfit = Misfit::new(format!("`{}` stands there twice", zone.apex), "keep one of them");
            layers.refuse_node(&file, node, &format!("serve.zones[{index}].apex"), misfit);
        } else {
            zones.push(zone);
        }
    }
    zones
}

struct Reader<'a, 'b> {
    layers: &'a mut Layers<'b>,
    file: &'a Arc<str>,
    path: String,
}

impl Reader<'_, '_> {
    fn zone(&mut self, node: &Node) -> Option<ZoneSettings> {
        let Some(apex) = node.child("apex").filter(|apex| apex.content != Content::Nothing) else {
            // What is no mapping was refused by the schema.
            if matches!(node.content, Content::Map(_)) {
                self.refuse(node, "apex", Misfit::new("is missing", "write the name of the zone: apex: example.com"));
            }
            return None;
        };
        let (apex, line) = self.scalar(apex, "apex", parse::apex)?;
        self.row("apex", apex.to_string(), line);
        let mut zone = ZoneSettings::new(apex);
        let not_empty_path = |text: &str| parse::not_empty(text).map(PathBuf::from);
        if let Some((file, line)) = node.child("file").and_then(|node| self.scalar(node, "file", not_empty_path)) {
            self.row("file", file.display().to_string(), line);
            zone.file = Some(file);
        }
        if let Some(servers) = node.child("nameServers") {
            for (index, server) in servers.items().iter().enumerate() {
                zone.name_servers.extend(self.name_server(server, &format!("nameServers[{index}]")));
            }
            let shown: Vec<_> = zone.name_servers.iter().map(show_name_server).collect();
            self.row("nameServers", shown.join(", "), servers.line);
        }
        self.soa(node, &mut zone.soa);
        Some(zone)
    }

    fn name_server(&mut self, node: &Node, key: &str) -> Option<NameServer> {
        let Some(name) = node.child("name") else {
            if matches!(node.content, Content::Map(_)) {
                let misfit = Misfit::new("is missing", "write {name: ns1.example.com, addresses: [192.0.2.1]}");
                self.refuse(node, &format!("{key}.name"), misfit);
            }
            return None;
        };
        let name = self.scalar(name, &format!("{key}.name"), parse::host_name);
        let mut addresses = Vec::new();
        let items = node.child("addresses").map(Node::items).unwrap_or_default();
        for (index, item) in items.iter().enumerate() {
            let address = self.scalar(item, &format!("{key}.addresses[{index}]"), parse::address);
            addresses.extend(address.map(|(address, _)| address));
        }
        Some(NameServer { name: name?.0, addresses })
    }

    fn soa(&mut self, node: &Node, soa: &mut SoaOptions) {
        let Some(node) = node.child("soa") else { return };
        if let Some((contact, line)) =
            node.child("contact").and_then(|node| self.scalar(node, "soa.contact", parse::mailbox))
        {
            self.row("soa.contact", contact.to_string(), line);
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
            if let Some((seconds, line)) = self.scalar(value, &format!("soa.{key}"), parse::seconds) {
                self.row(&format!("soa.{key}"), seconds.to_string(), line);
                *target = Some(seconds);
            }
        }
    }

    fn scalar<T>(&mut self, node: &Node, key: &str, parse: fn(&str) -> Result<T, Misfit>) -> Option<(T, u32)> {
        let path = format!("{}.{key}", self.path);
        Some((self.layers.parse_node(self.file, node, &path, parse)?.value, node.line))
    }

    fn refuse(&mut self, node: &Node, key: &str, misfit: Misfit) {
        let path = format!("{}.{key}", self.path);
        self.layers.refuse_node(self.file, node, &path, misfit);
    }

    fn row(&mut self, key: &str, value: String, line: u32) {
        let path = format!("{}.{key}", self.path);
        self.layers.row(&path, value, Origin::File { file: self.file.clone(), line });
    }
}

fn show_name_server(server: &NameServer) -> String {
    let addresses: Vec<_> = server.addresses.iter().map(ToString::to_string).collect();
    if addresses.is_empty() { server.name.to_string() } else { format!("{} ({})", server.name, addresses.join(" ")) }
}
