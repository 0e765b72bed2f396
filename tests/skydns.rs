//! Keys of SkyDNS in a real etcd, as an operator meets them.

mod program;

use interop::Etcd;
use program::{Program, eventually, run};

/// What the finding tells the operator to do.
fn command(program: &Program) -> String {
    eventually("the loss is a finding", || {
        let (_, findings) = program.page("/findings");
        let (_, behind) = findings.split_once("if that is meant: mcdns ").ok_or_else(|| findings.clone())?;
        behind.split_once(',').map(|(command, _)| command.to_owned()).ok_or(findings)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_meant_to_go_are_released_by_the_command_that_the_finding_names() {
    let etcd = Etcd::start().await;
    for index in 1..=12 {
        let (key, value) = (format!("/skydns/org/example/n{index}"), format!(r#"{{"host":"192.0.2.{index}"}}"#));
        etcd.put(&[(&key, &value)]).await;
    }
    let program = Program::run_with(&["--skydns", &etcd.endpoint(), "--skydns-zone", "example.org"]);
    program.until_data("n1.example.org A", &["192.0.2.1"]);
    etcd.delete_below("/skydns/").await;
    let command = command(&program);
    assert_eq!(program.data("n1.example.org A"), ["192.0.2.1"]);

    let admin = program.admin.to_string();
    let wrong = run(&["release", "0123456789abcdef", "--admin", &admin]).expect_code(2);
    assert!(wrong.stderr.contains("409") && wrong.stderr.contains("held"), "{}", wrong.told());
    assert_eq!(program.data("n1.example.org A"), ["192.0.2.1"]);

    let mut words: Vec<&str> = command.split(' ').collect();
    words.extend(["--admin", &admin]);
    let done = run(&words).expect_code(0);
    assert!(done.told().contains("12 keys"), "{}", done.told());
    program.until_data("n1.example.org A", &[]);
    assert_eq!(program.dig("n1.example.org A").status, "NXDOMAIN");
    assert!(!program.page("/findings").1.contains("held"));
    let again = run(&words).expect_code(2);
    assert!(again.stderr.contains("no keys of SkyDNS are held"), "{}", again.told());
}
