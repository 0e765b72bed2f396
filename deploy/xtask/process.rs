//! Running other programs: what they say goes through, and a failure says which command it was.

use std::{
    env,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, bail};

use crate::console::say;

/// Where Debian keeps programs of administrators, which is not on everybody's path.
const ADMINISTRATORS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// A command that will run in `folder` and find what [`find`] finds.
pub(crate) fn command(folder: &Path, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    if let Ok(path) = env::join_paths(search_path()) {
        command.env("PATH", path);
    }
    command
}

/// The cargo that runs this program, so that a toolchain named on its command line stays the one in use.
pub(crate) fn cargo(folder: &Path, arguments: &[&str]) -> Command {
    command(folder, &env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()), arguments)
}

/// Runs it to its end; an error if it fails or cannot be started.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    say(format_args!("$ {}", text(command)));
    let status = command.status().with_context(|| format!("`{}` cannot be started", text(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", text(command));
    }
    Ok(())
}

/// The same, with each line of its standard output shown and handed over.
pub(crate) fn run_reading(command: &mut Command, mut line: impl FnMut(&str)) -> anyhow::Result<()> {
    say(format_args!("$ {}", text(command)));
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("`{}` cannot be started", text(command)))?;
    let output = child.stdout.take().context("a child without standard output")?;
    let mut reader = BufReader::new(output);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes)? > 0 {
        let read = String::from_utf8_lossy(&bytes);
        let read = read.trim_end_matches('\n');
        say(format_args!("{read}"));
        line(read);
        bytes.clear();
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`{}` failed ({status})", text(command));
    }
    Ok(())
}

/// What it writes to standard output; an error with what it wrote elsewhere if it fails.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("`{}` cannot be started", text(command)))?;
    if !output.status.success() {
        bail!("`{}` failed ({}): {}", text(command), output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` wrote no UTF-8", text(command)))
}

/// Where cargo builds, which the environment may move.
pub(crate) fn target(top: &Path) -> anyhow::Result<String> {
    let metadata = output(&mut cargo(top, &["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    Ok(metadata["target_directory"].as_str().context("cargo metadata without a target directory")?.to_owned())
}

/// Where the program is.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    search_path().into_iter().map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// The folders that programs are looked for in.
pub(crate) fn search_path() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    for folder in ADMINISTRATORS {
        if !folders.iter().any(|known| known == Path::new(folder)) {
            folders.push(folder.into());
        }
    }
    folders
}

/// The command as one would type it.
fn text(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let mut text = program.to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_is_named_with_its_words() {
        let error = output(&mut command(Path::new("/"), "sh", &["-c", "echo wrong >&2; exit 3"]))
            .expect_err("the program fails");
        let text = error.to_string();
        assert!(text.contains("exit status: 3") && text.ends_with("wrong"), "{text}");
    }

    #[test]
    fn every_line_of_a_program_is_read_even_without_a_last_newline() {
        let mut lines = Vec::new();
        run_reading(&mut command(Path::new("/"), "sh", &["-c", "printf 'one\\ntwo'"]), |line| {
            lines.push(line.to_owned());
        })
        .expect("the program succeeds");
        assert_eq!(lines, ["one", "two"]);
    }

    #[test]
    fn a_program_that_is_nowhere_is_not_found() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-anywhere").is_none());
    }
}
