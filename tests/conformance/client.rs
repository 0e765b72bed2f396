//! Asks what a case says, over UDP or TCP, and tells what was not as expected.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use crate::{
    Target,
    compare::{self, Asked, Outcome},
    draft::{ClientSerial, Draft, QR, Query, Sent, soa_query},
    name,
    reply::{HEADER, Reply},
    script::{Case, Step, Transport},
    tsig::{Signature, Signer},
};

/// How long an answer may take; a server that is late by this is not there.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long an answer may take from a server that is known to deviate, perhaps by giving none.
const SHORT_PATIENCE: Duration = Duration::from_millis(500);
/// How long an answer that must not come is waited for, after the answer to a question that was asked later came.
const SILENCE: Duration = Duration::from_millis(150);
/// Apex that every server knows, for the question after one that gets no answer.
const SENTINEL: &str = "plain.test.";
/// ID of the first message of a step; raw messages have other ones.
const FIRST_ID: u16 = 0x7000;
/// ID of the question after one that gets no answer.
const SENTINEL_ID: u16 = 0x6fff;
const IXFR: u16 = 251;
const AXFR: u16 = 252;

/// Options that the server gave so far, by code.
type Given = BTreeMap<u16, Vec<u8>>;

/// Runs all steps of a case; returns what went wrong, for a person to read.
pub fn run(target: &Target, case: &Case) -> Option<String> {
    let mut given = Given::new();
    let patience = if case.deviation(target.who).is_some() { SHORT_PATIENCE } else { PATIENCE };
    for step in &case.steps {
        let (asked, outcome) = match ask(target.address, step, &given, patience) {
            Ok(both) => both,
            Err(error) => (Asked::default(), Outcome::Broken(format!("{error:#}"))),
        };
        let found: Vec<Vec<String>> =
            step.expected.iter().map(|expected| compare::differences(&asked, expected, &outcome)).collect();
        if !found.iter().any(Vec::is_empty) {
            return Some(story(case, step, &outcome, &found));
        }
        if let Outcome::Answer(reply, _) = outcome {
            given.extend(reply.edns.map(|edns| edns.options).unwrap_or_default());
        }
    }
    None
}

/// One question without anything, until the server answers it; for starting.
///
/// # Errors
/// No answer, or one without the apex's SOA.
pub fn knows(address: SocketAddr, apex: &str) -> anyhow::Result<()> {
    let sent = soa_query(apex)?.encode(SENTINEL_ID, |_| Vec::new(), 0)?;
    let reply = exchange(address, &sent.octets, Duration::from_millis(500))?;
    if reply.rcode != 0 || reply.answer.len() != 1 {
        bail!("{reply}");
    }
    Ok(())
}

/// The serial of a zone as a server has it now.
///
/// # Errors
/// No answer, or one without a SOA.
pub fn serial(address: SocketAddr, apex: &str) -> anyhow::Result<u32> {
    let sent = soa_query(apex)?.encode(SENTINEL_ID, |_| Vec::new(), 0)?;
    let reply = exchange(address, &sent.octets, PATIENCE)?;
    let soa = reply.answer.first().context("no SOA to take the serial from")?;
    Ok(soa.split(' ').nth(5).context("no serial")?.parse()?)
}

/// The records of a zone as a server gives them to AXFR: the SOA first, and the others in the order of their text.
/// With a key, every signature is checked.
///
/// # Errors
/// A refusal, a transfer that is not whole, a wrong signature.
pub fn transfer(address: SocketAddr, apex: &str, key: Option<&str>) -> anyhow::Result<Vec<String>> {
    let mut query = soa_query(apex)?;
    query.question.record_type = AXFR;
    query.signer = key.map(Signer::new);
    let step = Step {
        line: 0,
        text: Vec::new(),
        drafts: vec![Draft::Query(Box::new(query))],
        transport: Transport::Tcp { slowly: false, half_close: false },
        expected: Vec::new(),
    };
    match ask(address, &step, &Given::new(), PATIENCE)?.1 {
        Outcome::Answer(reply, None | Some(Ok(()))) if reply.rcode == 0 && reply.answer.len() > 1 => {
            let mut records = reply.answer;
            records.pop();
            records[1..].sort();
            Ok(records)
        }
        Outcome::Answer(reply, signature) => bail!("{signature:?}\n{reply}"),
        Outcome::Silence(how) | Outcome::Broken(how) => bail!("{how}"),
    }
}

