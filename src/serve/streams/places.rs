//! Who may be connected: limits on connections, and which one goes when there are too many.
//!
//! ```text
//!   Limits, one per listener, over all threads: how many are open, and how many of each client
//!   Room, one per listener and thread:          two rows of connections, idle ones and busy ones, in the order of
//!        │                                      their last sign of life
//!        └─ Place, one per connection:          given back on every way out
//! ```
//!
//! Past the limit of a listener the longest idle connection of the same thread is closed in favour of the new one, as
//! Knot does: clients must be ready for a close at any time (RFC 7766 section 6.2.4), while a stranger who holds idle
//! connections would otherwise keep everybody else out. Where none is idle, one goes whose client has taken nothing of
//! its answers for [`STALLED`]: who asks for much and does not read shall keep nobody out either. Where all get on, the
//! new one is refused. Past the limit of a client its new connection is refused: to close one of its own would gain it
//! nothing. A connection is idle from its start, so stalled handshakes go first.

use std::{
    cell::RefCell,
    collections::HashMap,
    net::IpAddr,
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::policy::ListenerOptions;

/// No place, in links between places.
const NONE: u32 = u32::MAX;
/// Leading bits of an IPv6 address that tell one client from another: a site has at least a /64 and can use every
/// address of it (RFC 6177).
const CLIENT_BITS: u32 = 64;

/// How long a client may take nothing of what it asked for while others wait for a place: several round trips and
/// retransmissions on any path.
const STALLED: Duration = Duration::from_secs(2);

/// How many connections a listener has, over all threads. Locked where connections come and go only.
#[derive(Debug)]
pub(crate) struct Limits {
    most: usize,
    most_per_client: usize,
    open: AtomicUsize,
    clients: Mutex<HashMap<IpAddr, usize>>,
}

/// The connections of one listener on one thread.
#[derive(Debug)]
pub(crate) struct Room {
    limits: Arc<Limits>,
    list: RefCell<List>,
    emptied: Notify,
}

/// One connection's place.
#[derive(Debug)]
pub(crate) struct Place {
    room: Rc<Room>,
    index: u32,
    client: IpAddr,
}

/// Places by number, and in rows.
#[derive(Debug)]
struct List {
    entries: Vec<Entry>,
    free: Vec<u32>,
    idle: Row,
    busy: Row,
    /// All were told to end.
    ending: bool,
}

/// Ends of a row: the longest without a sign of life, and the last that had one.
#[derive(Debug, Clone, Copy)]
struct Row {
    first: u32,
    last: u32,
}

#[derive(Debug, Default)]
struct Entry {
    before: u32,
    after: u32,
    /// In which row it stands, if in one.
    stands: Option<Kind>,
    /// Of a busy one: when something was taken last.
    since: Option<Instant>,
    taken: bool,
    told: Option<Dismissal>,
    waker: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Idle,
    Busy,
}

/// Why a connection shall end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dismissal {
    /// Another needs its place, and it is idle or does not take its answers: at once.
    ForAnother,
    /// The server stops: when what is asked is answered.
    Stop,
}

impl Limits {
    pub(crate) fn new(options: &ListenerOptions) -> Self {
        Self {
            most: options.connections.max(1),
            most_per_client: options.connections_per_client.max(1),
            open: AtomicUsize::new(0),
            clients: Mutex::default(),
        }
    }

    /// Counts one more of this client; false, and nothing counted, where it has enough.
    fn add_client(&self, client: IpAddr) -> bool {
        if self.most_per_client >= self.most {
            return true;
        }
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let count = clients.entry(client).or_insert(0);
        let taken = *count < self.most_per_client;
        *count += usize::from(taken);
        taken
    }

    fn remove_client(&self, client: IpAddr) {
        if self.most_per_client >= self.most {
            return;
        }
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = clients.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&client);
            }
        }
    }
}

impl Room {
    pub(crate) fn new(limits: Arc<Limits>) -> Rc<Self> {
        let (entries, free, row) = (Vec::new(), Vec::new(), Row { first: NONE, last: NONE });
        let list = List { entries, free, idle: row, busy: row, ending: false };
        Rc::new(Self { limits, list: RefCell::new(list), emptied: Notify::new() })
    }

    /// A place for one more connection; none where it must be refused.
    pub(crate) fn enter(self: &Rc<Self>, address: IpAddr) -> Option<Place> {
        let client = client_of(address);
        if !self.limits.add_client(client) {
            return None;
        }
        let before = self.limits.open.fetch_add(1, Ordering::Relaxed);
        if before >= self.limits.most && !self.list.borrow_mut().dismiss_first() {
            self.limits.open.fetch_sub(1, Ordering::Relaxed);
            self.limits.remove_client(client);
            return None;
        }
        let index = self.list.borrow_mut().add();
        Some(Place { room: Rc::clone(self), index, client })
    }

