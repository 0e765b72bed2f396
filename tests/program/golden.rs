//! Expected results on file: a difference is shown line by line, with the command that takes it over.

use std::{fmt::Write as _, fs};

use super::repository;

/// How to take over what the program says now. The diff of the repository then shows what a change does.
const UPDATE: &str = "UPDATE_GOLDENS=1 cargo test -p mcdns --test goldens";

/// Compares with the file, or writes it anew when `UPDATE_GOLDENS` is set.
#[track_caller]
pub(crate) fn matches(file: &str, found: &str) {
    let path = repository().join(file);
    if std::env::var_os("UPDATE_GOLDENS").is_some_and(|value| !value.is_empty()) {
        fs::create_dir_all(path.parent().expect("a file in a folder")).expect("a folder that can be made");
        // By rename: several tests may write the same result at once.
        let draft = path.with_extension(format!("{:?}.draft", std::thread::current().id()));
        fs::write(&draft, found).and_then(|()| fs::rename(&draft, &path)).expect("a file that can be written");
        return;
    }
    let expected = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{file}: {error}\nTo make it: {UPDATE}\nIt would hold:\n{found}"));
    assert!(
        expected == found,
        "{file} differs (- expected, + found):\n{}\nTo take over what was found: {UPDATE}",
        difference(&expected, found)
    );
}

/// Lines that only one of two texts has, in their order, with a line around each place.
pub(crate) fn difference(expected: &str, found: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    // Length of the longest common subsequence of what follows each pair of lines.
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] =
                if old[i] == new[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines: Vec<(char, usize, &str)> = Vec::new();
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push((' ', j + 1, new[j]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || i < old.len() && common[i + 1][j] >= common[i][j + 1] {
            lines.push(('-', i + 1, old[i]));
            i += 1;
        } else {
            lines.push(('+', j + 1, new[j]));
            j += 1;
        }
    }
    let mut text = String::new();
    for (index, (mark, number, line)) in lines.iter().enumerate() {
        let near = lines[index.saturating_sub(1)..(index + 2).min(lines.len())].iter().any(|(mark, _, _)| *mark != ' ');
        if near {
            let _ = writeln!(text, "{mark} {number:>4} {line}");
        }
    }
    if text.is_empty() {
        text.push_str("only the ends of lines differ\n");
    }
    text
}
