//! Record data between presentation and wire format.
//!
//! ```text
//!   10 mail.example.com.   ──parse_rdata──►   00 0a 04 m a i l 07 e x a m p l e 03 c o m 00
//!                          ◄─display_rdata──
//! ```
//!
//! A table ([`layout`](self)) says of which parts each type is made; one reader and one writer walk it, so
//! that the two formats are inverse by construction. Where one field says what the next is, a module of its own does
//! both (`gateways`, `historic`, `prefixes`). Data whose type is not in the table, and wire format
//! that does not fit its type, is written as `\# length hex` (RFC 3597 section 5), which is read for every
//! type. Names are kept in the normal form of [`OwnerName`]; strings keep their case.
//!
//! The types of `hickory-proto` (0.26) are not used here, and are the reference of the tests instead: its text
//! parser refuses DS, DNSKEY, DNAME, LOC, URI, RP and every unknown type, keeps `\210` in an SVCB parameter as
//! four characters and holds protocol names as UTF-8, so that text and wire would not be inverse.
//!
//! The table has every type that the text of BIND 9.18 has, but UNSPEC and what stands in questions and in BIND alone.
//!
//! Sections: RFC 1035 section 5.1 (escapes), RFC 3597 section 5, RFC 4034 sections 2 to 5, RFC 9460 section 2.1.

mod gateways;
mod historic;
mod layout;
mod location;
mod parameters;
mod prefixes;
mod read;
mod text;
mod write;

use std::fmt;

use thiserror::Error;

pub(crate) use self::{
    read::read_into,
    text::{NameBuffer, number, period},
};
use super::{NameError, OwnerName, RecordType};

/// Why a text is no record data of its type.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct RdataError {
    message: String,
    help: Option<String>,
    field: Option<usize>,
}

/// Reads RDATA from its fields in presentation format; relative names are below `origin` and `@` is it.
///
/// A field is one word of a master file as it stands there, with its escapes but without the quotes around
/// it. [`parse_rdata_text`] does the cutting.
pub fn parse_rdata(record_type: RecordType, fields: &[&str], origin: &OwnerName) -> Result<Box<[u8]>, RdataError> {
    let mut wire = Vec::with_capacity(64);
    read_into(record_type, fields, origin, &mut wire)?;
    Ok(wire.into())
}

/// Reads RDATA from one text in presentation format, quotes included: `0 issue "ca.example.net"`.
pub fn parse_rdata_text(record_type: RecordType, text: &str, origin: &OwnerName) -> Result<Box<[u8]>, RdataError> {
    let fields = super::master::cut_fields(text, record_type).map_err(RdataError::new)?;
    parse_rdata(record_type, &fields, origin)
}

/// RDATA in presentation format, names absolute.
pub fn display_rdata(record_type: RecordType, rdata: &[u8]) -> String {
    let mut text = String::with_capacity(rdata.len() + 16);
    // Writing to a string does not fail.
    let _ = write_rdata(&mut text, record_type, rdata);
    text
}

/// Writes RDATA in presentation format, names absolute. Fails only if `out` does.
pub fn write_rdata(out: &mut impl fmt::Write, record_type: RecordType, rdata: &[u8]) -> fmt::Result {
    write::write(out, record_type, rdata)
}

/// The host or alias that RDATA points to: for NS, CNAME, PTR, DNAME, MX and SRV. None for other types and
/// for octets that do not fit their type.
pub fn rdata_target(record_type: RecordType, rdata: &[u8]) -> Option<OwnerName> {
    let skip = match record_type {
        RecordType::NS | RecordType::CNAME | RecordType::PTR | RecordType::DNAME => 0,
        RecordType::MX => 2,
        RecordType::SRV => 6,
        _ => return None,
    };
    OwnerName::from_wire(rdata.get(skip..)?).ok()
}

impl RdataError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, field: None }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help.get_or_insert(help.into());
        self
    }

    fn in_field(mut self, field: usize) -> Self {
        self.field.get_or_insert(field);
        self
    }

    /// What would be right, if something short can be said.
    pub fn suggestion(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// Index of the wrong field; none if the data as a whole is wrong.
    pub fn field(&self) -> Option<usize> {
        self.field
    }
}

/// The finding's sentence about a name that is none.
fn wrong_name(text: &str, error: &NameError) -> RdataError {
    RdataError::new(format!("`{text}` is no domain name: {error}"))
}

#[cfg(test)]
mod tests;
