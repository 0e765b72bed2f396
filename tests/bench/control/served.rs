//! Start, steady change and rest, with API servers that are part of this program: what is measured is mcdns alone.
//!
//! The servers speak HTTP over TLS on the loopback interface, as real ones do; behind that are maps in memory.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use axum::serve::Listener;
use data_encoding::BASE64;
use e2e::authority::Authority;
use serde_json::{Value, json};
use support::{
    api_server::ApiServer,
    federation::{Federation, Shape},
};
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    Setup,
    process::{Server, free_address},
    question::Asker,
    report::{Report, progress},
    statistics::{median, quantile},
};

const SHAPE: Shape = Shape {
    clusters: 20,
    regions: 5,
    availability_zones: 2,
    records: 10_000,
    clusters_per_record: 4,
    endpoints: 80_000,
};
/// Changes a second.
const RATE: u32 = 1_000;
/// How long they go on, and how long a rest is looked at.
const SPAN: Duration = Duration::from_secs(20);
/// Records whose services change, so few that each changes far more often than its status may be written.
const RESTLESS: u32 = 40;
/// Writes of one object in a second that are allowed.
const WRITES: f64 = 10.0;
/// Questions a second while it works and while it rests.
const QUESTIONS: u32 = 2_000;
/// The threads of the server that answer over UDP are called so, with a number.
const THREADS: &str = "udp-";
/// When to give up on a start.
const START: Duration = Duration::from_mins(3);
/// When to give up on what a start makes it write: 20,000 writes at the 50 a second that it allows itself are 400 s.
const WRITING: Duration = Duration::from_mins(10);
/// Nothing was written for so long: what a start makes it write is written.
const QUIET: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(1);

/// One federation in the API servers of this program, and mcdns over it.
struct Served {
    federation: Federation,
    host: ApiServer,
    members: BTreeMap<String, ApiServer>,
    kubeconfig: PathBuf,
    /// Where the host is, for those who ask it themselves.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests ask the host"))]
    address: SocketAddr,
    #[cfg_attr(not(test), expect(dead_code, reason = "tests ask the host"))]
    authority: Authority,
    /// Where the objects were written to, and where mcdns keeps its state.
    folder: tempfile::TempDir,
    /// Serves for as long as it is there.
    _runtime: Runtime,
}

/// Measures one thing after the other on one start.
pub(super) fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let served = Served::new(SHAPE)?;
    let (address, admin) = (free_address()?, free_address()?);
    let text = |path: &Path| path.display().to_string();
    let log = served.folder.path().join("log");
    let arguments = ["run", "--listen", &address.to_string(), "--admin", &admin.to_string()].map(str::to_owned);
    let files = [
        "--kubeconfig".to_owned(),
        text(&served.kubeconfig),
        "--state-dir".to_owned(),
        text(&served.folder.path().join("state")),
    ];
    let arguments: Vec<String> = arguments.into_iter().chain(files).collect();

    let start = Instant::now();
    let mut server = Server::start(&setup.mcdns, &arguments, address, None, &log)?;
    let ready = until_ready(&served.federation, address, admin, start);
    server.check(&log)?;
    let seconds = ready?.as_secs_f64();
    let Shape { records, clusters, clusters_per_record, .. } = SHAPE;
    let services = records * clusters_per_record;
    let what = format!("start with {records} records, {clusters} members, {services} services to ready");
    report.at_most(what, "at most 5 s", 5.0, seconds, format!("{seconds:.1} s"));
    served.until_quiet(start)?;
    let memory = server.memory();
    report.at_most("memory of mcdns then", "at most 300 MB", 286.1, memory, format!("{memory:.0} MiB"));

    rest(&served, &server, report)?;
    change(&served, &server, address, report)
}

/// Processor time and writes while nothing happens.
fn rest(served: &Served, server: &Server, report: &mut Report) -> anyhow::Result<()> {
    let (time, writes) = (server.processor_time()?, served.writes());
    thread::sleep(SPAN);
    let used = (server.processor_time()? - time) / SPAN.as_secs_f64() * 100.0;
    let written: Vec<String> = served.writes().split_off(writes.len());
    let idle = format!("idle, {} records", SHAPE.records);
    report.at_most(format!("{idle}, processor time"), "less than 1 % of a core", 1.0, used, format!("{used:.2} %"));
    let count = f64::from(u32::try_from(written.len())?);
    let measured =
        format!("{count} in {} s{}", SPAN.as_secs(), written.first().map_or(String::new(), |w| format!(", {w}")));
    report.at_most(format!("{idle}, writes beside lease and probe times"), "none", 0.0, count, measured);
    Ok(())
}

