//! `sources.skydns`: an etcd with keys as CoreDNS reads them, and the zones that are answered from them.

use std::{fmt, path::PathBuf, time::Duration};

use mcdns_core::dns::{OwnerName, Serial};
use mcdns_skydns::{LeaseLimits, Prefix, reverse_zones};
use mcdns_sources::skydns::{Options, Password, Tls, User};

use super::{
    Fixed, Flags, keep,
    layers::{Layers, Setting},
    parse::{self, Misfit},
};

/// `sources.skydns`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkyDnsSettings {
    /// `endpoints`: members of one etcd cluster; without any, there is no such source.
    pub endpoints: Setting<Vec<String>>,
    /// `zones`: apexes, or networks.
    pub zones: Setting<Vec<SkyDnsZones>>,
    /// `prefix`: what keys start with.
    pub prefix: Setting<String>,
    /// `minLeaseTtl`: the TTL of a key whose lease has less left, in seconds.
    pub min_lease_ttl: Setting<u32>,
    /// `maxLeaseTtl`: the TTL of a key whose lease has more left, in seconds.
    pub max_lease_ttl: Setting<u32>,
    /// `username`: who asks, where etcd wants to know.
    pub username: Setting<Option<String>>,
    /// `passwordFile`: a file with the password alone.
    pub password_file: Setting<Option<PathBuf>>,
    /// `ca`: certificates of the authorities that are believed, in PEM format; none: those of the system.
    pub ca: Setting<Option<PathBuf>>,
    /// `certificate`: who we are, in PEM format.
    pub certificate: Setting<Option<PathBuf>>,
    /// `key`: the key of the certificate.
    pub key: Setting<Option<PathBuf>>,
}

/// An apex, or a network with the zones of its addresses, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkyDnsZones {
    text: String,
    apexes: Vec<OwnerName>,
}

impl fmt::Display for SkyDnsZones {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads everything under `sources.skydns`.
pub(super) fn read(layers: &mut Layers<'_>, flags: &Flags) -> SkyDnsSettings {
    let given = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let endpoints = layers.values(
        "sources.skydns.endpoints",
        given(&flags.skydns).map(|endpoints| ("--skydns", endpoints)),
        Vec::new(),
        endpoint,
        |layers, file, node, path| Some(layers.parse_node(file, node, path, endpoint)?.value),
        Clone::clone,
    );
    let zones = layers.values(
        "sources.skydns.zones",
        (!flags.skydns_zones.is_empty()).then(|| ("--skydns-zone", flags.skydns_zones.clone())),
        Vec::new(),
        zones_of,
        |layers, file, node, path| Some(layers.parse_node(file, node, path, zones_of)?.value),
        ToString::to_string,
    );
    let prefix = layers.value("sources.skydns.prefix", None, "/skydns".to_owned(), parse::not_empty, Clone::clone);
    let limits = LeaseLimits::default();
    let mut limit = |key: &str, default: u32| {
        // As in CoreDNS, 0 is the default.
        let parse = |text: &str| parse::seconds(text).map(|seconds| if seconds == 0 { default } else { seconds });
        let show = |seconds: &u32| parse::show_duration(Duration::from_secs((*seconds).into()));
        layers.value(&format!("sources.skydns.{key}"), None, default, parse, show)
    };
    let min_lease_ttl = limit("minLeaseTtl", limits.least);
    let max_lease_ttl = limit("maxLeaseTtl", limits.greatest);
    let username = layers.value(
        "sources.skydns.username",
        None,
        None,
        |text| parse::not_empty(text).map(Some),
        |text| text.clone().unwrap_or_default(),
    );
    let mut path = |key: &str| {
        layers.value(
            &format!("sources.skydns.{key}"),
            None,
            None,
            |text| parse::not_empty(text).map(|text| Some(PathBuf::from(text))),
            |path: &Option<PathBuf>| path.as_ref().map_or_else(String::new, |path| path.display().to_string()),
        )
    };
    let (password_file, ca, certificate, key) = (path("passwordFile"), path("ca"), path("certificate"), path("key"));
    let settings = SkyDnsSettings {
        endpoints,
        zones,
        prefix,
        min_lease_ttl,
        max_lease_ttl,
        username,
        password_file,
        ca,
        certificate,
        key,
    };
    settings.check(layers);
    settings
}

impl SkyDnsSettings {
    /// What the source is opened with; none where there is no endpoint. Serials of zones start at `serial`.
    pub fn options(&self, serial: Serial) -> Option<Options> {
        if self.endpoints.value.is_empty() {
            return None;
        }
        let user = self.username.value.clone().zip(self.password_file.value.clone());
        Some(Options {
            endpoints: self.endpoints.value.clone(),
            prefix: Prefix::new(&self.prefix.value),
            zones: self.zones.value.iter().flat_map(|zones| zones.apexes.iter().cloned()).collect(),
            user: user.map(|(name, file)| User { name, password: Password::File(file) }),
            tls: Tls {
                ca: self.ca.value.clone(),
                identity: self.certificate.value.clone().zip(self.key.value.clone()),
            },
            leases: LeaseLimits { least: self.min_lease_ttl.value, greatest: self.max_lease_ttl.value },
            serial,
        })
    }

