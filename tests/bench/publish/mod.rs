//! Publishing: from what is wanted to what other systems hold and answer.

mod etcd;
mod route53;
mod skydns;

use std::net::Ipv4Addr;

use anyhow::anyhow;
use mcdns_core::{dns::OwnerName, plan::ManagerId};
use mcdns_publish::battery::{Wishes, wish};
use support::federation::APEX;

use crate::{Setup, report::Report};

/// Measures each part; one that cannot be measured stops no other.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    report.attempt("endpoint change to CoreDNS' answer", |report| runtime.block_on(etcd::change(report)));
    report.attempt("100,000 names in etcd", |report| runtime.block_on(etcd::many(report)));
    report.attempt("10,000 names in Route 53", |report| runtime.block_on(route53::measure(report)));
    report.attempt("processor time per query from SkyDNS keys", |report| skydns::measure(setup, &runtime, report));
    Ok(())
}

fn manager() -> anyhow::Result<ManagerId> {
    Ok("bench".parse()?)
}

/// So many names: a third each with two addresses, with one, and with an alias.
fn wishes(names: usize) -> anyhow::Result<Wishes> {
    let apex: OwnerName = APEX.parse()?;
    let mut wishes = Wishes::default();
    for index in 0..names {
        let address = Ipv4Addr::from(0x0a00_0000 + u32::try_from(index)?);
        let other = Ipv4Addr::from(0x0b00_0000 + u32::try_from(index)?);
        let data = match index % 3 {
            0 => format!("A {address} / {other}"),
            1 => format!("A {address}"),
            _ => format!("CNAME {}.{APEX}.", name(index - 1)),
        };
        wishes.add(wish(&apex, &format!("{} 180 {data}", name(index))).map_err(|why| anyhow!(why))?);
    }
    Ok(wishes)
}

/// One of these names, below the apex.
fn name(index: usize) -> String {
    format!("service-{index}.namespace-{}.galactic.svc", index % 200)
}
