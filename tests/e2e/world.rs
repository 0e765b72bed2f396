//! A host and its members, each an API server of its own.

use std::{
    fmt::Write,
    fs,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    thread,
};

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::{
    Api,
    api::{Kind, Refused, kinds, pretty},
    authority::{Authority, Identity},
    keeper::Scratch,
    manifests::{self, Manifests},
    objects::SYSTEM,
    server::{ApiServer, Etcd},
    wait_for,
};

/// Worlds that nobody uses, each in order and empty.
static POOL: Mutex<Vec<Inner>> = Mutex::new(Vec::new());

/// What scenarios leave behind in a host, and what they leave in a member.
const LEFT_BEHIND: [Kind; 17] = [
    kinds::CLUSTER,
    kinds::SERVICE_RECORD,
    kinds::INGRESS_RECORD,
    kinds::DNS_ENDPOINT,
    kinds::DOMAIN,
    kinds::FEDERATED_SERVICE,
    kinds::FEDERATED_INGRESS,
    kinds::LEASE,
    kinds::SECRET,
    kinds::SERVICE,
    kinds::ENDPOINT_SLICE,
    kinds::ENDPOINTS,
    kinds::INGRESS,
    kinds::NODE,
    kinds::EVENT,
    kinds::DNS_ENDPOINT_OF_EXTERNAL_DNS,
    kinds::SERVICE_ACCOUNT,
];

/// A host and members that one scenario has to itself.
pub struct World(Option<Inner>);

struct Inner {
    // Members end before what they stand on.
    members: Vec<ApiServer>,
    host: ApiServer,
    etcd: Etcd,
    authority: Authority,
    identity: Identity,
    scratch: Scratch,
    chart: Manifests,
}

/// What a member is known by in the host.
#[derive(Debug, Clone)]
pub struct Member {
    /// `apiEndpoint`.
    pub endpoint: String,
    /// `caBundle`: PEM in base64.
    pub bundle: String,
    /// What the Secret has.
    pub token: String,
}

impl World {
    /// A world with this many members, none of them joined, and mcdns' chart installed in its host.
    #[track_caller]
    pub fn with_members(members: usize) -> Self {
        let kept = POOL.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut inner = kept.unwrap_or_else(Inner::new);
        inner.grow(members);
        Self(Some(inner))
    }

    /// A world whose members `c1`, `c2` and so on are joined, each in a region `r<n>` with availability zone `z<n>`.
    #[track_caller]
    pub fn joined(members: usize) -> Self {
        let world = Self::with_members(members);
        for number in 1..=members {
            world.api(number).node("node-1", &format!("r{number}"), &format!("z{number}"));
            world.join(number);
        }
        world
    }

    /// The host, as its administrator sees it.
    pub fn host(&self) -> &Api {
        &self.inner().host.api
    }

    /// The port of a member by its number from 1, or of the host by 0; none where there is no such member.
    pub fn port(&self, number: usize) -> Option<u16> {
        let inner = self.inner();
        let member = number.checked_sub(1).map(|index| inner.members.get(index));
        member.map_or(Some(inner.host.port), |member| member.map(|member| member.port))
    }

    /// The host, to break it.
    pub fn host_server(&mut self) -> &mut ApiServer {
        &mut self.inner_mut().host
    }

    /// A member by its number from 1, as its administrator sees it.
    pub fn api(&self, number: usize) -> &Api {
        &self.inner().members[number - 1].api
    }

    /// A member, to break it.
    pub fn member(&mut self, number: usize) -> &mut ApiServer {
        &mut self.inner_mut().members[number - 1]
    }

    /// The etcd of all of them.
    pub fn etcd(&mut self) -> &mut Etcd {
        &mut self.inner_mut().etcd
    }

    /// Who signs the certificates of all of them.
    pub fn authority(&self) -> &Authority {
        &self.inner().authority
    }

    /// The certificate that all of them have.
    pub fn identity(&self) -> &Identity {
        &self.inner().identity
    }

    /// What the chart renders.
    pub fn chart(&self) -> &Manifests {
        &self.inner().chart
    }

