//! What is written for what, and that it is read as what it was.

use mcdns_core::{
    plan::{RecordSet, Standing},
    steering::Target as Aim,
};
use mcdns_publish::battery::{random_zone, wish};

use super::*;

fn apex() -> OwnerName {
    name("example.org")
}

fn name(text: &str) -> OwnerName {
    text.parse().expect("a name")
}

fn wire() -> Wire {
    let addresses = ["192.0.2.53", "2001:db8::53"].map(|text| text.parse().expect("an address"));
    Wire {
        prefix: Prefix::default(),
        manager: "prod".parse().expect("a manager"),
        name_servers: [("ns1".to_owned(), addresses.into())].into(),
    }
}

/// Keys, with `=` for a label of ours, and values.
fn written(apex: &OwnerName, lines: &[&str]) -> Vec<String> {
    let mut wanted = wish(apex, lines[0]).expect("a wish");
    for line in &lines[1..] {
        wanted.rrsets.extend(wish(apex, line).expect("a wish").rrsets);
    }
    let group = wire().translate(&wanted).expect("a group");
    let show = |pair: Pair| {
        let key = String::from_utf8(pair.key).expect("text");
        let key = key.split_once('=').map_or(key.clone(), |(front, label)| {
            assert_eq!(label.len(), 24, "{key}");
            format!("{front}=")
        });
        format!("{key} {}", pair.value)
    };
    wire().pairs(apex, &group, Place::ORDINARY).into_iter().map(show).collect()
}

