//! Server cookies (RFC 7873) that any server with the same secret takes (RFC 9018).
//!
//! ```text
//!   client cookie (8) | version 1 (1) | reserved (3) | timestamp (4) | hash (8)
//!                       hash = SipHash-2-4(all in front of it | client address)
//! ```
//!
//! A good cookie proves that the client receives what is sent to its address. Nothing is kept: the secret is all
//! that is needed to tell a good one. It is good for an hour, or from five minutes in the future, and given back
//! as it is for its first half hour (RFC 9018 section 4.3). Cookies of a second secret are taken and replaced, so that
//! secrets can be rolled over on one server after the other (section 5).

use std::{hash::Hasher as _, net::IpAddr};

use siphasher::sip::SipHasher24;

/// Octets of a secret (RFC 9018 section 4.4: SipHash-2-4 takes 128 bits).
pub const COOKIE_SECRET: usize = 16;
/// Octets of a client cookie (RFC 7873 section 4.1).
const CLIENT: usize = 8;
/// Octets of both cookies (RFC 9018 section 4).
pub(super) const WHOLE: usize = 24;
/// Octets in front of the hash.
const HASHED: usize = 16;
/// Where the timestamp starts.
const TIMESTAMP: usize = 12;
const VERSION: u8 = 1;

/// Seconds that a cookie is good (RFC 9018 section 4.3: "a 1-hour period in the past").
const LIFETIME: u32 = 3600;
/// Seconds that it may be ahead of us ("a 5-minute period into the future").
const AHEAD: u32 = 300;
/// Seconds after which a new one is given ("more than half an hour").
const FRESH: u32 = 1800;

/// Secrets, shared by all servers of an anycast address; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct CookieSecrets {
    /// Makes new cookies.
    pub current: [u8; COOKIE_SECRET],
    /// Cookies made with this one count too: the one before or the one to come (RFC 9018 section 5).
    pub other: Option<[u8; COOKIE_SECRET]>,
}

/// What a cookie says of its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There was a client cookie alone.
    Unknown,
    /// The server cookie is one that was sent to this address lately.
    Good,
    /// The server cookie is another's, too old or made up.
    Bad,
}

/// True for lengths that a cookie option may have: 8 octets of the client, and none or 8 to 32 of a server (RFC 7873
/// section 5.2.2).
pub(super) fn is_length(octets: usize) -> bool {
    octets == CLIENT || (CLIENT + 8..=CLIENT + 32).contains(&octets)
}

impl CookieSecrets {
    /// Judges a cookie of a good length, and says which one to give back. `now` is Unix time in seconds.
    pub(crate) fn judge(&self, cookie: &[u8], client: IpAddr, now: u64) -> (Verdict, [u8; WHOLE]) {
        // RFC 9018 section 4.3: the timestamp has 32 bits and is compared as a serial (RFC 1982).
        #[expect(clippy::cast_possible_truncation, reason = "the low half is wanted")]
        let now = now as u32;
        let mut whole = [0; WHOLE];
        if cookie.len() != WHOLE || cookie[CLIENT] != VERSION {
            whole[..CLIENT].copy_from_slice(&cookie[..CLIENT]);
            let verdict = if cookie.len() == CLIENT { Verdict::Unknown } else { Verdict::Bad };
            return (verdict, renew(whole, &self.current, client, now));
        }
        whole.copy_from_slice(cookie);
        let age = now.wrapping_sub(u32::from_be_bytes([
            whole[TIMESTAMP],
            whole[TIMESTAMP + 1],
            whole[TIMESTAMP + 2],
            whole[TIMESTAMP + 3],
        ]));
        let in_time = age <= LIFETIME || age.wrapping_neg() <= AHEAD;
        let is_of = |secret| whole[HASHED..] == hash(&whole, secret, client);
        if in_time && is_of(&self.current) {
            let fresh = age <= FRESH || age.wrapping_neg() <= AHEAD;
            return (Verdict::Good, if fresh { whole } else { renew(whole, &self.current, client, now) });
        }
        let good = in_time && self.other.as_ref().is_some_and(is_of);
        (if good { Verdict::Good } else { Verdict::Bad }, renew(whole, &self.current, client, now))
    }
}

impl std::fmt::Debug for CookieSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CookieSecrets").finish_non_exhaustive()
    }
}

/// The client cookie with a new server cookie; its reserved octets are 0 (RFC 9018 section 4.2).
fn renew(mut whole: [u8; WHOLE], secret: &[u8; COOKIE_SECRET], client: IpAddr, now: u32) -> [u8; WHOLE] {
    whole[CLIENT..TIMESTAMP].copy_from_slice(&[VERSION, 0, 0, 0]);
    whole[TIMESTAMP..HASHED].copy_from_slice(&now.to_be_bytes());
    let hash = hash(&whole, secret, client);
    whole[HASHED..].copy_from_slice(&hash);
    whole
}

