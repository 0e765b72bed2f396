//! The answer path: one request, one answer, and all that must hold of it.

use std::panic::AssertUnwindSafe;

use bolero::{check, produce};
use mcdns_serve::{Answer, Client, Reply, Responder, Transfer};

use crate::{
    exchange::Exchange,
    laws, strict,
    world::{NOW, World},
};

/// Messages of a transfer that are looked at.
const MESSAGES: usize = 200;

#[test]
fn every_answer_keeps_the_laws() {
    let world = World::new();
    let (responders, others) = (world.responders(), world.responders());
    let mut all = AssertUnwindSafe((world, responders, others));
    check!().with_iterations(20_000).with_generator(produce::<Exchange>()).for_each(|exchange| {
        let (world, responders, others) = &mut *all;
        let reply = respond(world, responders, exchange);
        // What was answered before leaves no trace: a responder that has answered other requests says the same.
        if exchange.request.last().is_some_and(|octet| octet % 16 == 1) {
            let answered = reply.map(|reply| reply.octets.to_vec());
            let again = respond(world, others, exchange).map(|reply| reply.octets.to_vec());
            assert_eq!(answered, again);
        }
    });
}

#[test]
fn octets_without_a_meaning_are_survived() {
    let world = World::new();
    let responders = world.responders();
    let mut all = AssertUnwindSafe((world, responders));
    check!().with_iterations(5_000).for_each(|octets: &[u8]| {
        let (world, responders) = &mut *all;
        let (choice, request) = octets.split_first().unwrap_or((&0, octets));
        let transport = mcdns_serve::Transport::ALL[usize::from(*choice) % 5];
        let request = request.to_vec();
        let policy = usize::from(choice >> 4) % world.policies.len();
        let exchange = Exchange { request, transport, snapshot: 0, listener: 0, policy, ipv6: false, check: None };
        respond(world, responders, &exchange);
    });
}

/// Answers, and checks what was answered.
pub(crate) fn respond<'r>(world: &World, responders: &'r mut [Responder], exchange: &Exchange) -> Option<Reply<'r>> {
    let served = &world.snapshots[exchange.snapshot];
    let address =
        if exchange.ipv6 { ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7], 53).into() } else { ([192, 0, 2, 7], 53).into() };
    let client = Client { address, transport: exchange.transport };
    let policy = &world.policies[exchange.policy];
    match responders[exchange.listener].respond(&served.snapshot, policy, &exchange.request, &client) {
        Answer::Silence => {
            assert!(laws::is_silence(&exchange.request), "silence");
            None
        }
        Answer::Message(reply) => {
            assert!(!laws::is_silence(&exchange.request), "an answer to what is no query");
            laws::check(exchange, &world.listeners[exchange.listener], &served.apexes, &reply);
            Some(reply)
        }
        Answer::Transfer(mut transfer) => {
            check_transfer(exchange, &mut transfer);
            None
        }
    }
}

/// Every message of a transfer can be read; the first record is an SOA, and the last.
fn check_transfer(exchange: &Exchange, transfer: &mut Transfer) {
    assert!(exchange.transport != mcdns_serve::Transport::Udp && exchange.transport != mcdns_serve::Transport::Https);
    let mut message = Vec::new();
    let (mut first, mut last, mut messages) = (None, 0, 0);
    while transfer.next_message(&mut message) {
        assert!(message.len() <= 65_535);
        assert_eq!(message[..2], exchange.request[..2]);
        let read = strict::read(&message).expect("a well-formed message");
        if !laws::has_subnet_without_family(&message, &read) {
            hickory_proto::op::Message::from_vec(&message).expect("a message that a foreign parser reads");
        }
        // A signature behind what the counts tell of is none.
        if let (0, Some(check)) = (messages, &exchange.check)
            && laws::is_signed(&exchange.request)
        {
            assert_eq!(check.check(&message, NOW), Ok(()), "the signature of the first message");
        }
        let types: Vec<u16> = read.answers.iter().map(|record| record.record_type).collect();
        first = first.or(types.first().copied());
        last = *types.last().expect("no message is empty");
        messages += 1;
        assert!(messages < MESSAGES, "no end");
    }
    assert_eq!((first, last), (Some(6), 6));
}
