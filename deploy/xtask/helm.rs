//! Helm, which renders the chart.

use std::path::{Path, PathBuf};

use crate::{
    kubernetes,
    process::{command, output},
};

/// The Kubernetes that a chart is rendered for where nobody is asked; Helm's own choice changes with its version.
const KUBERNETES: &str = "1.35.0";

/// A Helm that is there.
#[derive(Debug)]
pub(crate) struct Helm(PathBuf);

impl Helm {
    /// The one that is kept for this user, built now if it is not there. Another one that is on the path is not taken:
    /// goldens are what this one renders, and a difference between two Helms would look like a difference of the chart.
    pub(crate) fn provide(top: &Path) -> anyhow::Result<Self> {
        kubernetes::provide_helm(top).map(Self)
    }

    /// Fails where the chart is not as a chart should be, with these values.
    pub(crate) fn lint(&self, top: &Path, chart: &str, values: &[&Path]) -> anyhow::Result<()> {
        let mut lint = command(top, &self.0.to_string_lossy(), &["lint", "--strict", "--quiet", chart]);
        lint.args(["--namespace", "kube-federation-system"]);
        for file in values {
            lint.arg("--values").arg(file);
        }
        output(&mut lint).map(|_| ())
    }

    /// Everything that would be installed, without the CRDs, or what Helm says against it.
    pub(crate) fn template(&self, top: &Path, chart: &str, values: &[&Path], set: &[&str]) -> anyhow::Result<String> {
        let mut template = command(top, &self.0.to_string_lossy(), &["template", "mcdns", chart]);
        template.args(["--namespace", "kube-federation-system", "--kube-version", KUBERNETES]);
        for file in values {
            template.arg("--values").arg(file);
        }
        for value in set {
            template.args(["--set", value]);
        }
        output(&mut template)
    }
}
