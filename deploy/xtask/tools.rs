//! What tests and benchmarks need from Debian, and how it comes onto a machine.
//!
//! A package in the table is installed when this may be done without asking (as root, or with a `sudo` that wants no
//! password); else the one line to run is printed, and the step fails. Servers among them are started by the tests
//! themselves on high ports of the loopback interface; the services that Debian would start are kept from starting.

use std::path::Path;

use anyhow::{Context, bail};

use crate::{
    console::say,
    process::{command, find, output, run},
};

/// A Debian package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Package {
    name: &'static str,
    /// A program of it that proves it is there, or the path of another file where it has no program.
    program: &'static str,
    /// What it is for.
    purpose: &'static str,
}

/// Every Debian package that the project uses, beside a C compiler for Rust's own needs.
const PACKAGES: &[Package] = &[
    Package { name: "bind9", program: "named", purpose: "a name server to compare with" },
    Package { name: "bind9-utils", program: "named-checkzone", purpose: "a second opinion on the golden zones" },
    Package { name: "bind9-dnsutils", program: "dig", purpose: "asks as a user does" },
    Package { name: "knot-dnsutils", program: "kdig", purpose: "asks over TLS, HTTPS and QUIC as a user does" },
    Package { name: "curl", program: "curl", purpose: "asks over HTTPS as a browser does" },
    Package { name: "openssl", program: "openssl", purpose: "shakes hands in every version of TLS" },
    Package { name: "knot-dnssecutils", program: "kzonecheck", purpose: "a third opinion on the golden zones" },
    Package {
        name: "nsd",
        program: "nsd-checkzone",
        purpose: "a fourth opinion on the golden zones; a name server to compare with",
    },
    Package { name: "knot", program: "knotd", purpose: "a name server to compare with" },
    Package { name: "unbound", program: "unbound", purpose: "a resolver that asks us" },
    Package { name: "pdns-server", program: "pdns_server", purpose: "a secondary of ours" },
    Package {
        name: "python3-dnspython",
        // It has no program: this is where its library lies, seen from where programs do.
        program: "../lib/python3/dist-packages/dns/version.py",
        purpose: "reads our answers as others do",
    },
    Package { name: "valgrind", program: "valgrind", purpose: "counts the instructions that a query costs" },
    Package { name: "fstrm-bin", program: "fstrm_capture", purpose: "takes what is sent with dnstap" },
    Package {
        name: "pdns-backend-sqlite3",
        program: "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql",
        purpose: "where that secondary keeps its zones",
    },
    Package { name: "sqlite3", program: "sqlite3", purpose: "makes the database of that secondary" },
    Package { name: "etcd-server", program: "etcd", purpose: "keeps what API servers of tests are told" },
    Package { name: "faketime", program: "faketime", purpose: "lets the clock of one program jump" },
    Package { name: "dnsperf", program: "dnsperf", purpose: "load for name servers, over HTTPS too" },
];

/// Installs packages whose names follow as `$@`. A service that is installed is not started: tests start their own,
/// and a name server on port 53 is nothing that a test may leave behind.
const INSTALL: &str = r#"
set -eu
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
apt-get update --quiet
apt-get install --yes --quiet --no-install-recommends "$@"
"#;

/// The cargo-deny that is installed where there is none; any other does as well.
const CARGO_DENY: &str = "cargo-deny@0.20.2";
/// Where Go lives by its own instructions, which is on nobody's path by itself.
pub(crate) const GO: &str = "/usr/local/go/bin/go";

/// Sees to it that everything in the table is there.
pub(crate) fn provide(top: &Path) -> anyhow::Result<()> {
    for package in PACKAGES {
        let found = find(package.program);
        let place = found.as_ref().map_or_else(|| "missing".into(), |path| path.to_string_lossy());
        say(format_args!("  {:<17} {:<25} {}", package.name, place, package.purpose));
    }
    let missing = absent(|program| find(program).is_some());
    if missing.is_empty() {
        return Ok(());
    }
    install(top, &missing)?;
    let still = absent(|program| find(program).is_some());
    if !still.is_empty() {
        bail!("installed, but still without the programs of: {}", names(&still));
    }
    Ok(())
}

/// Installs Debian's Go.
pub(crate) fn provide_go(top: &Path) -> anyhow::Result<()> {
    install(top, &[Package { name: "golang-go", program: "go", purpose: "builds what Debian does not have" }])
}

/// Installs what Debian's Python makes environments with.
pub(crate) fn provide_python(top: &Path) -> anyhow::Result<()> {
    install(top, &[Package { name: "python3-venv", program: "python3", purpose: "runs what is written in Python" }])
}

/// Sees to it that `cargo deny` is there. It is kept with cargo's other programs and so built once per machine.
pub(crate) fn provide_cargo_deny(top: &Path) -> anyhow::Result<()> {
    if output(&mut crate::process::cargo(top, &["deny", "--version"])).is_ok() {
        return Ok(());
    }
    say(format_args!("cargo-deny is missing and is built now, which takes some two minutes"));
    run(&mut crate::process::cargo(top, &["install", "--locked", CARGO_DENY])).context(
        "cargo-deny could not be installed; run `cargo install cargo-deny --locked` where crates.io is reached",
    )
}

fn install(top: &Path, missing: &[Package]) -> anyhow::Result<()> {
    let by_hand = format!("sudo apt-get install --yes --no-install-recommends {}", names(missing));
    if find("apt-get").is_none() {
        bail!("this is no Debian or Ubuntu; install the programs `{}` in this system's own way", programs(missing));
    }
    let mut arguments = vec!["-c", INSTALL, "sh"];
    arguments.extend(missing.iter().map(|package| package.name));
    let installed = if output(&mut command(top, "id", &["-u"]))?.trim() == "0" {
        run(&mut command(top, "sh", &arguments))
    } else if command(top, "sudo", &["-n", "true"]).output().is_ok_and(|output| output.status.success()) {
        arguments.splice(0..0, ["-n", "sh"]);
        run(&mut command(top, "sudo", &arguments))
    } else {
        bail!("packages are missing and only root may install them; run:\n\n    {by_hand}\n");
    };
    installed.with_context(|| format!("packages could not be installed; run:\n\n    {by_hand}\n"))
}

/// Benchmarks compare with what tests use too.
fn absent(has: impl Fn(&str) -> bool) -> Vec<Package> {
    PACKAGES.iter().copied().filter(|package| !has(package.program)).collect()
}

fn names(packages: &[Package]) -> String {
    packages.iter().map(|package| package.name).collect::<Vec<_>>().join(" ")
}

fn programs(packages: &[Package]) -> String {
    packages.iter().map(|package| package.program).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_installed() {
        let missing = absent(|program| program != "dig");
        assert_eq!(names(&missing), "bind9-dnsutils");
    }

    #[test]
    fn the_table_is_sound() {
        for package in PACKAGES {
            assert_eq!(PACKAGES.iter().filter(|other| other.name == package.name).count(), 1, "{}", package.name);
            assert!(!package.purpose.is_empty());
        }
    }
}
