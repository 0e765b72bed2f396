//! Flags for keys of SkyDNS.

use clap::Args;
use mcdns_core::dns::OwnerName;

/// Keys in etcd that are answered as CoreDNS answers them.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "SkyDNS options")]
pub struct SkyDns {
    /// Member of an etcd cluster with keys as CoreDNS reads them; repeat it for more members
    #[arg(long, value_name = "ENDPOINT")]
    pub skydns: Vec<String>,
    /// Zone that is answered from the keys; repeat it for more
    #[arg(long, value_name = "APEX", value_parser = super::owner_name)]
    pub skydns_zone: Vec<OwnerName>,
}
