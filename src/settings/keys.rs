//! `serve.keys`: TSIG keys (RFC 8945), which transfers and notifications are signed with.
//!
//! A secret stands in the settings file or, better, in a file of its own that fewer people can read: base64 alone, or a
//! `key` statement as tsig-keygen(8) writes it, from which name and algorithm are taken too. A secret is never shown:
//! neither in a message nor in the table of settings.

use std::{collections::BTreeSet, fs};

use data_encoding::BASE64;
use mcdns_core::{
    check::{Finding, FindingCode},
    dns::OwnerName,
};
use mcdns_serve::{Algorithm, Key};

use super::{
    layers::Layers,
    parse::{self, Misfit},
    section::{Section, present},
    tree::{Content, Node},
};

/// Names of algorithms (RFC 8945 section 6), and the octets of their hashes before truncation.
const ALGORITHMS: [(&str, Algorithm, usize); 8] = [
    ("hmac-sha1", Algorithm::HmacSha1, 20),
    ("hmac-sha224", Algorithm::HmacSha224, 28),
    ("hmac-sha256", Algorithm::HmacSha256, 32),
    ("hmac-sha256-128", Algorithm::HmacSha256_128, 32),
    ("hmac-sha384", Algorithm::HmacSha384, 48),
    ("hmac-sha384-192", Algorithm::HmacSha384_192, 48),
    ("hmac-sha512", Algorithm::HmacSha512, 64),
    ("hmac-sha512-256", Algorithm::HmacSha512_256, 64),
];

/// The one that tsig-keygen, nsupdate and dig choose.
const DEFAULT: &str = "hmac-sha256";

/// Longest secret file that is read, in octets: a key statement with comments has a few hundred.
const LONGEST_FILE: usize = 65_536;

const SECRET_HELP: &str = "write base64, as `tsig-keygen` prints it";
const EXAMPLE: &str = "write {name: transfer-key, algorithm: hmac-sha256, secretFile: FILE}";

/// What came of it.
#[derive(Default)]
pub(super) struct Keys {
    /// The keys that are whole.
    pub(super) whole: Vec<Key>,
    /// Names of all keys, those with faults too.
    pub(super) names: BTreeSet<OwnerName>,
    /// What is odd about them.
    pub(super) warnings: Vec<Finding>,
}

/// What a secret file says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Statement {
    name: Option<String>,
    algorithm: Option<String>,
    secret: String,
}

/// Reads all keys.
pub(super) fn read(layers: &mut Layers<'_>) -> Keys {
    let mut found = Keys::default();
    let Some((file, root)) = layers.file.clone() else { return found };
    let items = root.at("serve.keys").map(Node::items).unwrap_or_default();
    for (index, node) in items.iter().enumerate() {
        // What is no mapping was refused by the schema.
        if !matches!(node.content, Content::Map(_)) {
            continue;
        }
        let mut section = Section { layers, file: &file, path: format!("serve.keys[{index}]") };
        read_key(&mut section, node, &mut found);
    }
    found
}

fn read_key(section: &mut Section<'_, '_>, node: &Node, found: &mut Keys) {
    let name = section.child(node, "name", key_name);
    let algorithm = section.child(node, "algorithm", algorithm);
    let statement = read_secret(section, node, name.as_ref().map(|(name, _)| name));
    let from_file = statement.as_ref().and_then(|(statement, _)| statement.name.as_deref());
    let name = match (&name, from_file) {
        (Some((name, line)), _) => {
            section.row("name", name.to_string(), *line);
            Some(name.clone())
        }
        // A fault of a name was told already.
        (None, _) if present(node, "name").is_some() => None,
        (None, Some(text)) => {
            let place = present(node, "secretFile").unwrap_or(node);
            let name =
                section.layers.parse_text(section.file, place, &format!("{}.secretFile", section.path), text, key_name);
            if let Some(name) = &name {
                section.row("name", name.to_string(), place.line);
            }
            name
        }
        (None, None) => {
            if statement.is_some() || present(node, "secretFile").is_none() {
                section.refuse(node, "name", Misfit::new("is missing", EXAMPLE));
            }
            None
        }
    };
    if let Some(name) = &name
        && !found.names.insert(name.clone())
    {
        let place = present(node, "name").unwrap_or(node);
        section.refuse(place, "name", Misfit::new(format!("`{name}` stands there twice"), "keep one of them"));
        return;
    }
    let Some((statement, place)) = statement else { return };
    let stated = match &statement.algorithm {
        Some(text) => {
            let path = format!("{}.secretFile", section.path);
            section.layers.parse_text(section.file, place, &path, text, self::algorithm)
        }
        None => None,
    };
    let chosen = match (&algorithm, stated) {
        (Some((given, _)), Some(stated)) if *given != stated => {
            let message = format!("is not the algorithm of the secret file, which is {}", stated.0);
            let place = present(node, "algorithm").unwrap_or(node);
            section.refuse(place, "algorithm", Misfit::new(message, "take it out here"));
            return;
        }
        (Some((given, _)), _) => *given,
        (None, Some(stated)) => stated,
        (None, None) if present(node, "algorithm").is_some() || statement.algorithm.is_some() => return,
        (None, None) => match self::algorithm(DEFAULT) {
            Ok(default) => default,
            Err(_) => return,
        },
    };
    let line = present(node, "algorithm").unwrap_or(node).line;
    section.row("algorithm", chosen.0.to_owned(), line);
    let key = if present(node, "secretFile").is_some() { "secretFile" } else { "secret" };
    let Some(secret) = decode(&statement.secret) else {
        let message = if key == "secret" { "is no base64" } else { "the secret in the file is no base64" };
        section.refuse(place, key, Misfit::new(message, SECRET_HELP));
        return;
    };
    let mac_size = section.child(node, "macSize", parse::positive);
    let Some(name) = name else { return };
    if secret.len() < chosen.2 {
        let message = format!(
            "the secret of `{name}` has {} octets; shorter than {} it is weaker than {} (RFC 2104 section 3)",
            secret.len(),
            chosen.2,
            chosen.0
        );
        let mut warning = Finding::new(FindingCode::ShortSecret, message).field(format!("{}.{key}", section.path));
        warning.place = Some(place.place(section.file));
        found.warnings.push(warning.help(format!("make a new key with `tsig-keygen -a {} {name}`", chosen.0)));
    }
    let mut key = Key::new(name, chosen.1, secret);
    if let Some((octets, line)) = mac_size {
        section.row("macSize", octets.to_string(), line);
        key = match key.with_mac_length(octets) {
            Ok(key) => key,
            Err(error) => {
                let help = "write a length from the half of the MAC on (RFC 8945 section 5.2.2.1), or take it out for whole MACs";
                let place = present(node, "macSize").unwrap_or(node);
                section.refuse(place, "macSize", Misfit::new(format!("is no length: {error}"), help));
                return;
            }
        };
    }
    found.whole.push(key);
}

