//! Looks host names up with the system's resolvers, again and again.
//!
//! ```text
//!   wanted names ──► Resolution (what is due, what an answer changes) ──► Observation
//!                        │ ▲
//!                  start ▼ │ finish
//!                  A and AAAA, at most 32 names at a time, 5 s each
//! ```
//!
//! All decisions are in [`crate::resolution`]; this is the input and output around it. Names are asked for as they
//! stand, never with the search list of `resolv.conf`. hickory's own cache is off, because it would count TTLs a
//! second time.

use std::{
    collections::{BTreeSet, HashMap, hash_map::RandomState},
    hash::BuildHasher,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_proto::rr::{Name, RData, RecordType};
use hickory_resolver::{
    TokioResolver,
    config::{NameServerConfig, ResolverConfig, ResolverOpts},
    net::{NetError, runtime::TokioRuntimeProvider},
};
use mcdns_core::model::{Fact, HostAddressesFact, Kind, Object, ObjectKey, Observation};
use thiserror::Error;
use tokio::{
    sync::{mpsc, watch},
    task::{self, JoinHandle, JoinSet},
    time::Instant,
};

use crate::resolution::{Answer, Answers, Resolution};

/// Names that are looked up at the same time.
pub const CONCURRENCY: usize = 32;
/// Longest time for one look-up.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// Host names that are wanted; in normal form.
pub type Wanted = Arc<BTreeSet<String>>;

/// Why there is no resolver. Trying again helps once the system's settings are mended.
#[derive(Debug, Error)]
#[error("the system's resolvers are not known (/etc/resolv.conf)")]
pub struct ResolverError(#[source] Box<NetError>);

/// Looks host names up, and remembers.
pub struct Resolver {
    resolver: TokioResolver,
    resolution: Resolution,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("resolution", &self.resolution).finish_non_exhaustive()
    }
}

impl Resolver {
    /// With the resolvers of the system.
    pub fn system() -> Result<Self, ResolverError> {
        let failed = |error| ResolverError(Box::new(error));
        let mut builder = TokioResolver::builder_tokio().map_err(failed)?;
        settle(builder.options_mut());
        Ok(Self { resolver: builder.build().map_err(failed)?, resolution: Resolution::default() })
    }

    /// With the resolvers at these addresses, over UDP and TCP.
    pub fn with_servers(servers: &[SocketAddr]) -> Result<Self, ResolverError> {
        let server = |address: &SocketAddr| {
            let mut server = NameServerConfig::udp_and_tcp(address.ip());
            for connection in &mut server.connections {
                connection.port = address.port();
            }
            server
        };
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.iter().map(server).collect());
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        settle(builder.options_mut());
        let resolver = builder.build().map_err(|error| ResolverError(Box::new(error)))?;
        Ok(Self { resolver, resolution: Resolution::default() })
    }

    /// Takes what was known before a restart; other kinds are left alone.
    pub fn adopt(&mut self, objects: impl IntoIterator<Item = (ObjectKey, Arc<Object>)>) {
        for (key, object) in objects {
            if let (Kind::HostAddresses, Fact::HostAddresses(fact)) = (key.kind, &object.fact) {
                self.resolution.adopt(&key.name, fact);
            }
        }
    }

    /// Keeps the names in `wanted` resolved until its sender or the receiver of the observations is gone. A name that
    /// is wanted no more is told as gone; an empty set counts only once it has been sent. Must be called inside a tokio
    /// runtime.
    pub fn spawn(self, wanted: watch::Receiver<Wanted>, sender: mpsc::Sender<Vec<Observation>>) -> JoinHandle<()> {
        tokio::spawn(self.run(wanted, sender))
    }

    /// Looks each name up once, and tells what came of it: nothing of a name for which nobody answers.
    pub async fn resolve_once(self, names: &BTreeSet<String>) -> Vec<Observation> {
        let Self { resolver, mut resolution } = self;
        // Time stands still, so that each name is due once: what is asked again is due later.
        resolution.want(names, Duration::ZERO);
        let mut look_ups: JoinSet<(String, Answers)> = JoinSet::new();
        let mut observations = Vec::new();
        loop {
            while look_ups.len() < CONCURRENCY
                && let Some(name) = resolution.start(Duration::ZERO)
            {
                let resolver = resolver.clone();
                look_ups.spawn(async move {
                    let answers = look_up(&resolver, &name).await;
                    (name, answers)
                });
            }
            let Some(done) = look_ups.join_next().await else { return observations };
            let Ok((name, answers)) = done else { continue };
            let fact = resolution.finish(&name, &answers, Duration::ZERO, 0.0);
            observations.extend(fact.map(|fact| observation(&name, fact)));
        }
    }

    async fn run(self, mut wanted: watch::Receiver<Wanted>, sender: mpsc::Sender<Vec<Observation>>) {
        let Self { resolver, mut resolution } = self;
        let chance = RandomState::new();
        let beginning = Instant::now();
        let mut look_ups: JoinSet<Answers> = JoinSet::new();
        let mut names: HashMap<task::Id, String> = HashMap::new();
        // An empty set at the beginning means that nobody has said anything yet; what was adopted must not go by it.
        if !wanted.borrow().is_empty() {
            wanted.mark_changed();
        }
        loop {
            while look_ups.len() < CONCURRENCY
                && let Some(name) = resolution.start(beginning.elapsed())
            {
                let (resolver, host) = (resolver.clone(), name.clone());
                let task = look_ups.spawn(async move { look_up(&resolver, &host).await });
                names.insert(task.id(), name);
            }
            // At the limit, a look-up must end before the next can start.
            let due = resolution.next_due().filter(|_| look_ups.len() < CONCURRENCY);
            let due = beginning + due.unwrap_or(Duration::from_hours(1).max(beginning.elapsed() * 2));
            let observations = tokio::select! {
                changed = wanted.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let set = wanted.borrow_and_update().clone();
                    let gone = resolution.want(&set, beginning.elapsed());
                    gone.iter().map(|name| Observation { key: ObjectKey::host_addresses(name), object: None }).collect()
                }
                Some(done) = look_ups.join_next_with_id() => {
                    let (id, answers) = match done {
                        Ok(done) => done,
                        // A look-up that died has told nothing; the name must not be lost with it.
                        Err(error) => (error.id(), Answers { ipv4: Answer::Failed, ipv6: Answer::Failed }),
                    };
                    let Some(name) = names.remove(&id) else { continue };
                    let now = beginning.elapsed();
                    let chance = fraction(chance.hash_one((&name, now)));
                    let news = resolution.finish(&name, &answers, now, chance);
                    news.map(|fact| observation(&name, fact)).into_iter().collect()
                }
                () = tokio::time::sleep_until(due) => Vec::new(),
                () = sender.closed() => return,
            };
            if !observations.is_empty() && sender.send(observations).await.is_err() {
                return;
            }
        }
    }
}