/// So many changes a second, spread over members: is it kept up, what does it cost, how often is a status written.
fn change(served: &Served, server: &Server, address: SocketAddr, report: &mut Report) -> anyhow::Result<()> {
    let resting = cost_of_questions(server, address, &served.federation)?;
    let writes = served.writes().len();
    let stop = Arc::new(AtomicBool::new(false));
    let made = Arc::new(AtomicU64::new(0));
    let mut slices = served.restless(SHAPE)?;
    let started = Instant::now();
    let time = server.processor_time()?;
    let (working, last) = thread::scope(|scope| -> anyhow::Result<_> {
        let changing = scope.spawn({
            let (stop, made) = (stop.clone(), made.clone());
            let slices = &mut slices;
            move || flip(slices, &stop, &made)
        });
        let working = cost_of_questions(server, address, &served.federation);
        // Also where it could not be measured, the changes come to an end.
        if let Some(rest) = SPAN.checked_sub(started.elapsed()).filter(|_| working.is_ok()) {
            thread::sleep(rest);
        }
        stop.store(true, Ordering::Relaxed);
        let last = changing.join().map_err(|_| anyhow::anyhow!("the changes broke off"))?;
        Ok((working?, last))
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let cores = (server.processor_time()? - time) / seconds;
    // What was changed last is answered, so nothing is behind.
    let mut asker = Asker::new(address, Duration::from_millis(100))?;
    let mut behind = Vec::new();
    for (name, wanted) in last {
        behind.push(asker.until(&name, &wanted, Instant::now(), Duration::from_secs(30), PAUSE)?.as_secs_f64() * 1e3);
    }
    #[expect(clippy::cast_precision_loss, reason = "some ten thousand changes")]
    let rate = made.load(Ordering::Relaxed) as f64 / seconds;
    ensure!(rate > f64::from(RATE) * 0.9, "only {rate:.0} changes a second were made");
    let behind = quantile(&behind, 1.0).context("nothing was changed")?;
    let what = format!("{RATE} changes a second over {} members", SHAPE.clusters);
    report.at_most(
        format!("{what}, behind at the end"),
        "kept up",
        100.0,
        behind,
        format!("{behind:.1} ms behind after {rate:.0} a second"),
    );
    report.at_most(
        format!("{what}, processor time"),
        "less than half a core",
        0.5,
        cores,
        format!("{cores:.2} cores, with {QUESTIONS} questions a second for some of the time"),
    );
    let mut of_object: BTreeMap<String, u32> = BTreeMap::new();
    for write in served.writes().split_off(writes) {
        *of_object.entry(write).or_default() += 1;
    }
    let most = of_object.values().max().copied().map_or(0.0, f64::from) / seconds;
    report.at_most(
        format!("{what}, writes of one object"),
        "at most 10 a second",
        WRITES,
        most,
        format!("{most:.1} a second"),
    );
    let ratio = working / resting;
    let measured = format!("{ratio:.2} times ({:.1} µs, idle {:.1} µs)", working * 1e6, resting * 1e6);
    report.at_most(format!("{what}, server's time per query"), "at most 1.10 times idle", 1.10, ratio, measured);
    Ok(())
}

/// Seconds of the answering threads for each of some questions at a steady rate; the median of several rounds.
fn cost_of_questions(server: &Server, address: SocketAddr, federation: &Federation) -> anyhow::Result<f64> {
    const ROUNDS: u32 = 5;
    let mut asker = Asker::new(address, Duration::from_secs(1))?;
    let mut costs = Vec::new();
    for round in 0..ROUNDS {
        let time = server.time_of_threads(THREADS)?;
        let begin = Instant::now();
        for number in 0..QUESTIONS {
            let record = (round * QUESTIONS + number) * 7919 % SHAPE.records;
            if asker.addresses(&federation.global_name(record))?.is_none() {
                bail!("no answer for record {record}");
            }
            let due = begin + Duration::from_secs(1) * number / QUESTIONS;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        costs.push((server.time_of_threads(THREADS)? - time) / f64::from(QUESTIONS));
    }
    median(&costs).context("nothing was asked")
}

/// A slice, whose record it is, and what that answers without and with it.
struct Restless {
    server: ApiServer,
    slice: Value,
    name: String,
    with: Vec<Ipv4Addr>,
    without: Vec<Ipv4Addr>,
    ready: bool,
}

/// Takes the endpoints of one service after the other away and gives them back; at the end, what each name must have.
fn flip(slices: &mut [Restless], stop: &AtomicBool, made: &AtomicU64) -> Vec<(String, Vec<Ipv4Addr>)> {
    let begin = Instant::now();
    let mut next = 0;
    while !stop.load(Ordering::Relaxed) {
        let index = next as usize % slices.len();
        let one = &mut slices[index];
        one.ready = !one.ready;
        for endpoint in one.slice["endpoints"].as_array_mut().into_iter().flatten() {
            endpoint["conditions"]["ready"] = json!(one.ready);
        }
        one.server.put(one.slice.clone());
        next += 1;
        made.fetch_add(1, Ordering::Relaxed);
        let due = begin + Duration::from_secs(1) * next / RATE;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    let now = |one: &Restless| (one.name.clone(), if one.ready { one.with.clone() } else { one.without.clone() });
    slices.iter().map(now).collect()
}

impl Served {
    fn new(shape: Shape) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let federation = Federation::new(shape)?;
        let directory = folder.path().join("federation");
        federation.write(&directory).context("the federation cannot be written")?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let authority = Authority::new("clusters of a benchmark");
        let acceptor = TlsAcceptor::from(authority.server().server_settings());

        let host = ApiServer::host();
        let mut members = BTreeMap::new();
        for object in objects(&directory.join("host"))? {
            let Some(name) = object["metadata"]["name"].as_str().filter(|_| object["kind"] == "KubeFedCluster") else {
                host.put(object);
                continue;
            };
            let (name, member) = (name.to_owned(), ApiServer::member());
            for object in objects(&directory.join("members").join(&name))? {
                member.put(object);
            }
            let address = serve(&runtime, &member, acceptor.clone())?;
            host.put(secret(&name, &authority));
            host.put(cluster(object, address, &authority));
            members.insert(name, member);
        }
        let address = serve(&runtime, &host, acceptor)?;
        let kubeconfig = folder.path().join("kubeconfig");
        fs::write(&kubeconfig, config(address, &authority).to_string())?;
        Ok(Self { federation, host, members, kubeconfig, address, authority, folder, _runtime: runtime })
    }

    /// What was written to the host so far, without what is written because time goes by: leases, and the times of the
    /// last probes in the status of clusters, which KubeFed writes too.
    fn writes(&self) -> Vec<String> {
        let by_time = |write: &String| write.contains("/leases") || write.contains("/kubefedclusters/");
        self.host.writes().into_iter().filter(|write| !by_time(write)).collect()
    }

    /// Waits until everything that a start writes is written.
    fn until_quiet(&self, start: Instant) -> anyhow::Result<()> {
        let (mut last, mut since) = (0, Instant::now());
        while self.host.count("dnsendpoints") < SHAPE.records as usize || since.elapsed() < QUIET {
            let writes = self.writes().len();
            if writes != last {
                (last, since) = (writes, Instant::now());
            }
            let made = self.host.count("dnsendpoints");
            ensure!(start.elapsed() < WRITING, "{made} DNSEndpoints and still writing after {} s", WRITING.as_secs());
            thread::sleep(Duration::from_millis(100));
        }
        progress(format_args!("{last} writes until all was quiet, {:.0} s", start.elapsed().as_secs_f64()));
        Ok(())
    }

    /// One slice of each of some records, in different members.
    fn restless(&self, shape: Shape) -> anyhow::Result<Vec<Restless>> {
        let mut found = Vec::new();
        for number in 0..RESTLESS {
            let record = number * (shape.records / RESTLESS);
            let name = self.federation.global_name(record);
            let mut labels = name.split('.');
            let (service, namespace) = (labels.next().unwrap_or_default(), labels.next().unwrap_or_default());
            let in_member = |server: &ApiServer| {
                let slice = server.object("endpointslices", namespace, &format!("{service}-abc12"))?;
                let service = server.object("services", namespace, service)?;
                let ip = service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str()?.parse().ok()?;
                Some((server.clone(), slice, ip))
            };
            let hit: Option<(ApiServer, Value, Ipv4Addr)> = self.members.values().find_map(in_member);
            let (server, slice, ip) = hit.with_context(|| format!("{service} is in no member"))?;
            let with = self.federation.addresses(record);
            let without = with.iter().copied().filter(|address| *address != ip).collect();
            found.push(Restless { server, slice, name, with, without, ready: true });
        }
        Ok(found)
    }
}

/// Every object of the lists in a folder.
fn objects(folder: &Path) -> anyhow::Result<Vec<Value>> {
    let mut objects = Vec::new();
    for file in fs::read_dir(folder)? {
        let list: Value = serde_json::from_slice(&fs::read(file?.path())?)?;
        objects.extend(list["items"].as_array().context("a list without items")?.iter().cloned());
    }
    Ok(objects)
}

fn secret(cluster: &str, authority: &Authority) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": cluster, "namespace": "kube-federation-system"},
        "data": {"token": BASE64.encode(b"benchmark"), "ca.crt": authority.bundle()}})
}

