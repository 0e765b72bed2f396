use std::sync::Arc;

use mcdns_core::{dns::parse_rdata_text, model::ClusterName, plan::ClusterTarget};
use serde_json::{Value, json};

use super::*;

const LIMITS: Limits = Limits { records: 1000, characters: 32_000 };
const OHIO: &str = "shop-1.us-east-2.elb.amazonaws.com";
const TOKYO: &str = "shop-2.elb.ap-northeast-1.amazonaws.com";

/// A name with these targets (`cluster target addresses`) and what else stands there.
fn wanted(owner: &str, targets: &[(&str, &str, &[&str])], more: &[(&str, &str)]) -> WantedName {
    let name = |text| OwnerName::parse(text).expect("a name");
    let targets: Vec<ClusterTarget> = targets
        .iter()
        .map(|(cluster, target, addresses)| ClusterTarget {
            cluster: ClusterName::from(*cluster),
            target: match target.parse() {
                Ok(address) => Target::Address(address),
                Err(_) => Target::HostName(Arc::from(*target)),
            },
            addresses: addresses.iter().map(|text| text.parse().expect("an address")).collect(),
        })
        .collect();
    let of = |v4: bool| {
        let all: BTreeSet<IpAddr> = targets.iter().flat_map(|one| one.addresses.iter().copied()).collect();
        all.into_iter().filter(move |address| address.is_ipv4() == v4).map(|address| match address {
            IpAddr::V4(address) => Box::from(address.octets()),
            IpAddr::V6(address) => Box::from(address.octets()),
        })
    };
    let rrset = |record_type, v4| Rrset::new(record_type, 60, of(v4).collect());
    let mut rrsets = vec![rrset(RecordType::A, true), rrset(RecordType::AAAA, false)];
    rrsets.retain(|rrset| !rrset.data().is_empty());
    for (kind, text) in more {
        let record_type: RecordType = kind.parse().expect("a type");
        let data = parse_rdata_text(record_type, text, &OwnerName::root()).expect("data");
        rrsets.push(Rrset::new(record_type, 60, vec![data]));
    }
    WantedName {
        owner: name(owner),
        apex: name("example.com"),
        rrsets,
        targets,
        ttl: 60,
        record: None,
        reason: String::new(),
        unsettled: None,
    }
}

/// `A [identifier] weight value`, sorted.
fn translated(section: &Value, wanted: &WantedName) -> Result<Vec<String>, String> {
    let settings = Settings::read(section).expect("settings");
    let registry = TxtRegistry::new("prod".parse().expect("a manager"));
    let group = group(&settings, &registry, wanted, LIMITS).map_err(|why| why.0)?;
    let line = |set: &RecordSet| {
        let identifier = set.identifier.as_ref().map_or(String::new(), |identifier| {
            format!(" [{identifier}] {}", set.properties.get(WEIGHT).map_or("-", String::as_str))
        });
        let check = set.properties.get(HEALTH_CHECK).map_or(String::new(), |check| format!(" checked by {check}"));
        format!("{}{identifier} {}{check}", set.record_type, set.values().join(" "))
    };
    Ok(group.sets().iter().map(line).collect())
}

#[test]
fn one_host_name_of_aws_is_an_alias_of_both_families() {
    let lines = translated(&json!({}), &wanted("web.example.com", &[("c1", OHIO, &["192.0.2.1"])], &[]));
    let alias = format!("ALIAS {OHIO}.");
    assert_eq!(lines, Ok(vec![format!("A {alias}"), format!("AAAA {alias}")]));
}

