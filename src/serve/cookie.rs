//! Secrets of server cookies (RFC 7873, RFC 9018).

/// Octets of a secret (RFC 9018 section 4.4: SipHash-2-4 takes 128 bits).
pub const COOKIE_SECRET: usize = 16;

/// Secrets, shared by all servers of an anycast address; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct CookieSecrets {
    /// Makes new cookies.
    pub current: [u8; COOKIE_SECRET],
    /// Cookies made with this one count too: the one before or the one to come (RFC 9018 section 5).
    pub other: Option<[u8; COOKIE_SECRET]>,
}

impl std::fmt::Debug for CookieSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CookieSecrets").finish_non_exhaustive()
    }
}
