//! EDNS options as `dig` (BIND) and `kdig` (Knot) send and read them.

mod support;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Command,
    sync::Arc,
};

use mcdns_serve::{CookieSecrets, Listener, Policy, PolicyStore, Server, SnapshotStore};

use support::snapshot;

fn server() -> Server {
    let zone = snapshot(&[(
        "example.com",
        "@ NS ns1\nns1 A 192.0.2.53\nwww A 192.0.2.1\nsvc HTTPS 1 . alpn=h2\nsvc A 192.0.2.2",
    )]);
    let policy = Policy {
        nsid: Some((*b"ns1.example.com").into()),
        version: Some("mcdns".into()),
        cookies: Some(CookieSecrets { current: [7; 16], other: None }),
        ..Policy::default()
    };
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let store = Arc::new(SnapshotStore::new(zone));
    Server::bind(&[Listener::plain(any)], 1, &store, &PolicyStore::new(policy)).expect("a free port")
}

/// What the tool prints for `question`, which is the rest of its command line.
fn asks(tool: &str, server: &Server, question: &str) -> String {
    let address = server.addresses()[0];
    let mut command = Command::new(tool);
    if tool == "dig" {
        // Without the ~/.digrc of whoever runs the tests.
        command.arg("-r");
    }
    command.arg(format!("@{}", address.ip())).args(["-p", &address.port().to_string()]).args(question.split(' '));
    let output = command.output().expect("dig and kdig can be run (Debian packages bind9-dnsutils and knot-dnsutils)");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{tool} {question}\n{text}");
    text
}

#[test]
fn dig_finds_our_cookies_good_and_gets_them_renewed() {
    let server = server();
    let first = asks("dig", &server, "www.example.com A +cookie=0123456789abcdef");
    assert!(first.contains("status: NOERROR") && first.contains("(good)"), "{first}");
    let cookie = first.split("COOKIE: ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a cookie");
    assert_eq!((&cookie[..24], cookie.len()), ("0123456789abcdef01000000", 48));
    let again = asks("dig", &server, &format!("www.example.com A +cookie={cookie}"));
    assert!(again.contains(&format!("COOKIE: {cookie} (good)")), "{again}");
    // RFC 7873 section 5.4: no question.
    let empty = asks("dig", &server, "+header-only +cookie=0123456789abcdef");
    assert!(empty.contains("status: NOERROR") && empty.contains("QUERY: 0") && empty.contains("(good)"), "{empty}");
    let wrong =
        asks("dig", &server, "+header-only +nobadcookie +cookie=0123456789abcdef0100000000000000ffffffffffffffff");
    assert!(wrong.contains("status: BADCOOKIE"), "{wrong}");
}

#[test]
fn dig_and_kdig_read_our_options() {
    let server = server();
    let all = asks("dig", &server, "www.example.com A +nocookie +nsid +subnet=198.51.100.0/24");
    assert!(all.contains("(\"ns1.example.com\")") && all.contains("CLIENT-SUBNET: 198.51.100.0/24/0"), "{all}");
    let hidden = asks("dig", &server, "www.example.com A +nocookie +subnet=0");
    assert!(hidden.contains("status: NOERROR") && hidden.contains("CLIENT-SUBNET: 0.0.0.0/0/0"), "{hidden}");
    let kept = asks("dig", &server, "www.example.com A +nocookie +tcp +keepalive");
    assert!(kept.contains("TCP KEEPALIVE: 10.0 secs") || kept.contains("TCP-KEEPALIVE: 10.0 secs"), "{kept}");
    let refused = asks("dig", &server, "www.example.net A +nocookie");
    assert!(refused.contains("status: REFUSED") && refused.contains("EDE: 20 (Not Authoritative)"), "{refused}");
    let newer = asks("dig", &server, "www.example.com A +nocookie +edns=1 +noednsnegotiation");
    assert!(newer.contains("status: BADVERS") && newer.contains("EDNS: version: 0"), "{newer}");
    let version = asks("dig", &server, "version.bind TXT CH +nocookie +short");
    assert_eq!(version.trim(), "\"mcdns\"");
    let bindings = asks("dig", &server, "svc.example.com TYPE65 +nocookie");
    assert!(bindings.contains("ADDITIONAL: 2") && bindings.contains("192.0.2.2"), "{bindings}");
    let knot =
        asks("kdig", &server, "www.example.com A +nsid +cookie=0123456789abcdef +padding=64 +subnet=2001:db8::/32");
    assert!(knot.contains("ns1.example.com") && knot.contains("CLIENT-SUBNET: 2001:db8::/32/0"), "{knot}");
    assert!(knot.contains("COOKIE: ") && !knot.contains("PADDING"), "{knot}");
}
