//! An answer taken apart, in presentation format, and what is wrong with it whatever was asked.

use std::fmt;

use anyhow::{Context, bail};
use data_encoding::HEXLOWER;

use crate::{
    draft::{AA, AD, CD, OPT, QR, RA, RD, TC, Z},
    name, rdata, tsig,
    words::{self, CLASSES, OPTIONS, RCODES, TYPES},
};

/// Octets of a header.
pub(crate) const HEADER: usize = 12;

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// ID.
    pub id: u16,
    /// The second half-word of the header.
    pub flags: u16,
    /// RCODE with its upper bits from EDNS (RFC 6891 section 6.1.3).
    pub rcode: u16,
    /// The question section as it came, octet by octet.
    pub question: Vec<u8>,
    /// The question section as text.
    pub question_text: Vec<String>,
    /// Answer section: `owner ttl [class] type data`, class IN left out.
    pub answer: Vec<String>,
    /// Authority section.
    pub authority: Vec<String>,
    /// Additional section without OPT and TSIG.
    pub additional: Vec<String>,
    /// OPT.
    pub edns: Option<Edns>,
    /// TSIG.
    pub tsig: Option<tsig::Seen>,
    /// Octets of the message.
    pub length: usize,
}

/// What the OPT record of an answer says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edns {
    /// Responder's UDP payload size.
    pub size: u16,
    /// EDNS version.
    pub version: u8,
    /// DO is the highest bit.
    pub flags: u16,
    /// Options in their order.
    pub options: Vec<(u16, Vec<u8>)>,
}

/// The sections of records in their order.
pub const SECTIONS: [&str; 3] = ["answer", "authority", "additional"];

impl Reply {
    /// Takes a message apart.
    ///
    /// # Errors
    /// Whatever makes it no message, and what no answer may have: octets behind the last record, two OPT records,
    /// a TSIG record that is not the last one, names that are compressed where they must not be, RRsets with two TTLs
    /// (RFC 2181 section 5.2) or with a record twice (section 5).
    pub fn read(message: &[u8]) -> anyhow::Result<Self> {
        let number = |at: usize| -> anyhow::Result<u16> {
            let octets = message.get(at..at + 2).context("the message ends too early")?;
            Ok(u16::from_be_bytes(octets.try_into()?))
        };
        let mut reply = Self { id: number(0)?, flags: number(2)?, length: message.len(), ..Self::default() };
        let mut rcode_above = 0;
        let mut at = HEADER;
        for _ in 0..number(4)? {
            let name = name::read(message, at)?;
            let class = words::word(CLASSES, "CLASS", number(name.end + 2)?);
            let record_type = words::word(TYPES, "TYPE", number(name.end)?);
            reply.question_text.push(format!("{} {class} {record_type}", name.text));
            at = name.end + 4;
        }
        reply.question = message.get(HEADER..at).context("the message ends too early")?.to_vec();
        for section in 0..3 {
            let mut records = Vec::new();
            for _ in 0..number(6 + 2 * section)? {
                if reply.tsig.is_some() {
                    bail!("TSIG is not the last record");
                }
                let start = at;
                let owner = name::read(message, at)?;
                let (record_type, class) = (number(owner.end)?, number(owner.end + 2)?);
                let ttl = u32::from(number(owner.end + 4)?) << 16 | u32::from(number(owner.end + 6)?);
                let data = owner.end + 10;
                at = data + usize::from(number(owner.end + 8)?);
                if at > message.len() {
                    bail!("a record ends behind the message");
                }
                match (section, record_type) {
                    (2, OPT) => {
                        if reply.edns.is_some() || owner.text != "." {
                            bail!("a second OPT record, or one that has a name");
                        }
                        rcode_above = u16::try_from(ttl >> 24)?;
                        reply.edns = Some(Edns {
                            size: class,
                            version: message[owner.end + 5],
                            flags: number(owner.end + 6)?,
                            options: options(&message[data..at])?,
                        });
                    }
                    (2, tsig::TSIG) => reply.tsig = Some(tsig::read(message, start, data, at)?),
                    _ => records.push((
                        owner.text,
                        ttl,
                        class,
                        record_type,
                        rdata::print(message, record_type, data, at)?,
                    )),
                }
            }
            check_rrsets(&records)?;
            let lines = records.into_iter().map(|(owner, ttl, class, record_type, data)| {
                let class = if class == 1 { String::new() } else { words::word(CLASSES, "CLASS", class) + " " };
                format!("{owner} {ttl} {class}{} {data}", words::word(TYPES, "TYPE", record_type))
            });
            match section {
                0 => reply.answer = lines.collect(),
                1 => reply.authority = lines.collect(),
                _ => reply.additional = lines.collect(),
            }
        }
        if at != message.len() {
            bail!("{} octets behind the last record", message.len() - at);
        }
        reply.rcode = rcode_above << 4 | reply.flags & 15;
        Ok(reply)
    }

