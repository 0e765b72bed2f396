//! What is known: facts as sources observed them, filed by what depends on them.

mod locality;
mod observation;
mod placement;
mod store;
mod time;

pub use locality::{Locality, level_label};
pub use observation::*;
pub use store::{
    IngressFacts, MemberFacts, Model, NamespacedName, RecordKey, RecordKind, ServiceFacts, ServiceShard, Touched,
};
pub use time::Timestamp;
