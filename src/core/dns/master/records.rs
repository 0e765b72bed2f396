//! Records as a master file has them, packed: a zone of a million names has more records than small allocations
//! should be made for, and all of them go again when the zone is made.

use std::sync::Arc;

use crate::dns::{NameRef, RecordType, Ttl};

/// Records in the order in which they were read. At most 4 GiB of names and data.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// Owner names (one for records in a row that share it) and data.
    octets: Vec<u8>,
    heads: Vec<Head>,
    /// Files in the order in which they were first named; few.
    files: Vec<Arc<str>>,
}

/// One record, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Owner name, absolute.
    pub owner: NameRef<'a>,
    /// TTL in seconds, written or inherited.
    pub ttl: Ttl,
    /// RR type; never a meta type.
    pub record_type: RecordType,
    /// RDATA in wire format without compression.
    pub rdata: &'a [u8],
    /// Line of its first word, from 1.
    pub line: u32,
    /// Column of its first word in characters, from 1.
    pub column: u32,
    /// The file, as the caller or the loader named it.
    pub file: &'a Arc<str>,
}

/// The records do not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany;

#[derive(Debug, Clone, Copy)]
struct Head {
    owner: u32,
    data: u32,
    ttl: Ttl,
    line: u32,
    data_length: u16,
    record_type: RecordType,
    /// 65,535 stands for all beyond as well.
    column: u16,
    file: u16,
    owner_length: u8,
}

impl Records {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// The record with this number; records count from 0.
    ///
    /// # Panics
    ///
    /// There must be one.
    pub fn at(&self, number: usize) -> Record<'_> {
        let head = &self.heads[number];
        Record {
            owner: self.owner(head),
            ttl: head.ttl,
            record_type: head.record_type,
            rdata: &self.octets[head.data as usize..][..usize::from(head.data_length)],
            line: head.line,
            column: head.column.into(),
            file: &self.files[usize::from(head.file)],
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Record<'_>> + ExactSizeIterator {
        (0..self.len()).map(|number| self.at(number))
    }

    /// The type of a record, for those who look at that of all.
    pub(crate) fn record_type(&self, number: usize) -> RecordType {
        self.heads[number].record_type
    }

    /// Where the owner name of a record stands among all octets. Records of one name in a row have the same place.
    pub(crate) fn owner_place(&self, number: usize) -> u32 {
        self.heads[number].owner
    }

    /// Octets from a place on, as [`Records::owner_place`] gives it.
    pub(crate) fn octets(&self, place: u32, length: u8) -> &[u8] {
        &self.octets[place as usize..][..usize::from(length)]
    }

    pub(super) fn push(&mut self, record: Record<'_>) -> Result<(), TooMany> {
        let known = self.files.iter().rposition(|file| Arc::ptr_eq(file, record.file));
        let file = known.unwrap_or_else(|| {
            self.files.push(Arc::clone(record.file));
            self.files.len() - 1
        });
        let (owner, owner_length) = match self.heads.last() {
            Some(last) if self.owner(last) == record.owner => (last.owner, last.owner_length),
            _ => {
                let wire = record.owner.as_wire();
                let place = self.place()?;
                self.octets.extend_from_slice(wire);
                (place, u8::try_from(wire.len()).map_err(|_| TooMany)?)
            }
        };
        let data = self.place()?;
        self.octets.extend_from_slice(record.rdata);
        u32::try_from(self.heads.len()).map_err(|_| TooMany)?;
        self.heads.push(Head {
            owner,
            data,
            ttl: record.ttl,
            line: record.line,
            data_length: u16::try_from(record.rdata.len()).map_err(|_| TooMany)?,
            record_type: record.record_type,
            column: u16::try_from(record.column).unwrap_or(u16::MAX),
            file: u16::try_from(file).map_err(|_| TooMany)?,
            owner_length,
        });
        Ok(())
    }

    fn owner(&self, head: &Head) -> NameRef<'_> {
        NameRef::from_normal_wire(self.octets(head.owner, head.owner_length))
    }

    fn place(&self) -> Result<u32, TooMany> {
        u32::try_from(self.octets.len()).map_err(|_| TooMany)
    }
}