    /// The records of one of [`SECTIONS`].
    pub fn section(&self, index: usize) -> &[String] {
        [&self.answer, &self.authority, &self.additional][index]
    }

    /// Flags by name, without QR and RD.
    pub fn flag_names(&self) -> Vec<&'static str> {
        let names = [(AA, "aa"), (TC, "tc"), (RA, "ra"), (Z, "z"), (AD, "ad"), (CD, "cd")];
        names.into_iter().filter(|(bit, _)| self.flags & bit != 0).map(|(_, name)| name).collect()
    }

    /// Takes the next message of a transfer in.
    pub(crate) fn append(&mut self, next: Self) {
        self.flags &= next.flags | !(QR | AA);
        self.flags |= next.flags & (TC | RA | Z | AD | CD | RD);
        if self.rcode == 0 {
            self.rcode = next.rcode;
        }
        self.answer.extend(next.answer);
        self.authority.extend(next.authority);
        self.additional.extend(next.additional);
        self.length = self.length.max(next.length);
        self.tsig = self.tsig.take().or(next.tsig);
    }
}

type RawRecord = (String, u32, u16, u16, String);

fn check_rrsets(records: &[RawRecord]) -> anyhow::Result<()> {
    for (index, (owner, ttl, class, record_type, data)) in records.iter().enumerate() {
        // A transfer has its SOA twice.
        if *record_type == crate::draft::SOA {
            continue;
        }
        for (other_owner, other_ttl, other_class, other_type, other_data) in &records[..index] {
            if !owner.eq_ignore_ascii_case(other_owner) || class != other_class || record_type != other_type {
                continue;
            }
            if ttl != other_ttl {
                bail!("an RRset at {owner} with the TTLs {other_ttl} and {ttl} (RFC 2181 section 5.2)");
            }
            if data == other_data {
                bail!("a record at {owner} twice: {data} (RFC 2181 section 5)");
            }
        }
    }
    Ok(())
}

fn options(mut data: &[u8]) -> anyhow::Result<Vec<(u16, Vec<u8>)>> {
    let mut options = Vec::new();
    while !data.is_empty() {
        let [a, b, c, d, rest @ ..] = data else { bail!("an EDNS option ends too early") };
        let length = usize::from(u16::from_be_bytes([*c, *d]));
        let value = rest.get(..length).context("an EDNS option ends too late")?;
        options.push((u16::from_be_bytes([*a, *b]), value.to_vec()));
        data = &rest[length..];
    }
    Ok(options)
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rcode {}", words::word(RCODES, "RCODE", self.rcode))?;
        let rd = if self.flags & RD == 0 { "" } else { " rd" };
        writeln!(f, "flags {}{rd}", self.flag_names().join(" "))?;
        for question in &self.question_text {
            writeln!(f, "question {question}")?;
        }
        for (index, name) in SECTIONS.iter().enumerate() {
            let section = self.section(index);
            if !section.is_empty() {
                writeln!(f, "{name}")?;
            }
            for record in section {
                writeln!(f, "    {record}")?;
            }
        }
        if let Some(edns) = &self.edns {
            let dnssec_ok = if edns.flags & 0x8000 == 0 { "" } else { " do" };
            writeln!(f, "edns version {} size {}{dnssec_ok}", edns.version, edns.size)?;
            for (code, value) in &edns.options {
                writeln!(f, "option {} {}", words::word(OPTIONS, "", *code), HEXLOWER.encode(value))?;
            }
        }
        if let Some(tsig) = &self.tsig {
            writeln!(f, "tsig {} {}", tsig.key, words::word(RCODES, "RCODE", tsig.error))?;
        }
        writeln!(f, "({} octets)", self.length)
    }
}
