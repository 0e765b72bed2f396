//! Questions over TCP, and answers that can be compared.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::{Name, Record, RecordType},
};

use crate::PATIENCE;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// In presentation format.
    pub name: String,
    /// Its type.
    pub record_type: RecordType,
}

/// What counts of an answer: RCODE and sections, where names have no case, a record is there once, and an SOA has no serial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// As a word.
    pub rcode: String,
    /// AA and TC.
    pub flags: (bool, bool),
    /// TTLs by record.
    pub answer: BTreeMap<String, u32>,
    /// The same.
    pub authority: BTreeMap<String, u32>,
    /// The same.
    pub additional: BTreeMap<String, u32>,
}

/// Asks a server over TCP.
///
/// # Errors
///
/// Where it does not answer.
pub fn ask(server: SocketAddr, name: &str, record_type: RecordType) -> io::Result<Answer> {
    let mut query = Message::new(0x2a2a, MessageType::Query, OpCode::Query);
    // Label by label, for the presentation format of the library has no `*` within a label.
    let labels = Name::from_labels(name.split('.').map(str::as_bytes)).expect("a name");
    query.add_query(Query::query(labels, record_type));
    let octets = query.to_vec().expect("a query");
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = u16::try_from(octets.len()).expect("a short query").to_be_bytes();
    stream.write_all(&[&length[..], &octets].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut octets = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut octets)?;
    let message = Message::from_vec(&octets).map_err(io::Error::other)?;
    Ok(Answer {
        rcode: message.response_code.to_string(),
        flags: (message.authoritative, message.truncation),
        answer: section(&message.answers),
        authority: section(&message.authorities),
        additional: section(&message.additionals),
    })
}

fn section(records: &[Record]) -> BTreeMap<String, u32> {
    let mut section = BTreeMap::new();
    for record in records {
        let mut words: Vec<String> = record.data.to_string().split(' ').map(ToOwned::to_owned).collect();
        if record.record_type() == RecordType::SOA {
            "SERIAL".clone_into(&mut words[2]);
        }
        let data = words.join(" ");
        // Text keeps its case.
        let data = if record.record_type() == RecordType::TXT { data } else { data.to_ascii_lowercase() };
        let owner = record.name.to_ascii().to_ascii_lowercase();
        section.entry(format!("{owner} {} {data}", record.record_type())).or_insert(record.ttl);
    }
    section
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.record_type)
    }
}
