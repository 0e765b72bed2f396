//! What a person can set about ownership records; the same under every provider that keeps them as TXT.

use std::path::PathBuf;

use mcdns_core::plan::ManagerId;
use serde::Deserialize;

use super::{Naming, Seal, TxtRegistry};

/// `ownership` in the section of a provider.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TxtSettings {
    /// `--txt-prefix` of external-dns: names with it are read too.
    pub prefix: String,
    /// `--txt-suffix`.
    pub suffix: String,
    /// `--txt-wildcard-replacement`.
    pub wildcard_replacement: String,
    /// The form of `prefix`, `suffix` and `wildcard_replacement` is written as well, in place of our own.
    pub write: bool,
    /// Owners whose records are taken as ours: those of an external-dns that this program takes the place of.
    pub former_owners: Vec<String>,
    /// File with the key of encrypted values: 32 characters, or base64 of 32 octets.
    pub key_file: Option<PathBuf>,
    /// Values are written encrypted.
    pub encrypt: bool,
}

impl TxtSettings {
    /// The registry that they describe.
    ///
    /// # Errors
    ///
    /// `KEY: what is wrong; help: what would be right`.
    pub fn registry(&self, manager: ManagerId) -> Result<TxtRegistry, String> {
        let mut registry = TxtRegistry::new(manager);
        let named = !self.prefix.is_empty() || !self.suffix.is_empty() || !self.wildcard_replacement.is_empty();
        if named || self.write {
            let naming = Naming::new(&self.prefix, &self.suffix, Some(&self.wildcard_replacement))
                .map_err(|error| format!("suffix: {error}; help: leave out one of prefix and suffix"))?;
            registry = if self.write { registry.writing(naming) } else { registry.reading(naming) };
        }
        for owner in &self.former_owners {
            registry = registry.formerly(owner);
        }
        match &self.key_file {
            Some(file) => {
                let refused =
                    |why: String| format!("keyFile: {}: {why}; help: name a file with the key", file.display());
                let text = std::fs::read_to_string(file).map_err(|error| refused(error.to_string()))?;
                let seal = Seal::parse(text.trim_end()).map_err(|error| refused(error.to_string()))?;
                Ok(registry.sealed(seal, self.encrypt))
            }
            None if self.encrypt => Err("encrypt: there is no key; help: add keyFile".to_owned()),
            None => Ok(registry),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use mcdns_core::{dns::OwnerName, plan::Group};

    use super::*;

    fn registry(settings: &TxtSettings) -> Result<TxtRegistry, String> {
        settings.registry("prod".parse().expect("a manager"))
    }

    fn place(settings: &TxtSettings) -> String {
        let name = |text| OwnerName::parse(text).expect("a name");
        let set = mcdns_core::plan::RecordSet::data(mcdns_core::dns::RecordType::A, 60, [vec![192, 0, 2, 1].into()]);
        let group = Group::new(name("*.www.example.com"), [set]);
        let marks = registry(settings).expect("a registry").marks(&name("example.com"), &group).expect("marks");
        marks[0].owner.to_string()
    }

    #[test]
    fn our_own_form_is_written_unless_another_is_asked_for() {
        let theirs =
            TxtSettings { prefix: "txt.".to_owned(), wildcard_replacement: "any".to_owned(), ..TxtSettings::default() };
        assert_eq!(place(&TxtSettings::default()), "_owner-a._wildcard.www.example.com");
        assert_eq!(place(&theirs), "_owner-a._wildcard.www.example.com");
        assert_eq!(place(&TxtSettings { write: true, ..theirs }), "txt.a-any.www.example.com");
    }

    #[test]
    fn what_makes_no_registry_is_told_with_its_key() {
        let told = |settings: TxtSettings| registry(&settings).map(|_| ()).expect_err("refused");
        let both = TxtSettings { prefix: "a".to_owned(), suffix: "b".to_owned(), ..TxtSettings::default() };
        assert!(told(both).starts_with("suffix: "));
        assert!(told(TxtSettings { encrypt: true, ..TxtSettings::default() }).starts_with("encrypt: "));
        let missing = TxtSettings { key_file: Some(Path::new("no/such/file").into()), ..TxtSettings::default() };
        assert!(told(missing).starts_with("keyFile: no/such/file: "));
    }
}