/// The KubeFedCluster with where it really is.
fn cluster(mut object: Value, address: SocketAddr, authority: &Authority) -> Value {
    object["spec"]["apiEndpoint"] = json!(format!("https://{address}"));
    object["spec"]["caBundle"] = json!(authority.bundle());
    object
}

fn config(address: SocketAddr, authority: &Authority) -> Value {
    json!({"apiVersion": "v1", "kind": "Config", "current-context": "host",
        "clusters": [{"name": "host", "cluster": {"server": format!("https://{address}"),
            "certificate-authority-data": authority.bundle()}}],
        "users": [{"name": "host", "user": {"token": "benchmark"}}],
        "contexts": [{"name": "host", "context": {"cluster": "host", "user": "host"}}]})
}

/// Serves one API server on a port of its own.
fn serve(runtime: &Runtime, server: &ApiServer, acceptor: TlsAcceptor) -> anyhow::Result<SocketAddr> {
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    let address = listener.local_addr()?;
    let router = server.router();
    runtime.spawn(async move { axum::serve(Secured { listener, acceptor }, router).await });
    Ok(address)
}

/// Connections whose handshake is done.
struct Secured {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Secured {
    type Io = TlsStream<tokio::net::TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            // As API servers do: an event is not to wait for the one before to be acknowledged.
            let _ = stream.set_nodelay(true);
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// Waits until it says that it is ready and gives the right answer for records from all over.
fn until_ready(
    federation: &Federation,
    address: SocketAddr,
    admin: SocketAddr,
    start: Instant,
) -> anyhow::Result<Duration> {
    let mut asker = Asker::new(address, Duration::from_millis(100))?;
    for number in 0..=20 {
        let record = number * (SHAPE.records - 1) / 20;
        asker.until(&federation.global_name(record), &federation.addresses(record), start, START, PAUSE)?;
    }
    while !is_ready(admin).unwrap_or_default() {
        ensure!(start.elapsed() < START, "it answers, and never says that it is ready");
        thread::sleep(PAUSE);
    }
    Ok(start.elapsed())
}

fn is_ready(admin: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(admin)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: mcdns\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}

#[cfg(test)]
mod tests {
    use e2e::{Api, api::kinds};

