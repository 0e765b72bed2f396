//! Records that the real external-dns made in a Route 53: mcdns adopts them where it is told to, and then neither changes
//! what the other one made.

use std::{
    io::Write as _,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use mcdns_core::{
    dns::OwnerName,
    model::Timestamp,
    plan::{GuardOptions, ManagerId, PlanOptions, SkipReason},
};
use mcdns_publish::{PublishedZone, Scope, battery::Wishes};
use serde_json::{Value, json};
use support::{
    external_dns::{self, Connector, Endpoint, Finished},
    route53::{RecordSet, Route53},
};
use tempfile::NamedTempFile;
use tokio::sync::watch;

const APEX: &str = "example.com";
/// A load balancer, which both of them make ALIAS records of.
const BALANCER: &str = "shop-1.us-east-2.elb.amazonaws.com";

/// What external-dns publishes without set identifiers.
fn plain() -> Vec<Endpoint> {
    let lines = [
        "www.example.com 60 A 192.0.2.1 192.0.2.2",
        "www.example.com 60 AAAA 2001:DB8:0::1",
        "alias.example.com 120 CNAME other.example.net",
        "*.wild.example.com - A 192.0.2.3",
        "example.com - A 192.0.2.4",
        "deep.below.www.example.com 30 A 192.0.2.5",
        &format!("lb.example.com - CNAME {BALANCER}"),
    ];
    lines.iter().map(|line| Endpoint::parse(line)).collect()
}

/// All that external-dns publishes.
fn theirs() -> Vec<Endpoint> {
    let weighted = |cluster: &str, address: &str| {
        let endpoint = Endpoint::parse(&format!("weighted.example.com 60 A {address}"));
        endpoint.one_of(cluster, "aws/weight", "10")
    };
    [plain(), vec![weighted("c1", "192.0.2.6"), weighted("c2", "192.0.2.7")]].concat()
}

/// The same names as mcdns wants them: other addresses, and other types.
const OURS: [&str; 8] = [
    "@ 60 A 198.51.100.4",
    "www 60 A 198.51.100.1 / 198.51.100.2",
    "www 60 AAAA 2001:db8::99",
    "alias 60 A 198.51.100.5",
    "*.wild 60 A 198.51.100.3",
    "deep.below.www 60 CNAME www.example.com.",
    "lb 60 A 198.51.100.6",
    "weighted 60 A 198.51.100.7",
];

/// How external-dns names its ownership records, and how mcdns is told of it.
struct Naming {
    arguments: &'static [&'static str],
    ownership: Value,
    /// Whether the mark of the apex is in the zone. Where it is not, external-dns writes none, and nobody owns the apex.
    marks_apex: bool,
}

/// A service with a zone, and both writers.
struct Place {
    service: Route53,
    zone: String,
    credentials: NamedTempFile,
}

/// mcdns' part.
struct Mcdns {
    zone: PublishedZone,
    wishes: Wishes,
    _leading: watch::Sender<bool>,
}

impl Place {
    fn new() -> Self {
        let service = Route53::start();
        let zone = service.create_zone(APEX, false, &[]);
        let mut credentials = NamedTempFile::new().expect("a file");
        credentials
            .write_all(b"[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = secret\n")
            .expect("room for it");
        Self { service, zone, credentials }
    }

    /// One run of external-dns.
    fn external_dns(&self, endpoints: &[Endpoint], arguments: &[&str]) -> Finished {
        let mut command = Connector::start(endpoints).command();
        external_dns::with_route53(&mut command, &self.service.endpoint());
        command.args(["--registry=txt", "--domain-filter=example.com"]).args(arguments);
        external_dns::finish(&mut command)
    }

    /// A run that must find nothing to change, and changes nothing.
    #[track_caller]
    fn leaves_alone(&self, endpoints: &[Endpoint], arguments: &[&str]) {
        let (before, batches) = (self.records(), self.service.batches(&self.zone).len());
        let run = self.external_dns(endpoints, arguments).well();
        assert_eq!(self.records(), before, "{}", run.log);
        assert_eq!(self.service.batches(&self.zone).len(), batches, "{}", run.log);
    }

