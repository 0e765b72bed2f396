//! A zone as a federation of two regions makes it, and the questions that its users ask.

use std::{fmt::Write, net::Ipv4Addr};

use crate::random::Numbers;

/// Apex of the zone.
pub const APEX: &str = "example.com";
/// The one service of which every server must know the global name; it has four addresses.
pub const KNOWN_NAME: &str = "service-1.namespace-1.galactic.svc.example.com";
/// Questions in [`Services::questions`].
pub const QUESTIONS: usize = 200_000;

/// Namespaces that services are spread over.
const NAMESPACES: u32 = 200;
/// One service in so many has no targets in the second region, so that its levels there climb.
const ONE_IN_CLIMBS: u32 = 10;
/// Regions with their availability zones.
const REGIONS: [(&str, [&str; 2]); 2] =
    [("us-east-2", ["us-east-2a", "us-east-2b"]), ("ap-northeast-1", ["ap-northeast-1a", "ap-northeast-1c"])];

/// A zone and a mix of questions for it.
#[derive(Debug, Clone)]
pub struct Services {
    /// The master file (RFC 1035 section 5).
    pub master_file: String,
    /// One question a line, name and type, as dnsperf reads them: 60 in a hundred for the addresses of a global name,
    /// 15 of a region, 10 of an availability zone, 5 for IPv6 where there is none, and 10 for names that do not exist.
    pub questions: String,
}

/// The zone of `count` services: each has a name for the federation, two regions and four availability zones, which
/// makes 7 names; a tenth of them is without targets in one region and climbs there by CNAME.
///
/// There are no questions when there are no services.
pub fn services(count: u32) -> Services {
    let mut zone = Zone::new();
    for number in 0..count {
        zone.add(number);
    }
    Services { questions: zone.questions(), master_file: zone.master_file }
}

/// The zone as it grows.
struct Zone {
    master_file: String,
    global: Vec<String>,
    regional: Vec<String>,
    zonal: Vec<String>,
}

impl Zone {
    fn new() -> Self {
        let master_file = format!(
            "$ORIGIN {APEX}.\n$TTL 180\n\
             @ 3600 IN SOA ns1 hostmaster 1 3600 600 604800 30\n\
             @ 3600 IN NS ns1\n@ 3600 IN NS ns2\n\
             ns1 3600 IN A 192.0.2.1\nns2 3600 IN A 192.0.2.2\n"
        );
        Self { master_file, global: Vec::new(), regional: Vec::new(), zonal: Vec::new() }
    }

    fn add(&mut self, number: u32) {
        let global = format!("service-{number}.namespace-{}.galactic.svc", number % NAMESPACES);
        let mut addresses = Vec::new();
        for (index, (region, availability_zones)) in (0..).zip(REGIONS) {
            let regional = format!("{global}.{region}");
            let climbs = index == 1 && number.is_multiple_of(ONE_IN_CLIMBS);
            if climbs {
                self.line(&regional, "CNAME", &global);
            }
            for (place, availability_zone) in (0..).zip(availability_zones) {
                let zonal = format!("{global}.{availability_zone}.{region}");
                if climbs {
                    self.line(&zonal, "CNAME", &regional);
                } else {
                    let address = address(index * 2 + place, number);
                    self.line(&zonal, "A", &address);
                    self.line(&regional, "A", &address);
                    addresses.push(address);
                }
                self.zonal.push(zonal);
            }
            self.regional.push(regional);
        }
        for address in addresses {
            self.line(&global, "A", &address);
        }
        self.global.push(global);
    }

    fn line(&mut self, owner: &str, record_type: &str, data: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.master_file, "{owner} {record_type} {data}");
    }

    fn questions(&self) -> String {
        let mut text = String::new();
        if self.global.is_empty() {
            return text;
        }
        let mut numbers = Numbers::from_seed(7_492_519);
        for _ in 0..QUESTIONS {
            let of_a_hundred = numbers.below(100);
            let (names, record_type) = match of_a_hundred {
                0..60 => (&self.global, "A"),
                60..75 => (&self.regional, "A"),
                75..85 => (&self.zonal, "A"),
                85..90 => (&self.global, "AAAA"),
                _ => {
                    let (name, namespace) = (numbers.below(1_000_000), numbers.below(NAMESPACES as usize));
                    let _ = writeln!(text, "nothing-{name}.namespace-{namespace}.galactic.svc.{APEX} A");
                    continue;
                }
            };
            let _ = writeln!(text, "{}.{APEX} {record_type}", names[numbers.below(names.len())]);
        }
        text
    }
}

/// The load balancer of a service in the availability zone of that number.
fn address(availability_zone: u32, service: u32) -> String {
    Ipv4Addr::from_bits((10 << 24) + (availability_zone << 16) + (service & 0xFFFF)).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use mcdns_core::dns::OwnerName;

    use super::*;

    #[test]
    fn a_service_has_seven_names_and_the_tenth_part_climbs() {
        let zone = services(20).master_file;
        let owners: BTreeSet<&str> = zone.lines().skip(7).filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(owners.len(), 20 * 7);
        assert_eq!(zone.matches(" CNAME ").count(), 2 * 3);
        assert_eq!(zone.matches(" A 10.").count(), 18 * 12 + 2 * 6);
    }

    #[test]
    fn the_known_name_is_in_the_zone() {
        let zone = services(2).master_file;
        let relative = KNOWN_NAME.strip_suffix(".example.com").expect("it is below the apex");
        assert_eq!(zone.lines().filter(|line| line.starts_with(&format!("{relative} A "))).count(), 4);
    }

    #[test]
    fn the_mix_of_questions_is_as_described_and_the_same_each_time() {
        let questions = services(50).questions;
        assert_eq!(questions, services(50).questions);
        assert_eq!(questions.lines().count(), QUESTIONS);
        let share = |part: &str| questions.lines().filter(|line| line.contains(part)).count() * 1000 / QUESTIONS;
        assert!((95..105).contains(&share("nothing-")), "{}", share("nothing-"));
        assert!((45..55).contains(&share(" AAAA")), "{}", share(" AAAA"));
        for line in questions.lines().take(1000) {
            let name = line.split(' ').next().unwrap_or_default();
            OwnerName::parse(name).expect("every question is about a name");
        }
    }

    #[test]
    fn without_services_there_is_a_zone_and_nothing_to_ask() {
        let empty = services(0);
        assert!(empty.questions.is_empty() && empty.master_file.contains("SOA"));
    }
}