    /// A new folder for one program.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.inner().scratch.path().join(format!("{name}-{}", crate::server::free_port()));
        fs::create_dir_all(&folder).expect("a folder that can be made");
        folder
    }

    /// Joins a member as `c<number>`, as `mcdns join` does.
    #[track_caller]
    pub fn join(&self, number: usize) {
        let member = self.credentials(number);
        self.register(&format!("c{number}"), &member);
    }

    /// Makes what a member grants to the host and gives what the host needs to know.
    #[track_caller]
    pub fn credentials(&self, number: usize) -> Member {
        let server = &self.inner().members[number - 1];
        server.api.namespace(SYSTEM);
        for (kind, object) in manifests::member() {
            server.api.apply(kind, &object);
        }
        let token = server.api.token(&format!("{SYSTEM}/{}", manifests::MEMBER_ACCOUNT), 3600 * 24);
        Member { endpoint: server.url(), bundle: self.inner().authority.bundle(), token }
    }

    /// Writes Secret and KubeFedCluster into the host.
    #[track_caller]
    pub fn register(&self, cluster: &str, member: &Member) {
        let secret = format!("{cluster}-token");
        self.host().apply(
            kinds::SECRET,
            &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret, "namespace": SYSTEM},
                "data": {"token": BASE64.encode(member.token.as_bytes()), "ca.crt": member.bundle}}),
        );
        self.host().apply(
            kinds::CLUSTER,
            &json!({"apiVersion": "core.kubefed.io/v1beta1", "kind": "KubeFedCluster",
                "metadata": {"name": cluster, "namespace": SYSTEM, "labels": {"name": cluster}},
                "spec": {"apiEndpoint": member.endpoint, "caBundle": member.bundle,
                    "secretRef": {"name": secret}}}),
        );
    }

    /// A kubeconfig for a server with this token; its context is named like the cluster.
    #[track_caller]
    pub fn kubeconfig(&self, cluster: &str, token: &str) -> PathBuf {
        let server = match cluster.strip_prefix('c').and_then(|number| number.parse::<usize>().ok()) {
            Some(number) => self.inner().members[number - 1].url(),
            None => self.inner().host.url(),
        };
        self.kubeconfig_for(&[(cluster, &server, token)])
    }

    /// A kubeconfig with a context for each of `(name, server, token)`; the first is the current one.
    #[track_caller]
    pub fn kubeconfig_for(&self, contexts: &[(&str, &str, &str)]) -> PathBuf {
        let bundle = self.authority().bundle();
        let list = |make: &dyn Fn(&str, &str, &str) -> Value| -> Vec<Value> {
            contexts.iter().map(|(name, server, token)| make(name, server, token)).collect()
        };
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": contexts[0].0,
            "clusters": list(&|name, server, _| json!({"name": name,
                "cluster": {"server": server, "certificate-authority-data": bundle}})),
            "users": list(&|name, _, token| json!({"name": name, "user": {"token": token}})),
            "contexts": list(&|name, _, _| json!({"name": name, "context": {"cluster": name, "user": name}})),
        });
        let file = self.folder("kubeconfig").join("config");
        // JSON is YAML.
        fs::write(&file, config.to_string()).expect("a file that can be written");
        file
    }

    /// Has the host look at an object as strictly as it can, and keep nothing.
    #[track_caller]
    pub fn request_strictly(&self, collection: &str, object: &Value) {
        let name = object["metadata"]["name"].as_str().expect("a name");
        let path = format!("{collection}/{name}?fieldManager=strict&force=true&dryRun=All&fieldValidation=Strict");
        self.host().request(&http::Method::PATCH, &path, Some(object));
    }

    /// Status of an object of the host.
    pub fn status(&self, kind: Kind, name: &str) -> Value {
        self.host()
            .read(kind, name)
            .map_or_else(|refused| json!(refused.to_string()), |object| object["status"].clone())
    }

    /// Waits until a condition of an object of the host has this status and reason, and gives its message.
    #[track_caller]
    pub fn until_condition(&self, kind: Kind, name: &str, condition: &str, status: &str, reason: &str) -> String {
        wait_for(&format!("{} {name} has {condition}={status} ({reason})", kind.plural), || {
            let found = self.status(kind, name);
            let conditions = found["conditions"].as_array().into_iter().flatten();
            let fits = |one: &&Value| one["type"] == condition && one["status"] == status && one["reason"] == reason;
            let hit = conditions.clone().find(fits);
            hit.map(|one| one["message"].as_str().unwrap_or_default().to_owned()).ok_or_else(|| pretty(&found))
        })
    }

    /// Waits until a cluster has this condition.
    #[track_caller]
    pub fn until_cluster(&self, cluster: &str, condition: &str, status: &str, reason: &str) -> String {
        self.until_condition(kinds::CLUSTER, &format!("{SYSTEM}/{cluster}"), condition, status, reason)
    }

    /// Waits until a cluster is not ready, with this reason in one of its conditions, and gives the message of that.
    #[track_caller]
    pub fn until_reason(&self, cluster: &str, reason: &str) -> String {
        wait_for(&format!("{cluster} is not ready for {reason}"), || {
            let found = self.status(kinds::CLUSTER, &format!("{SYSTEM}/{cluster}"));
            let conditions = found["conditions"].as_array().into_iter().flatten();
            let ready = conditions.clone().any(|one| one["type"] == "Ready" && one["status"] == "True");
            let hit = conditions.filter(|_| !ready).find(|one| one["reason"] == reason);
            hit.map(|one| one["message"].as_str().unwrap_or_default().to_owned()).ok_or_else(|| pretty(&found))
        })
    }

    /// Waits for a warning about an object of the host with all these words in its message, and gives the message.
    #[track_caller]
    pub fn until_warning(&self, about: &str, words: &[&str]) -> String {
        wait_for(&format!("a warning about {about} that has {words:?}"), || {
            let events = self.host().list(kinds::EVENT).map_err(|refused| refused.to_string())?;
            let own = events.iter().filter(|event| event["involvedObject"]["name"] == about);
            let message = |event: &Value| event["message"].as_str().unwrap_or_default().to_owned();
            let warnings = own.clone().filter(|event| event["type"] == "Warning").map(message);
            let mut hits = warnings.filter(|message| words.iter().all(|word| message.contains(word)));
            hits.next().ok_or_else(|| own.map(pretty).collect::<String>())
        })
    }

    /// Endpoints of a DNSEndpoint in short, sorted as written: `name ttl type target target`.
    pub fn endpoints(&self, name: &str) -> Vec<String> {
        self.endpoints_of(kinds::DNS_ENDPOINT, name)
    }

    /// The same of a DNSEndpoint in whatever group.
    pub fn endpoints_of(&self, kind: Kind, name: &str) -> Vec<String> {
        let object = match self.host().read(kind, name) {
            Ok(object) => object,
            Err(refused) => return vec![refused.to_string()],
        };
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let endpoint = |one: &Value| {
            let targets: Vec<String> = one["targets"].as_array().into_iter().flatten().map(text).collect();
            let fixed = [&one["dnsName"], &one["recordTTL"], &one["recordType"]].map(text).join(" ");
            format!("{fixed} {}", targets.join(" "))
        };
        object["spec"]["endpoints"].as_array().into_iter().flatten().map(endpoint).collect()
    }

    /// Waits until a DNSEndpoint has these endpoints.
    #[track_caller]
    pub fn until_endpoints(&self, name: &str, expected: &[&str]) {
        let expected: Vec<String> = expected.iter().map(|&line| line.to_owned()).collect();
        crate::until_equal(&format!("DNSEndpoint {name}"), &expected, || self.endpoints(name));
    }

    fn inner(&self) -> &Inner {
        self.0.as_ref().expect("a world that is not dropped")
    }

    fn inner_mut(&mut self) -> &mut Inner {
        self.0.as_mut().expect("a world that is not dropped")
    }

    /// What a person would look at first where a scenario failed.
    fn tell(&self) -> String {
        let kinds = [kinds::CLUSTER, kinds::DOMAIN, kinds::SERVICE_RECORD, kinds::INGRESS_RECORD, kinds::DNS_ENDPOINT];
        let mut told = String::new();
        for kind in kinds {
            for mut object in self.host().list(kind).unwrap_or_default() {
                if let Some(metadata) = object["metadata"].as_object_mut() {
                    metadata.remove("managedFields");
                }
                let _ = writeln!(told, "{} {object}", kind.plural);
            }
        }
        told
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- objects of the host\n{}", self.tell());
            return;
        }
        let Some(mut inner) = self.0.take() else { return };
        if inner.tidy_up().is_ok() {
            POOL.lock().unwrap_or_else(PoisonError::into_inner).push(inner);
        }
    }
}

