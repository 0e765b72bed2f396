use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

const LIMIT: RateLimit = RateLimit { responses_per_second: 10, slip: 0, ipv4_prefix: 24, ipv6_prefix: 56 };

fn reply(rcode: u16, zone: u64, source: usize) -> Reply<'static> {
    Reply { record_type: RecordType::A, zone, source, ..Reply::new(&[], rcode) }
}

fn client(third: u8, last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, third, last).into()
}

/// How many of `count` answers are sent in this second.
fn sent(limiter: &RateLimiter, now: u64, count: usize, client: IpAddr, reply: &Reply<'_>) -> usize {
    (0..count).filter(|_| limiter.judge_at(now, LIMIT, client, reply) == Verdict::Send).count()
}

#[test]
fn a_flood_is_stopped_within_its_first_second_and_let_go_when_it_ends() {
    let limiter = RateLimiter::new();
    let data = reply(0, 1, 77);
    // Twice the limit, because the rate settles at that.
    assert_eq!(sent(&limiter, 5, 1_000, client(2, 1), &data), 19);
    for now in 6..10 {
        assert_eq!(sent(&limiter, now, 1_000, client(2, 1), &data), 0);
    }
    // 1,000 a second is a rate of nearly 2,000, which takes seven seconds to fall below 20.
    assert_eq!(sent(&limiter, 15, 1, client(2, 1), &data), 0);
    assert_eq!(sent(&limiter, 17, 1, client(2, 1), &data), 1);
    assert_eq!(limiter.totals().limited, 981 + 4_000 + 1);
}

#[test]
fn who_stays_below_the_limit_is_never_limited() {
    let limiter = RateLimiter::new();
    for now in 0..100 {
        assert_eq!(sent(&limiter, now, 9, client(2, 1), &reply(0, 1, 77)), 9, "second {now}");
    }
}

#[test]
fn a_network_shares_its_limit_and_other_networks_and_kinds_have_their_own() {
    let limiter = RateLimiter::new();
    assert_eq!(sent(&limiter, 0, 100, client(2, 1), &reply(0, 1, 77)), 19);
    assert_eq!(sent(&limiter, 0, 1, client(2, 200), &reply(0, 1, 77)), 0, "the same network");
    assert_eq!(sent(&limiter, 0, 19, client(3, 1), &reply(0, 1, 77)), 19, "another network");
    for other in [reply(0, 1, 78), reply(0, 1, 0), reply(3, 1, 0), reply(3, 2, 0), reply(5, 0, 0)] {
        assert_eq!(sent(&limiter, 0, 100, client(2, 1), &other), 19, "{other:?}");
    }
    let v6 = |third, last| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, third, 0, 0, 0, last));
    assert_eq!(sent(&limiter, 0, 100, v6(1, 1), &reply(0, 1, 77)), 19);
    assert_eq!(sent(&limiter, 0, 1, v6(0xff, 9), &reply(0, 1, 77)), 0, "the same /56");
    assert_eq!(sent(&limiter, 0, 1, v6(0x100, 1), &reply(0, 1, 77)), 1, "another one");
}

#[test]
fn a_client_that_is_trusted_is_exempt() {
    let limiter = RateLimiter::new();
    let trusted = Reply { trusted: true, ..reply(0, 1, 77) };
    assert_eq!(sent(&limiter, 0, 1_000, client(2, 1), &trusted), 1_000);
    assert_eq!(sent(&limiter, 0, 100, client(2, 1), &reply(0, 1, 77)), 19, "and does not count");
}

#[test]
fn slip_says_how_many_of_the_limited_answers_are_sent() {
    for (slip, low, high) in [(0, 0, 0), (1, 1_000, 1_000), (2, 400, 600), (10, 50, 160)] {
        let limiter = RateLimiter::new();
        let limit = RateLimit { slip, ..LIMIT };
        for _ in 0..1_019 {
            limiter.judge_at(0, limit, client(2, 1), &reply(0, 1, 77));
        }
        let totals = limiter.totals();
        assert_eq!((totals.limited, totals.slipped + totals.dropped), (1_000, 1_000));
        assert!((low..=high).contains(&totals.slipped), "{slip} {totals:?}");
    }
}

#[test]
fn a_flood_from_ever_new_networks_neither_grows_the_table_nor_washes_out_a_busy_bucket() {
    let limiter = RateLimiter::new();
    assert_eq!(sent(&limiter, 0, 1_000, client(2, 1), &reply(0, 1, 77)), 19);
    for number in 0..400_000_u32 {
        let other = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + (number << 8)));
        limiter.judge_at(0, LIMIT, other, &reply(0, 1, 77));
    }
    assert_eq!(sent(&limiter, 0, 100, client(2, 1), &reply(0, 1, 77)), 0, "still known");
    assert_eq!(size_of_val(&limiter.lines.get().expect("made")[..]), 1 << 20);
}

#[test]
fn threads_that_count_in_one_bucket_lose_no_answer() {
    let limiter = RateLimiter::new();
    let total: usize = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| sent(&limiter, 0, 500, client(2, 1), &reply(0, 1, 77)))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    assert_eq!(total, 19);
}

#[test]
fn what_slips_has_tc_its_edns_and_no_more_octets_than_the_query() {
    let question = b"\x03www\x07example\x03com\x00\x00\x01\x00\x01";
    let opt = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";
    let header = |flags: [u8; 2], additional: u8| {
        let mut header = [0x12, 0x34, flags[0], flags[1], 0, 1, 0, 0, 0, 0, 0, additional];
        header[7] = u8::from(flags[0] & 0x80 != 0);
        header
    };
    let answer = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01";
    let request = [&header([1, 0], 1)[..], question, opt].concat();
    let reply = [&header([0x85, 0], 1)[..], question, answer, opt].concat();
    let slipped = Slipped::new(&request, &reply);
    let mut expected = [&header([0x87, 0], 1)[..], question, opt].concat();
    expected[7] = 0;
    assert_eq!(slipped.octets(), expected);

    // An option that makes it longer than the query is left out.
    let long = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x06\x00\x03\x00\x02ns";
    let reply = [&header([0x85, 0], 1)[..], question, answer, long].concat();
    assert_eq!(Slipped::new(&request, &reply).octets(), expected);

    // No question, no EDNS.
    let refused = [0x12, 0x34, 0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(Slipped::new(&request, &refused).octets(), [0x12, 0x34, 0x83, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
}

/// `rrl_update` of NSD 4 for one source, its numbers as they are there.
#[derive(Default)]
struct Nsd {
    rate: u32,
    counter: u32,
    stamp: u64,
}

impl Nsd {
    fn update(&mut self, now: u64) -> u32 {
        match now - self.stamp {
            0 => self.counter += 1,
            1 => (self.rate, self.counter) = (self.rate / 2 + self.counter, 1),
            17.. => (self.rate, self.counter) = (0, 1),
            elapsed => {
                self.rate >>= elapsed;
                self.rate += self.counter >> (elapsed - 1);
                self.counter = 1;
            }
        }
        self.stamp = now;
        if self.counter > self.rate / 2 { self.counter + self.rate / 2 } else { self.rate }
    }
}

proptest! {
    #[test]
    fn a_rate_decays_as_in_nsd(steps in prop::collection::vec((0_u64..15, 1_usize..60), 1..40)) {
        let limiter = RateLimiter::new();
        let (mut nsd, mut now) = (Nsd::default(), 0);
        for (pause, count) in steps {
            now += pause;
            for _ in 0..count {
                prop_assert_eq!(limiter.count(0x1234_5678_9abc_def0, now), u64::from(nsd.update(now)), "{}", now);
            }
        }
    }
}
