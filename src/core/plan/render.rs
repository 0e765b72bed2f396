//! A plan as text, as JSON and as Markdown, and its checksum.

use std::fmt::Write as _;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Change, Plan, RecordSet};
use crate::dns::OwnerName;

/// Plans for people: one line for each set, signs in front as in a patch.
pub fn to_text(plans: &[Plan]) -> String {
    let mut out = String::new();
    for plan in plans {
        let (create, replace, delete) = plan.counts();
        let summary = format!("{create} to create, {replace} to replace, {delete} to delete");
        line(&mut out, &format!("{} {}: {summary}", plan.publisher, plan.zone.fqdn()));
        for change in &plan.changes {
            text_change(&mut out, change, "  ");
        }
        for held in &plan.held {
            line(&mut out, &format!("  held: {}", held.why));
            line(&mut out, &format!("    to release: mcdns.io/release: {}", held.checksum));
            for change in &held.changes {
                text_change(&mut out, change, "    ");
            }
        }
        for skipped in &plan.skipped {
            line(&mut out, &format!("  skipped {}: {}", skipped.owner.fqdn(), skipped.why));
        }
        if !plan.changes.is_empty() {
            line(&mut out, &format!("  checksum {}", plan.checksum));
        }
    }
    out
}

/// Plans as one JSON-ready value: `{"plans": […]}`; see [`Plan`] for the members.
pub fn to_json(plans: &[Plan]) -> impl Serialize + '_ {
    #[derive(Serialize)]
    struct Plans<'a> {
        plans: &'a [Plan],
    }
    Plans { plans }
}

/// Plans as Markdown: a table for each zone, fit for a review.
pub fn to_markdown(plans: &[Plan]) -> String {
    let mut out = String::new();
    for plan in plans {
        line(&mut out, &format!("## {} {}\n", plan.publisher, plan.zone.fqdn()));
        if plan.changes.is_empty() {
            line(&mut out, "Nothing to change.");
        } else {
            markdown_table(&mut out, &plan.changes);
            line(&mut out, &format!("\nChecksum: `{}`", plan.checksum));
        }
        for held in &plan.held {
            line(&mut out, &format!("\n### Held: {}\n\nRelease: `{}`\n", held.why, held.checksum));
            markdown_table(&mut out, &held.changes);
        }
        if !plan.skipped.is_empty() {
            line(&mut out, "\n| skipped | why |\n|---|---|");
        }
        for skipped in &plan.skipped {
            line(&mut out, &format!("| `{}` | {} |", cell(&skipped.owner.fqdn()), cell(&skipped.why.to_string())));
        }
        out.push('\n');
    }
    out
}

/// SHA-256 over everything that the changes would do, shortened to 16 octets: reasons and versions are not in it.
pub(super) fn checksum(publisher: &str, zone: &OwnerName, changes: &[Change]) -> String {
    let mut hash = Sha256::new();
    let mut add = |part: &str| {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    };
    add(publisher);
    add(&zone.fqdn());
    for change in changes {
        add(change.verb());
        add(&change.owner().fqdn());
        let before = change.before().map(|before| before.group.sets()).unwrap_or_default();
        let after = change.after().map(super::Group::sets).unwrap_or_default();
        for (side, sets) in [("before", before), ("after", after)] {
            add(side);
            for set in sets {
                add(&describe(set));
                for (name, value) in &set.properties {
                    add(name);
                    add(value);
                }
            }
        }
    }
    let digest = hash.finalize();
    digest[..16].iter().fold(String::with_capacity(32), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// `60 A 192.0.2.1 192.0.2.2`, with the identifier if there is one.
fn describe(set: &RecordSet) -> String {
    let ttl = set.ttl.map_or("-".to_owned(), |ttl| ttl.to_string());
    let identifier = set.identifier.as_ref().map_or(String::new(), |identifier| format!(" [{identifier}]"));
    format!("{ttl} {}{identifier} {}", set.record_type, set.values().join(" "))
}

fn text_change(out: &mut String, change: &Change, indent: &str) {
    line(out, &format!("{indent}{} {}  # {}", change.verb(), change.owner().fqdn(), change.reason()));
    let before = change.before().map(|before| before.group.sets()).unwrap_or_default();
    let after = change.after().map(super::Group::sets).unwrap_or_default();
    for set in before.iter().filter(|set| !after.contains(set)) {
        line(out, &format!("{indent}  - {}", describe(set)));
    }
    for set in after {
        let sign = if before.contains(set) { ' ' } else { '+' };
        line(out, &format!("{indent}  {sign} {}", describe(set)));
    }
}

fn markdown_table(out: &mut String, changes: &[Change]) {
    line(out, "| change | name | before | after | why |\n|---|---|---|---|---|");
    for change in changes {
        let side = |sets: &[RecordSet]| {
            let sets: Vec<String> = sets.iter().map(|set| format!("`{}`", cell(&describe(set)))).collect();
            sets.join("<br>")
        };
        let before = side(change.before().map(|before| before.group.sets()).unwrap_or_default());
        let after = side(change.after().map(super::Group::sets).unwrap_or_default());
        let name = cell(&change.owner().fqdn());
        line(out, &format!("| {} | `{name}` | {before} | {after} | {} |", change.verb(), cell(change.reason())));
    }
}

/// Text that cannot end a cell or a code span.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('`', "'").replace('\n', " ")
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}
