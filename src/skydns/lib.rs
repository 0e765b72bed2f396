//! SkyDNS keys and values: encode, decode, look up.
