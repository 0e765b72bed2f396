//! What stands behind `ask`, `and` and `send`.
//!
//! | option | means |
//! |---|---|
//! | `+tcp`, `+slowly`, `+halfclose` | over TCP; octet by octet; the client's side is closed when all is sent |
//! | `+aa +tc +rd +ra +z +ad +cd`, `+opcode=4` | in the header |
//! | `+edns`, `+bufsize=600`, `+version=1`, `+do`, `+eflags=7fff`, `+copies=2` | an OPT record |
//! | `+option=COOKIE:0102`, `+option=COOKIE:again` | an EDNS option: octets, or what the server gave before |
//! | `+soa=7`, `+soa=current` | the SOA of a question for IXFR |
//! | `+key=NAME`, then `+algorithm=`, `+wrong-secret`, `+skew=SECONDS`, `+mac=OCTETS` | a TSIG record |
//! | `+extra=HEX` | a record behind all others |

use anyhow::{Context, bail};
use data_encoding::HEXLOWER_PERMISSIVE;

use crate::{
    draft::{AA, AD, CD, ClientSerial, Edns, OptionData, Query, Question, RA, RD, TC, Z},
    name,
    script::Transport,
    tsig::Signer,
    words::{self, CLASSES, OPTIONS, TYPES},
};

/// Payload size of questions that do not name one: what the flag day of 2020 agreed on.
const PAYLOAD: u16 = 1232;

/// `name [class] type +options`
pub(crate) fn question(text: &str, transport: &mut Transport) -> anyhow::Result<Query> {
    let mut words = text.split_whitespace().peekable();
    let name = name::to_wire(words.next().context("no name")?)?;
    let mut class = 1;
    if let Some(other) = words.peek().and_then(|word| words::number(CLASSES, "CLASS", word)) {
        class = other;
        words.next();
    }
    let record_type = known(TYPES, "TYPE", words.next().context("no type")?)?;
    let question = Question { name, record_type, class };
    let mut query = Query { flags: 0, question, serial: None, edns: None, extra: Vec::new(), signer: None };
    for option in words {
        let (option, value) = option.split_once('=').unwrap_or((option, ""));
        set(&mut query, transport, option, value).with_context(|| format!("the option `{option}`"))?;
    }
    Ok(query)
}

fn set(query: &mut Query, transport: &mut Transport, option: &str, value: &str) -> anyhow::Result<()> {
    let tcp = |slowly, half_close| match *transport {
        Transport::Tcp { slowly: already, half_close: closed } => {
            Transport::Tcp { slowly: slowly || already, half_close: half_close || closed }
        }
        _ => Transport::Tcp { slowly, half_close },
    };
    let flag = [("+aa", AA), ("+tc", TC), ("+rd", RD), ("+ra", RA), ("+z", Z), ("+ad", AD), ("+cd", CD)];
    if let Some((_, bit)) = flag.iter().find(|(name, _)| *name == option) {
        query.flags |= bit;
        return Ok(());
    }
    match option {
        "+tcp" => *transport = tcp(false, false),
        "+slowly" => *transport = tcp(true, false),
        "+halfclose" => *transport = tcp(false, true),
        "+opcode" => query.flags |= value.parse::<u16>()? << 11,
        "+soa" => {
            query.serial = Some(match value {
                "current" => ClientSerial::Current,
                number => ClientSerial::Is(number.parse()?),
            });
        }
        "+extra" => query.extra.push(HEXLOWER_PERMISSIVE.decode(value.as_bytes())?),
        "+key" => query.signer = Some(Signer::new(value)),
        "+algorithm" | "+wrong-secret" | "+skew" | "+mac" => {
            let signer = query.signer.as_mut().context("comes after +key")?;
            match option {
                "+algorithm" => signer.algorithm = Some(value.to_owned()),
                "+wrong-secret" => signer.wrong_secret = true,
                "+skew" => signer.skew = value.parse()?,
                _ => signer.mac_octets = Some(value.parse()?),
            }
        }
        _ => set_edns(query, option, value)?,
    }
    Ok(())
}

fn set_edns(query: &mut Query, option: &str, value: &str) -> anyhow::Result<()> {
    let new = Edns { size: PAYLOAD, version: 0, flags: 0, options: Vec::new(), copies: 1 };
    let edns = query.edns.get_or_insert(new);
    match option {
        "+edns" => {}
        "+bufsize" => edns.size = value.parse()?,
        "+version" => edns.version = value.parse()?,
        "+do" => edns.flags |= 0x8000,
        "+eflags" => edns.flags |= u16::from_str_radix(value, 16)?,
        "+copies" => edns.copies = value.parse()?,
        "+option" => {
            let (code, data) = value.split_once(':').unwrap_or((value, ""));
            let data = match data {
                "again" => OptionData::Again,
                digits => OptionData::Octets(HEXLOWER_PERMISSIVE.decode(digits.as_bytes())?),
            };
            edns.options.push((known(OPTIONS, "", code)?, data));
        }
        _ => bail!("is unknown"),
    }
    Ok(())
}

/// Octets in hexadecimal digits; `@name` is a name in wire format.
pub(crate) fn raw(text: &str) -> anyhow::Result<Vec<u8>> {
    let mut octets = Vec::new();
    for word in text.split_whitespace() {
        match word.strip_prefix('@') {
            Some(name) => octets.extend(name::to_wire(name)?),
            None => octets.extend(HEXLOWER_PERMISSIVE.decode(word.as_bytes())?),
        }
    }
    Ok(octets)
}

pub(crate) fn known(words: words::Words, prefix: &str, word: &str) -> anyhow::Result<u16> {
    words::number(words, prefix, word).with_context(|| format!("`{word}` is unknown"))
}