fn settle(options: &mut ResolverOpts) {
    options.cache_size = 0;
    options.timeout = Duration::from_secs(2);
    options.attempts = 2;
}

fn observation(name: &str, fact: HostAddressesFact) -> Observation {
    let object = Object::new(Fact::HostAddresses(fact));
    Observation { key: ObjectKey::host_addresses(name), object: Some(Arc::new(object)) }
}

/// Both families at the same time, each for itself.
async fn look_up(resolver: &TokioResolver, host: &str) -> Answers {
    let (ipv4, ipv6) =
        tokio::join!(look_up_family(resolver, host, RecordType::A), look_up_family(resolver, host, RecordType::AAAA));
    Answers { ipv4, ipv6 }
}

async fn look_up_family(resolver: &TokioResolver, host: &str, family: RecordType) -> Answer {
    let Ok(mut name) = Name::from_ascii(host) else { return Answer::None };
    name.set_fqdn(true);
    let lookup = match tokio::time::timeout(TIMEOUT, resolver.lookup(name, family)).await {
        Ok(Ok(lookup)) => lookup,
        Ok(Err(error)) if says_none(&error) => return Answer::None,
        Ok(Err(error)) => {
            tracing::debug!(host, %family, %error, "a look-up failed");
            return Answer::Failed;
        }
        Err(_) => {
            tracing::debug!(host, %family, "a look-up took too long");
            return Answer::Failed;
        }
    };
    let mut addresses = BTreeSet::new();
    let mut ttl = u32::MAX;
    for record in lookup.answers() {
        // A CNAME on the way may end before the addresses do.
        ttl = ttl.min(record.ttl);
        match &record.data {
            RData::A(address) => drop(addresses.insert(IpAddr::V4(address.0))),
            RData::AAAA(address) => drop(addresses.insert(IpAddr::V6(address.0))),
            _ => {}
        }
    }
    if addresses.is_empty() { Answer::None } else { Answer::Addresses(addresses, ttl) }
}

