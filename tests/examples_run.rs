//! Every example of the help that can be run in the repository is run, as it stands there.
//!
//! Left out are those with files of an operator (`/etc`, `/srv`), with addresses that this machine does not have, and
//! those that ask the name servers of others (`check --delegation`).
//! Examples that ask the running program get the ports of one that the test starts.

mod program;

use std::path::Path;

use program::{Program, repository, run};

const COMMANDS: [&str; 8] = ["run", "serve", "records", "check", "lookup", "explain", "settings", "completions"];

#[test]
fn examples_over_files_of_the_repository_end_with_0() {
    let mut count = 0;
    for example in examples().iter().filter(|example| names_files_here(example) && !serves(example)) {
        let finished = run(&words(example));
        assert_eq!(finished.code, Some(0), "mcdns {example}\n{}", finished.told());
        count += 1;
    }
    assert!(count >= 5, "only {count} examples name files of the repository");
}

#[test]
fn examples_that_serve_files_of_the_repository_start_and_stop() {
    let mut count = 0;
    for example in examples().iter().filter(|example| names_files_here(example) && serves(example)) {
        // Nothing is left behind in the repository.
        let state = tempfile::tempdir().expect("a folder");
        let here = example.replace("--state-dir state", &format!("--state-dir {}", state.path().display()));
        let mut arguments = words(&here);
        // The usual ports may be taken on this machine.
        for flag in ["--listen", "--admin"] {
            if !arguments.contains(&flag) {
                arguments.extend([flag, "127.0.0.1:0"]);
            }
        }
        let program = Program::start(&arguments);
        assert_eq!(program.dig("example.com SOA").status, "NOERROR", "mcdns {example}");
        program.stop().expect_code(0);
        count += 1;
    }
    assert!(count >= 3, "only {count} examples serve files of the repository");
}

#[test]
fn examples_that_ask_the_running_program_end_with_0() {
    let program = Program::run(Path::new("deploy/demo/two-regions"));
    let (server, admin) = (program.server.to_string(), program.admin.to_string());
    let mut count = 0;
    for example in examples() {
        let asks_server = example.starts_with("lookup ") && example.contains("--server 127.0.0.1:5300");
        let asks_admin = example.starts_with("explain ") && !example.contains("deploy/");
        if !asks_server && !asks_admin {
            continue;
        }
        let here = example.replace("127.0.0.1:5300", &server).replace(" --admin 127.0.0.1:9080", "");
        let mut arguments = words(&here);
        if asks_admin {
            arguments.extend(["--admin", &admin]);
        }
        let finished = run(&arguments);
        assert_eq!(finished.code, Some(0), "mcdns {example}\n{}", finished.told());
        count += 1;
    }
    assert!(count >= 4, "only {count} examples ask the running program");
}

#[test]
fn examples_without_files_end_with_0() {
    let alone = |example: &&String| {
        !example.contains('/') && ["settings", "completions"].iter().any(|command| example.starts_with(command))
    };
    let all = examples();
    let examples: Vec<&String> = all.iter().filter(alone).collect();
    assert!(examples.len() >= 4, "{examples:?}");
    for example in examples {
        let finished = run(&words(example)).expect_code(0);
        assert_ne!(finished.stdout, "", "mcdns {example}");
    }
}

#[test]
fn examples_that_ask_others_are_of_one_command() {
    let others: Vec<String> = examples().into_iter().filter(|example| asks_others(example)).collect();
    assert!(others.len() >= 2 && others.iter().all(|example| example.starts_with("check ")), "{others:?}");
}

#[test]
fn paths_in_examples_are_those_of_an_operator_or_exist() {
    for example in examples() {
        for word in words(&example).iter().filter(|word| word.contains('/') && !word.contains("://")) {
            let known = ["/etc/", "/srv/"].iter().any(|top| word.starts_with(top)) || repository().join(word).exists();
            assert!(known, "mcdns {example}: there is no {word}");
        }
    }
}

/// What stands behind `mcdns` in the examples of the help, each once.
fn examples() -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for arguments in [vec!["--help"]].into_iter().chain(COMMANDS.map(|command| vec![command, "--help"])) {
        let help = run(&arguments).expect_code(0).stdout;
        let (_, examples) = help.split_once("\nExamples:\n").expect("a help with examples");
        let lines = examples.lines().filter_map(|line| line.strip_prefix("  mcdns "));
        all.extend(lines.map(|line| line.trim_end().to_owned()));
    }
    all.sort();
    all.dedup();
    all
}

fn words(example: &str) -> Vec<&str> {
    example.split_whitespace().collect()
}

fn serves(example: &str) -> bool {
    example.starts_with("run ") || example.starts_with("serve ")
}

/// True for what asks the name servers of a parent zone and of the zone itself.
fn asks_others(example: &str) -> bool {
    words(example).contains(&"--delegation")
}

/// True if there are paths in it, all of them are in the repository, and nothing else is needed.
fn names_files_here(example: &str) -> bool {
    let words = words(example);
    let mut paths = words.iter().filter(|word| word.contains('/')).peekable();
    paths.peek().is_some()
        && !asks_others(example)
        && paths.all(|path| repository().join(path).exists() && !Path::new(path).is_absolute())
}
