//! Master files (RFC 1035 section 5): reading what people write, writing what people compare.
//!
//! ```text
//!   text ──lexer──► words of one record, with line and column
//!        ──reader─► Records (owner, TTL, type, RDATA in wire format) or Finding; on to the next record
//!
//!   RRsets ──writer──► one record a line, absolute names, canonical order
//! ```
//!
//! * An error costs its own record. The finding says line, column and what would be right.
//! * The reader looks at one record at a time; what makes a zone of records is
//!   [`check::zone`](crate::check::zone).
//! * It opens no file: `$INCLUDE` asks the caller.
//! * Beside RFC 1035 it reads `$TTL` (RFC 2308 section 4), TTLs with units, `$GENERATE` as BIND does, and
//!   `\#` data of any type (RFC 3597). Class and TTL may stand in either order; the only class is IN.
//! * Line ends may be LF or CRLF, the last one may be missing, and a byte order mark is passed over.

mod generate;
mod lexer;
mod reader;
mod records;
mod writer;

use std::sync::Arc;

pub use self::{
    reader::{Included, read},
    records::{Record, Records},
    writer::{write, write_record},
};
use super::{OwnerName, RecordType};

/// The `$INCLUDE` loader for texts that may not include anything.
pub fn refuse_includes(name: &str, _from: &Arc<str>) -> Result<Included, String> {
    Err(format!("`{name}` is not included here"))
}

/// The origin that a file name tells: `example.com.zone`, `example.com.db`, `db.example.com`, `example.com`.
/// The root if the name tells none.
pub fn origin_of_file(path: &str) -> OwnerName {
    let file = path.rsplit('/').next().unwrap_or(path);
    let file = file.strip_prefix("db.").unwrap_or(file);
    let stem = [".zone", ".db", ".txt", ".hosts"].iter().find_map(|ending| file.strip_suffix(ending)).unwrap_or(file);
    // A stem without a dot is more often a word ("zone", "internal") than a top-level domain.
    let host = OwnerName::parse_host(stem, false).ok().filter(|host| host.label_count() > 1);
    host.unwrap_or_else(OwnerName::root)
}

/// The words of one record's data, without the quotes around them; the form that
/// [`parse_rdata`](super::parse_rdata) takes.
pub(crate) fn cut_fields(text: &str, record_type: RecordType) -> Result<Vec<&str>, String> {
    let mut words = Vec::new();
    let mut lexer = lexer::Lexer::of_data(text, record_type);
    lexer.next_record(&mut words).map_err(|error| error.message.to_owned())?;
    let fields = words.iter().map(lexer::Word::field).collect();
    match lexer.next_record(&mut words) {
        Ok(None) => Ok(fields),
        _ => Err("there is more than one line".to_owned()),
    }
}

#[cfg(test)]
mod tests;
