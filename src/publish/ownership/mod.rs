//! Whose a record is, as TXT records beside it say: the registry of external-dns, all formats, both ways.
//!
//! ```text
//!   www.example.com             A    192.0.2.1
//!   _owner-a.www.example.com    TXT  "heritage=external-dns,external-dns/owner=prod"
//! ```
//!
//! The value is that of external-dns with the [`ManagerId`](mcdns_core::plan::ManagerId) as owner, so that an external-dns beside us sees a record
//! of somebody else and leaves it alone. The default name is a label of its own in front, which is the only form that
//! works at the apex, for wildcards and for labels of 63 octets; it is what external-dns writes with
//! `--txt-prefix=_owner-%{record_type}. --txt-wildcard-replacement=_wildcard`. Where it would be longer than a name
//! may be, it is `_owner-<type>-<hash>.<apex>`, and the value says the name.
//!
//! Reading goes from the record to its mark: for each set, the names that its mark may have are computed and looked
//! for. So `a-team.example.com` is never misread as a mark of `team` while it is one. Decoding names is left for marks
//! whose record is gone.
//!
//! What is refused: deleting a mark by what it would be now. A [`Mark`](mcdns_core::plan::Mark) is what is stored, and encrypted values come
//! out differently each time.

mod naming;
mod registry;
mod seal;
mod settings;
mod text;

pub use naming::{KNOWN_TYPES, Naming, NamingError};
pub use registry::{MarkPlaces, MarkStep, TxtRegistry};
pub use seal::{Seal, SealError};
pub use settings::TxtSettings;
pub use text::{labels_text, parse_labels};
