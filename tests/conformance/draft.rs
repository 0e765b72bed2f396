//! A message that is going to be sent, right or wrong in every part that a case wants wrong.

use crate::{
    name,
    tsig::{Signature, Signer},
};

/// Set in answers.
pub const QR: u16 = 0x8000;
/// Authoritative answer.
pub const AA: u16 = 0x0400;
/// Truncated.
pub const TC: u16 = 0x0200;
/// Recursion desired.
pub const RD: u16 = 0x0100;
/// Recursion available.
pub const RA: u16 = 0x0080;
/// Reserved, zero (RFC 1035 section 4.1.1).
pub const Z: u16 = 0x0040;
/// Authentic data.
pub const AD: u16 = 0x0020;
/// Checking disabled.
pub const CD: u16 = 0x0010;

/// Type of an OPT record.
pub(crate) const OPT: u16 = 41;
/// Type of a SOA record.
pub(crate) const SOA: u16 = 6;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// In wire format.
    pub name: Vec<u8>,
    /// QTYPE.
    pub record_type: u16,
    /// QCLASS.
    pub class: u16,
}

/// An OPT record (RFC 6891 section 6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edns {
    /// Requestor's UDP payload size.
    pub size: u16,
    /// EDNS version.
    pub version: u8,
    /// DO is the highest bit.
    pub flags: u16,
    /// Options, in the order in which they are sent.
    pub options: Vec<(u16, OptionData)>,
    /// How many such records there are; more than one is an error.
    pub copies: u16,
}

/// What an option holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionData {
    /// These octets.
    Octets(Vec<u8>),
    /// What the server gave in its last answer of this case.
    Again,
}

/// The SOA record in the authority section of a question for IXFR (RFC 1995 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientSerial {
    /// This one.
    Is(u32),
    /// The one that the server has now.
    Current,
}

/// A message that is going to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Draft {
    /// Octet by octet as the case has it.
    Raw(Vec<u8>),
    /// A question, made when it is sent.
    Query(Box<Query>),
}

/// A question with everything around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Flags and OPCODE, as the second half-word of the header.
    pub flags: u16,
    /// What is asked.
    pub question: Question,
    /// For IXFR.
    pub serial: Option<ClientSerial>,
    /// EDNS, if any.
    pub edns: Option<Edns>,
    /// Records at the end of the additional section, in wire format.
    pub extra: Vec<Vec<u8>>,
    /// TSIG, if any.
    pub signer: Option<Signer>,
}

/// A message as it is sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The octets.
    pub octets: Vec<u8>,
    /// What is needed to check the signature of an answer.
    pub signature: Option<Signature>,
}

impl Query {
    /// The message with this ID. `again` is what the server gave before for an option, `serial` its current one.
    ///
    /// # Errors
    /// A signer that cannot sign.
    pub fn encode(&self, id: u16, again: impl Fn(u16) -> Vec<u8>, current: u32) -> anyhow::Result<Sent> {
        let mut octets = Vec::new();
        let additional = self.edns.as_ref().map_or(0, |edns| edns.copies) + u16::try_from(self.extra.len())?;
        for number in [id, self.flags, 1, 0, u16::from(self.serial.is_some()), additional] {
            octets.extend(number.to_be_bytes());
        }
        let Question { name, record_type, class } = &self.question;
        octets.extend(name);
        octets.extend(record_type.to_be_bytes());
        octets.extend(class.to_be_bytes());
        if let Some(serial) = self.serial {
            let serial = match serial {
                ClientSerial::Is(serial) => serial,
                ClientSerial::Current => current,
            };
            let mut data = vec![0, 0];
            for number in [serial, 0, 0, 0, 0] {
                data.extend(number.to_be_bytes());
            }
            octets.extend(record(name, SOA, 1, 0, &data)?);
        }
        if let Some(edns) = &self.edns {
            let mut data = Vec::new();
            for (code, value) in &edns.options {
                let value = match value {
                    OptionData::Octets(value) => value.clone(),
                    OptionData::Again => again(*code),
                };
                data.extend(code.to_be_bytes());
                data.extend(u16::try_from(value.len())?.to_be_bytes());
                data.extend(value);
            }
            let ttl = u32::from(edns.version) << 16 | u32::from(edns.flags);
            for _ in 0..edns.copies {
                octets.extend(record(&[0], OPT, edns.size, ttl, &data)?);
            }
        }
        octets.extend(self.extra.iter().flatten());
        match &self.signer {
            None => Ok(Sent { octets, signature: None }),
            Some(signer) => signer.sign(octets),
        }
    }
}

/// A record in wire format.
///
/// # Errors
/// More than 65,535 octets of data.
pub fn record(owner: &[u8], record_type: u16, class: u16, ttl: u32, data: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut octets = owner.to_vec();
    octets.extend(record_type.to_be_bytes());
    octets.extend(class.to_be_bytes());
    octets.extend(ttl.to_be_bytes());
    octets.extend(u16::try_from(data.len())?.to_be_bytes());
    octets.extend(data);
    Ok(octets)
}

/// A plain question for the SOA of a zone.
///
/// # Errors
/// An apex that is no name.
pub fn soa_query(apex: &str) -> anyhow::Result<Query> {
    Ok(Query {
        flags: 0,
        question: Question { name: name::to_wire(apex)?, record_type: SOA, class: 1 },
        serial: None,
        edns: None,
        extra: Vec::new(),
        signer: None,
    })
}
