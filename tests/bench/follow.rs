//! From a written file to the changed answer, in the demo.
//!
//! A copy of the demo gets a record of its own, in a zone of its own, so that this does not depend on what the demo
//! says; then the address of its load balancer changes, in place, as an editor or `kubectl … > file` would do it.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context;

use crate::{
    Setup,
    directory::run_arguments,
    process::{Server, free_address},
    question::Asker,
    report::Report,
    statistics::{median, quantile},
};

/// Changes that are timed.
const CHANGES: u8 = 200;
/// When to give up on one of them, and on the start.
const DEADLINE: Duration = Duration::from_secs(10);
/// Between two questions: well below what is measured, and long enough to leave the processor to the server.
const PAUSE: Duration = Duration::from_micros(200);
const NAME: &str = "watched.benchmark.benchmark.svc.benchmark.example";

const HOST: &str = "\
apiVersion: multiclusterdns.kubefed.io/v1alpha1
kind: Domain
metadata: {name: benchmark, namespace: kube-federation-system}
domain: benchmark.example
---
apiVersion: multiclusterdns.kubefed.io/v1alpha1
kind: ServiceDNSRecord
metadata: {name: watched, namespace: benchmark}
spec: {domainRef: benchmark}
";

/// Measures each change from before the file is opened to the first answer with the new address.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo/two-regions");
    let directory = folder.path().join("two-regions");
    copy(&demo, &directory).with_context(|| format!("the demo {} cannot be copied", demo.display()))?;
    let watched = add_record(&directory)?;

    let address = free_address()?;
    let log = folder.path().join("log");
    let arguments = run_arguments(&directory, address, &folder.path().join("state"))?;
    let start = Instant::now();
    let mut server = Server::start(&setup.mcdns, &arguments, address, None, &log)?;
    let mut asker = Asker::new(address, Duration::from_millis(100))?;
    let first = asker.until(NAME, &[load_balancer(0)], start, DEADLINE, PAUSE);
    server.check(&log)?;
    first?;
    let mut times = Vec::new();
    for number in 1..=CHANGES {
        let changed = member(load_balancer(number));
        let start = Instant::now();
        fs::write(&watched, changed)?;
        let took = asker.until(NAME, &[load_balancer(number)], start, DEADLINE, PAUSE)?;
        times.push(took.as_secs_f64() * 1e3);
    }
    let last = quantile(&times, 0.99).context("nothing was measured")?;
    report.at_most(
        "file write to changed answer, demo, 99th percentile",
        "at most 60 ms",
        60.0,
        last,
        format!("{last:.1} ms, median {:.1} ms", median(&times).unwrap_or_default()),
    );
    Ok(())
}

/// Adds the record to the federation, with targets in its first member; the file that will change.
fn add_record(directory: &Path) -> anyhow::Result<PathBuf> {
    fs::write(directory.join("host/benchmark.yaml"), HOST)?;
    let mut members: Vec<PathBuf> = fs::read_dir(directory.join("members"))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    members.sort();
    let member_folder = members.first().context("the demo has no members")?;
    let watched = member_folder.join("benchmark.yaml");
    fs::write(&watched, member(load_balancer(0)))?;
    Ok(watched)
}

/// What the member holds for the record.
fn member(load_balancer: Ipv4Addr) -> String {
    format!(
        "\
apiVersion: v1
kind: Service
metadata: {{name: watched, namespace: benchmark, labels: {{kubefed.io/managed: \"true\"}}}}
status: {{loadBalancer: {{ingress: [{{ip: {load_balancer}}}]}}}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: watched-abc12
  namespace: benchmark
  labels: {{kubefed.io/managed: \"true\", kubernetes.io/service-name: watched}}
addressType: IPv4
endpoints:
  - {{addresses: [10.0.0.1], conditions: {{ready: true}}}}
"
    )
}

/// The address after so many changes; from a block for documentation (RFC 5737).
fn load_balancer(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, number)
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_goes_to_the_first_member_of_a_copy() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        for made in ["host", "members/b", "members/a"] {
            fs::create_dir_all(from.join(made)).expect("a folder");
        }
        fs::write(from.join("members/a/service.yaml"), "kept").expect("a file");
        copy(&from, &to).expect("it is copied");
        let watched = add_record(&to).expect("it is added");
        assert_eq!(watched, to.join("members/a/benchmark.yaml"));
        assert_eq!(fs::read_to_string(to.join("members/a/service.yaml")).expect("a file"), "kept");
        assert!(!from.join("host/benchmark.yaml").exists(), "the demo itself stays as it is");
        assert!(fs::read_to_string(watched).expect("a file").contains("ip: 198.51.100.0}"));
    }
}