#[test]
fn keys_and_values_are_as_the_readme_says() {
    let (mine, reverse) = (apex(), name("in-addr.arpa"));
    let ours = r#""group":"www.example.org","owner":"prod""#;
    for (apex, lines, expected) in [
        (
            &mine,
            &["www 60 A 192.0.2.1"][..],
            &[format!(
                r#"/skydns/org/example/www/= {{"host":"192.0.2.1","port":-1,"ttl":60,"targetstrip":1,{ours}}}"#
            )][..],
        ),
        (
            &mine,
            &["www 60 CNAME x.example.net."],
            &[format!(r#"/skydns/org/example/www {{"host":"x.example.net","port":-1,"ttl":60,{ours}}}"#)],
        ),
        (
            &mine,
            &[r#"www 60 TXT "v=1""#],
            &[format!(
                r#"/skydns/org/example/www/= {{"host":"www.example.org","port":-1,"text":"v=1","ttl":60,"targetstrip":1,{ours}}}"#
            )],
        ),
        (
            &mine,
            &["www 60 SRV 10 5 443 h.example.org."],
            &[format!(
                r#"/skydns/org/example/www/= {{"host":"h.example.org","port":443,"priority":10,"weight":5,"ttl":60,{ours}}}"#
            )],
        ),
        (
            &mine,
            &["www 60 MX 0 h.example.org."],
            &[format!(
                r#"/skydns/org/example/www/= {{"host":"h.example.org","port":-1,"priority":65536,"mail":true,"ttl":60,{ours}}}"#
            )],
        ),
        (
            &reverse,
            &["1.2.0.192 60 PTR h.example.org."],
            &[r#"/skydns/arpa/in-addr/192/0/2/1 {"host":"h.example.org","port":-1,"ttl":60,"group":"1.2.0.192.in-addr.arpa","owner":"prod"}"#.to_owned()],
        ),
        (
            &mine,
            &["@ 60 NS ns.elsewhere.example."],
            &[
                r#"/skydns/org/example/dns/apex/= {"host":"example.org","port":-1,"targetstrip":1,"group":"example.org","owner":"prod"}"#.to_owned(),
                r#"/skydns/org/example/dns/ns/ns1/= {"host":"192.0.2.53","port":-1,"ttl":60,"targetstrip":1,"group":"example.org","owner":"prod"}"#.to_owned(),
                r#"/skydns/org/example/dns/ns/ns1/= {"host":"2001:db8::53","port":-1,"ttl":60,"targetstrip":1,"group":"example.org","owner":"prod"}"#.to_owned(),
            ],
        ),
    ] {
        let mut found = written(apex, lines);
        found.sort();
        assert_eq!(found, expected, "{lines:?}");
    }
}

#[test]
fn an_address_that_two_clusters_give_has_a_key_for_each() {
    let mut wanted = wish(&apex(), "www 60 A 192.0.2.1 / 192.0.2.2").expect("a wish");
    let address: IpAddr = "192.0.2.1".parse().expect("an address");
    for cluster in ["east", "west"] {
        let (target, addresses) = (Aim::Address(address), [address].into());
        wanted.targets.push(mcdns_core::plan::ClusterTarget { cluster: cluster.into(), target, addresses });
    }
    let group = wire().translate(&wanted).expect("a group");
    let pairs = wire().pairs(&apex(), &group, Place::ORDINARY);
    let of = |words: &str| pairs.iter().filter(|pair| pair.value.contains(words)).count();
    assert_eq!((pairs.len(), of(r#""cluster":"east""#), of(r#""cluster":"west""#), of("192.0.2.1\"")), (3, 1, 1, 2));
    assert_eq!(read_again(&apex(), &pairs), group);
}

/// The group that keys stand for.
fn read_again(apex: &OwnerName, pairs: &[Pair]) -> Group {
    let stored = pairs.iter().map(|pair| crate::client::Stored {
        key: pair.key.clone(),
        value: pair.value.clone().into_bytes(),
        revision: 1,
        lease: 0,
    });
    let wire = wire();
    let mut reader = crate::read::Reader::new(&wire, apex, &[], 0);
    reader.take(stored.collect());
    let (zone, _) = reader.finish();
    let standings: Vec<Standing> = zone.names.into_values().collect();
    let [standing] = &standings[..] else { panic!("{} names", standings.len()) };
    assert_eq!((&standing.ownership, &standing.legacy), (&Ownership::Ours, &None), "{standing:?}");
    standing.group.clone()
}

#[test]
fn what_is_written_is_read_as_what_it_was() {
    let mut count = 0;
    for seed in 0..40 {
        for wanted in random_zone(&apex(), seed, 60, |_| true).0.into_values() {
            let Ok(group) = wire().translate(&wanted) else { continue };
            assert_eq!(read_again(&apex(), &wire().pairs(&apex(), &group, Place::ORDINARY)), group);
            count += 1;
        }
    }
    assert!(count > 500, "{count}");
}

#[test]
fn texts_of_any_octets_are_as_coredns_answers_them() {
    let set = |octets: &[u8]| {
        let strings = octets.chunks(200).flat_map(|chunk| {
            let length = u8::try_from(chunk.len()).expect("a short chunk");
            [&[length], chunk].concat()
        });
        let mut wanted = wish(&apex(), "t 60 TXT x").expect("a wish");
        let data: Box<[u8]> = strings.collect();
        wanted.rrsets = vec![mcdns_core::dns::Rrset::new(RecordType::TXT, 60, vec![data])];
        wire().translate(&wanted)
    };
    for octets in [&b"plain"[..], b"a\\b\"c;", &[0xff, 0, 0x80], &[b'x'; 255], &[b'y'; 600]] {
        let group = set(octets).expect("a group");
        let [RecordSet { content: Content::Data(data), .. }] = group.sets() else { panic!("{group:?}") };
        assert_eq!(strings(data.first().expect("a text")), octets);
        assert_eq!(read_again(&apex(), &wire().pairs(&apex(), &group, Place::ORDINARY)), group);
    }
    assert!(set(b"").is_err());
    // The last octet of the first string would be half an escape.
    assert!(set(&[&[b'x'; 254][..], b"\\y"].concat()).is_err());
}

#[test]
fn what_coredns_cannot_be_told_is_refused() {
    let (mine, reverse) = (apex(), name("in-addr.arpa"));
    for (apex, lines) in [
        (&mine, &["*.a 60 A 192.0.2.1"][..]),
        (&mine, &["any.a 60 A 192.0.2.1"]),
        (&mine, &["=a 60 A 192.0.2.1"]),
        (&mine, &["a\\047b 60 A 192.0.2.1"]),
        (&mine, &["x.apex.dns 60 A 192.0.2.1"]),
        (&mine, &["ns.dns 60 A 192.0.2.1"]),
        (&mine, &["sub 60 NS ns.sub.example.org."]),
        (&mine, &["a 60 A 192.0.2.1", "a 60 MX 10 b.example.org."]),
        (&mine, &["a 60 TXT x", "a 60 SRV 0 0 1 b.example.org."]),
        (&mine, &["a 60 AAAA ::ffff:192.0.2.1"]),
        (&mine, &["a 60 MX 0 ."]),
        (&mine, &["a 60 CNAME 192.0.2.1."]),
        (&mine, &["a 60 PTR b.example.org."]),
        (&reverse, &["1 60 CNAME b.example.org."]),
        (&reverse, &["1 60 PTR a.example.org. / b.example.org."]),
    ] {
        let mut wanted = wish(apex, lines[0]).expect("a wish");
        for line in &lines[1..] {
            wanted.rrsets.extend(wish(apex, line).expect("a wish").rrsets);
        }
        assert!(wire().translate(&wanted).is_err(), "{lines:?}");
    }
    let both = written(&mine, &["@ 60 A 192.0.2.1", "@ 60 MX 10 b.example.org."]);
    assert_eq!(both.len(), 2, "at the apex they are not in each other's way: {both:?}");
}
