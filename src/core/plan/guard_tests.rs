//! Plans as history: what stands, what changes, what waits.

use rstest::rstest;

use super::*;
use crate::{
    dns::parse_rdata_text,
    plan::{Desired, PlanOptions, Standing, plan},
};

fn name(text: &str) -> OwnerName {
    OwnerName::parse(text).expect("a name")
}

/// `n0 A 10.0.0.1`, below example.com; `@` is the apex.
fn group(line: &str) -> Group {
    let mut words = line.splitn(3, ' ');
    let (owner, record_type, data) = (words.next(), words.next(), words.next());
    let owner = match owner.expect("an owner") {
        "@" => name("example.com"),
        label => name(&format!("{label}.example.com")),
    };
    let record_type: RecordType = record_type.expect("a type").parse().expect("a type");
    let data = data.expect("data").split(" / ");
    let data = data.map(|data| parse_rdata_text(record_type, data, &name("example.com")).expect("RDATA"));
    Group::new(owner, [RecordSet::data(record_type, 60, data)])
}

fn zone(lines: &[String]) -> CurrentZone {
    CurrentZone::new(lines.iter().map(|line| Standing::new(group(line), Ownership::Ours))).of(&name("example.com"))
}

fn addresses(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("n{index} A 10.0.0.{index}")).collect()
}

/// A zone with its guard, changed step by step.
struct Story {
    guard: Guard,
    current: CurrentZone,
    now: Timestamp,
}

impl Story {
    fn new(lines: &[String]) -> Self {
        Self { guard: Guard::default(), current: zone(lines), now: Timestamp(0) }
    }

    fn plan_by(&mut self, lines: &[String], cause: &dyn Fn(&OwnerName) -> String, zone_known: bool) -> Plan {
        let desired = lines.iter().map(|line| group(line));
        let desired = desired.map(|group| (group.owner().clone(), Desired::Group { group, reason: String::new() }));
        let plan = plan("p", &name("example.com"), &self.current, &desired.collect(), PlanOptions::default());
        let world = World { current: &self.current, cause, zone_known };
        let plan = self.guard.check(plan, world, self.now);
        for change in &plan.changes {
            match change.after() {
                Some(after) => {
                    let standing = Standing::new(after.clone(), Ownership::Ours);
                    self.current.names.insert(change.owner().clone(), standing);
                }
                None => {
                    self.current.names.remove(change.owner());
                }
            }
        }
        plan
    }

    fn step(&mut self, lines: &[String]) -> Plan {
        self.plan_by(lines, &|_| "member east".to_owned(), true)
    }

    fn held(&mut self, lines: &[String]) -> usize {
        self.step(lines).held.iter().map(|held| held.changes.len()).sum()
    }
}

/// octoDNS' rows, by what they mean here: changes of value are no loss, however many.
#[rstest]
#[case::nothing(0, 0, 0)]
#[case::small_zones_may_lose_all(9, 9, 0)]
#[case::three_of_ten(10, 3, 0)]
#[case::four_of_ten(10, 4, 4)]
#[case::all_of_ten(10, 10, 10)]
#[case::thirty_of_a_hundred(100, 30, 0)]
#[case::thirty_one_of_a_hundred(100, 31, 31)]
fn more_than_thirty_percent_of_ten_or_more_wait(#[case] names: usize, #[case] lost: usize, #[case] held: usize) {
    let lines = addresses(names);
    assert_eq!(Story::new(&lines).held(&lines[lost..]), held);
}

#[test]
fn other_addresses_and_new_names_are_no_loss() {
    let mut story = Story::new(&addresses(10));
    let other: Vec<String> = (0..20).map(|index| format!("n{index} A 10.9.9.{index}")).collect();
    let plan = story.step(&other);
    assert_eq!((plan.counts(), plan.held.len()), ((10, 10, 0), 0));
}

