//! Encrypted ownership texts: base64 of nonce, AES-256-GCM of the gzipped text, and tag.
//!
//! ```text
//!   text ─ gzip ─ AES-256-GCM(key, nonce of 12 octets, no additional data) ─► nonce ‖ ciphertext ‖ tag ─ base64
//! ```
//!
//! Gzip differs between implementations, so a value that is computed again is another one; reading is portable.

use std::{
    fmt,
    io::{Read, Write},
};

use data_encoding::BASE64;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};
use thiserror::Error;

/// Octets of a key.
const KEY: usize = 32;
/// Octets of a tag of AES-GCM.
const TAG: usize = 16;
/// Most octets that a text may unpack to: sixteen of the longest character-strings, and no bomb.
const MAX_TEXT: u64 = 4096;

/// A key for ownership texts. Its own text never shows it.
pub struct Seal(LessSafeKey);

/// Why there is no key, or no sealed text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SealError {
    /// Not 32 octets, neither as they stand nor as standard base64.
    #[error("the key must be 32 characters, or standard base64 of 32 octets")]
    BadKey,
    /// The system gives no random numbers.
    #[error("no random numbers")]
    NoRandom,
}

impl Seal {
    /// The key as external-dns takes it (`--txt-encrypt-aes-key`): 32 characters as they stand, or standard base64
    /// (`+` and `/`, with padding) of 32 octets.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let octets = if text.len() == KEY {
            text.as_bytes().to_vec()
        } else {
            BASE64.decode(text.as_bytes()).map_err(|_| SealError::BadKey)?
        };
        let key = UnboundKey::new(&AES_256_GCM, &octets).map_err(|_| SealError::BadKey)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// The sealed text, with a nonce that was never used.
    pub fn seal(&self, text: &str) -> Result<String, SealError> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| SealError::NoRandom)?;
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        // Writing to memory does not fail.
        let _ = packer.write_all(text.as_bytes());
        let mut sealed = packer.finish().unwrap_or_default();
        let once = Nonce::assume_unique_for_key(nonce);
        self.0.seal_in_place_append_tag(once, Aad::empty(), &mut sealed).map_err(|_| SealError::NoRandom)?;
        Ok(BASE64.encode(&[&nonce[..], &sealed].concat()))
    }

    /// The text in a sealed one, quotes around it or not; none if it is not one of this key.
    pub fn open(&self, sealed: &str) -> Option<String> {
        let octets = decoded(sealed)?;
        let (nonce, rest) = octets.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut rest = rest.to_vec();
        let packed = self.0.open_in_place(nonce, Aad::empty(), &mut rest).ok()?;
        let mut text = String::new();
        GzDecoder::new(&*packed).take(MAX_TEXT).read_to_string(&mut text).ok()?;
        Some(text)
    }
}

/// True if a text may be a sealed one: base64 of more octets than nonce and tag are.
pub(super) fn looks_sealed(text: &str) -> bool {
    decoded(text).is_some_and(|octets| octets.len() > NONCE_LEN + TAG)
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.trim_matches('"').as_bytes()).ok()
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const TEXT_KEY: &str = "0123456789abcdef0123456789abcdef";

    #[rstest]
    #[case::owner_alone(
        "AAECAwQFBgcICQoLMm6zfNkY0qyqI7v2XAX9TapHtsqRlD2m6pd3ZfXsh1L8Td753lKyBkgDXMjMO2csxc2f8Qiwaj0pQzSx47EM8BAwZDE2TnS9Mg14NOkrm3lRDzInQw==",
        "heritage=external-dns,external-dns/owner=cluster-a"
    )]
    #[case::with_resource(
        "Dw4NDAsKCQgHBgUEMcDMhU6kz7eyX76cTfQ3/MKNFH7hS/+yOl3VD2hU6wTbrxyS9UdrwZ2RVl9fb1veiIHIvEpJu+ydttVOCBd4FKczeZGc3vi1OLG0UleTImMIaUl68Mah49zS5DS5uRZqdYBiCuYhVhpH",
        "heritage=external-dns,external-dns/owner=cluster-b,external-dns/resource=crd/dns/web"
    )]
    fn what_external_dns_sealed_is_opened(#[case] sealed: &str, #[case] text: &str) {
        let seal = Seal::parse(TEXT_KEY).expect("a key");
        assert_eq!(seal.open(sealed).as_deref(), Some(text));
        assert_eq!(seal.open(&format!("\"{sealed}\"")).as_deref(), Some(text), "quotes around it change nothing");
        let other = Seal::parse("ffffffffffffffffffffffffffffffff").expect("a key");
        assert_eq!(other.open(sealed), None, "another key opens nothing");
        assert!(looks_sealed(sealed));
    }

    #[test]
    fn what_is_sealed_is_opened_again_and_never_the_same_twice() {
        let seal = Seal::parse(TEXT_KEY).expect("a key");
        let text = "heritage=external-dns,external-dns/owner=prod";
        let (one, two) = (seal.seal(text).expect("sealed"), seal.seal(text).expect("sealed"));
        assert_ne!(one, two);
        assert_eq!(seal.open(&one).as_deref(), Some(text));
        assert_eq!(seal.open(&two).as_deref(), Some(text));
    }

    #[rstest]
    #[case::text("0123456789abcdef0123456789abcdef", true)]
    #[case::base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", true)]
    #[case::too_short("0123456789abcdef", false)]
    #[case::url_safe("-_ECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", false)]
    #[case::nothing("", false)]
    fn keys_have_32_octets(#[case] text: &str, #[case] good: bool) {
        assert_eq!(Seal::parse(text).is_ok(), good);
    }
}