    fn mcdns(&self, ownership: &Value, wishes: &[&str], adopt: bool) -> Mcdns {
        let section = json!({
            "endpoint": self.service.endpoint(),
            "region": "us-east-1",
            "credentialsFile": self.credentials.path(),
            "requestsPerSecond": 100_000,
            "ownership": ownership,
        });
        let (apex, manager): (OwnerName, ManagerId) =
            (APEX.parse().expect("a name"), "prod".parse().expect("a manager"));
        let publisher = mcdns_route53::publisher("aws", std::slice::from_ref(&apex), &manager, &section);
        let publisher = publisher.expect("a publisher");
        let (leading, leads) = watch::channel(true);
        // Most names of a small zone change their type; whether that would be held is not the matter here.
        let guard = GuardOptions { percent: 100, ..GuardOptions::default() };
        let options = PlanOptions { adopt, ..PlanOptions::default() };
        let wishes = Wishes::of(&apex, wishes).expect("wishes");
        let zone = PublishedZone::new(publisher, manager, apex, options, guard, Arc::new(leads));
        Mcdns { zone, wishes, _leading: leading }
    }

    /// `www.example.com. A 60 192.0.2.1`, SOA and NS of the apex left out.
    fn records(&self) -> Vec<String> {
        let own = |set: &RecordSet| set.name == "example.com." && ["SOA", "NS"].contains(&&*set.kind);
        self.service.records(&self.zone).iter().filter(|set| !own(set)).map(line).collect()
    }

    /// Records that are no marks of ownership.
    fn data(&self) -> Vec<String> {
        self.records().into_iter().filter(|line| !line.contains("heritage=")).collect()
    }

    /// Marks with this owner.
    fn marks(&self, owner: &str) -> Vec<String> {
        let owner = format!("external-dns/owner={owner}");
        let of_owner = |line: &String| line.split([',', '"']).any(|word| word == owner);
        self.records().into_iter().filter(of_owner).collect()
    }
}

impl Mcdns {
    /// Brings the zone to what is wanted, and looks whether nothing is left to do.
    async fn converge(&mut self) {
        let step = self.zone.converge(&self.wishes, Scope::Zone, now()).await;
        assert!(step.error.is_none() && step.again.is_empty(), "{step:?}");
        self.is_there().await;
    }

    /// Nothing is left to do.
    async fn is_there(&self) {
        let plan = self.zone.preview(&self.wishes, now()).await.expect("a plan");
        assert!(plan.changes.is_empty() && plan.held.is_empty(), "{:?} {:?}", plan.changes, plan.held);
    }
}

fn now() -> Timestamp {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that was set").as_secs();
    Timestamp(i64::try_from(seconds).expect("a time"))
}

fn line(set: &RecordSet) -> String {
    let identifier = set.set_identifier.as_ref().map_or(String::new(), |identifier| format!(" [{identifier}]"));
    let ttl = set.ttl.map_or(String::new(), |ttl| format!(" {ttl}"));
    let alias = set.alias.as_ref().map_or(String::new(), |alias| format!("ALIAS {}", alias.name));
    format!("{} {}{identifier}{ttl} {}{alias}", set.name, set.kind, set.values.join(" "))
}