fn story(case: &Case, step: &Step, outcome: &Outcome, found: &[Vec<String>]) -> String {
    let mut text = format!("{}\n\n", case.quotation);
    for line in &step.text {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
    }
    for (index, (expected, found)) in step.expected.iter().zip(found).enumerate() {
        let _ = writeln!(text, "{}", if index == 0 { "expected:" } else { "or:" });
        for line in &expected.text {
            let _ = writeln!(text, "    {line}");
        }
        for difference in found {
            let _ = writeln!(text, "  ! {difference}");
        }
    }
    let _ = match outcome {
        Outcome::Answer(reply, _) => {
            let _ = writeln!(text, "got:");
            reply.to_string().lines().try_for_each(|line| writeln!(text, "    {line}"))
        }
        Outcome::Silence(how) => writeln!(text, "got no answer: {how}"),
        Outcome::Broken(fault) => writeln!(text, "got what is no answer: {fault}"),
    };
    text
}

fn ask(address: SocketAddr, step: &Step, given: &Given, patience: Duration) -> anyhow::Result<(Asked, Outcome)> {
    let mut sent = Vec::new();
    for (draft, id) in step.drafts.iter().zip(FIRST_ID..) {
        sent.push(match draft {
            Draft::Raw(octets) => Sent { octets: octets.clone(), signature: None },
            Draft::Query(query) => {
                let current = current_serial(address, query)?;
                query.encode(id, |code| given.get(&code).cloned().unwrap_or_default(), current)?
            }
        });
    }
    let asked = asked(step, &sent);
    // None: it may well be that nothing comes.
    let may_be_silent = step.expected.iter().any(|expected| expected.silence);
    let patience = (!may_be_silent).then_some(patience);
    let outcome = match step.transport {
        Transport::Udp => over_udp(address, &sent, patience),
        Transport::Tcp { slowly, half_close } => over_tcp(address, step, &sent, slowly, half_close, patience),
        Transport::Stream => over_stream(address, &sent),
    };
    Ok((asked, outcome.unwrap_or_else(|error| Outcome::Broken(format!("{error:#}")))))
}

fn asked(step: &Step, sent: &[Sent]) -> Asked {
    let first = &sent[0].octets;
    let flags = if first.len() < 4 { 0 } else { u16::from_be_bytes([first[2], first[3]]) };
    let mut asked = Asked { flags, limit: 65_535, signed: sent[0].signature.is_some(), ..Asked::default() };
    if let Draft::Query(query) = &step.drafts[0] {
        asked.question.clone_from(&query.question.name);
        asked.question.extend(query.question.record_type.to_be_bytes());
        asked.question.extend(query.question.class.to_be_bytes());
        asked.edns = query.edns.is_some();
        if step.transport == Transport::Udp {
            asked.limit = query.edns.as_ref().map_or(512, |edns| usize::from(edns.size.max(512)));
        }
    }
    asked
}

/// The serial that the server has now, where the question needs it.
fn current_serial(address: SocketAddr, query: &Query) -> anyhow::Result<u32> {
    match query.serial {
        Some(ClientSerial::Current) => serial(address, &name::read(&query.question.name, 0)?.text),
        _ => Ok(0),
    }
}

fn exchange(address: SocketAddr, message: &[u8], patience: Duration) -> anyhow::Result<Reply> {
    let socket = connected(address)?;
    socket.set_read_timeout(Some(patience))?;
    socket.send(message)?;
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer)?;
    Reply::read(&buffer[..length])
}

/// Connected, so that a port where nobody listens is told at once.
fn connected(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(address)?;
    Ok(socket)
}

fn over_udp(address: SocketAddr, sent: &[Sent], patience: Option<Duration>) -> anyhow::Result<Outcome> {
    let socket = connected(address)?;
    for message in sent {
        socket.send(&message.octets)?;
    }
    if patience.is_none() {
        socket.send(&soa_query(SENTINEL)?.encode(SENTINEL_ID, |_| Vec::new(), 0)?.octets)?;
    }
    let mut answers = Answers::new(sent);
    let mut deadline = Instant::now() + patience.unwrap_or(PATIENCE);
    let mut buffer = vec![0; 65_535];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(answers.outcome("nothing came in time"));
        }
        socket.set_read_timeout(Some(left))?;
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => continue,
            Err(error) => return Err(error).context("UDP"),
        };
        let message = &buffer[..length];
        if message.starts_with(&SENTINEL_ID.to_be_bytes()) {
            deadline = Instant::now() + SILENCE;
        } else if answers.take(message)? {
            return Ok(answers.outcome(""));
        }
    }
}

