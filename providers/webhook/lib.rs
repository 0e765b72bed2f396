//! The webhook protocol of external-dns, as its client.