    /// True where more than a quarter of the places are taken, so that clients shall prove their addresses.
    pub(crate) fn is_crowded(&self) -> bool {
        self.limits.open.load(Ordering::Relaxed) > self.limits.most / 4
    }

    /// Ends a connection that can be spared, where something else has run out that connections need; false where none
    /// can.
    pub(crate) fn make_room(&self) -> bool {
        self.list.borrow_mut().dismiss_first()
    }

    /// Waits until nobody is left.
    pub(crate) async fn empty(&self) {
        while !self.list.borrow().is_empty() {
            self.emptied.notified().await;
        }
    }

    /// Tells all connections to finish what is under way and to end; also those to come.
    pub(crate) fn dismiss_all(&self) {
        let mut list = self.list.borrow_mut();
        list.ending = true;
        for entry in &mut list.entries {
            entry.tell(Dismissal::Stop);
        }
    }
}

impl Place {
    /// Ready when this connection shall end.
    pub(crate) fn poll_dismissed(&self, context: &Context<'_>) -> Poll<Dismissal> {
        let entry = &mut self.room.list.borrow_mut().entries[self.index as usize];
        if let Some(dismissal) = entry.told {
            return Poll::Ready(dismissal);
        }
        match &mut entry.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Something happened here: the connection is the last that would be closed for being idle. While it is `busy` it
    /// is only closed if nothing happens for long.
    pub(crate) fn touch(&self, busy: bool) {
        let mut list = self.room.list.borrow_mut();
        if list.idle.last == self.index && !busy {
            return;
        }
        list.unlink(self.index);
        if busy {
            list.entries[self.index as usize].since = Some(Instant::now());
        }
        list.append(self.index, if busy { Kind::Busy } else { Kind::Idle });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut list = self.room.list.borrow_mut();
        list.unlink(self.index);
        list.entries[self.index as usize] = Entry::default();
        list.free.push(self.index);
        if list.is_empty() {
            self.room.emptied.notify_one();
        }
        self.room.limits.open.fetch_sub(1, Ordering::Relaxed);
        self.room.limits.remove_client(self.client);
    }
}

impl List {
    fn is_empty(&self) -> bool {
        self.free.len() == self.entries.len()
    }

    fn add(&mut self) -> u32 {
        let entry = Entry { taken: true, told: self.ending.then_some(Dismissal::Stop), ..Entry::default() };
        let index = if let Some(index) = self.free.pop() {
            self.entries[index as usize] = entry;
            index
        } else {
            self.entries.push(entry);
            // There are fewer file descriptors than that.
            u32::try_from(self.entries.len() - 1).unwrap_or(NONE)
        };
        self.append(index, Kind::Idle);
        index
    }

    /// Tells the longest idle connection to end, or else the one that has been stalled for longest; false where there is
    /// neither.
    fn dismiss_first(&mut self) -> bool {
        let first = if self.idle.first == NONE { self.stalled() } else { Some(self.idle.first) };
        let Some(first) = first else { return false };
        self.unlink(first);
        self.entries[first as usize].tell(Dismissal::ForAnother);
        true
    }

    fn stalled(&self) -> Option<u32> {
        let since = self.entries.get(self.busy.first as usize)?.since?;
        (since.elapsed() >= STALLED).then_some(self.busy.first)
    }

    fn row(&mut self, kind: Kind) -> &mut Row {
        match kind {
            Kind::Idle => &mut self.idle,
            Kind::Busy => &mut self.busy,
        }
    }

    fn append(&mut self, index: u32, kind: Kind) {
        let last = self.row(kind).last;
        let entry = &mut self.entries[index as usize];
        if entry.told.is_some() {
            return;
        }
        (entry.before, entry.after, entry.stands) = (last, NONE, Some(kind));
        match self.entries.get_mut(last as usize) {
            Some(entry) => entry.after = index,
            None => self.row(kind).first = index,
        }
        self.row(kind).last = index;
    }

