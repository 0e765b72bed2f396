//! What the server proves itself with on encrypted transports, exchanged while it runs.
//!
//! ```text
//!   PEM files ──► LiveCertificate ◄── every handshake asks it (TLS, HTTPS, QUIC)
//!                  │ reload: all of the new files is good, or the old certificate stays
//!                  └ stamp of the files, to see a change
//! ```
//!
//! Connections that are open go on with what they began with. A certificate that is out of date is served with a
//! warning: clients that authenticate nobody (RFC 7858 section 4.1) still have their privacy.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use arc_swap::ArcSwap;
use jiff::tz::TimeZone;
use rustls::{
    Error as TlsError, InconsistentKeys,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use thiserror::Error;

use crate::listener::CertificateFiles;

/// Why a certificate cannot be used. Its files must be changed before it is tried again.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{} cannot be read", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is no PEM.
    #[error("{} is no PEM file", file.display())]
    Pem {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: pem::Error,
    },
    /// There is no certificate in a file.
    #[error("{} has no certificate (`-----BEGIN CERTIFICATE-----`)", file.display())]
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// There is no private key in a file.
    #[error("{} has no private key without a password (`-----BEGIN PRIVATE KEY-----`)", file.display())]
    NoKey {
        /// The file.
        file: PathBuf,
    },
    /// The key is of a kind that cannot sign: RSA, ECDSA P-256 and P-384, and Ed25519 can.
    #[error("{} has a key that cannot be used; RSA, ECDSA P-256 or P-384, or Ed25519 is wanted", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: TlsError,
    },
    /// The first certificate is none that can be read.
    #[error("the first certificate in {} is damaged", file.display())]
    Certificate {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: TlsError,
    },
    /// Key and certificate do not belong together.
    #[error("the key in {} is not that of the first certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The file of the chain.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
}

/// A certificate with its key, and the files that it came from.
#[derive(Debug)]
pub(crate) struct LiveCertificate {
    files: CertificateFiles,
    current: ArcSwap<CertifiedKey>,
    /// What the files looked like when they were read last, well or not.
    seen: Mutex<[Option<Stamp>; 2]>,
}

/// What changes when a file is written or replaced: time of modification, octets, inode.
type Stamp = (SystemTime, u64, u64);

impl LiveCertificate {
    /// Reads the files.
    pub(crate) fn open(files: &CertificateFiles) -> Result<Arc<Self>, CertificateError> {
        // Before they are read, so that a change meanwhile is not missed.
        let seen = Mutex::new(stamps(files));
        let current = ArcSwap::from_pointee(read(files)?);
        Ok(Arc::new(Self { files: files.clone(), current, seen }))
    }

    pub(crate) fn files(&self) -> &CertificateFiles {
        &self.files
    }

    /// Reads the files again. After an error the certificate is the old one.
    pub(crate) fn reload(&self) -> Result<(), CertificateError> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = stamps(&self.files);
        self.current.store(Arc::new(read(&self.files)?));
        tracing::info!(certificate = %self.files.certificate.display(), "a certificate was read again");
        Ok(())
    }

    /// True if the files are others than those that were read last.
    pub(crate) fn is_changed(&self) -> bool {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) != stamps(&self.files)
    }
}

impl ResolvesServerCert for LiveCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// The cryptography of all listeners.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

impl CertificateFiles {
    /// Reads both and holds them against each other, as a listener does at its start.
    ///
    /// # Errors
    ///
    /// A listener would not take them.
    pub fn check(&self) -> Result<(), CertificateError> {
        read(self).map(drop)
    }
}

fn read(files: &CertificateFiles) -> Result<CertifiedKey, CertificateError> {
    let CertificateFiles { certificate, key } = files;
    let octets = octets(certificate)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&octets)
        .collect::<Result<_, _>>()
        .map_err(|source| CertificateError::Pem { file: certificate.clone(), source })?;
    let Some(first) = chain.first() else {
        return Err(CertificateError::NoCertificate { file: certificate.clone() });
    };
    let lifetime = Lifetime::of(first);
    let private = PrivateKeyDer::from_pem_slice(&self::octets(key)?).map_err(|source| match source {
        pem::Error::NoItemsFound => CertificateError::NoKey { file: key.clone() },
        source => CertificateError::Pem { file: key.clone(), source },
    })?;
    let private = ring::default_provider()
        .key_provider
        .load_private_key(private)
        .map_err(|source| CertificateError::Key { file: key.clone(), source })?;
    let certified = CertifiedKey::new(chain, private);
    match certified.keys_match() {
        Ok(()) | Err(TlsError::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(TlsError::InconsistentKeys(_)) => {
            return Err(CertificateError::Mismatch { certificate: certificate.clone(), key: key.clone() });
        }
        Err(source) => return Err(CertificateError::Certificate { file: certificate.clone(), source }),
    }
    if let Some(lifetime) = lifetime {
        lifetime.warn(certificate);
    }
    Ok(certified)
}

fn octets(file: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(file).map_err(|source| CertificateError::Read { file: file.to_owned(), source })
}

fn stamps(files: &CertificateFiles) -> [Option<Stamp>; 2] {
    use std::os::unix::fs::MetadataExt as _;
    [&files.certificate, &files.key].map(|file| {
        let found = fs::metadata(file).ok()?;
        Some((found.modified().ok()?, found.len(), found.ino()))
    })
}

/// When a certificate holds: `YYYYMMDDHHMMSS` in UTC, which sort as they follow each other.
#[derive(Debug, PartialEq, Eq)]
struct Lifetime {
    start: String,
    end: String,
}

