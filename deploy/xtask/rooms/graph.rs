//! The packages of the workspace and what each uses, read from what cargo says and from the manifests.

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::Deserialize;

/// The packages that are ours.
#[derive(Debug)]
pub(super) struct Workspace {
    pub(super) packages: Vec<Package>,
    /// Licence of the root package.
    pub(super) license: Option<String>,
}

/// One of our packages.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    /// Relative to the top, with `/`; empty for the root package.
    pub(super) folder: String,
    /// Where its library starts, relative to its folder.
    pub(super) library: Option<String>,
    pub(super) uses: Vec<Used>,
    /// Crates that it is built with, at any depth; only for rooms with a rule about it.
    pub(super) reaches: BTreeSet<String>,
    pub(super) manifest: toml::Table,
}

/// A direct dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Used {
    /// Of the package, whatever the user calls it.
    pub(super) name: String,
    pub(super) kind: Use,
}

/// What a dependency is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Normal,
    Build,
    Development,
}

impl Workspace {
    /// Reads what `cargo metadata --no-deps` printed; `read` gives the text of a manifest.
    pub(super) fn parse(metadata: &str, read: impl Fn(&Path) -> anyhow::Result<String>) -> anyhow::Result<Self> {
        let metadata: Metadata = serde_json::from_str(metadata).context("cargo metadata is not as expected")?;
        let top = metadata.workspace_root;
        let mut packages = Vec::new();
        let mut license = None;
        for described in metadata.packages {
            let text = read(&described.manifest_path)?;
            let manifest = text
                .parse::<toml::Table>()
                .with_context(|| format!("{} is no TOML", described.manifest_path.display()))?;
            let folder = described.manifest_path.parent().unwrap_or(&top).to_owned();
            let relative = folder.strip_prefix(&top).unwrap_or(&folder).to_string_lossy().into_owned();
            if relative.is_empty() {
                license.clone_from(&described.license);
            }
            let library = described.targets.iter().find(|target| target.kind.iter().any(|kind| kind == "lib"));
            packages.push(Package {
                name: described.name,
                library: library
                    .map(|target| target.src_path.strip_prefix(&folder).unwrap_or(&target.src_path))
                    .map(|path| path.to_string_lossy().into_owned()),
                folder: relative,
                uses: described.dependencies.into_iter().map(Used::from).collect(),
                reaches: BTreeSet::new(),
                manifest,
            });
        }
        Ok(Self { packages, license })
    }
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "in what is shipped",
            Self::Build => "in a build script",
            Self::Development => "in tests",
        })
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<DescribedPackage>,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct DescribedPackage {
    name: String,
    license: Option<String>,
    manifest_path: PathBuf,
    dependencies: Vec<DescribedDependency>,
    targets: Vec<DescribedTarget>,
}

#[derive(Deserialize)]
struct DescribedDependency {
    name: String,
    kind: Option<String>,
}

#[derive(Deserialize)]
struct DescribedTarget {
    kind: Vec<String>,
    src_path: PathBuf,
}

impl From<DescribedDependency> for Used {
    fn from(described: DescribedDependency) -> Self {
        let kind = match described.kind.as_deref() {
            Some("dev") => Use::Development,
            Some("build") => Use::Build,
            _ => Use::Normal,
        };
        Self { name: described.name, kind }
    }
}
