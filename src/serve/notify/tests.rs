//! One secondary that is told, in a rhythm that a test can wait for.

use mcdns_core::dns::Serial;
use tokio::{net::UdpSocket, time::timeout};

use super::*;
use crate::wire::QR;

/// Longer than anything takes on a loaded machine.
const WAIT: Duration = Duration::from_secs(30);
const FAST: Rhythm = Rhythm {
    tries: [Duration::from_millis(10); 5],
    later_try: Duration::from_millis(100),
    pause: Duration::from_millis(1),
    down: Duration::from_millis(100),
};

struct Pair {
    secondary: UdpSocket,
    soas: watch::Sender<Soa>,
    counts: Arc<Notifications>,
}

impl Pair {
    /// A task that tells a secondary.
    async fn begin(rhythm: Rhythm) -> Self {
        let secondary = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = secondary.local_addr().expect("an address");
        let (soas, receiver) = watch::channel(soa(1));
        let counts = Arc::<Notifications>::default();
        let policies = PolicyStore::default();
        let shared = Rc::new(Shared { policies, counts: Arc::clone(&counts), rhythm });
        let gate = Rc::new(Semaphore::new(1));
        spawn_local(keep_told(
            name("example.com"),
            Secondary { address, key: None, source: None },
            receiver,
            shared,
            gate,
        ));
        Self { secondary, soas, counts }
    }

    /// The next message and where it came from.
    async fn receive(&self) -> (Vec<u8>, SocketAddr) {
        let mut message = vec![0; 512];
        let received = timeout(WAIT, self.secondary.recv_from(&mut message)).await.expect("in time");
        let (length, from) = received.expect("a message");
        message.truncate(length);
        (message, from)
    }

    /// Answers messages with this RCODE until the totals are these.
    async fn answer_until(&self, rcode: u8, wanted: impl Fn(NotifyTotals) -> bool) {
        let answer = async {
            while !wanted(self.counts.totals()) {
                let next = timeout(Duration::from_millis(10), self.receive());
                let Ok((mut message, from)) = next.await else { continue };
                message[2] |= QR;
                message[3] |= rcode;
                self.secondary.send_to(&message, from).await.expect("sent");
            }
        };
        timeout(WAIT, answer).await.expect("in time");
    }
}

fn name(text: &str) -> OwnerName {
    text.parse().expect("a name")
}

fn soa(serial: u32) -> Soa {
    let (refresh, retry, expire, negative_ttl, ttl) = (3600, 600, 86_400, 30, 60);
    let (primary, contact) = (name("ns1.example.com"), name("hostmaster.example.com"));
    Soa { primary, contact, serial: Serial(serial), refresh, retry, expire, negative_ttl, ttl }
}

fn run(future: impl Future<Output = ()>) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, future);
}

#[test]
fn a_secondary_that_is_silent_is_told_until_it_answers() {
    run(async {
        let pair = Pair::begin(FAST).await;
        // As long as it is away, and the serial does not move.
        for _ in 0..3 * FAST.tries.len() {
            let _ = pair.receive().await;
        }
        assert_eq!(pair.counts.totals().failed, 1, "one serial");
        pair.answer_until(0, |totals| totals.acknowledged == 1).await;
        let sent = pair.counts.totals().sent;
        pair.soas.send_replace(soa(2));
        pair.answer_until(0, |totals| totals.acknowledged == 2).await;
        assert!(pair.counts.totals().sent > sent);
        assert_eq!(pair.counts.totals().failed, 1);
    });
}

#[test]
fn a_secondary_that_refuses_is_told_of_the_next_serial_alone() {
    run(async {
        let pair = Pair::begin(Rhythm { tries: [WAIT; 5], ..FAST }).await;
        pair.answer_until(5, |totals| totals.failed == 1).await;
        let sent = pair.counts.totals().sent;
        // Several times as long as a silent one is left alone.
        sleep(5 * FAST.down).await;
        assert_eq!(pair.counts.totals().sent, sent);
        pair.soas.send_replace(soa(2));
        pair.answer_until(0, |totals| totals.acknowledged == 1).await;
    });
}
