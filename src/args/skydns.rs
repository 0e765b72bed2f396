//! Flags for keys of SkyDNS.

use clap::Args;

use crate::settings::{SkyDnsZones, skydns_zones_of};

/// Keys in etcd that are answered as CoreDNS answers them.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "SkyDNS options")]
pub struct SkyDns {
    /// Member of an etcd cluster with keys as CoreDNS reads them; repeat it for more members
    #[arg(long, value_name = "ENDPOINT")]
    pub skydns: Vec<String>,
    /// Zone that is answered from the keys, or a network such as 10.0.0.0/24; repeat it for more
    #[arg(long, value_name = "APEX", value_parser = zones)]
    pub skydns_zone: Vec<SkyDnsZones>,
}

/// Let go of keys of SkyDNS that are held: of ten or more that vanished from etcd at once.
///
/// They stay in force until they are back or somebody says that they were meant to go. The finding `held` has the WORD,
/// which names one loss and works once. Each replica has to be told.
#[derive(Debug, Clone, Args)]
#[command(after_help = RELEASE_EXAMPLES)]
pub struct Release {
    /// What the finding says
    #[arg(value_name = "WORD")]
    pub word: String,
    /// Admin port of the replica, as ADDR:PORT or http://HOST:PORT [default: 127.0.0.1:8080]
    #[arg(long, value_name = "URL")]
    pub admin: Option<String>,
}

fn zones(text: &str) -> Result<SkyDnsZones, String> {
    skydns_zones_of(text).map_err(super::join)
}

const RELEASE_EXAMPLES: &str = "\
Examples:
  mcdns release 3ab34f48d1f5b96e
      At the replica on this machine
  mcdns release 3ab34f48d1f5b96e --admin 127.0.0.1:9080
      At the one with this admin port";