#[test]
fn an_alias_has_the_zone_of_its_load_balancer_and_follows_its_health() {
    let registry = TxtRegistry::new("prod".parse().expect("a manager"));
    for (section, host, zone, evaluate) in [
        (json!({}), OHIO, "Z3AADJGX6KTTL2", "true"),
        (json!({"evaluateTargetHealth": false}), TOKYO, "Z31USIVHYNEOWT", "false"),
        (json!({}), "d1.cloudfront.net", "Z2FDTNDATAQYW2", "false"),
        (json!({"aliasZones": {"elb.mars-1.amazonaws.com": "ZMARS"}}), "x.elb.mars-1.amazonaws.com", "ZMARS", "true"),
    ] {
        let settings = Settings::read(&section).expect("settings");
        let wanted = wanted("web.example.com", &[("c1", host, &["192.0.2.1"])], &[]);
        let group = group(&settings, &registry, &wanted, LIMITS).expect("a group");
        for set in group.sets() {
            assert_eq!((set.ttl, set.identifier.as_ref()), (None, None));
            assert_eq!(set.properties[TARGET_ZONE], zone);
            assert_eq!(set.properties[EVALUATE], evaluate, "{host}");
        }
    }
}

#[test]
fn several_host_names_are_sets_with_the_same_share_for_each_cluster() {
    let targets: [(&str, &str, &[&str]); 3] = [
        ("ohio", OHIO, &["192.0.2.1"]),
        ("tokyo", TOKYO, &["192.0.2.2"]),
        ("tokyo", "shop-3.elb.ap-northeast-1.amazonaws.com", &["192.0.2.3"]),
    ];
    let section = json!({"healthChecks": {"ohio": "b6c1"}});
    let lines = translated(&section, &wanted("web.example.com", &targets, &[])).expect("a group");
    let expected: Vec<String> = ["A", "AAAA"]
        .iter()
        .flat_map(|kind| {
            [
                format!("{kind} [ohio] 120 ALIAS {OHIO}. checked by b6c1"),
                format!("{kind} [tokyo/shop-2.elb.ap-northeast-1.amazonaws.com] 60 ALIAS {TOKYO}."),
                format!(
                    "{kind} [tokyo/shop-3.elb.ap-northeast-1.amazonaws.com] 60 ALIAS \
                     shop-3.elb.ap-northeast-1.amazonaws.com."
                ),
            ]
        })
        .collect();
    assert_eq!(lines, expected);
}

#[test]
fn two_clusters_with_one_load_balancer_are_one_alias() {
    let targets: [(&str, &str, &[&str]); 2] = [("a", OHIO, &["192.0.2.1"]), ("b", OHIO, &["192.0.2.1"])];
    assert_eq!(translated(&json!({}), &wanted("web.example.com", &targets, &[])).map(|lines| lines.len()), Ok(2));
}

#[test]
fn host_names_beside_addresses_are_resolved() {
    let targets: [(&str, &str, &[&str]); 2] =
        [("aws", OHIO, &["192.0.2.1", "2001:db8::1"]), ("metal", "198.51.100.7", &["198.51.100.7"])];
    let lines = translated(&json!({}), &wanted("web.example.com", &targets, &[]));
    assert_eq!(lines, Ok(vec!["A 192.0.2.1 198.51.100.7".to_owned(), "AAAA 2001:db8::1".to_owned()]));
    let targets: [(&str, &str, &[&str]); 2] =
        [("aws", OHIO, &["192.0.2.1"]), ("other", "lb.example.net", &["192.0.2.2"])];
    let lines = translated(&json!({}), &wanted("web.example.com", &targets, &[]));
    assert_eq!(lines, Ok(vec!["A 192.0.2.1 192.0.2.2".to_owned()]));
}

#[test]
fn an_address_of_no_target_is_not_lost() {
    let mut wanted = wanted("web.example.com", &[("c1", OHIO, &["192.0.2.1"])], &[]);
    wanted.rrsets[0] = Rrset::new(RecordType::A, 60, vec![[192, 0, 2, 1].into(), [192, 0, 2, 9].into()]);
    assert_eq!(translated(&json!({}), &wanted), Ok(vec!["A 192.0.2.1 192.0.2.9".to_owned()]));
}

#[test]
fn other_types_stay_beside_an_alias() {
    let more = [("TXT", "\"hello\""), ("MX", "10 mail.example.net.")];
    let lines =
        translated(&json!({}), &wanted("example.com", &[("c1", OHIO, &["192.0.2.1"])], &more)).expect("a group");
    assert_eq!(lines.len(), 4);
    assert!(lines.contains(&"MX 10 mail.example.net.".to_owned()), "{lines:?}");
}

