//! A whole zone over TCP (AXFR, RFC 5936): how long it takes, and what it costs the server.
//!
//! The client does as little as it can, so that it is the server that is timed: it reads messages, steps over their
//! records, and ends with the second SOA.

use std::{
    io::{BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use super::{
    Zone,
    contender::{best, ratio},
    load::CORE_OF_LOAD,
    servers,
};
use crate::{
    Setup,
    process::{Server, pin_this_thread},
    question::{AXFR_IN, HEADER, SOA_IN, after_name, number, question},
    report::{Report, progress},
    statistics::median,
};

/// Octets that are read at a time.
const READ: usize = 256 * 1024;
/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Transferred {
    /// The SOA counts twice.
    records: usize,
    messages: usize,
    octets: usize,
}

/// Servers in the order of the figures below.
const NAMES: [&str; 3] = ["mcdns", "NSD", "Knot"];

/// Transfers the zone from each in turn.
pub(super) fn measure(setup: &Setup, zone: &Zone, report: &mut Report) -> anyhow::Result<()> {
    let folder = zone.folder();
    let all = [servers::mcdns(&setup.mcdns, folder)?, servers::nsd(folder)?, servers::knot(folder)?];
    let mut seconds: [Vec<f64>; 3] = Default::default();
    let mut costs: [Vec<f64>; 3] = Default::default();
    let mut records = 0;
    // The first round warms up what each keeps for the next one, and says whether all send the same.
    for round in 0..=setup.rounds {
        for (at, server) in all.iter().enumerate() {
            let (came, took, cost) = timed(server).with_context(|| format!("{} in round {round}", NAMES[at]))?;
            progress(format_args!(
                "round {round}: {:<5} {took:.3} s, of the processor {cost:.2} s, {} records in {} messages, {} octets",
                NAMES[at], came.records, came.messages, came.octets
            ));
            if round == 0 && at == 0 {
                records = came.records;
            }
            if came.records != records {
                bail!("{} sent {} records, and mcdns {records}", NAMES[at], came.records);
            }
            if round > 0 {
                seconds[at].push(took);
                costs[at].push(cost);
            }
        }
    }
    let text = |figures: &[Vec<f64>; 3], ratio: f64| {
        let of = |at: usize| median(&figures[at]).unwrap_or_default();
        format!("{ratio:.2} times: {:.2} s; NSD {:.2}, Knot {:.2}", of(0), of(1), of(2))
    };
    let against_knot = ratio(&seconds[0], seconds[2].iter().copied())?;
    let what = format!("AXFR of {records} records, time");
    report.at_most(what, "at most Knot's", 1.0, against_knot, text(&seconds, against_knot));
    let against_best = ratio(&costs[0], best(&[&costs[1], &costs[2]]).into_iter())?;
    report.information("the same, processor time, against the better of both", text(&costs, against_best));
    Ok(())
}

/// One transfer: what came, seconds, and seconds of the server's processor.
fn timed(server: &Server) -> anyhow::Result<(Transferred, f64, f64)> {
    let before = server.processor_time()?;
    let address = server.address;
    let client = thread::spawn(move || {
        pin_this_thread(CORE_OF_LOAD)?;
        let start = Instant::now();
        let came = transfer(address, support::zone::APEX)?;
        anyhow::Ok((came, start.elapsed().as_secs_f64()))
    });
    let (came, took) = client.join().ok().context("the client had a panic")??;
    Ok((came, took, server.processor_time()? - before))
}

fn transfer(server: SocketAddr, apex: &str) -> anyhow::Result<Transferred> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = question(1, apex, AXFR_IN);
    let length = u16::try_from(request.len()).context("a long name")?;
    stream.write_all(&[&length.to_be_bytes(), &*request].concat())?;
    let mut stream = BufReader::with_capacity(READ, stream);
    let mut came = Transferred { records: 0, messages: 0, octets: 0 };
    let mut message = Vec::new();
    let mut soas = 0;
    while soas < 2 {
        let mut length = [0; 2];
        stream.read_exact(&mut length).context("the transfer ends before the second SOA")?;
        message.resize(u16::from_be_bytes(length).into(), 0);
        stream.read_exact(&mut message)?;
        let (records, soas_here) = count(&message).context("a message that cannot be read, or with an error")?;
        soas += soas_here;
        came.records += records;
        came.messages += 1;
        came.octets += message.len();
    }
    Ok(came)
}

/// Records of the answer section, and how many of them are SOA.
fn count(message: &[u8]) -> Option<(usize, usize)> {
    let (questions, answers) = (number(message, 4)?, number(message, 6)?);
    if message[3] & 0xf != 0 || answers == 0 {
        return None;
    }
    let mut at = HEADER;
    for _ in 0..questions {
        at = after_name(message, at)? + 4;
    }
    let mut soas = 0;
    for _ in 0..answers {
        at = after_name(message, at)?;
        soas += usize::from(message.get(at..at + 4)? == SOA_IN);
        at += 10 + usize::from(number(message, at + 8)?);
    }
    (at <= message.len()).then_some((answers.into(), soas))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const A_RECORD: &[u8] = &[0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1];
    /// Its data is cut short, which a client that steps over it does not see.
    const SOA_RECORD: &[u8] = &[0xC0, 12, 0, 6, 0, 1, 0, 0, 0, 60, 0, 1, 0];

    fn message(records: &[&[u8]]) -> Vec<u8> {
        let mut message = question(1, "a", AXFR_IN);
        message[2] = 0x84;
        message[7] = u8::try_from(records.len()).expect("few");
        [message, records.concat()].concat()
    }

    #[test]
    fn records_are_counted_up_to_the_second_soa() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = [0; 21];
            stream.read_exact(&mut request).expect("a request");
            for message in [message(&[SOA_RECORD, A_RECORD]), message(&[A_RECORD, SOA_RECORD])] {
                let length = u16::try_from(message.len()).expect("short").to_be_bytes();
                stream.write_all(&[&length, &*message].concat()).expect("sent");
            }
        });
        let came = transfer(address, "a").expect("a zone");
        server.join().expect("no panic");
        assert_eq!((came.records, came.messages), (4, 2));
    }

    #[test]
    fn an_error_and_a_message_that_is_cut_off_are_no_part_of_a_zone() {
        let mut refused = message(&[A_RECORD]);
        refused[3] = 5;
        assert_eq!(count(&refused), None);
        let whole = message(&[SOA_RECORD, A_RECORD]);
        assert_eq!(count(&whole), Some((2, 1)));
        for length in 0..whole.len() {
            assert_eq!(count(&whole[..length]), None, "{length} octets");
        }
    }
}
