//! Random zones, the same for the same seed.

use mcdns_core::dns::{OwnerName, RecordType};

use super::world::{Wishes, wish};

/// A generator that is the same everywhere (xorshift64*); what chance is good for here needs no better.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }

    fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        // Lists here are short and not empty.
        &among[usize::try_from(self.below(among.len() as u64)).unwrap_or_default()]
    }
}

/// A zone of about `names` names of these types: dual stack, wildcards, aliases, spellings that mean the same, texts
/// that need quotes.
pub fn random_zone(apex: &OwnerName, seed: u64, names: usize, types: impl Fn(RecordType) -> bool) -> Wishes {
    let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut wishes = Wishes::default();
    for _ in 0..names {
        let host = chance.below(names as u64 * 2);
        let deep = chance.below(3);
        let owner = match chance.below(12) {
            0 => format!("*.n{host}"),
            1 => format!("N{host}.Sub"),
            2 => format!("_srv._tcp.n{host}"),
            _ if deep == 0 => format!("a.b.n{host}"),
            _ => format!("n{host}"),
        };
        let ttl = chance.pick(&[30, 60, 300, 3600]);
        let lines: Vec<String> = match chance.below(8) {
            0 => vec![format!("CNAME Target{}.Example.NET.", chance.below(9))],
            1 => vec![format!("TXT {}", chance.pick(&TEXTS))],
            2 => vec![format!("SRV 10 5 443 n{host}.{apex}.")],
            3 => vec![format!("MX 10 mail.{apex}. / 20 MAIL2.example.net.")],
            4 => vec![format!("AAAA {}", chance.pick(&SPELLINGS))],
            5 => vec![format!("A 192.0.2.{} / 192.0.2.7", chance.below(250))],
            _ => vec![
                format!("A 198.51.100.{}", chance.below(250)),
                format!("AAAA {} / 2001:db8::{}", chance.pick(&SPELLINGS), chance.below(250)),
            ],
        };
        for line in lines {
            let Ok(wanted) = wish(apex, &format!("{owner} {ttl} {line}")) else { continue };
            let alone = |one: RecordType| one == RecordType::CNAME;
            let known = wishes.0.get(&wanted.owner);
            let clash = known.is_some_and(|known| {
                alone(wanted.rrsets[0].record_type) || known.rrsets.iter().any(|rrset| alone(rrset.record_type))
            });
            if !clash && types(wanted.rrsets[0].record_type) {
                wishes.add(wanted);
            }
        }
    }
    wishes
}

const SPELLINGS: [&str; 4] =
    ["2001:DB8:0:0::1", "2001:db8:0000:0000:0000:0000:0000:0001", "2001:db8::192.0.2.1", "fe80::A"];

const TEXTS: [&str; 7] = [
    "plain",
    "\"two words\"",
    r#""with \"quotes\" and \\ backslash""#,
    "\"one\" \"two strings\"",
    r#""semi;colon, comma=equals""#,
    r#""\195\164\194\181 and \007""#,
    "\"v=spf1 ip4:192.0.2.0/24 -all\"",
];