#[test]
fn a_preferred_cname_is_one_where_it_can_be() {
    let section = json!({"preferCname": true});
    let one: [(&str, &str, &[&str]); 1] = [("c1", OHIO, &["192.0.2.1"])];
    let cname = Ok(vec![format!("CNAME {OHIO}.")]);
    let resolved = Ok(vec!["A 192.0.2.1".to_owned()]);
    assert_eq!(translated(&section, &wanted("web.example.com", &one, &[])), cname);
    assert_eq!(translated(&section, &wanted("example.com", &one, &[])), resolved, "not at the apex");
    let beside = translated(&section, &wanted("web.example.com", &one, &[("TXT", "x")])).expect("a group");
    assert_eq!(beside[0], "A 192.0.2.1", "not beside others");
}

#[test]
fn a_cname_to_a_load_balancer_is_an_alias_and_others_stay() {
    let to = |host: &str| wanted("web.example.com", &[], &[("CNAME", host)]);
    let alias = format!("ALIAS {OHIO}.");
    assert_eq!(
        translated(&json!({}), &to(&format!("{OHIO}."))),
        Ok(vec![format!("A {alias}"), format!("AAAA {alias}")])
    );
    let plain = Ok(vec!["CNAME foo.example.org.".to_owned()]);
    assert_eq!(translated(&json!({}), &to("foo.example.org.")), plain);
    let section = json!({"preferCname": true});
    assert_eq!(translated(&section, &to(&format!("{OHIO}."))), Ok(vec![format!("CNAME {OHIO}.")]));
}

#[test]
fn a_cname_at_the_apex_is_an_alias_or_nothing() {
    let to = |host: &str| wanted("example.com", &[], &[("CNAME", host)]);
    assert!(translated(&json!({}), &to(&format!("{OHIO}."))).is_ok());
    let why = translated(&json!({}), &to("foo.example.org.")).expect_err("no CNAME at the apex");
    assert_eq!(why, "Route 53 has no CNAME at the apex of a zone");
}

#[test]
fn more_sets_than_are_possible_are_resolved() {
    let hosts: Vec<String> = (0..=MAX_SETS).map(|index| format!("lb-{index}.us-east-2.elb.amazonaws.com")).collect();
    let clusters: Vec<String> = (0..=MAX_SETS).map(|index| format!("c{index}")).collect();
    let targets: Vec<(&str, &str, &[&str])> = clusters
        .iter()
        .zip(&hosts)
        .map(|(cluster, host)| (cluster.as_str(), host.as_str(), &["192.0.2.1"][..]))
        .collect();
    assert_eq!(
        translated(&json!({}), &wanted("web.example.com", &targets[..MAX_SETS], &[])).map(|all| all.len()),
        Ok(200)
    );
    let lines = translated(&json!({}), &wanted("web.example.com", &targets, &[]));
    assert_eq!(lines, Ok(vec!["A 192.0.2.1".to_owned()]));
}

#[test]
fn what_the_service_cannot_hold_is_told() {
    let many: Vec<String> = (0..401).map(|index| format!("10.0.{}.{}", index / 250, index % 250)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let why = translated(&json!({}), &wanted("web.example.com", &[("c1", "lb.example.net", &many)], &[]));
    assert_eq!(why, Err("it has 401 records of type A, and 400 are possible".to_owned()));
    let long = format!("\"{}\" ", "x".repeat(255)).repeat(16);
    let why = translated(&json!({}), &wanted("t.example.com", &[], &[("TXT", long.trim())]));
    assert_eq!(why, Err("a value has 4127 characters, and 4000 are possible".to_owned()));
    let why = translated(&json!({}), &wanted("c.example.com", &[], &[("CAA", "0 issue \"ca.example.net\"")]));
    assert!(why.is_err_and(|why| why.contains("no ownership records")));
}