    fn unlink(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        let Some(kind) = entry.stands.take() else { return };
        let (before, after) = (entry.before, entry.after);
        match self.entries.get_mut(before as usize) {
            Some(entry) => entry.after = after,
            None => self.row(kind).first = after,
        }
        match self.entries.get_mut(after as usize) {
            Some(entry) => entry.before = before,
            None => self.row(kind).last = before,
        }
    }
}

impl Entry {
    fn tell(&mut self, dismissal: Dismissal) {
        if self.taken {
            self.told.get_or_insert(dismissal);
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// What counts as one client.
fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let host = u128::MAX >> CLIENT_BITS;
            IpAddr::V6((address.to_bits() & !host).into())
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(connections: usize, connections_per_client: usize) -> Rc<Room> {
        let options = ListenerOptions { connections, connections_per_client, ..ListenerOptions::default() };
        Room::new(Arc::new(Limits::new(&options)))
    }

    fn enter(room: &Rc<Room>, client: &str) -> Option<Place> {
        room.enter(client.parse().expect("an address"))
    }

    fn is_dismissed(place: &Place) -> bool {
        place.poll_dismissed(&Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn when_all_places_are_taken_the_longest_idle_connection_goes() {
        let room = room(3, 3);
        let places = [1, 2, 3].map(|n| enter(&room, &format!("192.0.2.{n}")).expect("a place"));
        places[0].touch(false);
        let fourth = enter(&room, "192.0.2.4").expect("a place");
        assert_eq!(places.each_ref().map(is_dismissed), [false, true, false]);
        // The one that was told is not told again while it is on its way out.
        places[1].touch(false);
        let fifth = enter(&room, "192.0.2.5").expect("a place");
        assert_eq!(places.each_ref().map(is_dismissed), [false, true, true]);
        assert!(!is_dismissed(&fourth) && !is_dismissed(&fifth));
    }

    #[test]
    fn busy_connections_stay_and_the_new_one_is_refused() {
        let room = room(2, 2);
        let places = [1, 2].map(|n| enter(&room, &format!("192.0.2.{n}")).expect("a place"));
        for place in &places {
            place.touch(true);
        }
        assert!(enter(&room, "192.0.2.3").is_none());
        places[1].touch(false);
        assert!(enter(&room, "192.0.2.3").is_some());
        assert_eq!(places.each_ref().map(is_dismissed), [false, true]);
    }

    #[test]
    fn where_none_is_idle_the_longest_stalled_connection_goes() {
        let room = room(3, 3);
        let places = [1, 2, 3].map(|n| enter(&room, &format!("192.0.2.{n}")).expect("a place"));
        for place in [&places[1], &places[0], &places[2]] {
            place.touch(true);
        }
        assert!(enter(&room, "192.0.2.4").is_none());
        let long_ago = Instant::now().checked_sub(2 * STALLED);
        for entry in &mut room.list.borrow_mut().entries[..2] {
            entry.since = long_ago;
        }
        // Something was taken of this one after all.
        places[1].touch(true);
        let _fourth = enter(&room, "192.0.2.4").expect("a place");
        assert_eq!(places.each_ref().map(is_dismissed), [true, false, false]);
        // The new one is idle and goes before those that are busy.
        let _fifth = enter(&room, "192.0.2.5").expect("a place");
        assert_eq!(places.each_ref().map(is_dismissed), [true, false, false]);
    }

    #[test]
    fn a_client_has_its_own_limit_and_an_ipv6_site_is_one_client() {
        let room = room(100, 2);
        let first = enter(&room, "192.0.2.1").expect("a place");
        let _second = enter(&room, "::ffff:192.0.2.1").expect("a place");
        assert!(enter(&room, "192.0.2.1").is_none());
        assert!(enter(&room, "192.0.2.2").is_some());
        drop(first);
        assert!(enter(&room, "192.0.2.1").is_some());
        let _site = ["2001:db8::1", "2001:db8::ffff:2"].map(|address| enter(&room, address).expect("a place"));
        assert!(enter(&room, "2001:db8:0:0:1::3").is_none());
        assert!(enter(&room, "2001:db8:0:1::3").is_some());
    }

    #[test]
    fn places_are_given_back_and_used_again() {
        let room = room(2, 1);
        for _ in 0..100 {
            let places = ["192.0.2.1", "192.0.2.2"].map(|client| enter(&room, client).expect("a place"));
            assert!(!room.list.borrow().is_empty());
            drop(places);
        }
        assert!(room.list.borrow().is_empty());
        assert_eq!(room.list.borrow().entries.len(), 2);
        assert_eq!(room.limits.open.load(Ordering::Relaxed), 0);
        assert!(room.limits.clients.lock().expect("no panic").is_empty());
    }

    #[test]
    fn all_can_be_told_to_end_and_so_are_those_who_come_late() {
        let room = room(3, 3);
        let (one, busy) = (enter(&room, "192.0.2.1").expect("a place"), enter(&room, "192.0.2.2").expect("a place"));
        busy.touch(true);
        room.dismiss_all();
        let late = enter(&room, "192.0.2.3").expect("a place");
        assert!([&one, &busy, &late].into_iter().all(is_dismissed));
    }
}
