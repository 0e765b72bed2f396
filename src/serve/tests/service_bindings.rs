//! Additional data of service bindings (RFC 9460).

mod support;

use rstest::rstest;

use support::{ask, lines, snapshot};

const ZONE: &str = "
    mail A 192.0.2.25
    svc HTTPS 1 . alpn=h2
    svc HTTPS 2 . alpn=h3
    svc HTTPS 3 mail alpn=h2
    svc A 192.0.2.70
    pool HTTPS 0 svc
    gone HTTPS 0 .
    gone A 192.0.2.71
    next SVCB 0 pool
";

#[rstest]
// RFC 9460 section 4.1: "A, AAAA, and SVCB records in the Additional section for any TargetNames that are in the zone";
// section 2.5.2: in ServiceMode "." is the owner.
#[case(
    "svc.example.com",
    "HTTPS",
    "NOERROR aa
    answer svc.example.com. 180 HTTPS 1 . alpn=h2,
    answer svc.example.com. 180 HTTPS 2 . alpn=h3,
    answer svc.example.com. 180 HTTPS 3 mail.example.com. alpn=h2,
    additional svc.example.com. 180 A 192.0.2.70
    additional mail.example.com. 180 A 192.0.2.25"
)]
// AliasMode: the records of the target, and what belongs to them.
#[case(
    "pool.example.com",
    "HTTPS",
    "NOERROR aa
    answer pool.example.com. 180 HTTPS 0 svc.example.com.
    additional svc.example.com. 180 HTTPS 1 . alpn=h2,
    additional svc.example.com. 180 HTTPS 2 . alpn=h3,
    additional svc.example.com. 180 HTTPS 3 mail.example.com. alpn=h2,
    additional svc.example.com. 180 A 192.0.2.70
    additional mail.example.com. 180 A 192.0.2.25"
)]
// Section 2.5.1: in AliasMode "." is nobody.
#[case(
    "gone.example.com",
    "HTTPS",
    "NOERROR aa
    answer gone.example.com. 180 HTTPS 0 ."
)]
// HTTPS records are none of SVCB's.
#[case(
    "next.example.com",
    "SVCB",
    "NOERROR aa
    answer next.example.com. 180 SVCB 0 pool.example.com."
)]
fn the_answer_is(#[case] asked: &str, #[case] record_type: &str, #[case] expected: &str) {
    let zone = snapshot(&[("example.com", ZONE)]);
    let sorted = |text: &str| {
        // The order within an RRset is of no meaning.
        let mut all: Vec<String> = lines(text).lines().map(str::to_owned).collect();
        all.sort();
        all
    };
    assert_eq!(sorted(&ask(&zone, asked, record_type)), sorted(expected));
}
