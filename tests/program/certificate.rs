//! Certificates, as an operator makes one without an authority.

use std::path::{Path, PathBuf};

use super::{finish, text, tool};

/// The name for which certificates are made.
pub(crate) const SERVER: &str = "ns1.example.com";

/// Writes a new certificate for [`SERVER`] and its key into a folder, in the place of those that are there.
#[track_caller]
pub(crate) fn certify(folder: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    let mut openssl = tool("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "30",
    ]);
    openssl.args(["-subj", &format!("/CN={SERVER}"), "-addext", &format!("subjectAltName=DNS:{SERVER}")]);
    openssl.args(["-keyout", text(&key), "-out", text(&certificate)]);
    finish(&mut openssl).expect_code(0);
    (certificate, key)
}
