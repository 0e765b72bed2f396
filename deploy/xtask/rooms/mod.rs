//! Holds the packages of the workspace against the rules of the rooms.
//!
//! ```text
//!   cargo metadata ─► Workspace ─┐
//!   Cargo.toml files ────────────┼─► check ─► Breach: the edge, the rule, the reason
//!   cargo tree (pure rooms) ─────┘
//! ```
//!
//! The dependency graph is the picture of the architecture, so it is checked and not left to memory. A package in a
//! folder that has no room fails too: whoever adds a room adds its rules ([`table`]) in the same change.

mod graph;
mod table;

use std::{collections::BTreeSet, fmt, fs, path::Path};

use anyhow::{Context, bail};

use crate::{
    console::say,
    process::{cargo, output},
};
use graph::{Package, Use, Workspace};
use table::{Room, Tests, room_of};

/// A rule that a package breaks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Breach {
    package: String,
    /// What is the case: the edge, or the line that is missing.
    fact: String,
    /// What would be right, or why it matters.
    reason: String,
}

/// Reads the workspace at `top` and reports each broken rule.
pub(crate) fn run(top: &Path) -> anyhow::Result<()> {
    let metadata = output(&mut cargo(top, &["metadata", "--format-version", "1", "--no-deps"]))?;
    let mut workspace = Workspace::parse(&metadata, |manifest| {
        fs::read_to_string(manifest).with_context(|| format!("cannot read {}", manifest.display()))
    })?;
    for package in &mut workspace.packages {
        if room_of(&package.folder).is_some_and(|room| !room.reaches_never.is_empty()) {
            package.reaches = reaches(top, &package.name)?;
        }
    }
    let breaches = check(&workspace);
    for breach in &breaches {
        say(format_args!("{breach}"));
    }
    if !breaches.is_empty() {
        bail!("{} rules of the rooms are broken", breaches.len());
    }
    let edges: usize = workspace.packages.iter().map(|package| package.uses.len()).sum();
    say(format_args!(
        "{} packages, {edges} direct dependencies, every rule of the rooms holds",
        workspace.packages.len()
    ));
    Ok(())
}

/// Every rule that is broken, sorted.
fn check(workspace: &Workspace) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for package in &workspace.packages {
        match room_of(&package.folder) {
            Some(room) => check_uses(package, room, workspace, &mut breaches),
            None => breaches.push(breach(
                package,
                format!("the folder `{}` has no room", package.folder),
                "a new room gets its rules in deploy/xtask/rooms/table.rs",
            )),
        }
        check_form(package, workspace, &mut breaches);
    }
    breaches.sort();
    breaches.dedup();
    breaches
}

/// The edges that go out from a package.
fn check_uses(package: &Package, room: &Room, workspace: &Workspace, breaches: &mut Vec<Breach>) {
    for used in &package.uses {
        if let Some(neighbour) = workspace.packages.iter().find(|other| other.name == used.name) {
            check_neighbour(package, room, neighbour, used, breaches);
        } else if used.kind != Use::Development
            && let Some(never) = room.never.iter().find(|never| never.hits(&used.name))
        {
            breaches.push(breach(package, format!("uses {} ({})", used.name, used.kind), never.reason));
        }
    }
    for reached in &package.reaches {
        if let Some(never) = room.reaches_never.iter().find(|never| never.hits(reached)) {
            let fact = format!("reaches {reached}; `cargo tree -p {} -e normal -i {reached}` says how", package.name);
            breaches.push(breach(package, fact, never.reason));
        }
    }
}

fn check_neighbour(
    package: &Package,
    room: &Room,
    neighbour: &Package,
    used: &graph::Used,
    breaches: &mut Vec<Breach>,
) {
    // A room without rules has its own breach.
    let Some(target) = room_of(&neighbour.folder) else { return };
    let allowed = match used.kind {
        Use::Normal | Use::Build => room.may_use.allows(target),
        Use::Development => room.may_use.allows(target) || room.tests_may_use.allows(target),
    };
    if !allowed {
        let fact = format!("{} uses {} ({})", room.folder_text(), target.folder_text(), used.kind);
        let list = if used.kind == Use::Development {
            format!("its tests may use {} and {}", room.may_use, room.tests_may_use)
        } else {
            format!("it may use {}", room.may_use)
        };
        breaches.push(breach(package, fact, format!("{list}; {}", room.reason)));
    }
    if target.tests == Tests::Only && used.kind != Use::Development && room.tests != Tests::Only {
        let fact = format!("uses {} ({})", neighbour.name, used.kind);
        breaches.push(breach(package, fact, "what is there for tests must not be shipped"));
    }
}

/// What every manifest must say.
fn check_form(package: &Package, workspace: &Workspace, breaches: &mut Vec<Breach>) {
    for (key, reason) in [
        ("version", "all packages have one version"),
        ("edition", "all packages are of one edition"),
        ("rust-version", "one compiler builds everything"),
        ("license", "all packages have one licence"),
        ("publish", "no package goes to a registry by accident"),
    ] {
        if !inherits(package.manifest.get("package").and_then(|table| table.get(key))) {
            breaches.push(breach(package, format!("does not say `{key}.workspace = true`"), reason));
        }
    }
    if !inherits(package.manifest.get("lints")) {
        let fact = "does not say `[lints] workspace = true`".to_owned();
        breaches.push(breach(package, fact, "a lint that does not hold everywhere is no convention"));
    }
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let entries = package.manifest.get(section).and_then(toml::Value::as_table);
        for (name, entry) in entries.into_iter().flatten() {
            if !inherits(Some(entry)) {
                let fact = format!("[{section}] does not say `{name}.workspace = true`");
                breaches.push(breach(package, fact, "versions and features stand once, in the Cargo.toml at the top"));
            }
        }
    }
    let entry = match room_of(&package.folder) {
        Some(room) if room.folder.is_empty() => "src/lib.rs",
        _ => "lib.rs",
    };
    if let Some(library) = &package.library
        && library != entry
    {
        let fact = format!("its library starts at `{library}`");
        breaches.push(breach(
            package,
            fact,
            format!("a room starts at `{entry}`, so that folders nest without `src` in `src`"),
        ));
    }
    if workspace.license.as_deref() != Some("Apache-2.0") {
        let fact = format!("the workspace has the licence {:?}", workspace.license);
        breaches.push(breach(package, fact, "LICENSE at the top is Apache-2.0"));
    }
}

/// Crates that are built into it, at any depth, when it is built alone. With the workspace as a whole, features
/// that others ask for would count against it.
fn reaches(top: &Path, package: &str) -> anyhow::Result<BTreeSet<String>> {
    let tree = output(&mut cargo(top, &["tree", "--package", package, "--edges", "normal", "--prefix", "none"]))?;
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    Ok(names.filter(|name| *name != package).map(str::to_owned).collect())
}

fn inherits(entry: Option<&toml::Value>) -> bool {
    entry.and_then(|entry| entry.get("workspace")).and_then(toml::Value::as_bool) == Some(true)
}

fn breach(package: &Package, fact: String, reason: impl Into<String>) -> Breach {
    Breach { package: package.name.clone(), fact, reason: reason.into() }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n    {}", self.package, self.fact, self.reason)
    }
}

#[cfg(test)]
mod tests;
