//! The federation as a directory, in the words of Kubernetes.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, BufWriter, Write},
    net::Ipv4Addr,
    path::Path,
};

use super::{APEX, CREATED_TEXT, Cluster, DOMAIN, Federation, SYSTEM_NAMESPACE, Shard};

/// Records in one file.
const RECORDS_PER_FILE: usize = 1000;
/// Slices in one file, so that a change of one is not a change of a large file.
const SLICES_PER_FILE: usize = 50;

impl Federation {
    /// Writes it as a federation directory into `folder`, which is made, and gives the octets written. Nothing is
    /// removed that is there already.
    ///
    /// # Errors
    ///
    /// Those of making folders and writing files.
    pub fn write(&self, folder: &Path) -> io::Result<u64> {
        let host = folder.join("host");
        fs::create_dir_all(&host)?;
        let mut octets = write_list(&host.join("domain.json"), [domain()])?;
        octets += write_list(&host.join("clusters.json"), self.clusters.iter().map(cluster))?;
        let records: Vec<u32> = (0..self.shape.records).collect();
        for (number, chunk) in records.chunks(RECORDS_PER_FILE).enumerate() {
            let objects = chunk.iter().map(|record| self.record_object(*record));
            octets += write_list(&host.join(format!("records-{number:03}.json")), objects)?;
        }
        let mut of_cluster: Vec<Vec<Shard<'_>>> = vec![Vec::new(); self.clusters.len()];
        for record in records {
            for shard in self.shards(record) {
                of_cluster[shard.position].push(shard);
            }
        }
        for (cluster, shards) in self.clusters.iter().zip(of_cluster) {
            let member = folder.join("members").join(&*cluster.name);
            fs::create_dir_all(&member)?;
            octets += write_list(&member.join("services.json"), shards.iter().map(service))?;
            for (number, chunk) in shards.chunks(SLICES_PER_FILE).enumerate() {
                let path = member.join(format!("endpointslices-{number:03}.json"));
                octets += write_list(&path, chunk.iter().map(slice))?;
            }
        }
        Ok(octets)
    }

    fn record_object(&self, record: u32) -> String {
        format!(
            r#"{{"apiVersion":"multiclusterdns.kubefed.io/v1alpha1","kind":"ServiceDNSRecord","metadata":{},"spec":{{"domainRef":"{DOMAIN}"}}}}"#,
            metadata(self.namespace(record), self.service(record), "")
        )
    }
}

impl Shard<'_> {
    /// Name of its slice, as the controller of Kubernetes makes it: the service and five characters.
    pub(super) fn slice_name(&self) -> String {
        format!("{}-abc12", self.service)
    }
}

fn domain() -> String {
    format!(
        r#"{{"apiVersion":"multiclusterdns.kubefed.io/v1alpha1","kind":"Domain","metadata":{},"domain":"{APEX}"}}"#,
        metadata(SYSTEM_NAMESPACE, DOMAIN, "")
    )
}

fn cluster(cluster: &Cluster) -> String {
    let Cluster { name, region, availability_zone } = cluster;
    let since = CREATED_TEXT;
    format!(
        r#"{{"apiVersion":"core.kubefed.io/v1beta1","kind":"KubeFedCluster","metadata":{},"spec":{{"apiEndpoint":"https://{name}.example.net:6443","secretRef":{{"name":"{name}"}}}},"status":{{"conditions":[{{"type":"Ready","status":"True","reason":"ClusterReady","message":"/healthz responded with ok","lastProbeTime":"{since}","lastTransitionTime":"{since}"}}],"region":"{region}","zones":["{availability_zone}"]}}}}"#,
        metadata(SYSTEM_NAMESPACE, name, "")
    )
}

fn service(shard: &Shard<'_>) -> String {
    let metadata = metadata(shard.namespace, shard.service, r#","labels":{"kubefed.io/managed":"true"}"#);
    format!(
        r#"{{"apiVersion":"v1","kind":"Service","metadata":{metadata},"spec":{{"type":"LoadBalancer","ports":[{{"name":"http","port":80,"protocol":"TCP","targetPort":8080}}],"selector":{{"app":"{}"}}}},"status":{{"loadBalancer":{{"ingress":[{{"ip":"{}"}}]}}}}}}"#,
        shard.service, shard.load_balancer
    )
}

fn slice(shard: &Shard<'_>) -> String {
    let labels = format!(
        r#","labels":{{"kubefed.io/managed":"true","kubernetes.io/service-name":"{}","endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io"}}"#,
        shard.service
    );
    let mut text = format!(
        r#"{{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{},"addressType":"IPv4","ports":[{{"name":"http","port":8080,"protocol":"TCP"}}],"endpoints":["#,
        metadata(shard.namespace, &shard.slice_name(), &labels)
    );
    for (index, address) in shard.endpoints.clone().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // Writing to a string does not fail.
        let _ = write!(
            text,
            r#"{comma}{{"addresses":["{}"],"conditions":{{"ready":true,"serving":true}},"nodeName":"node-{}"}}"#,
            Ipv4Addr::from_bits(address),
            address % 97
        );
    }
    text.push_str("]}");
    text
}

/// `metadata` with whatever follows; nothing in it needs escapes.
fn metadata(namespace: &str, name: &str, more: &str) -> String {
    format!(
        r#"{{"name":"{name}","namespace":"{namespace}","creationTimestamp":"{CREATED_TEXT}","generation":1{more}}}"#
    )
}

/// One file with a List, one object a line.
fn write_list(path: &Path, objects: impl IntoIterator<Item = String>) -> io::Result<u64> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut octets = 0;
    let mut put = |text: &str| {
        octets += text.len() as u64;
        file.write_all(text.as_bytes())
    };
    put("{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[\n")?;
    for (index, object) in objects.into_iter().enumerate() {
        if index > 0 {
            put(",\n")?;
        }
        put(&object)?;
    }
    put("\n]}\n")?;
    file.flush()?;
    Ok(octets)
}
