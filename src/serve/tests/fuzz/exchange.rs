//! One request, and where it comes in.

use std::fmt;

use bolero::{Driver, TypeGenerator};
use mcdns_serve::{AnswerCheck, Transport};

use crate::{
    words::{Dice, class, name, opt, record, record_type, soa},
    world::{KEYS, LISTENERS, NOW, POLICIES, SNAPSHOTS},
};

/// A request on its way to a responder. Indices are those of [`World`](crate::world::World).
pub(crate) struct Exchange {
    pub(crate) request: Vec<u8>,
    pub(crate) transport: Transport,
    pub(crate) snapshot: usize,
    pub(crate) listener: usize,
    pub(crate) policy: usize,
    pub(crate) ipv6: bool,
    /// What checks the signature of the answer; the request is as it was signed.
    pub(crate) check: Option<AnswerCheck>,
}

impl TypeGenerator for Exchange {
    fn generate<D: Driver>(driver: &mut D) -> Option<Self> {
        let mut dice = Dice(driver);
        let transport = *dice.pick(&[
            Transport::Udp,
            Transport::Udp,
            Transport::Udp,
            Transport::Udp,
            Transport::Tcp,
            Transport::Tls,
            Transport::Https,
            Transport::Quic,
        ])?;
        let snapshot = if dice.once_in(6)? { dice.below(SNAPSHOTS)? } else { 0 };
        let listener = dice.below(LISTENERS)?;
        let policy = dice.below(POLICIES)?;
        let ipv6 = dice.once_in(2)?;
        let mut exchange = Self { request: Vec::new(), transport, snapshot, listener, policy, ipv6, check: None };
        if dice.once_in(32)? {
            exchange.request = dice.octets(80)?;
        } else {
            exchange.request = message(&mut dice)?;
            if dice.once_in(10)? {
                exchange.sign(&mut dice)?;
            }
        }
        if dice.once_in(10)? {
            exchange.damage(&mut dice)?;
        }
        Some(exchange)
    }
}

impl Exchange {
    /// Signs with one of the keys of the world, or with a secret or a time that is wrong.
    fn sign<D: Driver>(&mut self, dice: &mut Dice<'_, D>) -> Option<()> {
        let key = dice.pick(&KEYS)?;
        let now = *dice.pick(&[NOW, NOW, NOW, NOW, NOW + 300, NOW - 300, NOW - 301, NOW + 1000, 0])?;
        self.check = Some(AnswerCheck::sign(key, &mut self.request, now));
        if dice.once_in(12)? {
            // Twice, or not the last one.
            let more = if dice.once_in(2)? { record(dice)? } else { opt(dice)? };
            self.request.extend(more);
            self.request[11] = self.request[11].wrapping_add(1);
            self.check = None;
        }
        Some(())
    }

    /// Makes one to three holes.
    fn damage<D: Driver>(&mut self, dice: &mut Dice<'_, D>) -> Option<()> {
        self.check = None;
        for _ in 0..=dice.below(3)? {
            let length = self.request.len();
            if length == 0 {
                return Some(());
            }
            let at = dice.below(length)?;
            match dice.below(8)? {
                0..3 => self.request[at] = dice.octet()?,
                3 => self.request[at] ^= 1 << dice.below(8)?,
                4 => self.request.insert(at, dice.octet()?),
                5 => {
                    self.request.remove(at);
                }
                6 => self.request.truncate(at),
                _ => {
                    let more = dice.octets(30)?;
                    self.request.extend(more);
                }
            }
        }
        Some(())
    }
}

/// A message that is right, or is wrong by its content.
fn message<D: Driver>(dice: &mut Dice<'_, D>) -> Option<Vec<u8>> {
    let mut message = dice.number()?.to_be_bytes().to_vec();
    let opcode = if dice.once_in(32)? { *dice.pick(&[4, 4, 5, 1, 2, 3, 6, 15])? } else { 0 };
    let flags = if dice.once_in(16)? { dice.octet()? & 0x87 } else { u8::from(dice.once_in(2)?) };
    let more = if dice.once_in(8)? { dice.octet()? } else { 0 };
    message.extend([opcode << 3 | flags, more, 0, 0, 0, 0, 0, 0, 0, 0]);
    let questions = if dice.once_in(32)? { *dice.pick(&[0, 0, 2, 3])? } else { 1 };
    let mut asked = 0;
    for _ in 0..questions {
        asked = record_type(dice)?;
        message.extend(name(dice)?);
        message.extend(asked.to_be_bytes());
        message.extend(class(dice)?.to_be_bytes());
    }
    message[5] = questions;
    if dice.once_in(32)? {
        message[7] = 1;
        message.extend(record(dice)?);
    }
    if asked == 251 || dice.once_in(32)? {
        message[9] = 1;
        message.extend(if dice.once_in(6)? { record(dice)? } else { soa(dice)? });
    }
    let additional = *dice.pick(&[0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2])?;
    for _ in 0..additional {
        message[11] += 1;
        message.extend(if dice.once_in(12)? { record(dice)? } else { opt(dice)? });
    }
    if dice.once_in(48)? {
        let count = 4 + dice.below(8)?;
        message[count] = *dice.pick(&[0, 1, 2, 255])?;
    }
    Some(message)
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request, transport, snapshot, listener, policy, ipv6, check } = self;
        write!(f, "{transport:?}, snapshot {snapshot}, listener {listener}, policy {policy}, IPv6 {ipv6}, ")?;
        write!(f, "signed {}, request ", check.is_some())?;
        request.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}