/// RFC 9018 section 4.4. An IPv4 address that came through an IPv6 socket is an IPv4 address.
fn hash(whole: &[u8; WHOLE], secret: &[u8; COOKIE_SECRET], client: IpAddr) -> [u8; 8] {
    let mut hasher = SipHasher24::new_with_key(secret);
    hasher.write(&whole[..HASHED]);
    match client.to_canonical() {
        IpAddr::V4(address) => hasher.write(&address.octets()),
        IpAddr::V6(address) => hasher.write(&address.octets()),
    }
    hasher.finish().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets<const N: usize>(hex: &str) -> [u8; N] {
        std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("two digits"))
    }

    fn one(secret: &str) -> CookieSecrets {
        CookieSecrets { current: octets(secret), other: None }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// RFC 9018 appendix A, exchange by exchange.
    #[test]
    fn the_cookies_of_the_rfc_come_out() {
        let secrets = one("e5e973e5a6b2a43f48e7dc849e37bfcf");
        let client = address("198.51.100.100");
        let first = octets("2464c4abcf10c957010000005cf79f111f8130c3eee29480");
        assert_eq!(secrets.judge(&first[..8], client, 1_559_731_985), (Verdict::Unknown, first), "A.1");
        let renewed = octets("2464c4abcf10c957010000005cf7a871d4a564a1442aca77");
        assert_eq!(secrets.judge(&first, client, 1_559_734_385), (Verdict::Good, renewed), "A.2");
        let reserved: [u8; 24] = octets("fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5");
        let renewed = octets("fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e");
        let other = address("203.0.113.203");
        assert_eq!(
            secrets.judge(&reserved, other, 1_559_734_700),
            (Verdict::Bad, renewed),
            "A.3: the reserved octets are hashed as they are; the cookie is older than an hour"
        );
        assert_eq!(secrets.judge(&reserved, other, 1_559_728_000 + 1).0, Verdict::Good, "A.3 in time");
        let secrets = CookieSecrets {
            current: octets("445536bcd2513298075a5d379663c962"),
            other: Some(octets("dd3bdf9344b678b185a6f5cb60fca715")),
        };
        let before: [u8; 24] = octets("22681ab97d52c298010000005cf7c57926556bd0934c72f8");
        let after = octets("22681ab97d52c298010000005cf7c609a6bb79d16625507a");
        let client = address("2001:db8:220:1:59de:d0f4:8769:82b8");
        assert_eq!(secrets.judge(&before, client, 1_559_741_961), (Verdict::Good, after), "A.4: a new secret");
    }

    #[test]
    fn a_cookie_is_good_for_an_hour_and_for_its_own_address() {
        let secrets = one("e5e973e5a6b2a43f48e7dc849e37bfcf");
        let client = address("192.0.2.1");
        // Past 2106 the timestamp starts over.
        for made in [1_559_731_985, 0x0000_0000_ffff_ff00, 0x0000_0001_0000_0010] {
            let (_, cookie) = secrets.judge(&[7; 8], client, made);
            let verdict = |now: u64| secrets.judge(&cookie, client, now);
            assert_eq!(verdict(made), (Verdict::Good, cookie));
            assert_eq!(verdict(made - 300), (Verdict::Good, cookie), "from the future, within bounds");
            assert_eq!(verdict(made - 301).0, Verdict::Bad);
            assert_eq!(verdict(made + 1800), (Verdict::Good, cookie));
            assert_eq!(verdict(made + 1801).0, Verdict::Good);
            assert_ne!(verdict(made + 1801).1, cookie, "a new one after half an hour");
            assert_eq!(verdict(made + 3600).0, Verdict::Good);
            assert_eq!(verdict(made + 3601).0, Verdict::Bad);
            assert_eq!(secrets.judge(&cookie, address("192.0.2.2"), made).0, Verdict::Bad);
            assert_eq!(secrets.judge(&cookie, address("::ffff:192.0.2.1"), made).0, Verdict::Good);
            for at in 0..24 {
                let mut damaged = cookie;
                damaged[at] ^= 1;
                assert_eq!(secrets.judge(&damaged, client, made).0, Verdict::Bad, "octet {at}");
            }
        }
        let longer = [1; 40];
        assert_eq!(secrets.judge(&longer, client, 0).0, Verdict::Bad, "somebody else's");
    }

    #[test]
    fn cookies_have_8_or_16_to_40_octets() {
        let good: Vec<usize> = (0..64).filter(|&octets| is_length(octets)).collect();
        assert_eq!(good, [8].into_iter().chain(16..=40).collect::<Vec<_>>());
    }
}
