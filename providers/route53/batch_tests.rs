use mcdns_core::plan::Mark;

use super::*;

const LIMITS: Limits = Limits { records: 1000, characters: 32_000 };

fn name(text: &str) -> OwnerName {
    OwnerName::parse(text).expect("a name")
}

fn registry() -> TxtRegistry {
    TxtRegistry::new("prod".parse().expect("a manager"))
}

fn group(owner: &str, addresses: &[u8]) -> Group {
    let data = addresses.iter().map(|last| Box::from([192, 0, 2, *last]));
    let set = RecordSet::data(mcdns_core::dns::RecordType::A, 60, data);
    Group::new(name(owner), [set])
}

fn standing(group: Group) -> Standing {
    let marks = registry().marks(&name("example.com"), &group).expect("marks");
    Standing { marks, ..Standing::new(group, Ownership::Ours) }
}

fn part(change: &Change, limits: Limits) -> Result<Part, String> {
    let spelled = Spelled::new();
    Part::new(&registry(), &name("example.com"), change, &Known { spelled: &spelled, others: &[] }, limits)
}

/// `DELETE A www.example.com. 192.0.2.1`.
fn lines(part: &Part) -> Vec<String> {
    let line = |change: &RawChange| {
        let set = change.resource_record_set.as_ref().expect("a set");
        let values: Vec<&str> = set.resource_records().iter().map(|record| record.value.as_str()).collect();
        format!("{} {} {} {}", change.action.as_str(), set.r#type.as_str(), set.name, values.join(" "))
    };
    part.changes.iter().map(line).collect()
}

#[test]
fn a_new_name_is_created_with_its_mark() {
    let change = Change::Create { after: group("www.example.com", &[1]), reason: String::new() };
    let part = part(&change, LIMITS).expect("a part");
    assert_eq!(
        lines(&part),
        [
            "CREATE TXT _owner-a.www.example.com. \"heritage=external-dns,external-dns/owner=prod\"",
            "CREATE A www.example.com. 192.0.2.1",
        ]
    );
    assert_eq!(part.size, Size { records: 2, characters: 47 + 9 });
    let after = part.after.expect("something");
    assert_eq!((after.ownership.clone(), after.marks.len()), (Ownership::Ours, 1));
}

#[test]
fn a_replacement_deletes_what_was_read_and_leaves_its_mark() {
    let before = standing(group("www.example.com", &[1, 2]));
    let change = Change::Replace { before, after: group("www.example.com", &[2, 3]), reason: String::new() };
    let part = part(&change, LIMITS).expect("a part");
    let expected = ["DELETE A www.example.com. 192.0.2.1 192.0.2.2", "CREATE A www.example.com. 192.0.2.2 192.0.2.3"];
    assert_eq!(lines(&part), expected);
    assert_eq!(part.after.map(|after| after.marks.len()), Some(1));
}

#[test]
fn a_deletion_takes_the_mark_and_leaves_what_others_have() {
    let mut before = standing(group("www.example.com", &[1]));
    let theirs = RecordSet::data(mcdns_core::dns::RecordType::TXT, 60, [Box::from(*b"\x01x")]);
    before.beside.push(mcdns_core::plan::Beside { set: theirs.clone(), ownership: Ownership::Unowned });
    let part = part(&Change::Delete { before, reason: String::new() }, LIMITS).expect("a part");
    assert_eq!(
        lines(&part),
        [
            "DELETE TXT _owner-a.www.example.com. \"heritage=external-dns,external-dns/owner=prod\"",
            "DELETE A www.example.com. 192.0.2.1",
        ]
    );
    let after = part.after.expect("theirs");
    assert_eq!((after.group.sets(), after.ownership), (&[theirs][..], Ownership::Unowned));
}

#[test]
fn a_mark_of_an_older_form_is_deleted_as_it_stands() {
    let group = group("www.example.com", &[1]);
    let text = b"heritage=external-dns,external-dns/owner=prod,external-dns/resource=crd/dns/web";
    let data: Box<[u8]> = std::iter::once(u8::try_from(text.len()).expect("short")).chain(*text).collect();
    let old = RecordSet::data(mcdns_core::dns::RecordType::TXT, 300, [data]);
    let mut before = Standing::new(group.clone(), Ownership::Ours);
    before.marks = vec![Mark { owner: name("a-www.example.com"), set: old }];
    let change = Change::Replace { before, after: group, reason: String::new() };
    let lines = lines(&part(&change, LIMITS).expect("a part"));
    assert_eq!(
        lines,
        [
            "DELETE TXT a-www.example.com. \"heritage=external-dns,external-dns/owner=prod,external-dns/resource=crd/dns/web\"",
            "CREATE TXT _owner-a.www.example.com. \"heritage=external-dns,external-dns/owner=prod\"",
        ],
        "the record itself is not touched"
    );
}

#[test]
fn what_is_too_much_as_a_whole_is_reduced_to_what_differs() {
    let aaaa = RecordSet::data(mcdns_core::dns::RecordType::AAAA, 60, [Box::from([1; 16])]);
    let with = |addresses: &[u8]| {
        let group = group("www.example.com", addresses);
        Group::new(group.owner().clone(), group.sets().iter().cloned().chain([aaaa.clone()]))
    };
    let change = Change::Replace { before: standing(with(&[1])), after: with(&[2]), reason: String::new() };
    assert_eq!(part(&change, LIMITS).expect("a part").changes.len(), 4);
    let small = Limits { records: 2, ..LIMITS };
    assert_eq!(
        lines(&part(&change, small).expect("a part")),
        ["DELETE A www.example.com. 192.0.2.1", "CREATE A www.example.com. 192.0.2.2"]
    );
    let why = part(&change, Limits { records: 1, ..LIMITS }).map(|part| part.size).expect_err("too much");
    assert!(why.contains("more than one request may have"), "{why}");
}

#[test]
fn a_deletion_says_what_stands_there_in_its_own_spelling() {
    let set = RecordSet::data(mcdns_core::dns::RecordType::CNAME, 60, [name("other.example.net").as_wire().into()]);
    let mut raw = encode(&name("c.example.com"), &set).expect("a set");
    raw.resource_records.as_mut().expect("records")[0].value = "Other.Example.NET".to_owned();
    let spelled = Spelled::from([((name("c.example.com"), set.clone()), raw)]);
    let before = standing(Group::new(name("c.example.com"), [set]));
    let known = Known { spelled: &spelled, others: &[] };
    let change = Change::Delete { before, reason: String::new() };
    let part = Part::new(&registry(), &name("example.com"), &change, &known, LIMITS).expect("a part");
    assert_eq!(lines(&part)[1], "DELETE CNAME c.example.com. Other.Example.NET");
}

fn sized(owner: &str, records: usize, characters: usize) -> Part {
    Part {
        owner: name(owner),
        changes: Vec::new(),
        places: Vec::new(),
        after: None,
        size: Size { records, characters },
    }
}

#[test]
fn requests_are_filled_to_the_limits_and_no_part_is_split() {
    // Two records and some 60 characters each, as most names have: 500 in a request.
    let parts: Vec<Part> = (0..10_000).map(|index| sized(&format!("n{index}.example.com"), 2, 60)).collect();
    assert_eq!(pack(parts, LIMITS).len(), 20);
    // By characters: 32,000 / 100 = 320.
    let parts: Vec<Part> = (0..10_000).map(|index| sized(&format!("n{index}.example.com"), 2, 100)).collect();
    assert_eq!(pack(parts, LIMITS).len(), 32);
}

#[test]
fn parts_of_all_sizes_need_hardly_more_than_the_least_number_of_requests() {
    let mut seed = 7u64;
    let mut chance = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((seed >> 33) % below).expect("small")
    };
    let parts: Vec<Part> =
        (0..10_000).map(|index| sized(&format!("n{index}.example.com"), 2 + chance(40), 60 + chance(900))).collect();
    let whole: Size = parts.iter().map(|part| part.size).sum();
    let least = whole.records.div_ceil(LIMITS.records).max(whole.characters.div_ceil(LIMITS.characters));
    let requests = pack(parts, LIMITS);
    assert!(requests.iter().all(|parts| parts.iter().map(|part| part.size).sum::<Size>().fits(LIMITS)));
    assert!(requests.len() * 100 <= least * 105, "{} requests, {least} at least", requests.len());
    assert_eq!(requests.iter().map(Vec::len).sum::<usize>(), 10_000);
}

#[test]
fn a_request_deletes_before_it_creates() {
    let replace = Change::Replace {
        before: standing(group("a.example.com", &[1])),
        after: group("a.example.com", &[2]),
        reason: String::new(),
    };
    let delete = Change::Delete { before: standing(group("b.example.com", &[1])), reason: String::new() };
    let parts = [part(&replace, LIMITS).expect("a part"), part(&delete, LIMITS).expect("a part")];
    let actions: Vec<ChangeAction> = changes(&parts).into_iter().map(|change| change.action).collect();
    assert_eq!(actions, [ChangeAction::Delete, ChangeAction::Delete, ChangeAction::Delete, ChangeAction::Create]);
}