/// Forms of names that external-dns can be told to use.
fn namings() -> [Naming; 4] {
    let naming = |arguments, ownership, marks_apex| Naming { arguments, ownership, marks_apex };
    let former = |more: &Value| {
        let mut ownership = json!({"formerOwners": ["theirs"]});
        let more = more.as_object().cloned().unwrap_or_default();
        ownership.as_object_mut().expect("a mapping").extend(more);
        ownership
    };
    [
        naming(&[], former(&json!({})), false),
        naming(
            &["--txt-prefix=txt.", "--txt-wildcard-replacement=any"],
            former(&json!({"prefix": "txt.", "wildcardReplacement": "any"})),
            false,
        ),
        naming(&["--txt-suffix=-%{record_type}-owner"], former(&json!({"suffix": "-%{record_type}-owner"})), false),
        // The form that mcdns writes itself.
        naming(
            &["--txt-prefix=_owner-%{record_type}.", "--txt-wildcard-replacement=_wildcard"],
            former(&json!({})),
            true,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_external_dns_made_is_adopted_and_neither_changes_the_others_records_again() {
    for Naming { arguments, ownership, marks_apex } in namings() {
        let place = Place::new();
        // What nobody owns, and what another external-dns does.
        let foreign = [
            RecordSet::new("by-hand.example.com", "A", 300, &["203.0.113.1"]),
            RecordSet::new("www.example.com", "TXT", 300, &["\"google-site-verification=abc\""]),
            RecordSet::new("example.com", "MX", 300, &["10 mail.example.net"]),
        ];
        for set in foreign {
            place.service.put_foreign(&place.zone, set);
        }
        let others = [Endpoint::parse("elsewhere.example.com 60 A 203.0.113.2")];
        place.external_dns(&others, &[arguments, &["--txt-owner-id=another"]].concat()).well();
        let untouched = place.records();

        let own: Vec<&str> = [arguments, &["--txt-owner-id=theirs"]].concat();
        let run = place.external_dns(&theirs(), &own).well();
        assert_eq!(place.data().len(), untouched.len() - 1 + 10, "{:#?}\n{}", place.records(), run.log);
        assert!(!place.marks("theirs").is_empty() && place.marks("prod").is_empty());
        place.leaves_alone(&theirs(), &own);

        let mut mcdns = place.mcdns(&ownership, &OURS, !marks_apex);
        mcdns.converge().await;
        let (records, data) = (place.records(), place.data());
        assert!(untouched.iter().all(|line| records.contains(line)), "{arguments:?}: {untouched:#?} {records:#?}");
        let expected = [
            "\\052.wild.example.com. A 60 198.51.100.3",
            "alias.example.com. A 60 198.51.100.5",
            "deep.below.www.example.com. CNAME 60 www.example.com.",
            "example.com. A 60 198.51.100.4",
            "lb.example.com. A 60 198.51.100.6",
            "weighted.example.com. A 60 198.51.100.7",
            "www.example.com. A 60 198.51.100.1 198.51.100.2",
            "www.example.com. AAAA 60 2001:db8::99",
        ];
        let mut ours: Vec<&str> = data.iter().filter(|line| !untouched.contains(*line)).map(String::as_str).collect();
        ours.sort_unstable();
        assert_eq!(ours, expected, "{arguments:?}");
        assert_eq!(place.marks("theirs"), [""; 0], "{arguments:?}");
        assert_eq!(place.marks("prod").len(), expected.len(), "{arguments:?}: {records:#?}");

        // It still wants its own, or nothing any more: neither is its business now.
        for endpoints in [plain(), Vec::new()] {
            place.leaves_alone(&endpoints, &own);
        }
        // Sets with identifiers it would put beside a set without, for it compares name and identifier; the service does
        // not let it, so it fails again and again, and the zone stays as it is.
        let run = place.external_dns(&theirs(), &own);
        assert!(
            run.code == Some(1) && run.log.contains("cannot be created as a non-weighted set exists"),
            "{}",
            run.log
        );
        assert_eq!(place.records(), records, "{}", run.log);
        mcdns.is_there().await;
        // And a new process of mcdns sees what the old one saw.
        place.mcdns(&ownership, &OURS, false).is_there().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_external_dns_made_is_left_alone_by_a_mcdns_that_was_not_told_to_take_over() {
    for Naming { arguments, mut ownership, .. } in namings() {
        let place = Place::new();
        let own: Vec<&str> = [arguments, &["--txt-owner-id=theirs"]].concat();
        place.external_dns(&theirs(), &own).well();
        let before = place.records();
        ownership["formerOwners"] = json!([]);
        let mut mcdns = place.mcdns(&ownership, &[&OURS[..], &["fresh 60 A 198.51.100.9"]].concat(), false);
        mcdns.converge().await;
        let skipped = &mcdns.zone.last_plan().skipped;
        assert_eq!(skipped.len(), 7, "{skipped:#?}");
        assert!(skipped.iter().all(|one| matches!(one.why, SkipReason::NotOurs(_))), "{skipped:#?}");
        let records = place.records();
        let fresh: Vec<&String> = records.iter().filter(|line| !before.contains(line)).collect();
        assert_eq!(records.len(), before.len() + 2, "{fresh:?}");
        assert!(fresh.iter().all(|line| line.contains("fresh.example.com.")), "{fresh:?}");
        place.leaves_alone(&theirs(), &own);
        mcdns.is_there().await;
        // Now it wants what mcdns has: that stays.
        let more = [theirs(), vec![Endpoint::parse("fresh.example.com 60 A 203.0.113.9")]].concat();
        place.leaves_alone(&more, &own);
    }
}
