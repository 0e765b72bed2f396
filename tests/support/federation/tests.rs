//! The federation holds what its shape says, in both forms.

use std::collections::{BTreeMap, BTreeSet};

use mcdns_core::{
    model::{Fact, Kind},
    records::{Engine, Options},
};
use serde_json::Value;

use super::*;

/// Small, but with every part: more records than a file holds, and clusters that are in several availability zones.
const SMALL: Shape =
    Shape { clusters: 12, regions: 4, availability_zones: 3, records: 1200, clusters_per_record: 3, endpoints: 7777 };

fn small() -> Federation {
    Federation::new(SMALL).expect("the shape is possible")
}

#[test]
fn the_objects_are_as_many_as_the_shape_says() {
    let mut count: BTreeMap<Kind, usize> = BTreeMap::new();
    let mut addresses = BTreeSet::new();
    let mut keys = BTreeSet::new();
    for observation in small().observations() {
        *count.entry(observation.key.kind).or_default() += 1;
        assert!(keys.insert(observation.key.clone()), "{:?} is there twice", observation.key);
        let object = observation.object.expect("everything is there");
        assert!(object.fact.fits(observation.key.kind));
        if let Fact::Endpoints(fact) = &object.fact {
            addresses.extend(fact.endpoints.iter().filter(|endpoint| endpoint.ready).filter_map(|one| one.address));
        }
    }
    assert_eq!(addresses.len(), 7777);
    let expected = [
        (Kind::Domain, 1),
        (Kind::Cluster, 12),
        (Kind::ServiceRecord, 1200),
        (Kind::Member, 12),
        (Kind::Service, 3600),
        (Kind::EndpointSlice, 3600),
    ];
    assert_eq!(count, BTreeMap::from(expected));
}

#[test]
fn a_record_has_a_name_for_each_of_its_regions_and_availability_zones() {
    let federation = small();
    let mut engine = Engine::new(Options::default());
    let observations: Vec<_> = federation.observations().collect();
    assert_eq!(engine.observe(&observations, None).refused, []);
    let name = federation.global_name(7).parse().expect("it is a name");
    let zone = engine.snapshot().zone(&APEX.parse().expect("the apex is a name")).expect("the zone is served");
    let with_addresses = zone
        .entries()
        .filter(|(owner, entry)| owner.to_string().starts_with("service-00007.") && !entry.rrsets.is_empty())
        .count();
    assert_eq!(with_addresses, 1 + 3 + 3);
    assert_eq!(zone.entry(&name).map(|entry| entry.rrsets.len()), Some(1));
    assert_eq!(federation.addresses(7).len(), 3);
}

#[test]
fn the_last_endpoint_that_goes_is_a_change_that_answers_show() {
    let federation = small();
    let mut engine = Engine::new(Options::default());
    let observations: Vec<_> = federation.observations().collect();
    assert_eq!(engine.observe(&observations, None).refused, []);
    let one_left = engine.observe(&[federation.slice(3, 1, 1)], None);
    assert!(one_left.patch.is_empty(), "one ready endpoint is enough");
    let none_left = engine.observe(&[federation.slice(3, 1, 0)], None);
    assert!(!none_left.patch.is_empty(), "a cluster without ready endpoints has no targets");
}

#[test]
fn files_hold_the_objects_that_are_observed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let federation = small();
    let octets = federation.write(folder.path()).expect("it is written");
    let mut found = BTreeSet::new();
    let mut read = 0;
    let mut folders = vec![folder.path().to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a file");
            read += text.len() as u64;
            let list: Value = serde_json::from_str(&text).expect("JSON");
            for item in list["items"].as_array().expect("a List") {
                let relative = path.strip_prefix(folder.path()).expect("it is inside");
                let place = if relative.starts_with("host") {
                    String::new()
                } else {
                    relative.iter().nth(1).expect("a member").to_string_lossy().into_owned()
                };
                let of = |field: &str| item["metadata"][field].as_str().unwrap_or_default().to_owned();
                let kind = item["kind"].as_str().unwrap_or_default().to_owned();
                found.insert((place, kind, of("namespace"), of("name")));
            }
        }
    }
    assert_eq!(read, octets);
    let observed: BTreeSet<_> = federation
        .observations()
        .filter(|observation| observation.key.kind != Kind::Member)
        .map(|observation| {
            let place = match &observation.key.scope {
                mcdns_core::model::Scope::Member(cluster) => cluster.to_string(),
                _ => String::new(),
            };
            let key = &observation.key;
            (place, key.kind.as_str().to_owned(), key.namespace.to_string(), key.name.to_string())
        })
        .collect();
    assert_eq!(found, observed);
}

#[test]
fn a_shape_that_is_impossible_is_refused_with_the_number() {
    let error = Federation::new(Shape { clusters_per_record: 13, ..SMALL }).expect_err("there are 12 clusters");
    assert_eq!(error.to_string(), "`clusters_per_record` is 13; at most 12 can be told apart");
    let error = Federation::new(Shape { regions: 0, ..SMALL }).expect_err("there must be a region");
    assert_eq!(error.to_string(), "`regions` is 0; a federation has at least one");
}

#[test]
fn the_large_shape_is_possible_and_its_tenth_too() {
    for shape in [Shape::LARGE, Shape::LARGE.tenth()] {
        let federation = Federation::new(shape).expect("the shape is possible");
        let regions: BTreeSet<_> = federation.shards(1234).map(|shard| shard.cluster.region.clone()).collect();
        assert_eq!(regions.len(), 4, "the clusters of a record are in different regions");
    }
}
