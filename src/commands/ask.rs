//! Questions to name servers, for the commands that hold answers against each other.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query},
    rr::{DNSClass, Name, RData, RecordType},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::{Instant, timeout, timeout_at},
};

/// How long one try waits for an answer.
const TRY: Duration = Duration::from_secs(2);
/// How often a query is sent over UDP before the server counts as silent.
const TRIES: usize = 2;
/// Largest answer over UDP that is asked for (RFC 9715 section 3.1).
const UDP_LIMIT: u16 = 1232;

/// Asks one server without recursion: UDP, and TCP where the answer is truncated.
pub(super) async fn ask(server: SocketAddr, name: &Name, record_type: RecordType) -> Result<Message> {
    let request = request(name, record_type, false);
    let answer = over_udp(server, &request).await?;
    if answer.metadata.truncation { exchange_tcp(server, &request).await } else { Ok(answer) }
}

/// The same over TCP alone.
pub(super) async fn ask_tcp(server: SocketAddr, name: &Name, record_type: RecordType) -> Result<Message> {
    exchange_tcp(server, &request(name, record_type, false)).await
}

/// What a resolver finds.
pub(super) async fn recurse(resolver: SocketAddr, name: &Name, record_type: RecordType) -> Result<Vec<RData>> {
    let request = request(name, record_type, true);
    let mut answer = over_udp(resolver, &request).await?;
    if answer.metadata.truncation {
        answer = exchange_tcp(resolver, &request).await?;
    }
    let records = answer.answers.into_iter().filter(|record| record.record_type() == record_type);
    Ok(records.map(|record| record.data).collect())
}

/// All addresses of a host that a resolver finds, sorted; none where it finds none.
pub(super) async fn addresses(resolver: SocketAddr, host: &Name) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for record_type in [RecordType::A, RecordType::AAAA] {
        found.extend(recurse(resolver, host, record_type).await.unwrap_or_default().iter().filter_map(address_of));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The address in the data of A and AAAA.
pub(super) fn address_of(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(address) => Some(address.0.into()),
        RData::AAAA(address) => Some(address.0.into()),
        _ => None,
    }
}

/// The first `nameserver` of resolv.conf(5).
pub(super) fn system_resolver() -> Option<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").ok()?;
    let mut addresses = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let address = addresses.find_map(|rest| rest.trim().parse::<IpAddr>().ok())?;
    Some(SocketAddr::new(address, 53))
}

/// False where this machine has no way to such addresses at all, as many have none to IPv6. Nothing is sent.
pub(super) fn is_reachable(server: SocketAddr) -> bool {
    let socket = std::net::UdpSocket::bind(any_address(server));
    socket.and_then(|socket| socket.connect(server)).is_ok()
}

fn request(name: &Name, record_type: RecordType, recursion: bool) -> Message {
    let mut id = [0; 2];
    // Without chance, the port is still hard to guess.
    let _ = getrandom::fill(&mut id);
    let mut message = Message::new(u16::from_be_bytes(id), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = recursion;
    let mut query = Query::query(name.clone(), record_type);
    query.set_query_class(DNSClass::IN);
    message.add_query(query);
    message.edns.get_or_insert_with(Edns::new).set_max_payload(UDP_LIMIT);
    message
}

async fn over_udp(server: SocketAddr, request: &Message) -> Result<Message> {
    let octets = request.to_vec().context("the query cannot be encoded")?;
    let socket = UdpSocket::bind(any_address(server)).await.context("no socket")?;
    socket.connect(server).await.context("cannot be reached")?;
    let mut buffer = vec![0; 65_535];
    for _ in 0..TRIES {
        socket.send(&octets).await.context("cannot be reached")?;
        let deadline = Instant::now() + TRY;
        while let Ok(received) = timeout_at(deadline, socket.recv(&mut buffer)).await {
            let length = received.context("cannot be reached")?;
            // Anything that is no answer to this question is somebody else's.
            match Message::from_vec(&buffer[..length]) {
                Ok(answer) if answer.metadata.id == request.metadata.id => return Ok(answer),
                _ => {}
            }
        }
    }
    bail!("no answer")
}

async fn exchange_tcp(server: SocketAddr, request: &Message) -> Result<Message> {
    let octets = request.to_vec().context("the query cannot be encoded")?;
    let length = u16::try_from(octets.len()).context("the query is too long")?;
    let exchange = async {
        let mut stream = TcpStream::connect(server).await.context("cannot be reached over TCP")?;
        stream.write_all(&[&length.to_be_bytes(), &octets[..]].concat()).await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await?;
        Message::from_vec(&answer).context("the answer cannot be read")
    };
    timeout(TRY, exchange).await.context("no answer over TCP")?
}

fn any_address(server: SocketAddr) -> SocketAddr {
    let any = if server.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(any, 0)
}