impl Lifetime {
    /// Reads `validity` of an X.509 certificate (RFC 5280 section 4.1); none where it is not found.
    fn of(certificate: &[u8]) -> Option<Self> {
        const SEQUENCE: u8 = 0x30;
        const VERSION: u8 = 0xa0;
        let (_, certificate, _) = element(certificate)?;
        let (_, mut rest, _) = element(certificate)?;
        // The version may be left out; serial number, algorithm and issuer stand in front of what is wanted.
        if rest.first() == Some(&VERSION) {
            rest = element(rest)?.2;
        }
        for _ in 0..3 {
            rest = element(rest)?.2;
        }
        let (SEQUENCE, validity, _) = element(rest)? else { return None };
        let (start_tag, start, rest) = element(validity)?;
        let (end_tag, end, _) = element(rest)?;
        Some(Self { start: time(start_tag, start)?, end: time(end_tag, end)? })
    }

    /// Says so if the certificate does not hold now.
    fn warn(&self, file: &Path) {
        let now = jiff::Timestamp::now().to_zoned(TimeZone::UTC).strftime("%Y%m%d%H%M%S").to_string();
        let (certificate, Self { start, end }) = (file.display(), self);
        if *end < now {
            tracing::warn!(%certificate, %end, "a certificate is out of date; clients that check it will not connect");
        } else if now < *start {
            tracing::warn!(%certificate, %start, "a certificate is not valid yet; clients that check it will not connect");
        }
    }
}

/// The first element of DER: its tag, its content, and what follows (X.690 section 8.1).
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&short, mut rest) = rest.split_first()?;
    let mut length = usize::from(short);
    if short & 0x80 != 0 {
        let count = usize::from(short & 0x7f);
        let octets = rest.get(..count).filter(|_| (1..=4).contains(&count))?;
        length = octets.iter().fold(0, |length, &octet| length << 8 | usize::from(octet));
        rest = &rest[count..];
    }
    Some((tag, rest.get(..length)?, rest.get(length..)?))
}

/// `UTCTime` or `GeneralizedTime` as RFC 5280 section 4.1.2.5 wants them.
fn time(tag: u8, content: &[u8]) -> Option<String> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let digits = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
    match (tag, digits.len()) {
        // "Where YY is greater than or equal to 50, the year SHALL be interpreted as 19YY".
        (UTC_TIME, 12) => Some(format!("{}{digits}", if digits < "50" { "20" } else { "19" })),
        (GENERALIZED_TIME, 14) => Some(digits.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    struct Made {
        certificate: String,
        key: String,
        der: Vec<u8>,
    }

    fn make() -> Made {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["ns1.example.com".into()]).expect("a name");
        (params.not_before, params.not_after) = (date_time_ymd(2001, 2, 3), date_time_ymd(2051, 4, 5));
        let certificate = params.self_signed(&key).expect("signed");
        Made { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().to_vec() }
    }

    fn write(folder: &Path, certificate: &str, key: &str) -> CertificateFiles {
        let files = CertificateFiles { certificate: folder.join("tls.crt"), key: folder.join("tls.key") };
        fs::write(&files.certificate, certificate).expect("written");
        fs::write(&files.key, key).expect("written");
        files
    }

    #[test]
    fn each_fault_of_the_files_is_named_with_its_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let (one, two) = (make(), make());
        let cases = [
            (one.certificate.as_str(), two.key.as_str(), "the key in tls.key is not that of the first certificate"),
            ("nothing", &one.key, "tls.crt has no certificate"),
            (&one.key, &one.key, "tls.crt has no certificate"),
            (&one.certificate, &one.certificate, "tls.key has no private key"),
            (&one.certificate, "", "tls.key has no private key"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n", &one.key, "tls.crt is no PEM file"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                &one.key,
                "the first certificate in tls.crt is damaged",
            ),
            (
                &one.certificate,
                "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                "tls.key has a key that cannot be used",
            ),
        ];
        let prefix = format!("{}/", folder.path().display());
        for (certificate, key, expected) in cases {
            let files = write(folder.path(), certificate, key);
            let error = LiveCertificate::open(&files).expect_err(expected).to_string().replace(&prefix, "");
            assert!(error.starts_with(expected), "{error} instead of {expected}");
        }
        let files = write(folder.path(), &one.certificate, &one.key);
        LiveCertificate::open(&files).expect("good files");
        fs::remove_file(&files.key).expect("removed");
        let error = LiveCertificate::open(&files).expect_err("there is no key");
        assert!(error.to_string().ends_with("tls.key cannot be read"), "{error}");
        assert!(error.source().is_some());
    }

    #[test]
    fn a_bad_new_certificate_leaves_the_old_one_and_a_good_one_takes_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let (one, two) = (make(), make());
        let files = write(folder.path(), &one.certificate, &one.key);
        let live = LiveCertificate::open(&files).expect("good files");
        let served = || live.current.load().cert[0].to_vec();
        assert!(!live.is_changed());

        // The certificate is written before its key.
        write(folder.path(), &two.certificate, &one.key);
        assert!(live.is_changed());
        live.reload().expect_err("the key is the old one");
        assert!(!live.is_changed(), "the same fault is not told twice");
        assert_eq!(served(), one.der);

        fs::remove_file(&files.key).expect("removed");
        assert!(live.is_changed());
        write(folder.path(), &two.certificate, &two.key);
        live.reload().expect("good files");
        assert_eq!(served(), two.der);
    }

    #[test]
    fn the_time_that_a_certificate_holds_is_read_in_both_forms() {
        let lifetime = Lifetime::of(&make().der);
        let expected = Lifetime { start: "20010203000000".into(), end: "20510405000000".into() };
        assert_eq!(lifetime, Some(expected));
        for end in 0..40 {
            assert_eq!(Lifetime::of(&make().der[..end]), None, "{end} octets are no certificate");
        }
    }
}
