//! The rules themselves: one row for each room.
//!
//! General-purpose crates are free wherever no row forbids them. A crate's name may end in `*`.

use std::fmt;

/// A room, its neighbours, and what must not come in.
#[derive(Debug)]
pub(super) struct Room {
    /// Relative to the top; a last part `*` stands for any one folder; empty is the root package.
    pub(super) folder: &'static str,
    /// Whom it may use in what is shipped.
    pub(super) may_use: Rooms,
    /// Whom its tests may use besides.
    pub(super) tests_may_use: Rooms,
    pub(super) tests: Tests,
    /// Crates that it must not use itself.
    pub(super) never: &'static [Never],
    /// Crates that it must not even be built with.
    pub(super) reaches_never: &'static [Never],
    /// Why the row is as it is.
    pub(super) reason: &'static str,
}

/// A set of rooms.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rooms {
    All,
    These(&'static [&'static str]),
}

/// Is the room there for tests alone?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tests {
    Only,
    Not,
}

/// Crates that must not come in.
#[derive(Debug)]
pub(super) struct Never {
    pub(super) crates: &'static [&'static str],
    pub(super) reason: &'static str,
}

const NOBODY: Rooms = Rooms::These(&[]);
const SUPPORT: Rooms = Rooms::These(&["tests/support"]);

const RUNTIME: Never = Never {
    crates: &["tokio", "tokio-*", "async-std", "smol", "mio", "futures-executor"],
    reason: "a pure room has no runtime: it takes values and returns values",
};
const NETWORK: Never = Never {
    crates: &[
        "hyper",
        "hyper-util",
        "reqwest",
        "axum",
        "tonic",
        "rustls",
        "socket2",
        "quinn",
        "hickory-net",
        "hickory-server",
        "hickory-resolver",
        "h2",
        "tower-http",
    ],
    reason: "a pure room opens no sockets",
};
const SYSTEM: Never = Never {
    crates: &["rustix", "nix", "notify", "notify-*", "tempfile", "walkdir", "dirs", "which"],
    reason: "a pure room touches no files, no environment and no system calls",
};
const CHANCE: Never = Never {
    crates: &["rand", "rand_*", "getrandom", "fastrand", "uuid", "ulid"],
    reason: "chance and identity come in as arguments, or else the same input would not give the same bytes",
};
const KUBERNETES: Never = Never {
    crates: &["kube", "kube-*", "k8s-openapi", "kubert", "schemars"],
    reason: "Kubernetes is known to api, sources and control alone",
};
const VENDORS: Never = Never {
    crates: &["aws-*", "etcd-client", "google-*", "azure_*"],
    reason: "a vendor is known to its provider alone (etcd to sources too)",
};
const PRESENTATION: Never = Never {
    crates: &["clap", "indicatif", "anyhow", "tracing-subscriber"],
    reason: "it belongs to the root package; a library returns typed errors and prints nothing",
};

