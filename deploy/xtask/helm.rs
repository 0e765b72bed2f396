//! Helm, which renders the chart. Debian has none: it is built once per machine through the Go module proxy, and kept in
//! the user's cache directory.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use crate::{
    console::say,
    process::{command, find, output, run},
    tools::GO,
};

/// The Helm that is built. Goldens are what this one renders; another one that is on the path is not taken, since a
/// difference between two Helms would look like a difference of the chart.
const MODULE: &str = "helm.sh/helm/v3/cmd/helm@v3.22.0";
/// Where it is kept below the cache directory.
const PLACE: &str = "mcdns/tools/helm-3.22.0/helm";
/// The Kubernetes that a chart is rendered for where nobody is asked; Helm's own choice changes with its version.
const KUBERNETES: &str = "1.35.0";

/// A Helm that is there.
#[derive(Debug)]
pub(crate) struct Helm(PathBuf);

impl Helm {
    /// The one in the cache directory, built now if it is not there.
    pub(crate) fn provide(top: &Path) -> anyhow::Result<Self> {
        let cache = env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let cache = cache.or_else(|| env::home_dir().map(|home| home.join(".cache")));
        let program = cache.context("there is no cache directory: neither XDG_CACHE_HOME nor HOME is set")?.join(PLACE);
        if program.is_file() {
            return Ok(Self(program));
        }
        let Some(go) = find("go").or_else(|| Some(PathBuf::from(GO)).filter(|go| go.is_file())) else {
            bail!("Helm is built with Go, which is missing; install Go 1.26 from https://go.dev/dl into /usr/local/go");
        };
        let folder = program.parent().context("a program in a folder")?;
        // Under another name first, so that what was interrupted is not taken for a whole program.
        let part = folder.join("part");
        say(format_args!("Helm is missing and is built now with {}, which takes some minutes", go.display()));
        run(command(top, &go.to_string_lossy(), &["install", MODULE]).env("GOBIN", &part))
            .context("Helm could not be built; is the Go module proxy reached?")?;
        fs::rename(part.join("helm"), &program).with_context(|| format!("cannot make {}", program.display()))?;
        fs::remove_dir(&part).ok();
        Ok(Self(program))
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