/// The secret with what stands beside it, and the node that says it. None, with a finding, where there is none.
fn read_secret<'n>(
    section: &mut Section<'_, '_>,
    node: &'n Node,
    name: Option<&OwnerName>,
) -> Option<(Statement, &'n Node)> {
    match (present(node, "secret"), present(node, "secretFile")) {
        (Some(_), Some(file)) => {
            section.refuse(file, "secretFile", Misfit::new("stands beside a secret", "keep one of them"));
            None
        }
        (None, None) => {
            section.refuse(node, "secret", Misfit::new("is missing", EXAMPLE));
            None
        }
        (Some(secret), None) => {
            let (text, line) = section.scalar(secret, "secret", |text| Ok(text.to_owned()))?;
            section.row("secret", "(hidden)".to_owned(), line);
            Some((Statement { secret: text, ..Statement::default() }, secret))
        }
        (None, Some(file)) => {
            let (statement, line) = section.scalar(file, "secretFile", |path| {
                let text = read_small(path)?;
                statement_in(&text, name).map_err(|problem| {
                    let help = "write base64 alone, or one key \"NAME\" { algorithm …; secret \"…\"; };";
                    Misfit::new(format!("{path} {problem}"), help)
                })
            })?;
            let Content::Scalar(path) = &file.content else { return None };
            section.row("secretFile", path.clone(), line);
            Some((statement, file))
        }
    }
}

/// A text file that is there and not too long.
pub(super) fn read_small(path: &str) -> Result<String, Misfit> {
    let path = parse::not_empty(path)?;
    let help = "name a file that this user can read";
    let octets = fs::read(&path)
        .map_err(|error| Misfit::new(format!("the secret file {path} cannot be read: {error}"), help))?;
    if octets.len() > LONGEST_FILE {
        return Err(Misfit::new(format!("the secret file {path} is longer than any secret"), help));
    }
    String::from_utf8(octets).map_err(|_| Misfit::new(format!("the secret file {path} is no text"), help))
}

/// The key statement of that name in the text of a secret file, or its base64 alone. The problem that is told instead
/// has no part of the text in it.
fn statement_in(text: &str, name: Option<&OwnerName>) -> Result<Statement, String> {
    // First, because base64 may begin with what would be a comment. Long base64 may be wrapped.
    if decode(text).is_some() {
        return Ok(Statement { secret: text.to_owned(), ..Statement::default() });
    }
    let tokens = tokens(text)?;
    if tokens.first().is_none_or(|first| first != "key") {
        return match &tokens[..] {
            [] => Err("is empty".to_owned()),
            _ => Err("is neither base64 nor a key statement".to_owned()),
        };
    }
    let mut statements = Vec::new();
    let mut rest = &tokens[..];
    while !rest.is_empty() {
        let [word, name, open, more @ ..] = rest else { return Err("has a key statement without an end".to_owned()) };
        let end = more.iter().position(|token| token == "}");
        let Some(end) = end.filter(|_| word == "key" && open == "{") else {
            return Err("has more in it than key statements".to_owned());
        };
        let mut statement = Statement { name: Some(name.clone()), ..Statement::default() };
        for clause in more[..end].split(|token| token == ";").filter(|clause| !clause.is_empty()) {
            match clause {
                [word, value] if word == "algorithm" => statement.algorithm = Some(value.clone()),
                [word, value] if word == "secret" => statement.secret.clone_from(value),
                _ => return Err("has a key statement with something else than algorithm and secret".to_owned()),
            }
        }
        if statement.secret.is_empty() {
            return Err("has a key statement without a secret".to_owned());
        }
        statements.push(statement);
        rest = &more[end + 1..];
        rest = rest.strip_prefix(&[";".to_owned()]).unwrap_or(rest);
    }
    let is_named = |statement: &Statement| {
        let theirs = statement.name.as_deref().and_then(|theirs| OwnerName::parse(theirs).ok());
        name.is_none_or(|name| theirs.as_ref() == Some(name))
    };
    statements.retain(is_named);
    match (statements.pop(), statements.is_empty(), name) {
        (Some(statement), true, _) => Ok(statement),
        (Some(_), false, _) => Err("has several keys, of which none is named here".to_owned()),
        (None, _, Some(name)) => Err(format!("has no key `{name}`")),
        (None, _, None) => Err("has no key".to_owned()),
    }
}