pub(super) const ROOMS: &[Room] = &[
    Room {
        folder: "",
        may_use: Rooms::All,
        tests_may_use: Rooms::These(&["tests/support", "tests/conformance"]),
        tests: Tests::Not,
        never: &[],
        reaches_never: &[],
        reason: "the root is the one place where everything meets",
    },
    Room {
        folder: "src/core",
        may_use: NOBODY,
        tests_may_use: NOBODY,
        tests: Tests::Not,
        never: &[RUNTIME, NETWORK, SYSTEM, CHANCE, KUBERNETES, VENDORS, PRESENTATION],
        reaches_never: &[RUNTIME, NETWORK, KUBERNETES, VENDORS],
        reason: "the core is pure and knows nobody",
    },
    Room {
        folder: "src/api",
        may_use: NOBODY,
        tests_may_use: NOBODY,
        tests: Tests::Not,
        never: &[RUNTIME, NETWORK, SYSTEM, VENDORS, PRESENTATION],
        reaches_never: &[
            RUNTIME,
            NETWORK,
            VENDORS,
            Never {
                crates: &["kube-client", "kube-runtime"],
                reason: "types of objects need no client and no runtime",
            },
        ],
        reason: "types of Kubernetes objects, free of what is made of them",
    },
    Room {
        folder: "src/sources",
        may_use: Rooms::These(&["src/core", "src/api", "src/skydns"]),
        tests_may_use: SUPPORT,
        tests: Tests::Not,
        never: &[
            PRESENTATION,
            Never { crates: &["aws-*", "hickory-server"], reason: "a source sees no provider and no server" },
        ],
        reaches_never: &[],
        reason: "sources hand facts to the core and see neither a provider nor the server",
    },
    Room {
        folder: "src/control",
        may_use: Rooms::These(&["src/core", "src/api"]),
        tests_may_use: SUPPORT,
        tests: Tests::Not,
        never: &[
            VENDORS,
            PRESENTATION,
            Never { crates: &["axum", "hickory-*"], reason: "it writes to Kubernetes only" },
        ],
        reaches_never: &[],
        reason: "control writes to Kubernetes and sees neither a provider nor the server",
    },
    Room {
        folder: "src/skydns",
        may_use: Rooms::These(&["src/core"]),
        tests_may_use: NOBODY,
        tests: Tests::Not,
        never: &[RUNTIME, NETWORK, SYSTEM, CHANCE, KUBERNETES, VENDORS, PRESENTATION],
        reaches_never: &[RUNTIME, NETWORK, KUBERNETES, VENDORS],
        reason: "SkyDNS keys and values are pure",
    },
    Room {
        folder: "src/publish",
        may_use: Rooms::These(&["src/core"]),
        tests_may_use: SUPPORT,
        tests: Tests::Not,
        never: &[
            KUBERNETES,
            VENDORS,
            PRESENTATION,
            Never { crates: &["axum", "hickory-*"], reason: "it serves nobody" },
        ],
        reaches_never: &[],
        reason: "publishing knows plans and the trait, and no vendor",
    },
    Room {
        folder: "src/serve",
        may_use: Rooms::These(&["src/core", "src/skydns"]),
        tests_may_use: SUPPORT,
        tests: Tests::Not,
        never: &[
            KUBERNETES,
            VENDORS,
            PRESENTATION,
            Never { crates: &["notify", "notify-*"], reason: "it is given snapshots" },
        ],
        reaches_never: &[],
        reason: "the server answers from a snapshot and does not know where it comes from",
    },
    Room {
        folder: "src/state",
        may_use: Rooms::These(&["src/core"]),
        tests_may_use: SUPPORT,
        tests: Tests::Not,
        never: &[NETWORK, KUBERNETES, VENDORS, PRESENTATION],
        reaches_never: &[],
        reason: "the state directory does not know who reads it",
    },
    Room {
        folder: "providers/*",
        may_use: Rooms::These(&["src/core", "src/publish", "src/skydns"]),
        tests_may_use: SUPPORT,
        tests: Tests::Not,
        never: &[KUBERNETES, PRESENTATION],
        reaches_never: &[],
        reason: "a provider knows its vendor, and neither another provider nor where plans come from",
    },
    Room {
        folder: "deploy/xtask",
        may_use: Rooms::These(&["src/api"]),
        tests_may_use: SUPPORT,
        tests: Tests::Only,
        never: &[],
        reaches_never: &[RUNTIME, NETWORK],
        reason: "chores must build in seconds; they generate from types and run the program for the rest",
    },
    Room {
        folder: "tests/support",
        may_use: Rooms::These(&["src/core", "src/api"]),
        tests_may_use: NOBODY,
        tests: Tests::Only,
        never: &[],
        reaches_never: &[],
        reason: "tests of every room use it, so it may use only what all of them may",
    },
    Room {
        folder: "tests/conformance",
        may_use: NOBODY,
        tests_may_use: NOBODY,
        tests: Tests::Only,
        never: &[Never {
            crates: &["hickory-*"],
            reason: "it reads and writes messages itself: what is proved must not be its own proof",
        }],
        reaches_never: &[],
        reason: "the cases speak the network alone, so that any name server can take the place of ours",
    },
    Room {
        folder: "tests/*",
        may_use: Rooms::All,
        tests_may_use: Rooms::All,
        tests: Tests::Only,
        never: &[],
        reaches_never: &[],
        reason: "tests may use anything",
    },
];

/// The room that a package in `folder` lives in.
pub(super) fn room_of(folder: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|room| match room.folder.strip_suffix('*') {
        Some(parent) => folder.strip_prefix(parent).is_some_and(|rest| !rest.is_empty() && !rest.contains('/')),
        None => folder == room.folder,
    })
}

impl Room {
    /// The folder as one would speak of it.
    pub(super) fn folder_text(&self) -> &'static str {
        if self.folder.is_empty() { "the root package" } else { self.folder }
    }
}

impl Rooms {
    /// True if `room` is among them; nobody reaches the tests' rooms through [`Rooms::All`] unnoticed, since these
    /// have a rule of their own.
    pub(super) fn allows(self, room: &Room) -> bool {
        match self {
            Self::All => true,
            Self::These(folders) => folders.contains(&room.folder),
        }
    }
}

impl Never {
    /// True if `name` is one of them.
    pub(super) fn hits(&self, name: &str) -> bool {
        self.crates.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == *pattern,
        })
    }
}

impl fmt::Display for Rooms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("every room"),
            Self::These([]) => f.write_str("no other room"),
            Self::These(folders) => f.write_str(&folders.join(", ")),
        }
    }
}
