//! The words that requests are made of: chance, names, records, options.

use std::ops::Bound;

use bolero::Driver;

use crate::world::{APEXES, LABELS, NAMES};

/// Chance, as bolero gives it. All choices come from here, so that a finding is made again from its seed, and made
/// smaller.
pub(crate) struct Dice<'d, D>(pub(crate) &'d mut D);

impl<D: Driver> Dice<'_, D> {
    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> Option<usize> {
        self.0.gen_usize(Bound::Included(&0), Bound::Excluded(&end))
    }

    /// True once in so many times. The smallest input is the common one.
    pub(crate) fn once_in(&mut self, times: usize) -> Option<bool> {
        Some(self.below(times)? == times - 1)
    }

    pub(crate) fn octet(&mut self) -> Option<u8> {
        self.0.gen_u8(Bound::Unbounded, Bound::Unbounded)
    }

    pub(crate) fn number(&mut self) -> Option<u16> {
        self.0.gen_u16(Bound::Unbounded, Bound::Unbounded)
    }

    pub(crate) fn pick<'t, T>(&mut self, from: &'t [T]) -> Option<&'t T> {
        from.get(self.below(from.len())?)
    }

    /// Up to `most` octets of any kind.
    pub(crate) fn octets(&mut self, most: usize) -> Option<Vec<u8>> {
        (0..self.below(most + 1)?).map(|_| self.octet()).collect()
    }
}

/// A name in wire format: one of a zone, a near miss, or no name at all.
pub(crate) fn name<D: Driver>(dice: &mut Dice<'_, D>) -> Option<Vec<u8>> {
    let mut name = Vec::new();
    match dice.below(64)? {
        // What there is, and what is made up from its neighbours.
        choice @ 0..32 => {
            let labels = dice.pick(NAMES)?.split('.').filter(|label| !label.is_empty());
            for label in labels {
                name.push(u8::try_from(label.len()).ok()?);
                name.extend(label.as_bytes());
            }
            match choice {
                0 => name.push(0),
                1 => push_apex(dice, &mut name)?,
                _ => name.extend(APEXES[0]),
            }
            if dice.once_in(8)? {
                change_case(dice, &mut name)?;
            }
            return Some(name);
        }
        // Too long by a little, or just not.
        60 => {
            for _ in 0..3 {
                name.push(63);
                name.extend([b'x'; 63]);
            }
            let last = u8::try_from(61 + dice.below(4)?).ok()?;
            name.push(last);
            name.extend(vec![b'y'; usize::from(last)]);
        }
        // As many labels as there may be, or more.
        61 => (0..120 + dice.below(12)?).for_each(|_| name.extend([1, b'a'])),
        // Labels of any octets.
        62 => {
            for _ in 0..dice.below(4)? {
                let label = dice.octets(20)?;
                name.push(u8::try_from(label.len()).ok()?);
                name.extend(label);
            }
            push_apex(dice, &mut name)?;
            return Some(name);
        }
        // A compression pointer, or a label of a kind that there is not.
        63 => {
            name.extend([1, b'a']);
            let kind = *dice.pick(&[0xc0, 0xc0, 0x40, 0x80])?;
            name.extend([kind | dice.octet()? & 3, dice.octet()?]);
            return Some(name);
        }
        labels => {
            for _ in 0..labels % 5 {
                let label = dice.pick(LABELS)?.as_bytes();
                name.push(u8::try_from(label.len()).ok()?);
                name.extend(label);
            }
            push_apex(dice, &mut name)?;
            if dice.once_in(4)? {
                change_case(dice, &mut name)?;
            }
            return Some(name);
        }
    }
    name.push(0);
    Some(name)
}

/// Some letters in upper case, as resolvers do against forgery. Octets of length are no letters.
fn change_case<D: Driver>(dice: &mut Dice<'_, D>, name: &mut [u8]) -> Option<()> {
    let upper = dice.octet()?;
    for (at, octet) in name.iter_mut().enumerate() {
        if upper >> (at % 8) & 1 == 1 {
            octet.make_ascii_uppercase();
        }
    }
    Some(())
}

fn push_apex<D: Driver>(dice: &mut Dice<'_, D>, name: &mut Vec<u8>) -> Option<()> {
    if dice.once_in(12)? {
        // Another's, or the apex without its first label.
        name.extend_from_slice(dice.pick(&[
            &b"\x03com\0"[..],
            b"\0",
            b"\0",
            b"\0",
            b"\x07example\x03net\0",
            b"\x04bind\0",
        ])?);
    } else {
        name.extend_from_slice(dice.pick(APEXES)?);
    }
    Some(())
}

/// A type to ask for: common ones, those with rules of their own, and any.
pub(crate) fn record_type<D: Driver>(dice: &mut Dice<'_, D>) -> Option<u16> {
    const COMMON: &[u16] = &[1, 28, 1, 28, 2, 5, 6, 12, 15, 16, 33, 35, 39, 43, 64, 65, 257, 255, 65_280];
    const RARE: &[u16] = &[0, 41, 46, 47, 48, 50, 128, 249, 250, 251, 251, 252, 252, 253, 254, 256, 65_535];
    match dice.below(16)? {
        0 => dice.pick(RARE).copied(),
        1 => dice.number(),
        _ => dice.pick(COMMON).copied(),
    }
}

