//! One question to one server, in presentation format.

use std::{
    fmt,
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    str::FromStr,
    time::Duration,
};

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::{Name, RecordType},
};

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// As in `NOERROR`.
    pub code: String,
    /// RDATA of the type that was asked for, sorted; CNAMEs on the way are left out.
    pub data: Vec<String>,
    /// Where the CNAMEs lead, in order.
    pub chain: Vec<String>,
    /// The TTL of the first record.
    pub ttl: Option<u32>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.code, self.data.join(" "))?;
        if !self.chain.is_empty() {
            write!(f, " by way of {}", self.chain.join(", "))?;
        }
        Ok(())
    }
}

/// Asks `name TYPE`; `A` where there is no type.
pub fn ask(server: SocketAddr, question: &str) -> Result<Answer, String> {
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    socket.set_read_timeout(Some(Duration::from_secs(5))).map_err(|error| error.to_string())?;
    let (name, kind) = parts(question);
    socket.send_to(&query(1, name, kind), server).map_err(|error| error.to_string())?;
    let mut octets = [0; 4096];
    let length = socket.recv(&mut octets).map_err(|error| format!("{question}: {error}"))?;
    read(&octets[..length], kind).map(|(_, answer)| answer)
}

/// Every record of a zone in presentation format, as a secondary gets them, sorted, its SOA once.
pub fn transfer(server: SocketAddr, apex: &str) -> Result<Vec<String>, String> {
    let told = |error: std::io::Error| format!("transfer of {apex}: {error}");
    let mut stream = TcpStream::connect(server).map_err(told)?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(told)?;
    let question = query(1, apex, RecordType::AXFR);
    let length = u16::try_from(question.len()).map_err(|error| error.to_string())?;
    stream.write_all(&[&length.to_be_bytes()[..], &question].concat()).map_err(told)?;
    let mut records = Vec::new();
    let mut starts = 0;
    while starts < 2 {
        let mut length = [0; 2];
        stream.read_exact(&mut length).map_err(told)?;
        let mut octets = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut octets).map_err(told)?;
        let message = Message::from_vec(&octets).map_err(|error| error.to_string())?;
        if message.answers.is_empty() {
            return Err(format!("transfer of {apex}: {}", message.metadata.response_code));
        }
        starts += message.answers.iter().filter(|record| record.record_type() == RecordType::SOA).count();
        records.extend(message.answers.iter().map(ToString::to_string));
    }
    records.sort_unstable();
    records.dedup();
    Ok(records)
}

/// The serial of a zone that was transferred.
#[track_caller]
pub fn serial(records: &[String]) -> u32 {
    let soa = records.iter().find(|record| record.contains(" SOA ")).expect("a SOA");
    soa.rsplit(' ').nth(4).and_then(|serial| serial.parse().ok()).expect("a serial")
}

/// The octets of a question.
#[track_caller]
pub fn query(id: u16, name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    let mut name = Name::from_str(name).expect("a name");
    name.set_fqdn(true);
    message.add_query(Query::query(name, kind));
    message.to_vec().expect("a message")
}

/// Identifier and answer.
pub fn read(octets: &[u8], kind: RecordType) -> Result<(u16, Answer), String> {
    let message = Message::from_vec(octets).map_err(|error| error.to_string())?;
    let code = match message.metadata.response_code.to_str() {
        "No Error" => "NOERROR",
        "Non-Existent Domain" => "NXDOMAIN",
        "Query Refused" => "REFUSED",
        "Server Failure" => "SERVFAIL",
        other => other,
    };
    let of = |wanted: RecordType| {
        let hits = message.answers.iter().filter(move |record| record.record_type() == wanted);
        hits.map(|record| record.data.to_string()).collect::<Vec<_>>()
    };
    let mut data = of(kind);
    data.sort_unstable();
    let chain = if kind == RecordType::CNAME { Vec::new() } else { of(RecordType::CNAME) };
    let ttl = message.answers.first().map(|record| record.ttl);
    Ok((message.metadata.id, Answer { code: code.to_owned(), data, chain, ttl }))
}

/// Name and type.
#[track_caller]
pub fn parts(question: &str) -> (&str, RecordType) {
    let (name, kind) = question.split_once(' ').unwrap_or((question, "A"));
    (name, RecordType::from_str(kind).expect("a type"))
}
