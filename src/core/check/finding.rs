//! The form of a finding and the list of all of them.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::model::Origin;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something wanted is not published; commands that report findings exit with 1.
    Error,
    /// Published, but not as somebody will have meant it.
    Warning,
    /// Worth knowing.
    Info,
}

/// Where the cause stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Path as the user would write it.
    pub file: Arc<str>,
    /// From 1; 0 where the whole file is meant.
    pub line: u32,
    /// From 1; 0 where the whole line is meant.
    pub column: u32,
}

/// One thing to tell a person. Sorted by place, then object, code and message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Finding {
    /// Where, when it is about a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Which object, as `Kind namespace/name [in cluster]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Field of the object, as a path (`spec.recordTTL`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What kind of finding.
    pub code: FindingCode,
    /// How bad.
    pub severity: Severity,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// What would be right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

macro_rules! finding_codes {
    ($($(#[doc = $doc:literal])+ $code:ident = $text:literal, $severity:ident;)+) => {
        /// Every kind of finding. The text form is stable: people filter on it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum FindingCode {
            $($(#[doc = $doc])+ #[serde(rename = $text)] $code,)+
        }

        impl FindingCode {
            /// All codes, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$code),+];

            /// The stable text form.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$code => $text),+ }
            }

            /// How bad a finding of this kind is.
            pub fn severity(self) -> Severity {
                match self { $(Self::$code => Severity::$severity),+ }
            }

            /// What it means, one sentence.
            pub fn explanation(self) -> &'static str {
                match self { $(Self::$code => concat!($($doc),+).trim_ascii()),+ }
            }
        }
    };
}

finding_codes! {
    // Settings.
    /// A settings file, variable or flag with a value that is refused; the program does not start with it.
    RefusedSetting = "refused-setting", Error;
    /// A TSIG secret shorter than the hash of its algorithm, which is weaker than it looks (RFC 2104 section 3).
    ShortSecret = "short-secret", Warning;
    /// A setting that was changed in the file and cannot change while the program runs; the running value stays.
    NextStart = "next-start", Info;

    // Files and objects.
    /// A file or folder could not be read.
    Unreadable = "unreadable", Error;
    /// A file is no YAML or JSON; its last good state stays.
    Syntax = "syntax", Error;
    /// An object has a field of the wrong type or lacks a required one; it is left out.
    WrongObject = "wrong-object", Error;
    /// A known kind in a version that is not read; the object is left out.
    UnknownVersion = "unknown-version", Error;
    /// The same object stands in two places; the first counts.
    DuplicateObject = "duplicate-object", Warning;
    /// A federation directory without any object that means something.
    EmptyFederation = "empty-federation", Warning;
    /// An object stands where its kind does not belong, and is ignored.
    Misplaced = "misplaced", Warning;
    /// Objects of a kind went from ten or more to none at once; the last state is held until a person releases it.
    Held = "held", Error;

    // Publishers.
    /// A system that records are published to cannot be read or written; what stands there stays.
    PublisherFailing = "publisher-failing", Error;
    /// Changes of what is published wait for a person, because so much would be lost.
    PublishHeld = "publish-held", Error;
    /// A name that a publisher leaves as it is: it is somebody else's there, was refused, or cannot be held.
    NotPublished = "not-published", Warning;

    // Clusters.
    /// A member directory without a KubeFedCluster of its name; it is left out.
    MemberWithoutCluster = "member-without-cluster", Error;
    /// A KubeFedCluster whose member is not observed.
    ClusterUnobserved = "cluster-unobserved", Error;
    /// A cluster that is not Ready.
    ClusterUnready = "cluster-unready", Warning;
    /// A cluster that a person has taken out of all answers.
    ClusterCordoned = "cluster-cordoned", Info;
    /// A cluster without a usable region or availability zone; the levels concerned are missing.
    LocalityMissing = "locality-missing", Warning;
    /// A placement names a cluster that does not exist.
    UnknownCluster = "unknown-cluster", Warning;

    // Domains.
    /// A Domain outside the system namespace, which does not count.
    DomainNamespace = "domain-namespace", Warning;
    /// A Domain whose `domain` is no name; it does not count.
    DomainName = "domain-name", Error;
    /// Two Domains with one `domain`; the older one's name server counts.
    DomainShared = "domain-shared", Warning;
    /// A `nameServer` that is neither a host name nor an address.
    NameServer = "name-server", Error;

    // Records.
    /// The Domain that a record refers to does not exist.
    DomainMissing = "domain-missing", Error;
    /// A TTL below 0 or above 2147483647.
    TtlOutOfRange = "ttl-out-of-range", Error;
    /// A Domain does not let this namespace claim names in it.
    NamespaceNotAllowed = "namespace-not-allowed", Error;
    /// Another object has the name.
    NameTaken = "name-taken", Error;
    /// A name is no host name, too long, or must not stand where it would.
    NameLeftOut = "name-left-out", Error;
    /// A host name among the targets has no addresses.
    HostNameUnresolved = "host-name-unresolved", Error;
    /// A target that is no usable address or host name.
    TargetLeftOut = "target-left-out", Error;
    /// Every cluster with targets is unready; their last known targets stay.
    AllDown = "all-down", Warning;
    /// A host outside all zones: published, but not answered here.
    OutsideZones = "outside-zones", Warning;
    /// A record without any reachable target.
    NoTargets = "no-targets", Warning;
    /// An RRset of another object's DNSEndpoint that cannot be served.
    ForeignRrset = "foreign-rrset", Error;

    // Keys of SkyDNS.
    /// A key whose value is no service, as CoreDNS reads them; it is left out, and its neighbours answer.
    SkyDnsValue = "skydns-value", Error;
    /// A key that makes no name, or a host that is neither an address nor a name: no record that needs one follows from it.
    SkyDnsName = "skydns-name", Warning;
    /// A key outside all zones that are answered from keys.
    SkyDnsOutside = "skydns-outside", Info;

    // Zones.
    /// A master file that cannot be read as one.
    ZoneSyntax = "zone-syntax", Error;
    /// Record data that does not fit its type, or an RRset that fits into no message.
    ZoneRdata = "zone-rdata", Error;
    /// A record outside the zone.
    ZoneOutOfZone = "zone-out-of-zone", Error;
    /// No SOA, or more than one.
    ZoneSoa = "zone-soa", Error;
    /// No NS at the apex.
    ZoneNs = "zone-ns", Error;
    /// A CNAME beside other data (RFC 1034 section 3.6.2).
    ZoneCname = "zone-cname", Error;
    /// Names below a DNAME (RFC 6672 section 2.4), or two DNAMEs.
    ZoneDname = "zone-dname", Error;
    /// NS or MX or SRV that points to a CNAME (RFC 2181 section 10.3), or to nothing.
    ZoneTarget = "zone-target", Warning;
    /// A delegation below the apex whose name server is in the zone, but has no address.
    ZoneGlue = "zone-glue", Error;
    /// Data below a delegation that is no glue; it is never answered.
    ZoneOccluded = "zone-occluded", Warning;
    /// Records of one RRset with different TTLs (RFC 2181 section 5.2); the first counts.
    ZoneTtl = "zone-ttl", Warning;
    /// The same record twice.
    ZoneDuplicate = "zone-duplicate", Warning;
    /// A zone that has changed while its serial has not moved forward: secondaries do not notice.
    ZoneSerial = "zone-serial", Warning;
    /// A signed zone, which is not served yet.
    ZoneSigned = "zone-signed", Error;

    // Delegations.
    /// A server of the parent zone that does not answer, or not as one; the others are still asked.
    DelegationParent = "delegation-parent", Warning;
    /// The parent zone does not delegate the zone.
    DelegationMissing = "delegation-missing", Error;
    /// The parent zone and the zone name different name servers (RFC 1034 section 4.2.2).
    DelegationNs = "delegation-ns", Error;
    /// Addresses at the parent zone that are missing where they are needed, or are not those of the zone (RFC 9471).
    DelegationGlue = "delegation-glue", Error;
    /// A DS for a zone that is not signed; resolvers that validate refuse every answer of it (RFC 4035 section 5.2).
    DelegationDs = "delegation-ds", Error;
    /// A name server of the zone that has no address, does not answer, or answers without authority (lame, RFC 9499).
    DelegationLame = "delegation-lame", Error;
    /// A name server of the zone that does not answer over TCP (RFC 7766 section 5).
    DelegationTcp = "delegation-tcp", Error;
    /// Name servers of the zone with different SOA serials; some are behind, or were never told.
    DelegationSerial = "delegation-serial", Warning;
}

impl Finding {
    /// A finding with the severity of its code and nothing but a message.
    pub fn new(code: FindingCode, message: impl Into<String>) -> Self {
        Self {
            place: None,
            object: None,
            field: None,
            code,
            severity: code.severity(),
            message: message.into(),
            help: None,
        }
    }

    /// The same with a place.
    #[must_use]
    pub fn at(mut self, file: &Arc<str>, line: u32, column: u32) -> Self {
        self.place = Some(Place { file: file.clone(), line, column });
        self
    }

    /// The same where an object stands, if that is known.
    #[must_use]
    pub fn at_origin(self, origin: Option<&Origin>) -> Self {
        match origin {
            Some(origin) => self.at(&origin.file, origin.line, 0),
            None => self,
        }
    }

    /// The same about an object.
    #[must_use]
    pub fn about(mut self, object: impl fmt::Display) -> Self {
        self.object = Some(object.to_string());
        self
    }

    /// The same about a field.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The same with what would be right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// `file:line:column: severity[code]: object: field: message`, and the help on a line of its own.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{}:", place.file)?;
            if place.line > 0 {
                write!(f, "{}:", place.line)?;
            }
            if place.column > 0 {
                write!(f, "{}:", place.column)?;
            }
            f.write_str(" ")?;
        }
        write!(f, "{}[{}]: ", self.severity, self.code.as_str())?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_like_a_compiler_message() {
        let finding = Finding::new(FindingCode::TtlOutOfRange, "-5 is out of range")
            .at(&"host/web.yaml".into(), 7, 0)
            .about("ServiceDNSRecord shop/web")
            .field("spec.recordTTL")
            .help("write 0 to 2147483647 seconds; 0 means 180");
        assert_eq!(
            finding.to_string(),
            "host/web.yaml:7: error[ttl-out-of-range]: ServiceDNSRecord shop/web: spec.recordTTL: -5 is out of range\n  \
             help: write 0 to 2147483647 seconds; 0 means 180"
        );
    }
}
