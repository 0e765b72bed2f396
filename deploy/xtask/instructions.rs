//! Instructions that the answer path spends on a query, counted by callgrind and held against the number on file.
//!
//! Unlike times, they hardly differ from machine to machine and from run to run, so that a change which makes every
//! query dearer is seen where it is made. The kernel's are not among them. The example `hot_path` is run with two
//! numbers of queries, and the difference divided, so that building the zone does not count.

use std::{fs, path::Path};

use anyhow::{Context, bail};

use crate::{
    console::say,
    process::{cargo, command, output, run, target},
};

/// The number on file.
const ON_FILE: &str = "tests/bench/instructions.txt";
/// Services in the zone; they have 7,000 names.
const SERVICES: u64 = 1_000;
/// Queries of the short run and of the long one. All 20,000 questions of the example are asked in between.
const QUERIES: [u64; 2] = [10_000, 250_000];
/// A rise above this share fails (and a fall below it asks for a new number on file).
const TOLERANCE: f64 = 0.03;

/// Counts, and fails if there are clearly more than on file; `update` writes the new number instead.
pub(crate) fn check(top: &Path, update: bool) -> anyhow::Result<()> {
    let counted = counted(top)?;
    let file = top.join(ON_FILE);
    if update {
        fs::write(&file, format!("{counted:.0}\n"))?;
        say(format_args!("{counted:.0} instructions per query, written to {ON_FILE}"));
        return Ok(());
    }
    let text = fs::read_to_string(&file).with_context(|| format!("{ON_FILE} cannot be read"))?;
    let known: f64 = text.trim().parse().with_context(|| format!("{ON_FILE} holds no number"))?;
    say(format_args!("{counted:.0} instructions per query, {known:.0} on file"));
    if counted > known * (1.0 + TOLERANCE) {
        bail!(
            "the answer path got dearer: {counted:.0} instructions per query, and {known:.0} on file; if that is what \
             it has to cost, write it down with `cargo xtask instructions --update`"
        );
    }
    if counted < known * (1.0 - TOLERANCE) {
        say(format_args!("that is less: keep it so with `cargo xtask instructions --update`"));
    }
    Ok(())
}

/// Instructions per query.
pub(crate) fn counted(top: &Path) -> anyhow::Result<f64> {
    run(&mut cargo(top, &["build", "--release", "--package", "mcdns-serve", "--example", "hot_path"]))?;
    let program = Path::new(&target(top)?).join("release/examples/hot_path");
    let [short, long] = QUERIES.map(|queries| count(top, &program, queries));
    Ok(per_query(short?, long?))
}

/// Instructions of one whole run.
fn count(top: &Path, program: &Path, queries: u64) -> anyhow::Result<u64> {
    let program = program.to_string_lossy();
    let (services, queries) = (SERVICES.to_string(), queries.to_string());
    let script = "valgrind --tool=callgrind --callgrind-out-file=/dev/null \"$@\" 2>&1";
    let text = output(&mut command(top, "sh", &["-c", script, "sh", &program, &services, &queries]))?;
    collected(&text).with_context(|| format!("callgrind says nothing of instructions: {text}"))
}

/// The number behind `Collected :`.
fn collected(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.split_once("Collected :"))?;
    line.1.trim().parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "counts of instructions are far below what a double holds exactly")]
fn per_query(short: u64, long: u64) -> f64 {
    long.saturating_sub(short) as f64 / (QUERIES[1] - QUERIES[0]) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_callgrind_counted_is_read() {
        let text = "==7== Events    : Ir\n==7== Collected : 123456\n==7== \n==7== I   refs:      123,456\n";
        assert_eq!(collected(text), Some(123_456));
        assert_eq!(collected("valgrind: cannot"), None);
    }

    #[test]
    fn what_the_start_costs_does_not_count() {
        let [short, long] = QUERIES.map(|queries| 5_000_000 + 1_000 * queries);
        let difference = (per_query(short, long) - 1_000.0).abs();
        assert!(difference < 1e-9, "{difference}");
    }
}
