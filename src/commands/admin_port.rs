//! Asking a running program at its admin port: one request, one answer, HTTP/1.1.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    time::Duration,
};

use anyhow::{Context, Result, bail};

/// How long the running program may take for what it knows already.
const PATIENCE: Duration = Duration::from_secs(5);

/// The body of an answer with code 200; `help` is for the case that nobody answers.
pub(super) fn ask(admin: SocketAddr, method: &str, path_and_query: &str, help: &str) -> Result<String> {
    ask_patiently(admin, method, path_and_query, help, PATIENCE)
}

/// The same where the running program has to ask others first.
pub(super) fn ask_patiently(
    admin: SocketAddr,
    method: &str,
    path_and_query: &str,
    help: &str,
    patience: Duration,
) -> Result<String> {
    let no_program = || format!("no program answers at the admin port {admin}\n  help: {help}");
    let mut stream = TcpStream::connect_timeout(&admin, PATIENCE).with_context(no_program)?;
    stream.set_read_timeout(Some(patience))?;
    let request = format!(
        "{method} {path_and_query} HTTP/1.1\r\nHost: {admin}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).with_context(no_program)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(no_program)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the admin port does not speak HTTP")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        bail!("the admin port answers {status}: {}", body.trim());
    }
    Ok(body.to_owned())
}

/// The address that `ADDR:PORT` or `http://HOST:PORT` means.
pub(super) fn address(url: &str) -> Result<SocketAddr> {
    let help = "write ADDR:PORT or http://HOST:PORT; an encrypted way there is kubectl port-forward";
    let rest = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
    if rest.contains('/') {
        bail!("`{url}` is no admin port\n  help: {help}");
    }
    let mut found = rest.to_socket_addrs().with_context(|| format!("`{url}` is no admin port\n  help: {help}"))?;
    found.next().with_context(|| format!("`{url}` has no address"))
}

/// An octet in a query string or path (RFC 3986 section 2.1).
pub(super) fn escape(octet: u8) -> String {
    if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
        char::from(octet).to_string()
    } else {
        format!("%{octet:02X}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_port_is_written_as_an_address_or_as_a_url() {
        for url in ["127.0.0.1:8080", "http://127.0.0.1:8080", "http://127.0.0.1:8080/"] {
            assert_eq!(address(url).expect(url).to_string(), "127.0.0.1:8080");
        }
        for url in ["https://127.0.0.1:8080", "http://127.0.0.1:8080/cordon", "127.0.0.1", ""] {
            assert!(address(url).is_err(), "{url}");
        }
    }
}
