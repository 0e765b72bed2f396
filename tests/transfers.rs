//! Zone transfers of the whole program: what secondaries get over changes, reloads and restarts.

mod program;

use std::{collections::BTreeSet, fs, net::SocketAddr, path::Path};

use program::{Program, Scratch, edit, eventually, replace, text, tool};

const APEX: &str = "example.com";
const CHECKOUT: &str = "checkout.shop.galactic.svc.example.com";

/// The records that dig prints for a transfer, one a line.
fn transfer(server: SocketAddr, kind: &str) -> Vec<String> {
    let mut dig = tool("dig");
    dig.arg(format!("@{}", server.ip())).args(["-p", &server.port().to_string(), "+tcp", APEX, kind]);
    let output = dig.output().expect("dig runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let records = text.lines().filter(|line| !line.is_empty() && !line.starts_with(';'));
    records.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// The whole zone, without its SOA.
fn whole(server: SocketAddr) -> BTreeSet<String> {
    transfer(server, "AXFR").into_iter().filter(|line| !line.contains(" SOA ")).collect()
}

/// Follows the differences from `serial` on; they must be differences.
fn follow(held: &BTreeSet<String>, server: SocketAddr, serial: u32) -> BTreeSet<String> {
    let answer = transfer(server, &format!("IXFR={serial}"));
    assert!(answer.len() > 1, "nothing has changed since {serial}: {answer:?}");
    assert!(answer[1].contains(&format!(" {serial} ")), "no differences since {serial}: {answer:?}");
    let (mut held, mut removing) = (held.clone(), false);
    for line in &answer[1..answer.len() - 1] {
        if line.contains(" SOA ") {
            removing = !removing;
        } else if removing {
            assert!(held.remove(line), "{line} goes and was not there");
        } else {
            assert!(held.insert(line.clone()), "{line} comes and was there");
        }
    }
    held
}

struct Fixture {
    _scratch: Scratch,
    directory: std::path::PathBuf,
    state: std::path::PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let scratch = Scratch::new();
        let directory = scratch.copy_of("deploy/demo/two-regions");
        let state = scratch.path("state");
        Self { directory, state, _scratch: scratch }
    }

    fn start(&self) -> Program {
        Program::run_with_state(&self.directory, &self.state)
    }

    fn set_address(&self, before: &str, after: &str) {
        edit(&self.directory.join("hosts"), &format!("{before} "), &format!("{after} "));
    }

    /// Waits until the differences on disk lead to this serial.
    fn until_written(&self, serial: u32) {
        let file = self.state.join("differences-00000001");
        eventually("the difference is on disk", || match fs::read_to_string(&file) {
            Ok(content) if content.contains(&format!("\"serial\":{serial}")) => Ok(()),
            other => Err(format!("{serial}: {other:?}")),
        });
    }
}

#[test]
fn a_secondary_follows_by_differences_over_a_clean_end_and_a_kill() {
    let fixture = Fixture::new();
    let first = fixture.start();
    let (serial, held) = (first.serial(APEX), whole(first.server));
    assert!(held.len() > 10, "{held:?}");
    fixture.set_address("192.0.2.41", "192.0.2.42");
    first.until_data(CHECKOUT, &["192.0.2.42"]);
    assert_eq!(follow(&held, first.server, serial), whole(first.server));
    first.stop().expect_code(0);

    let second = fixture.start();
    assert_eq!(follow(&held, second.server, serial), whole(second.server), "after a clean end");
    fixture.set_address("192.0.2.42", "192.0.2.43");
    second.until_data(CHECKOUT, &["192.0.2.43"]);
    assert_eq!(follow(&held, second.server, serial), whole(second.server));
    let (serial, held) = (second.serial(APEX), whole(second.server));
    fixture.set_address("192.0.2.43", "192.0.2.44");
    second.until_data(CHECKOUT, &["192.0.2.44"]);
    fixture.until_written(second.serial(APEX));
    second.kill();

    let third = fixture.start();
    assert_eq!(third.data(CHECKOUT), ["192.0.2.44"]);
    // The zone is so small that all differences together would be longer than it.
    assert_eq!(follow(&held, third.server, serial), whole(third.server), "after a kill");
}

#[test]
fn a_master_file_that_is_read_again_gives_differences_if_its_serial_has_moved() {
    let scratch = Scratch::new();
    let file = scratch.path("example.com.zone");
    let content = |serial: u32, more: &str| {
        let names = (0..50).map(|number| format!("n{number} A 192.0.2.{number}\n")).collect::<Vec<_>>().concat();
        format!(
            "$ORIGIN {APEX}.\n$TTL 60\n@ SOA ns1 hostmaster {serial} 3600 600 604800 30\n@ NS ns1\nns1 A 192.0.2.1\n{names}{more}"
        )
    };
    fs::write(&file, content(1, "")).expect("written");
    let program = Program::serve(&[Path::new(text(&file))]);
    let held = whole(program.server);
    assert_eq!(held.len(), 52);
    replace(&file, &content(5, "new A 192.0.2.7\n"));
    program.until_data("new.example.com", &["192.0.2.7"]);
    assert_eq!(follow(&held, program.server, 1), whole(program.server));
    // A change that secondaries cannot notice is told, and never given out as a difference.
    replace(&file, &content(5, "new A 192.0.2.8\n"));
    program.until_data("new.example.com", &["192.0.2.8"]);
    program.until_log_has("zone-serial");
    assert_eq!(transfer(program.server, "IXFR=1").len(), 2 + whole(program.server).len(), "the whole zone");
}