/// Words, strings without their quotes, and the signs `{`, `}` and `;`; comments as in named.conf(5) are left out.
fn tokens(text: &str) -> Result<Vec<String>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first == '#' || rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").ok_or("has a comment without an end")? + 2
        } else if first == '"' {
            let end = rest[1..].find('"').ok_or("has a string without an end")?;
            tokens.push(rest[1..=end].to_owned());
            end + 2
        } else if matches!(first, '{' | '}' | ';') {
            tokens.push(first.to_string());
            1
        } else {
            let ends = |letter: char| letter.is_whitespace() || matches!(letter, '{' | '}' | ';' | '"');
            let end = rest.find(ends).unwrap_or(rest.len());
            tokens.push(rest[..end].to_owned());
            end
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let text: String = text.split_whitespace().collect();
    BASE64.decode(text.as_bytes()).ok().filter(|secret| !secret.is_empty())
}

/// The name of a key, which is a domain name (RFC 8945 section 4.2).
fn key_name(text: &str) -> Result<OwnerName, Misfit> {
    let help = "write a name such as transfer-key";
    let name = OwnerName::parse(text).map_err(|error| Misfit::new(format!("`{text}` is no name: {error}"), help))?;
    if name.is_root() { Err(Misfit::new("is no name of a key", help)) } else { Ok(name) }
}

fn algorithm(text: &str) -> Result<(&'static str, Algorithm, usize), Misfit> {
    let lower = text.trim_end_matches('.').to_ascii_lowercase();
    if lower.starts_with("hmac-md5") {
        let message = format!("`{text}` must not be used (RFC 8945 section 6)");
        return Err(Misfit::new(message, format!("make a new key: tsig-keygen -a {DEFAULT}")));
    }
    parse::word(&lower, &ALGORITHMS.map(|row| (row.0, row)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As tsig-keygen 9.20 writes it.
    const GENERATED: &str = "key \"transfer-key\" {\n\talgorithm hmac-sha256;\n\tsecret \"c2VjcmV0\";\n};\n";

    #[test]
    fn a_key_statement_is_read_as_bind_writes_it() {
        let statement = statement_in(GENERATED, None).expect("a statement");
        let expected = Statement {
            name: Some("transfer-key".to_owned()),
            algorithm: Some("hmac-sha256".to_owned()),
            secret: "c2VjcmV0".to_owned(),
        };
        assert_eq!(statement, expected);
        let commented = format!("# made today\n/* by\nhand */ // really\n{GENERATED}");
        assert_eq!(statement_in(&commented, None), Ok(expected));
        let wrapped = statement_in("c2Vj\ncmV0\n", None).expect("base64");
        assert_eq!((wrapped.name, decode(&wrapped.secret)), (None, Some(b"secret".to_vec())));
    }

    #[test]
    fn of_several_keys_the_one_that_is_named_counts() {
        let two = format!("{GENERATED}key other {{ algorithm hmac-sha512; secret \"b3RoZXI=\"; }};");
        let named = |name: &str| statement_in(&two, Some(&name.parse().expect("a name")));
        assert_eq!(named("other").map(|statement| statement.secret), Ok("b3RoZXI=".to_owned()));
        assert_eq!(named("Transfer-Key.").map(|statement| statement.secret), Ok("c2VjcmV0".to_owned()));
        assert_eq!(named("third"), Err("has no key `third`".to_owned()));
        assert_eq!(statement_in(&two, None), Err("has several keys, of which none is named here".to_owned()));
    }

    #[test]
    fn what_is_no_secret_file_is_told_without_its_text() {
        for text in [
            "",
            "# nothing\n",
            "key x {",
            "key x { secret \"hush",
            "key x { algorithm hmac-sha256; };",
            "key x { secret \"hush\"; wrong yes; };",
            "server 192.0.2.1 { keys hush; };",
            "/* hush",
        ] {
            let problem = statement_in(text, None).expect_err(text);
            assert!(!problem.contains("hush"), "{problem}");
        }
    }
}
