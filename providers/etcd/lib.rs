//! SkyDNS keys in etcd, for CoreDNS.