/// True for an answer that says that there is nothing; false where nothing was learned.
fn says_none(error: &NetError) -> bool {
    use hickory_proto::op::ResponseCode;
    use hickory_resolver::net::{DnsError, NoRecords};
    matches!(
        error,
        NetError::Dns(DnsError::NoRecordsFound(NoRecords {
            response_code: ResponseCode::NXDomain | ResponseCode::NoError,
            ..
        }))
    )
}

/// A number from 0 to 1 out of random bits.
fn fraction(bits: u64) -> f64 {
    f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Mutex};

    use hickory_proto::{
        op::{Message, MessageType, OpCode, ResponseCode},
        rr::{
            Record,
            rdata::{A, AAAA, CNAME},
        },
    };
    use tokio::net::UdpSocket;

    use super::*;

    /// What the responder says: a code, and records in presentation form `TYPE TTL DATA`.
    type Script = Arc<Mutex<BTreeMap<&'static str, (ResponseCode, Vec<&'static str>)>>>;

    /// A DNS server that says what the script says; names that are not in it get no answer at all.
    async fn responder(script: Script) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = socket.local_addr().expect("an address");
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let (length, peer) = socket.recv_from(&mut buffer).await.expect("a packet");
                let query = Message::from_vec(&buffer[..length]).expect("a query");
                if let Some(answer) = answer(&query, &script) {
                    socket.send_to(&answer, peer).await.expect("a send");
                }
            }
        });
        address
    }

    fn answer(query: &Message, script: &Script) -> Option<Vec<u8>> {
        let question = query.queries.first()?;
        let name = question.name().to_ascii().to_ascii_lowercase();
        let script = script.lock().expect("a lock");
        let (code, records) = script.get(name.trim_end_matches('.'))?;
        let mut message = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
        message.metadata.response_code = *code;
        message.metadata.recursion_desired = true;
        message.metadata.recursion_available = true;
        message.add_query(question.clone());
        let mut owner = question.name().clone();
        for record in records {
            let fields: Vec<&str> = record.split(' ').collect();
            let ttl = fields[1].parse().expect("a TTL");
            let data = match fields[0] {
                "A" => RData::A(A(fields[2].parse().expect("an address"))),
                "AAAA" => RData::AAAA(AAAA(fields[2].parse().expect("an address"))),
                _ => RData::CNAME(CNAME(Name::from_ascii(fields[2]).expect("a name"))),
            };
            let wanted = data.record_type() == question.query_type() || fields[0] == "CNAME";
            if wanted {
                message.add_answer(Record::from_rdata(owner.clone(), ttl, data));
            }
            if fields[0] == "CNAME" {
                owner = Name::from_ascii(fields[2]).expect("a name");
            }
        }
        Some(message.to_vec().expect("a message"))
    }

    struct Running {
        wanted: watch::Sender<Wanted>,
        observations: mpsc::Receiver<Vec<Observation>>,
    }

    impl Running {
        async fn start(script: &Script, adopted: Option<&str>) -> Self {
            let server = responder(script.clone()).await;
            let mut resolver = Resolver::with_servers(&[server]).expect("a resolver");
            if let Some(host) = adopted {
                let fact = HostAddressesFact { addresses: vec![IpAddr::from([192, 0, 2, 7])], ttl: Some(60) };
                let Observation { key, object } = observation(host, fact);
                resolver.adopt([(key, object.expect("an object"))]);
            }
            let (wanted, receiver) = watch::channel(Wanted::default());
            let (sender, observations) = mpsc::channel(64);
            resolver.spawn(receiver, sender);
            Self { wanted, observations }
        }

        fn want(&self, names: &[&str]) {
            self.wanted.send_replace(Arc::new(names.iter().map(|name| (*name).to_owned()).collect()));
        }

        /// The next `count` observations, sorted, as text.
        async fn told(&mut self, count: usize) -> Vec<String> {
            let mut told = Vec::new();
            while told.len() < count {
                let next = tokio::time::timeout(Duration::from_secs(30), self.observations.recv()).await;
                for observation in next.expect("in time").expect("a running resolver") {
                    let fact = observation.object.map(|object| object.fact.clone());
                    told.push(match fact {
                        Some(Fact::HostAddresses(fact)) => {
                            format!("{} {:?} {:?}", observation.key.name, fact.addresses, fact.ttl)
                        }
                        _ => format!("{} gone", observation.key.name),
                    });
                }
            }
            told.sort();
            told
        }
    }

    fn script(rows: &[(&'static str, ResponseCode, &[&'static str])]) -> Script {
        let row = |row: &(&'static str, ResponseCode, &[&'static str])| (row.0, (row.1, row.2.to_vec()));
        Arc::new(Mutex::new(rows.iter().map(row).collect()))
    }

    #[tokio::test]
    async fn both_families_are_looked_up_and_chains_followed() {
        let script = script(&[
            ("both.example", ResponseCode::NoError, &["A 60 192.0.2.2", "A 60 192.0.2.1", "AAAA 300 2001:db8::1"]),
            ("chain.example", ResponseCode::NoError, &["CNAME 20 end.example.", "A 60 192.0.2.3"]),
            ("none.example", ResponseCode::NXDomain, &[]),
            ("broken.example", ResponseCode::ServFail, &[]),
        ]);
        let mut running = Running::start(&script, None).await;
        running.want(&["both.example", "chain.example", "none.example", "broken.example"]);
        assert_eq!(
            running.told(3).await,
            [
                "both.example [192.0.2.1, 192.0.2.2, 2001:db8::1] Some(300)",
                "chain.example [192.0.2.3] Some(20)",
                "none.example [] None",
            ]
        );
        running.want(&["both.example"]);
        assert_eq!(running.told(3).await, ["broken.example gone", "chain.example gone", "none.example gone"]);
    }

    #[tokio::test]
    async fn names_that_are_resolved_once_are_told_unless_nobody_answers() {
        let script = script(&[
            ("a.example", ResponseCode::NoError, &["A 60 192.0.2.1"]),
            ("none.example", ResponseCode::NXDomain, &[]),
            ("broken.example", ResponseCode::ServFail, &[]),
        ]);
        let resolver = Resolver::with_servers(&[responder(script).await]).expect("a resolver");
        let names = ["a.example", "none.example", "broken.example"].map(str::to_owned).into();
        let mut told: Vec<String> = resolver
            .resolve_once(&names)
            .await
            .into_iter()
            .map(|observation| match observation.object.map(|object| object.fact.clone()) {
                Some(Fact::HostAddresses(fact)) => format!("{} {:?}", observation.key.name, fact.addresses),
                _ => format!("{} gone", observation.key.name),
            })
            .collect();
        told.sort();
        assert_eq!(told, ["a.example [192.0.2.1]", "none.example []"]);
    }

    #[tokio::test]
    async fn a_name_that_comes_up_later_is_found_by_back_off() {
        let script = script(&[("late.example", ResponseCode::NXDomain, &[])]);
        let mut running = Running::start(&script, None).await;
        running.want(&["late.example"]);
        assert_eq!(running.told(1).await, ["late.example [] None"]);
        let row = (ResponseCode::NoError, vec!["A 60 192.0.2.1"]);
        script.lock().expect("a lock").insert("late.example", row);
        assert_eq!(running.told(1).await, ["late.example [192.0.2.1] Some(60)"]);
    }

    #[tokio::test]
    async fn what_was_known_before_a_restart_stays_while_the_resolver_fails() {
        let script = script(&[
            ("known.example", ResponseCode::ServFail, &[]),
            ("other.example", ResponseCode::NoError, &["A 60 192.0.2.1"]),
        ]);
        let mut running = Running::start(&script, Some("known.example")).await;
        // Nothing is wanted yet, which takes nothing away either.
        tokio::time::sleep(Duration::from_millis(50)).await;
        running.want(&["known.example"]);
        // Long enough for the failure to have come in: the second name comes after it.
        tokio::time::sleep(Duration::from_millis(300)).await;
        running.want(&["known.example", "other.example"]);
        assert_eq!(running.told(1).await, ["other.example [192.0.2.1] Some(60)"]);
        running.want(&[]);
        assert_eq!(running.told(2).await, ["known.example gone", "other.example gone"]);
    }

    #[tokio::test]
    async fn more_names_than_are_looked_up_at_a_time_are_all_resolved() {
        let names: Vec<&'static str> =
            (0..200).map(|n| &*Box::leak(format!("n{n}.example").into_boxed_str())).collect();
        let rows = names.iter().map(|name| (*name, (ResponseCode::NoError, vec!["A 60 192.0.2.1"])));
        let script: Script = Arc::new(Mutex::new(rows.collect()));
        let mut running = Running::start(&script, None).await;
        running.want(&names);
        assert_eq!(running.told(200).await.len(), 200);
    }
}
