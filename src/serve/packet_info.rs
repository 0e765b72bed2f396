//! Wildcard sockets that answer from the address that was asked.
//!
//! The kernel gives answers the source address of the way back, which on a machine with several addresses need not be
//! the one that was asked; resolvers drop such answers. So a socket that is bound to `0.0.0.0` or `[::]` learns with
//! each datagram which address it was sent to (`IP_PKTINFO`, ip(7); `IPV6_RECVPKTINFO`, RFC 3542 section 6), and
//! names it as the source of the answer. For link-local addresses the interface belongs to that.
//!
//! Nothing is allocated for a query: `sendmmsg` with one message has headers that are made once, where the `sendmsg`
//! of nix allocates them each time.

use std::{
    io::{IoSlice, IoSliceMut},
    net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket},
    os::fd::AsRawFd as _,
};

use nix::{
    cmsg_space, libc,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmsg, sendmmsg, sendto,
        setsockopt, sockopt,
    },
};
use rustix::io::Errno;

use crate::udp::Exchange;

/// Octets of control messages that one datagram may bring; packet information takes 40 at most.
const CONTROL: usize = 64;

/// A socket that is bound to a wildcard.
pub(crate) struct Wildcard<'s> {
    socket: &'s UdpSocket,
    control: Control,
    /// For answers, which have either one; the room of a header must be just what its control message takes.
    headers_v4: MultiHeaders<SockaddrStorage>,
    headers_v6: MultiHeaders<SockaddrStorage>,
}

/// The way back.
pub(crate) struct Route {
    to: SockaddrStorage,
    from: Source,
}

/// The address that was asked.
enum Source {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
    /// The kernel shall choose: it did not say, or it is one of many receivers (multicast).
    Kernel,
}

/// Room for control messages, aligned as they want to be.
#[repr(align(16))]
struct Control([u8; CONTROL]);

/// True where answers need to be told their source.
pub(crate) fn is_wildcard(address: SocketAddr) -> bool {
    address.ip().is_unspecified()
}

/// Has the kernel say with each datagram which address it was sent to.
pub(crate) fn enable(socket: &UdpSocket, address: SocketAddr) -> std::io::Result<()> {
    match address {
        SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?,
        SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?,
    }
    Ok(())
}

impl<'s> Wildcard<'s> {
    /// None where the socket is bound to one address.
    pub(crate) fn new(socket: &'s UdpSocket) -> Option<Self> {
        socket.local_addr().is_ok_and(is_wildcard).then(|| Self {
            socket,
            control: Control([0; CONTROL]),
            headers_v4: MultiHeaders::preallocate(1, Some(cmsg_space!(libc::in_pktinfo))),
            headers_v6: MultiHeaders::preallocate(1, Some(cmsg_space!(libc::in6_pktinfo))),
        })
    }
}

impl Exchange for Wildcard<'_> {
    type Route = Route;

    fn socket(&self) -> &UdpSocket {
        self.socket
    }

    fn receive(&mut self, request: &mut [u8], wait: bool) -> Result<Option<(usize, SocketAddr, Route)>, Errno> {
        let flags = if wait { MsgFlags::empty() } else { MsgFlags::MSG_DONTWAIT };
        let mut buffers = [IoSliceMut::new(request)];
        let received =
            recvmsg::<SockaddrStorage>(self.socket.as_raw_fd(), &mut buffers, Some(&mut self.control.0), flags)
                .map_err(errno)?;
        let Some(to) = received.address else { return Ok(None) };
        let address = match (to.as_sockaddr_in(), to.as_sockaddr_in6()) {
            (Some(&v4), _) => SocketAddrV4::from(v4).into(),
            (_, Some(&v6)) => SocketAddrV6::from(v6).into(),
            _ => return Ok(None),
        };
        let from = received.cmsgs().ok().and_then(|mut messages| messages.find_map(Source::of));
        Ok(Some((received.bytes, address, Route { to, from: from.unwrap_or(Source::Kernel) })))
    }

    fn send(&mut self, answer: &[u8], route: &Route) -> Result<(), Errno> {
        let socket = self.socket.as_raw_fd();
        let (headers, info) = match &route.from {
            Source::V4(info) => (&mut self.headers_v4, ControlMessage::Ipv4PacketInfo(info)),
            Source::V6(info) => (&mut self.headers_v6, ControlMessage::Ipv6PacketInfo(info)),
            Source::Kernel => {
                return sendto(socket, answer, &route.to, MsgFlags::empty()).map(|_| ()).map_err(errno);
            }
        };
        let slices = [[IoSlice::new(answer)]];
        sendmmsg(socket, headers, &slices, [Some(route.to)], [info], MsgFlags::empty()).map(|_| ()).map_err(errno)
    }
}

impl Source {
    #[expect(clippy::needless_pass_by_value, reason = "the iterator gives values")]
    fn of(message: ControlMessageOwned) -> Option<Self> {
        match message {
            // The interface is left to the routes, as ways there and back may differ.
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(Self::V4(libc::in_pktinfo { ipi_ifindex: 0, ..info })),
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                if address.is_multicast() {
                    return None;
                }
                // A link-local address has a meaning on its interface alone (RFC 4007 section 6).
                let interface = if address.is_unicast_link_local() { info.ipi6_ifindex } else { 0 };
                Some(Self::V6(libc::in6_pktinfo { ipi6_ifindex: interface, ..info }))
            }
            _ => None,
        }
    }
}

/// One library's error as the other's.
fn errno(error: nix::errno::Errno) -> Errno {
    Errno::from_raw_os_error(error as i32)
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use super::*;
    use crate::sockets::udp_socket;

    #[test]
    fn a_query_to_a_wildcard_is_answered_from_the_address_asked_without_allocation() {
        let server = udp_socket((Ipv4Addr::UNSPECIFIED, 0).into(), true).expect("a socket");
        let port = server.local_addr().expect("an address").port();
        let mut exchange = Wildcard::new(&server).expect("a wildcard");
        for last in 1..=5 {
            let asked = Ipv4Addr::new(127, 0, 0, last);
            let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
            client.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
            client.send_to(b"query", (asked, port)).expect("sent");
            let mut request = [0; 512];
            let counted = allocation_counter::measure(|| {
                let (length, address, route) = exchange.receive(&mut request, true).expect("fine").expect("a datagram");
                assert_eq!((length, address), (5, client.local_addr().expect("an address")));
                exchange.send(b"answer", &route).expect("sent");
            });
            assert_eq!(counted.count_total, 0, "{counted:?}");
            let (length, from) = client.recv_from(&mut request).expect("an answer");
            assert_eq!((&request[..length], from), (&b"answer"[..], (asked, port).into()));
        }
    }

    #[test]
    fn a_socket_of_one_address_needs_nothing() {
        let server = udp_socket((Ipv4Addr::LOCALHOST, 0).into(), true).expect("a socket");
        assert!(Wildcard::new(&server).is_none());
    }
}
