//! Text that the project does not want: leftovers, ignored tests, files past their size, and words that have another
//! word here. A rule is here only if it never hits what is right; everything finer is for a reviewer.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use crate::console::say;

/// Lines after which a source file is split by job.
const MAX_LINES: usize = 600;
/// Folders that hold nothing of ours.
const NOT_OURS: [&str; 3] = ["target", ".git", "node_modules"];
/// Files that people read or that programs run; the rest is data.
const TEXT: [&str; 8] = ["rs", "toml", "md", "sh", "yaml", "yml", "json", "py"];

/// A text that must not stand in a file. The texts are joined from pieces, or else this file would break its own rules.
struct Rule {
    text: &'static str,
    /// True if it must be a word of its own.
    word: bool,
    /// Only in Rust sources.
    rust: bool,
    /// Folders in which it is right.
    except: &'static [&'static str],
    reason: &'static str,
}

/// Where one speaks as Route 53 does.
const ROUTE53: &[&str] = &["providers/route53", "tests/support/route53", "tests/support/tests/route53"];

const RULES: &[Rule] = &[
    rule(concat!("#[", "ignore"), "a test that does not run proves nothing: mend it or remove it"),
    rule(concat!("to", "do!("), "finish it, or leave it out"),
    rule(concat!("unimplem", "ented!("), "finish it, or leave it out"),
    leftover(concat!("TO", "DO")),
    leftover(concat!("FIX", "ME")),
    leftover(concat!("XX", "X")),
    instead(concat!("a", "z"), &[], "say availability zone"),
    instead(concat!("a", "zs"), &[], "say availability zones"),
    instead(concat!("hosted", " zone"), ROUTE53, "say zone"),
    instead(concat!("hosted", "_zone"), ROUTE53, "say zone"),
    instead(concat!("record", " set"), ROUTE53, "say RRset"),
    instead(concat!("record", "_set"), ROUTE53, "say rrset"),
];

/// Something that is not wanted, and where.
#[derive(Debug, PartialEq, Eq)]
struct Hit {
    file: PathBuf,
    /// From 1.
    line: usize,
    what: String,
}

/// Looks through every file below `top`.
pub(crate) fn run(top: &Path) -> anyhow::Result<()> {
    let (read, hits) = look(top)?;
    for hit in &hits {
        say(format_args!("{hit}"));
    }
    if !hits.is_empty() {
        bail!("{} places to mend in {read} files", hits.len());
    }
    say(format_args!("{read} files, nothing unwanted in them"));
    Ok(())
}

/// How many files were read, and what was found in them.
fn look(top: &Path) -> anyhow::Result<(usize, Vec<Hit>)> {
    let mut files = Vec::new();
    walk(top, &mut files)?;
    let mut hits = Vec::new();
    let mut read = 0;
    for file in files {
        let name = file.strip_prefix(top).unwrap_or(&file);
        let is_text = name.extension().is_some_and(|extension| TEXT.iter().any(|text| extension == *text));
        if !is_text {
            continue;
        }
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}", name.display()))?;
        scan(name, &String::from_utf8_lossy(&bytes), &mut hits);
        read += 1;
    }
    Ok((read, hits))
}

fn scan(file: &Path, text: &str, hits: &mut Vec<Hit>) {
    let rust = file.extension().is_some_and(|extension| extension == "rs");
    for (index, line) in text.lines().enumerate() {
        for rule in RULES {
            let excepted = rule.except.iter().any(|folder| file.starts_with(folder));
            if (rust || !rule.rust) && !excepted && rule.hits(line) {
                hits.push(Hit {
                    file: file.into(),
                    line: index + 1,
                    what: format!("`{}`: {}", rule.text, rule.reason),
                });
            }
        }
    }
    let lines = text.lines().count();
    if rust && lines > MAX_LINES {
        let what = format!("{lines} lines; past {MAX_LINES} a file is split by job");
        hits.push(Hit { file: file.into(), line: lines, what });
    }
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .and_then(Iterator::collect::<Result<_, _>>)
        .with_context(|| format!("cannot list {}", folder.display()))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type()?;
        if kind.is_dir() && !NOT_OURS.iter().any(|name| entry.file_name() == *name) {
            walk(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

impl Rule {
    fn hits(&self, line: &str) -> bool {
        line.match_indices(self.text).any(|(start, _)| {
            let before = line[..start].chars().next_back();
            let after = line[start + self.text.len()..].chars().next();
            !self.word || !(before.is_some_and(is_word) || after.is_some_and(is_word))
        })
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric()
}

const fn rule(text: &'static str, reason: &'static str) -> Rule {
    Rule { text, word: false, rust: true, except: &[], reason }
}

const fn leftover(text: &'static str) -> Rule {
    Rule { text, word: true, rust: false, except: &[], reason: "do it, or file it where work is planned" }
}

const fn instead(text: &'static str, except: &'static [&'static str], reason: &'static str) -> Rule {
    Rule { text, word: true, rust: true, except, reason }
}

impl fmt::Display for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(file: &str, text: &str) -> Vec<String> {
        let mut hits = Vec::new();
        scan(Path::new(file), text, &mut hits);
        hits.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_ignored_test_is_found_with_its_line() {
        let text = concat!("#[test]\n#[", "ignore = \"slow\"]\nfn a() {}\n");
        let found = hits("src/core/a.rs", text);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("src/core/a.rs:2: "), "{found:?}");
    }

    #[test]
    fn leftovers_are_found_in_prose_too() {
        assert_eq!(hits("README.md", concat!("FIX", "ME later\n")).len(), 1);
        assert_eq!(hits("README.md", "mastodons are fine\n").len(), 0);
    }

    #[test]
    fn a_word_is_only_hit_as_a_word() {
        assert_eq!(hits("a.rs", concat!("let a", "z = 1;\n")).len(), 1);
        assert_eq!(hits("a.rs", concat!("let region_a", "z = 1;\n")).len(), 1);
        assert_eq!(hits("a.rs", "let lazy = \"aza\";\n").len(), 0);
    }

    #[test]
    fn the_words_of_a_vendor_are_right_in_its_provider() {
        let text = concat!("let hosted", "_zone = 1;\n");
        assert_eq!(hits("providers/route53/client.rs", text).len(), 0);
        assert_eq!(hits("src/publish/lib.rs", text).len(), 1);
    }

    #[test]
    fn a_file_of_six_hundred_lines_is_the_longest() {
        assert_eq!(hits("a.rs", &"\n".repeat(MAX_LINES)).len(), 0);
        assert_eq!(hits("a.rs", &"\n".repeat(MAX_LINES + 1)).len(), 1);
        assert_eq!(hits("a.md", &"\n".repeat(MAX_LINES + 1)).len(), 0);
    }

    #[test]
    fn build_output_is_not_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("target")).expect("a folder");
        fs::write(folder.path().join("target/a.md"), concat!("TO", "DO")).expect("a file");
        assert_eq!(look(folder.path()).expect("it is read"), (0, Vec::new()));
        fs::write(folder.path().join("a.md"), concat!("TO", "DO")).expect("a file");
        let (read, hits) = look(folder.path()).expect("it is read");
        assert_eq!((read, hits.len()), (1, 1));
    }
}