#[test]
fn a_climb_that_ends_in_an_address_is_no_loss_and_one_that_ends_nowhere_is() {
    let mut lines: Vec<String> = (0..9).map(|index| format!("n{index} A 10.0.0.{index}")).collect();
    lines.push("global A 10.1.1.1".to_owned());
    let climbs: Vec<String> = (0..9).map(|index| format!("n{index} CNAME global.example.com.")).collect();
    let with_global = [&climbs[..], &["global A 10.1.1.1".to_owned()]].concat();
    let mut story = Story::new(&lines);
    assert_eq!(story.held(&with_global), 0, "failover to the global level");
    assert_eq!(story.held(&climbs), 1, "the global level takes all others with it, and so it waits");
    let mut story = Story::new(&lines);
    assert_eq!(story.held(&climbs), 10, "nothing is left to climb to");
    let outside: Vec<String> = (0..10).map(|index| format!("n{index} CNAME lb.example.net.")).collect();
    assert_eq!(Story::new(&addresses(10)).held(&outside), 0, "what is outside is somebody else's to answer");
}

#[test]
fn losses_of_one_cause_add_up_for_ten_minutes() {
    let lines = addresses(10);
    let mut story = Story::new(&lines);
    assert_eq!(story.held(&lines[3..]), 0);
    story.now = Timestamp(599_000);
    assert_eq!(story.held(&lines[4..]), 1, "the fourth within ten minutes");
    story.now = Timestamp(600_001);
    assert_eq!(story.held(&lines[4..]), 0, "the first three are forgotten");
}

#[test]
fn what_came_back_was_not_lost() {
    let lines = addresses(10);
    let mut story = Story::new(&lines);
    assert_eq!(story.held(&lines[3..]), 0);
    assert_eq!(story.held(&lines), 0);
    assert_eq!(story.held(&lines[3..]), 0);
}

#[test]
fn causes_are_counted_apart() {
    let lines = addresses(10);
    let mut story = Story::new(&lines);
    let plan = story.plan_by(&lines[4..], &|owner| format!("{}", owner.to_string().as_bytes()[1] % 2), true);
    assert_eq!((plan.counts(), plan.held.len()), ((0, 0, 4), 0));
}

#[test]
fn the_rest_of_a_plan_goes_on() {
    let lines = addresses(10);
    let mut story = Story::new(&lines);
    let wanted = [&lines[5..], &["new A 10.7.7.7".to_owned()]].concat();
    let plan = story.step(&wanted);
    assert_eq!((plan.counts(), plan.held[0].changes.len()), ((1, 0, 0), 5));
}

#[test]
fn a_release_works_once_and_for_exactly_what_was_held() {
    let lines = addresses(20);
    let mut story = Story::new(&lines);
    let plan = story.step(&lines[7..]);
    let checksum = plan.held[0].checksum.clone();
    story.guard.release(&checksum);
    assert_eq!(story.held(&lines[8..]), 8, "more is lost than was released");
    let plan = story.step(&lines[7..]);
    assert_eq!((plan.counts(), plan.held.len()), ((0, 0, 7), 0));
    assert_eq!(story.held(&lines), 0, "all are back");
    story.guard.release(&checksum);
    assert_eq!(story.held(&lines[7..]), 7, "the checksum was used");
}

#[test]
fn a_source_that_does_not_know_the_zone_any_more_takes_nothing_away() {
    let mut story = Story::new(&addresses(2));
    let plan = story.plan_by(&[], &|_| String::new(), false);
    assert_eq!(plan.held[0].why, HeldWhy::TurnedEmpty { of: 2 });
    assert!(plan.changes.is_empty());
}

#[rstest]
#[case::name_server("@ NS ns1.example.com.", "@ NS ns2.example.com.", true)]
#[case::one_more_server("@ NS ns1.example.com.", "@ NS ns1.example.com. / ns2.example.com.", true)]
#[case::serial_alone(
    "@ SOA ns1.example.com. h.example.com. 1 2 3 4 5",
    "@ SOA ns1.example.com. h.example.com. 2 2 3 4 5",
    false
)]
#[case::contact(
    "@ SOA ns1.example.com. h.example.com. 1 2 3 4 5",
    "@ SOA ns1.example.com. x.example.com. 2 2 3 4 5",
    true
)]
#[case::delegation_below("sub NS ns1.example.com.", "sub NS ns2.example.com.", false)]
fn the_apex_keeps_its_authority(#[case] before: &str, #[case] after: &str, #[case] waits: bool) {
    let mut story = Story::new(&[before.to_owned()]);
    let plan = story.step(&[after.to_owned()]);
    assert_eq!(plan.held.iter().any(|held| held.why == HeldWhy::ApexChange), waits);
    assert_eq!(plan.changes.is_empty(), waits);
}
