//! The manual.
//!
//! Each page is a Markdown file beside this one, so that it reads the same on a forge and here. Tests of the root
//! package (`tests/manual.rs`) hold the pages against the program: the table of findings, the settings, the
//! metrics, and every link between pages.
//!
//! | page | answers |
//! |---|---|
//! | [Getting started](getting_started) | how do I see it work |
//! | [Names and levels](names_and_levels) | which names are there, and what do they hold: every rule, in one place |
//! | [The federation directory](federation_directory) | what goes in, and what counts when |
//! | [Findings](findings) | what does this message mean |
//! | [Settings](settings) | what can be set, where, and what wins |
//! | [Commands](commands) | what can be run, with which exit code; admin paths and metrics |
//! | [Observing Kubernetes](kubernetes) | what is read and written in clusters, by whom, and what happens when they break |
//! | [Members](members) | how does a cluster get in, out, and out of the answers for an hour |
//! | [Installing](install) | how does it get into a cluster, and how do clients find it |
//! | [SkyDNS keys](skydns) | how do keys in etcd get answered, and CoreDNS swapped |
//! | [Operation](operation) | what happens at a restart, a fault, a signal |
//! | [Publishing](publishing) | how do the records get to CoreDNS, Route 53 and others, and whose are they there |
//! | [Route 53 on EKS](eks) | how do EKS clusters get their names into Route 53, step by step |
//! | [The DNS server](dns_server) | what is answered how, and by which RFC |
//! | [Decisions](decisions) | why is it so and not otherwise |

#![allow(clippy::doc_markdown, reason = "the pages are prose that people also read on a forge")]

/// A page. The links of the Markdown files lead to files; the definitions in front of the text, of which Markdown
/// takes the first, lead to modules.
macro_rules! page {
    ($name:ident, $file:literal) => {
        #[doc = "[getting-started]: crate::manual::getting_started"]
        #[doc = "[names]: crate::manual::names_and_levels"]
        #[doc = "[directory]: crate::manual::federation_directory"]
        #[doc = "[findings]: crate::manual::findings"]
        #[doc = "[settings]: crate::manual::settings"]
        #[doc = "[commands]: crate::manual::commands"]
        #[doc = "[kubernetes]: crate::manual::kubernetes"]
        #[doc = "[members]: crate::manual::members"]
        #[doc = "[install]: crate::manual::install"]
        #[doc = "[operation]: crate::manual::operation"]
        #[doc = "[publishing]: crate::manual::publishing"]
        #[doc = "[eks]: crate::manual::eks"]
        #[doc = "[dns-server]: crate::manual::dns_server"]
        #[doc = "[decisions]: crate::manual::decisions"]
        #[doc = "[decision-1]: crate::manual::decisions::implied_empty_levels"]
        #[doc = ""]
        #[doc = include_str!($file)]
        pub mod $name {}
    };
}

page!(getting_started, "getting-started.md");
page!(names_and_levels, "names-and-levels.md");
page!(federation_directory, "federation-directory.md");
page!(findings, "findings.md");
page!(settings, "settings.md");
page!(commands, "commands.md");
page!(kubernetes, "kubernetes.md");
page!(members, "members.md");
page!(install, "install.md");
page!(skydns, "skydns.md");
page!(operation, "operation.md");
page!(dns_server, "dns-server.md");
page!(publishing, "publishing.md");
page!(eks, "eks.md");

/// Decision records: a problem, what was chosen, why, and what follows from it.
///
/// A record is never rewritten when a decision changes; a later one says what replaces it.
pub mod decisions {
    page!(implied_empty_levels, "decisions/0001-implied-empty-levels.md");
    page!(families_of_claims, "decisions/0002-families-of-claims.md");
    page!(own_record_data_table, "decisions/0003-own-record-data-table.md");
    page!(plain_serde_types, "decisions/0004-plain-serde-types.md");
    page!(hosts_file_in_the_directory, "decisions/0005-hosts-file-in-the-directory.md");
    page!(sharded_persistent_table, "decisions/0006-sharded-persistent-table.md");
    page!(control_holds_rendering, "decisions/0007-control-holds-rendering.md");
    page!(digest_per_entry, "decisions/0008-digest-per-entry.md");
    page!(zones_made_at_once, "decisions/0009-zones-made-at-once.md");
    page!(own_listeners, "decisions/0010-own-listeners.md");
    page!(differences_of_generations, "decisions/0011-differences-of-generations.md");
    page!(own_watch_loop, "decisions/0012-own-watch-loop.md");
    page!(serials_through_the_domain, "decisions/0013-serials-through-the-domain.md");
    page!(zones_of_other_kinds, "decisions/0014-zones-of-other-kinds.md");
}