/// Mostly IN.
pub(crate) fn class<D: Driver>(dice: &mut Dice<'_, D>) -> Option<u16> {
    match dice.below(24)? {
        0 => dice.number(),
        1 => dice.pick(&[0, 254, 255, 2, 4]).copied(),
        2 => Some(3),
        _ => Some(1),
    }
}

/// A record of any kind; a name in it may be a pointer to the question.
pub(crate) fn record<D: Driver>(dice: &mut Dice<'_, D>) -> Option<Vec<u8>> {
    let mut record = if dice.once_in(2)? { vec![0xc0, 12] } else { name(dice)? };
    record.extend(record_type(dice)?.to_be_bytes());
    record.extend(class(dice)?.to_be_bytes());
    record.extend(dice.number()?.to_be_bytes());
    record.extend(dice.number()?.to_be_bytes());
    let data = dice.octets(24)?;
    record.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
    record.extend(data);
    Some(record)
}

/// An SOA as clients send it with IXFR.
pub(crate) fn soa<D: Driver>(dice: &mut Dice<'_, D>) -> Option<Vec<u8>> {
    let mut record = vec![0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0];
    let serial = match dice.below(8)? {
        0 => u32::from(dice.number()?) << 16,
        serial => u32::try_from(serial).ok()? - 1,
    };
    record.extend(serial.to_be_bytes());
    record.extend([0; 16]);
    Some(record)
}

/// An OPT record, mostly well-formed, with options of all kinds.
pub(crate) fn opt<D: Driver>(dice: &mut Dice<'_, D>) -> Option<Vec<u8>> {
    let mut data = Vec::new();
    for _ in 0..*dice.pick(&[0, 0, 0, 0, 0, 1, 1, 1, 2, 4])? {
        data.extend(option(dice)?);
    }
    let payload = match dice.below(4)? {
        0 => dice.number()?,
        _ => *dice.pick(&[1232, 1232, 4096, 512, 511, 513, 600, 0, 65_535])?,
    };
    let version = if dice.once_in(32)? { dice.octet()? } else { 0 };
    let flags = if dice.once_in(8)? { dice.number()? } else { *dice.pick(&[0, 0x8000])? };
    let mut record = if dice.once_in(64)? { name(dice)? } else { vec![0] };
    record.extend([0, 41]);
    record.extend(payload.to_be_bytes());
    record.extend([if dice.once_in(16)? { dice.octet()? } else { 0 }, version]);
    record.extend(flags.to_be_bytes());
    let mut length = u16::try_from(data.len()).ok()?;
    if dice.once_in(32)? {
        length = length.wrapping_add(u16::from(dice.octet()?)).wrapping_sub(8);
    }
    record.extend(length.to_be_bytes());
    record.extend(data);
    Some(record)
}

/// One EDNS option: those that we know, right and nearly right, and others.
fn option<D: Driver>(dice: &mut Dice<'_, D>) -> Option<Vec<u8>> {
    let (code, data) = match dice.below(9)? {
        0 => (3, if dice.once_in(8)? { dice.octets(6)? } else { Vec::new() }),
        1 => {
            let (family, bits) = match dice.below(4)? {
                0 => (*dice.pick(&[1, 2, 0, 3])?, *dice.pick(&[0, 1, 7, 32, 33, 128, 129, 255])?),
                1 => (2, *dice.pick(&[0, 48, 56, 64, 128])?),
                _ => (1, *dice.pick(&[0, 8, 20, 24, 32])?),
            };
            let octets = usize::from(bits).div_ceil(8) + usize::from(dice.once_in(16)?);
            let mut data = vec![0, family, bits, u8::from(dice.once_in(16)?)];
            let zero = !dice.once_in(8)?;
            for _ in 0..octets {
                data.push(if zero { 0 } else { dice.octet()? });
            }
            (8, data)
        }
        2 => {
            let length = *dice.pick(&[8, 8, 8, 8, 24, 24, 24, 16, 40, 7, 9, 15, 41, 0])?;
            let mut data = vec![7; length];
            if length > 8 {
                data[8] = 1;
                for octet in &mut data[9..] {
                    *octet = dice.octet()?;
                }
            }
            (10, data)
        }
        3 => (11, if dice.once_in(4)? { dice.octets(3)? } else { Vec::new() }),
        4 => (12, vec![0; dice.below(40)?]),
        5 => (15, dice.octets(12)?),
        6 => (dice.number()?, dice.octets(12)?),
        7 => (*dice.pick(&[5, 6, 7, 9, 13, 14, 16, 17, 18, 19, 26_946, 65_001])?, dice.octets(6)?),
        _ => return dice.octets(5),
    };
    let mut option = Vec::with_capacity(4 + data.len());
    option.extend(u16::to_be_bytes(code));
    option.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
    option.extend(data);
    Some(option)
}