impl Inner {
    #[track_caller]
    fn new() -> Self {
        let (etcd, authority) = (Etcd::start(), Authority::new("clusters of a test"));
        let identity = authority.server();
        let mut host = ApiServer::start("host", etcd.port(), &authority, &identity);
        let chart = Manifests::of_chart();
        host.until_ready();
        chart.install(&host.api);
        let scratch = Scratch::new("world");
        Self { members: Vec::new(), host, etcd, authority, identity, scratch, chart }
    }

    #[track_caller]
    fn grow(&mut self, members: usize) {
        let known = self.members.len();
        for number in known + 1..=members {
            let name = format!("member{number}");
            self.members.push(ApiServer::start(&name, self.etcd.port(), &self.authority, &self.identity));
        }
        self.members.iter_mut().skip(known).for_each(ApiServer::until_ready);
    }

    /// Makes it as it was before anybody used it.
    fn tidy_up(&mut self) -> Result<(), Refused> {
        self.etcd.revive();
        for server in self.members.iter_mut().chain([&mut self.host]) {
            server.begin_again();
        }
        for server in self.members.iter_mut().chain([&mut self.host]) {
            server.until_ready();
        }
        for server in self.members.iter().chain([&self.host]) {
            for kind in LEFT_BEHIND {
                server.api.clear(kind)?;
            }
        }
        // What scenarios change about the installation itself.
        self.chart.install(&self.host.api);
        Ok(())
    }
}
