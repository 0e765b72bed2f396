//! Settings of mcdns with which it is what the controls are.

use std::fmt::Write as _;

use crate::{
    controls::{COOKIE_SECRET, NSID},
    tsig::KEYS,
    zones::{Transfer, ZONES},
};

/// The settings file.
pub fn settings() -> String {
    let mut text = format!(
        "version: 1\nserve:\n  nsid: {NSID}\n  cookies: {{enabled: true, secret: \"{COOKIE_SECRET}\"}}\n  keys:\n"
    );
    // Writing to a String cannot fail.
    for key in KEYS {
        let (name, algorithm, secret) = (key.name.trim_end_matches('.'), key.algorithm, key.secret);
        let _ = writeln!(text, "    - {{name: {name}, algorithm: {algorithm}, secret: \"{secret}\"}}");
    }
    text.push_str("  zones:\n");
    let names: Vec<&str> = KEYS.iter().map(|key| key.name.trim_end_matches('.')).collect();
    for zone in ZONES {
        let transfer = match zone.transfer {
            Transfer::Everybody => "allow: [127.0.0.0/8]".to_owned(),
            Transfer::Keys => format!("keys: [{}]", names.join(", ")),
            Transfer::Nobody => "allow: []".to_owned(),
        };
        let _ = writeln!(text, "    - {{apex: {}, transfer: {{{transfer}}}}}", zone.apex);
    }
    text
}