    /// Puts everything back to what `running` has, and tells what was something else.
    pub(super) fn keep(&mut self, running: &Self, changed: &mut Vec<Fixed>) {
        keep(changed, "sources.skydns.endpoints", &mut self.endpoints, &running.endpoints);
        keep(changed, "sources.skydns.zones", &mut self.zones, &running.zones);
        keep(changed, "sources.skydns.prefix", &mut self.prefix, &running.prefix);
        keep(changed, "sources.skydns.minLeaseTtl", &mut self.min_lease_ttl, &running.min_lease_ttl);
        keep(changed, "sources.skydns.maxLeaseTtl", &mut self.max_lease_ttl, &running.max_lease_ttl);
        keep(changed, "sources.skydns.username", &mut self.username, &running.username);
        keep(changed, "sources.skydns.passwordFile", &mut self.password_file, &running.password_file);
        keep(changed, "sources.skydns.ca", &mut self.ca, &running.ca);
        keep(changed, "sources.skydns.certificate", &mut self.certificate, &running.certificate);
        keep(changed, "sources.skydns.key", &mut self.key, &running.key);
    }

    /// Refuses what makes no sense together.
    fn check(&self, layers: &mut Layers<'_>) {
        let mut refuse = |path: &str, origin, message: &str, help: &str| {
            layers.refuse(&format!("sources.skydns.{path}"), origin, Misfit::new(message, help));
        };
        let has_endpoint = !self.endpoints.value.is_empty();
        if has_endpoint && self.zones.value.is_empty() {
            let help = "name the zones that the keys answer for: zones: [example.org], or --skydns-zone example.org";
            refuse("zones", &self.endpoints.origin, "is missing beside endpoints", help);
        }
        if !has_endpoint && !self.zones.value.is_empty() {
            let help = "say where etcd is: endpoints: [http://127.0.0.1:2379], or --skydns http://127.0.0.1:2379";
            refuse("endpoints", &self.zones.origin, "is missing beside zones", help);
        }
        if self.min_lease_ttl.value > self.max_lease_ttl.value {
            let help = "a lease's time is at least minLeaseTtl and at most maxLeaseTtl: give a smaller one, or a larger maxLeaseTtl";
            refuse("minLeaseTtl", &self.min_lease_ttl.origin, "is above maxLeaseTtl", help);
        }
        let pairs = [
            (
                "passwordFile",
                &self.password_file.origin,
                self.password_file.value.is_some(),
                "username",
                &self.username.origin,
                self.username.value.is_some(),
            ),
            (
                "key",
                &self.key.origin,
                self.key.value.is_some(),
                "certificate",
                &self.certificate.origin,
                self.certificate.value.is_some(),
            ),
        ];
        for (one, one_origin, has_one, other, other_origin, has_other) in pairs {
            let (missing, present, origin) = match (has_one, has_other) {
                (true, false) => (other, one, one_origin),
                (false, true) => (one, other, other_origin),
                _ => continue,
            };
            refuse(missing, origin, &format!("is missing beside {present}"), "give both or neither");
        }
    }
}

/// The apex of a zone, or a network such as `10.0.0.0/24`.
pub(crate) fn zones_of(text: &str) -> Result<SkyDnsZones, Misfit> {
    let apexes = match reverse_zones(text) {
        Some(Ok(apexes)) => apexes,
        Some(Err(error)) => return Err(Misfit::new(error.to_string(), "write a network such as 10.0.0.0/24")),
        None => vec![parse::apex(text)?],
    };
    let text = if let [apex] = &apexes[..]
        && !text.contains('/')
    {
        apex.to_string()
    } else {
        text.to_owned()
    };
    Ok(SkyDnsZones { text, apexes })
}

fn endpoint(text: &str) -> Result<String, Misfit> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match rest.map(|rest| rest.trim_end_matches('/')) {
        Some(rest) if !rest.is_empty() && !rest.contains('/') => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err(Misfit::new(format!("`{text}` is no endpoint of etcd"), "write http://127.0.0.1:2379 or https://…")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Settings, tests::refused};

    fn options(text: &str) -> Options {
        let text = format!("version: 1\nsources: {{skydns: {{endpoints: [http://127.0.0.1:2379], {text}}}}}\n");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("settings.yaml");
        std::fs::write(&file, text).expect("a file");
        let settings = Settings::resolve(Some(&file), [], &Flags::default()).expect("settings");
        settings.skydns.options(Serial(1)).expect("a source")
    }

    #[test]
    fn a_network_stands_for_the_zones_of_its_addresses() {
        let zones = options("zones: [example.org, 10.1.2.0/23]").zones;
        let zones: Vec<String> = zones.iter().map(ToString::to_string).collect();
        assert_eq!(zones, ["example.org", "2.1.10.in-addr.arpa", "3.1.10.in-addr.arpa"]);
        let told =
            refused("version: 1\nsources: {skydns: {endpoints: [http://127.0.0.1:2379], zones: [10.0.0.0/33]}}\n");
        assert!(told.contains("0 to 32 bits"), "{told}");
    }

    #[test]
    fn ttls_of_leases_have_limits_as_in_a_corefile() {
        for (text, least, greatest) in [
            ("zones: [example.org]", 30, 86_400),
            ("zones: [example.org], minLeaseTtl: 60, maxLeaseTtl: 1h", 60, 3600),
            ("zones: [example.org], minLeaseTtl: 0, maxLeaseTtl: 2h30m", 30, 9000),
        ] {
            assert_eq!(options(text).leases, LeaseLimits { least, greatest }, "{text}");
        }
        let told = refused(
            "version: 1\nsources: {skydns: {endpoints: [http://127.0.0.1:2379], zones: [a.example], minLeaseTtl: 2d}}\n",
        );
        assert!(told.contains("is above maxLeaseTtl"), "{told}");
    }
}
