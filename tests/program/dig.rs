//! `dig`, as a user runs it, and its output as data.

use std::net::SocketAddr;

use super::{finish, tool};

/// A reply as `dig` shows it. Records have single spaces between their fields: `owner ttl class type data`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Dig {
    /// RCODE.
    pub(crate) status: String,
    /// Flags: `qr aa rd`.
    pub(crate) flags: String,
    /// Largest reply over UDP that the server takes, where the reply has EDNS.
    pub(crate) udp_size: Option<u16>,
    /// The question as it came back.
    pub(crate) question: String,
    pub(crate) answer: Vec<String>,
    pub(crate) authority: Vec<String>,
    pub(crate) additional: Vec<String>,
    /// The whole text.
    pub(crate) text: String,
}

impl Dig {
    /// Asks `question`, which is what stands on dig's command line behind the server: `name type +options`.
    #[track_caller]
    pub(crate) fn ask(server: SocketAddr, question: &str) -> Self {
        let mut dig = tool("dig");
        // -r: without the ~/.digrc of whoever runs the tests.
        dig.arg("-r").arg(format!("@{}", server.ip())).args(["-p", &server.port().to_string()]);
        dig.args(["+time=5", "+tries=2"]).args(question.split(' '));
        let finished = finish(&mut dig);
        assert_eq!(finished.code, Some(0), "dig {question}\n{}", finished.told());
        Self::read(&finished.stdout)
    }

    /// Data of the answer section without CNAMEs, sorted.
    pub(crate) fn data(&self) -> Vec<String> {
        let fields = self.answer.iter().map(|record| record.splitn(5, ' ').collect::<Vec<_>>());
        let mut data: Vec<String> = fields
            .filter(|fields| fields[3] != "CNAME")
            .filter_map(|fields| fields.get(4).map(ToString::to_string))
            .collect();
        data.sort();
        data
    }

    /// The answer section with each RRset in a fixed order; the order of RRsets, as of a chain, stays.
    pub(crate) fn ordered(&self) -> Vec<String> {
        let owner_and_type = |record: &str| record.split(' ').step_by(3).take(2).map(str::to_owned).collect::<Vec<_>>();
        let mut groups: Vec<Vec<String>> = Vec::new();
        for record in &self.answer {
            match groups.last_mut() {
                Some(group) if owner_and_type(&group[0]) == owner_and_type(record) => group.push(record.clone()),
                _ => groups.push(vec![record.clone()]),
            }
        }
        for group in &mut groups {
            group.sort();
        }
        groups.concat()
    }

    /// True if the server says that it is the authority.
    pub(crate) fn is_authoritative(&self) -> bool {
        self.flags.split(' ').any(|flag| flag == "aa")
    }

    /// A negative answer has the SOA alone in the authority section, with the smaller of its TTL and its last field
    /// (RFC 2308 section 3), which is 30 in every zone of the tests.
    #[track_caller]
    pub(crate) fn assert_negative(&self, apex: &str) {
        let [soa] = self.authority.as_slice() else { panic!("no SOA alone in {}", self.text) };
        assert!(soa.starts_with(&format!("{apex}. 30 IN SOA ")) && soa.ends_with(" 30"), "{}", self.text);
        assert!(self.is_authoritative(), "{}", self.text);
    }

    fn read(text: &str) -> Self {
        let mut reply = Self { text: text.to_owned(), ..Self::default() };
        let mut section = "";
        for line in text.lines() {
            let after = |mark: &str| line.split_once(mark).map(|(_, rest)| rest);
            let word = |rest: &str| rest.split([',', ';']).next().unwrap_or_default().to_owned();
            if line.starts_with(";; ->>HEADER") {
                reply.status = after("status: ").map(word).unwrap_or_default();
            } else if let Some(flags) = line.strip_prefix(";; flags: ") {
                reply.flags = word(flags);
            } else if line.starts_with("; EDNS:") {
                reply.udp_size = after("udp: ").and_then(|size| size.trim().parse().ok());
            } else if let Some(name) = line.strip_prefix(";; ").and_then(|rest| rest.strip_suffix(" SECTION:")) {
                section = name;
            } else if line.is_empty() {
                section = "";
            } else if let Some(question) = line.strip_prefix(';').filter(|_| section == "QUESTION") {
                reply.question = spaced(question);
            } else if !line.starts_with(';') {
                match section {
                    "ANSWER" => reply.answer.push(spaced(line)),
                    "AUTHORITY" => reply.authority.push(spaced(line)),
                    "ADDITIONAL" => reply.additional.push(spaced(line)),
                    _ => {}
                }
            }
        }
        reply
    }
}

fn spaced(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
