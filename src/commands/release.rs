//! `mcdns release`.

use anyhow::Result;

use super::{Outcome, admin_port};
use crate::{args::Release, output::Output, settings::Settings};

/// Lets go of keys that a replica holds.
pub(super) fn release(arguments: &Release, settings: &Settings, output: Output) -> Result<Outcome> {
    let admin = match &arguments.admin {
        Some(admin) => admin_port::address(admin)?,
        None => settings.admin.value,
    };
    let word: String = arguments.word.bytes().map(admin_port::escape).collect();
    let help = "is `mcdns run` running there? name its admin port with --admin ADDR:PORT";
    let told = admin_port::ask(admin, "POST", &format!("/skydns/release/{word}"), help)?;
    output.say(told.trim_end());
    Ok(Outcome::Fine)
}