fn over_tcp(
    address: SocketAddr,
    step: &Step,
    sent: &[Sent],
    slowly: bool,
    half_close: bool,
    patience: Option<Duration>,
) -> anyhow::Result<Outcome> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).context("TCP")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience.unwrap_or(SILENCE)))?;
    let mut octets = Vec::new();
    for message in sent {
        octets.extend(u16::try_from(message.octets.len())?.to_be_bytes());
        octets.extend(&message.octets);
    }
    for part in octets.chunks(if slowly { 1 } else { octets.len() }) {
        stream.write_all(part).context("TCP")?;
    }
    if half_close {
        stream.shutdown(Shutdown::Write)?;
    }
    let mut answers = Answers::new(sent);
    if let Draft::Query(query) = &step.drafts[0] {
        answers.transfer = Some(query.question.record_type).filter(|asked| matches!(*asked, IXFR | AXFR));
    }
    loop {
        let mut length = [0; 2];
        if let Err(error) = stream.read_exact(&mut length) {
            return Ok(answers.outcome(&format!("the connection ends: {error}")));
        }
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut message).context("a message ends too early")?;
        if answers.take(&message)? {
            return Ok(answers.outcome(""));
        }
    }
}

/// Octets as they are; the answer is that the connection is closed, or nothing.
fn over_stream(address: SocketAddr, sent: &[Sent]) -> anyhow::Result<Outcome> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).context("TCP")?;
    stream.set_read_timeout(Some(SILENCE))?;
    for message in sent {
        stream.write_all(&message.octets)?;
    }
    let mut octets = Vec::new();
    let how = match stream.read_to_end(&mut octets) {
        Ok(_) => "the connection was closed".to_owned(),
        Err(error) => error.to_string(),
    };
    match octets.as_slice() {
        [] => Ok(Outcome::Silence(how)),
        [_, _, message @ ..] => Ok(Outcome::Answer(Box::new(Reply::read(message)?), None)),
        _ => bail!("half an answer"),
    }
}

/// Answers to the messages of a step, taken together.
struct Answers {
    /// IDs that have no answer yet.
    open: Vec<u16>,
    /// AXFR or IXFR, which take more than one message.
    transfer: Option<u16>,
    /// The first record of a transfer.
    first: Option<String>,
    signature: Option<Signature>,
    verdict: Option<Result<(), String>>,
    all: Option<Reply>,
}

impl Answers {
    fn new(sent: &[Sent]) -> Self {
        let id = |sent: &Sent| sent.octets.get(..2).map_or(0, |id| u16::from_be_bytes([id[0], id[1]]));
        Self {
            open: sent.iter().map(id).collect(),
            transfer: None,
            first: None,
            signature: sent[0].signature.clone(),
            verdict: None,
            all: None,
        }
    }

    /// Takes an answer; true if it was the last that is waited for.
    fn take(&mut self, message: &[u8]) -> anyhow::Result<bool> {
        if message.len() < HEADER {
            bail!("an answer of {} octets", message.len());
        }
        let reply = Reply::read(message)?;
        if reply.flags & QR == 0 {
            bail!("an answer without QR");
        }
        let Some(place) = self.open.iter().position(|id| *id == reply.id) else {
            bail!("an answer with the ID {:#06x}, which nobody asked", reply.id);
        };
        if let Some(signature) = &mut self.signature {
            let verdict = signature.check(message, reply.tsig.as_ref()).map_err(|error| error.to_string());
            if !matches!(self.verdict, Some(Err(_))) {
                self.verdict = Some(verdict);
            }
        }
        let soa = |record: &String| record.split(' ').nth(2) == Some("SOA");
        let goes_on = self.transfer.filter(|_| reply.rcode == 0).is_some_and(|asked| {
            let first = self.first.get_or_insert_with(|| reply.answer.first().cloned().unwrap_or_default());
            match self.all.as_ref().map_or(0, |all| all.answer.len()) + reply.answer.len() {
                0 => true,
                // One SOA alone says that there is nothing newer (RFC 1995 section 2), or it is the first message.
                1 => asked == AXFR,
                _ => soa(first) && reply.answer.last() != Some(first),
            }
        });
        if !goes_on {
            self.open.remove(place);
        }
        match &mut self.all {
            None => self.all = Some(reply),
            Some(all) => all.append(reply),
        }
        Ok(self.open.is_empty())
    }

    fn outcome(self, how: &str) -> Outcome {
        match self.all {
            Some(reply) if self.open.is_empty() => Outcome::Answer(Box::new(reply), self.verdict),
            Some(reply) => Outcome::Broken(format!("{} answers are missing; {how}\n{reply}", self.open.len())),
            None => Outcome::Silence(how.to_owned()),
        }
    }
}