    use super::*;

    #[test]
    fn a_served_federation_is_read_over_tls_as_it_was_written() {
        let shape = Shape { clusters: 4, regions: 2, records: RESTLESS, endpoints: 400, ..SHAPE };
        let served = Served::new(shape).expect("it is served");
        let read =
            |address: &str, kind| Api::new(address, served.authority.der(), "anybody").list(kind).expect("a list");
        let host = format!("https://{}", served.address);
        assert_eq!(read(&host, kinds::SERVICE_RECORD).len(), shape.records as usize);
        assert_eq!(read(&host, kinds::SECRET).len(), 4);
        let clusters = read(&host, kinds::CLUSTER);
        let of = |kind| -> usize {
            clusters.iter().map(|one| read(one["spec"]["apiEndpoint"].as_str().expect("a URL"), kind).len()).sum()
        };
        assert_eq!((of(kinds::SERVICE), of(kinds::ENDPOINT_SLICE)), (160, 160));
    }

    #[test]
    fn a_slice_that_flips_takes_its_cluster_out_and_back() {
        let shape = Shape { clusters: 4, regions: 2, records: RESTLESS, endpoints: 400, ..SHAPE };
        let served = Served::new(shape).expect("it is served");
        let mut slices = served.restless(shape).expect("slices");
        let (stop, made) = (AtomicBool::new(false), AtomicU64::new(0));
        let last = thread::scope(|scope| {
            let flipping = scope.spawn(|| flip(&mut slices, &stop, &made));
            while made.load(Ordering::Relaxed) < 60 {
                thread::sleep(PAUSE);
            }
            stop.store(true, Ordering::Relaxed);
            flipping.join().expect("changes")
        });
        assert_eq!(last.len(), RESTLESS as usize);
        for (slice, (_, wanted)) in slices.iter().zip(&last) {
            let metadata = &slice.slice["metadata"];
            let text = |key: &str| metadata[key].as_str().expect("a name").to_owned();
            let stored = slice.server.object("endpointslices", &text("namespace"), &text("name")).expect("a slice");
            assert_eq!(stored["endpoints"][0]["conditions"]["ready"], json!(wanted.len() == 4));
        }
    }
}
