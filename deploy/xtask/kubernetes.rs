//! The programs that tests run and Debian has too old or not at all: an API server, `kubectl`, `helm`, CoreDNS and
//! external-dns. They are built with Go from pinned sources and kept in the user's cache folder, so that only the first run
//! on a machine builds them, whatever happens to target folders.
//!
//! ```text
//!   <cache>/mcdns/tools/kube-apiserver-1.35.4/kube-apiserver
//!   <cache>/mcdns/tools/kubectl-1.35.4/kubectl
//!   <cache>/mcdns/tools/helm-3.22.0/helm
//!   <cache>/mcdns/tools/coredns-1.14.7/coredns               a foreign server that tests compare with
//!   <cache>/mcdns/tools/external-dns-0.21.0/external-dns     whose objects, records and protocol we share
//!   <cache>/mcdns/tools/go-1.26.8/bin/go                     only where no other Go is new enough
//! ```
//!
//! `<cache>` is `$XDG_CACHE_HOME`, else `~/.cache`. A program appears there under its name only when it is whole, so
//! that two builds at once, or one that was cut short, leave nothing broken behind.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{self, Command},
    time::Instant,
};

use anyhow::{Context, bail};

use crate::{
    console::{say, time},
    process::{command, find, output, run},
    tools,
};

/// A program that is built with Go.
struct Program {
    name: &'static str,
    version: &'static str,
    /// Its Go package.
    package: &'static str,
    /// The folder of a module of ours that pins every source; else the package's own module does at `version`.
    module: Option<&'static str>,
    /// How long it takes on two cores with nothing in Go's own cache.
    minutes: &'static str,
    purpose: &'static str,
}

/// Where the sources of Kubernetes are pinned.
const KUBERNETES: &str = "deploy/xtask/tools/kube-apiserver";

const HELM: Program = Program {
    name: "helm",
    version: "3.22.0",
    package: "helm.sh/helm/v3/cmd/helm",
    module: None,
    minutes: "2 minutes",
    purpose: "renders the chart",
};

const KUBECTL: Program = Program {
    name: "kubectl",
    version: "1.35.4",
    package: "k8s.io/kubernetes/cmd/kubectl",
    module: Some(KUBERNETES),
    minutes: "a minute",
    purpose: "looks at clusters as a user does",
};

const COREDNS: Program = Program {
    name: "coredns",
    version: "1.14.7",
    package: "github.com/coredns/coredns",
    module: None,
    minutes: "2 minutes",
    purpose: "answers from the same keys, to compare with",
};

const EXTERNAL_DNS: Program = Program {
    name: "external-dns",
    version: "0.21.0",
    package: "sigs.k8s.io/external-dns",
    module: None,
    minutes: "4 minutes",
    purpose: "reads our objects, and writes what we adopt",
};

const PROGRAMS: &[Program] = &[
    Program {
        name: "kube-apiserver",
        version: "1.35.4",
        package: "k8s.io/kubernetes/cmd/kube-apiserver",
        module: Some(KUBERNETES),
        minutes: "4 minutes",
        purpose: "an API server for each cluster of a test",
    },
    KUBECTL,
    HELM,
    COREDNS,
    EXTERNAL_DNS,
];

/// The oldest Go that fetches the one that a module asks for by itself.
const GO_THAT_FETCHES: (u32, u32) = (1, 21);
/// The Go that is fetched by an older one. Its sum is checked as that of any module.
const GO: &str = "1.26.8";
/// Builds that go on beside each other, so that a machine stays usable.
const PARALLEL: &str = "2";

/// Sees to it that every program is there, and says where.
pub(crate) fn provide(top: &Path) -> anyhow::Result<()> {
    for program in PROGRAMS {
        let file = program.provide(top)?;
        say(format_args!("  {:<17} {:<25} {}", program.name, file.display(), program.purpose));
    }
    Ok(())
}

/// Where CoreDNS is, built now if it is not there.
pub(crate) fn provide_coredns(top: &Path) -> anyhow::Result<PathBuf> {
    COREDNS.provide(top)
}

/// Where `helm` is, built now if it is not there.
pub(crate) fn provide_helm(top: &Path) -> anyhow::Result<PathBuf> {
    HELM.provide(top)
}

/// Where `kubectl` is, built now if it is not there.
pub(crate) fn provide_kubectl(top: &Path) -> anyhow::Result<PathBuf> {
    KUBECTL.provide(top)
}

impl Program {
    /// Where it is, built now if it is not there.
    fn provide(&self, top: &Path) -> anyhow::Result<PathBuf> {
        let cache = cache()?;
        let file = self.file(&cache);
        if !file.is_file() {
            self.build(top, &file, &provide_go(top, &cache)?)?;
        }
        Ok(file)
    }

    /// Where it is kept.
    fn file(&self, cache: &Path) -> PathBuf {
        cache.join(format!("{}-{}", self.name, self.version)).join(self.name)
    }

    /// Builds it into a folder beside its place, and moves it there when it is whole.
    fn build(&self, top: &Path, file: &Path, go: &Path) -> anyhow::Result<()> {
        say(format_args!(
            "{} {} is missing and is built now from its sources, which takes about {} on two cores",
            self.name, self.version, self.minutes
        ));
        let started = Instant::now();
        let folder = file.parent().context("a program lies in a folder")?;
        let draft = folder.join(format!(".draft-{}", process::id()));
        fs::create_dir_all(&draft).with_context(|| format!("{} cannot be made", draft.display()))?;
        let built = run(&mut self.build_command(top, &draft, go))
            .and_then(|()| fs::rename(draft.join(self.name), file).context("a program that was built is not there"));
        // Nothing is left where something failed; what cannot be removed does no harm.
        let _ = fs::remove_dir_all(&draft);
        built.with_context(|| {
            format!("{} could not be built; Go must reach a module proxy (`go env GOPROXY` says which)", self.name)
        })?;
        say(format_args!("{} {} is built, in {}", self.name, self.version, time(started.elapsed())));
        Ok(())
    }

    fn build_command(&self, top: &Path, draft: &Path, go: &Path) -> Command {
        let go = go.to_string_lossy();
        let Some(module) = self.module else {
            let package = format!("{}@v{}", self.package, self.version);
            let mut build = nice(top, &[&go, "install", "-p", PARALLEL, &package]);
            build.env("GOBIN", draft);
            return build;
        };
        // A server and a client tell each other their versions, which come from here alone.
        let mut parts = self.version.split('.');
        let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let version =
            [("gitVersion", format!("v{}", self.version)), ("gitMajor", major.into()), ("gitMinor", minor.into())];
        let set = version.map(|(name, value)| format!("-X k8s.io/component-base/version.{name}={value}"));
        let flags = format!("-s -w {}", set.join(" "));
        let draft = draft.join(self.name);
        let draft = draft.to_string_lossy();
        let arguments = [&*go, "build", "-p", PARALLEL, "-ldflags", &flags, "-o", &draft, self.package];
        nice(&top.join(module), &arguments)
    }
}

/// A build that leaves a machine usable, and fetches the Go that the sources ask for where it must.
fn nice(folder: &Path, arguments: &[&str]) -> Command {
    let mut build = command(folder, "nice", &["-n", "5"]);
    build.args(arguments).env("GOFLAGS", "-mod=readonly").env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "auto");
    build
}

/// Where programs are kept that are built once per user.
pub(crate) fn cache() -> anyhow::Result<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set, so there is no cache folder")?.join("mcdns/tools"))
}

/// A Go that builds, or fetches the Go that builds: the one that is installed, Debian's, or one that Debian's fetches.
fn provide_go(top: &Path, cache: &Path) -> anyhow::Result<PathBuf> {
    let kept = cache.join(format!("go-{GO}/bin/go"));
    let known = || find("go").or_else(|| Some(PathBuf::from(tools::GO)).filter(|go| go.is_file()));
    let installed = known().filter(|go| fetches(top, go)).or_else(|| Some(kept.clone()).filter(|go| go.is_file()));
    if let Some(go) = installed {
        return Ok(go);
    }
    if known().is_none() {
        say(format_args!("Go is missing"));
        tools::provide_go(top)?;
    }
    let go = known().context("Go was installed and is not found")?;
    if fetches(top, &go) {
        return Ok(go);
    }
    fetch(top, &go, &kept)?;
    Ok(kept)
}

/// True if it is new enough to fetch what it lacks.
fn fetches(top: &Path, go: &Path) -> bool {
    let told = output(command(top, &go.to_string_lossy(), &["version"]).env("GOTOOLCHAIN", "local"));
    told.is_ok_and(|told| version(&told).is_some_and(|version| version >= GO_THAT_FETCHES))
}

/// What `go version` says, as in `go version go1.26.8 linux/amd64`.
fn version(told: &str) -> Option<(u32, u32)> {
    let mut parts = told.split(' ').nth(2)?.strip_prefix("go")?.split(['.', 'r', 'b']);
    Some((parts.next()?.parse().ok()?, parts.next()?.trim().parse().ok()?))
}

/// Has an old Go fetch a new one, which the module proxy has as a module, and makes of it what a new Go would: modules
/// carry no rights to execute, and no `go.mod` below the top.
fn fetch(top: &Path, go: &Path, kept: &Path) -> anyhow::Result<()> {
    say(format_args!("{} is too old; Go {GO} is fetched through the module proxy", go.display()));
    let go = go.to_string_lossy();
    let host = output(&mut command(top, &go, &["env", "GOHOSTOS", "GOHOSTARCH"]))?;
    let (system, machine) = host.trim().split_once('\n').context("Go does not say what it runs on")?;
    let wanted = format!("golang.org/toolchain@v0.0.1-go{GO}.{system}-{machine}");
    // Old ones refuse flags of new ones, and a module of ours is no concern of this.
    let told = output(
        command(Path::new("/"), &go, &["mod", "download", "-json", &wanted])
            .env("GOFLAGS", "")
            .env("GO111MODULE", "on"),
    )
    .with_context(|| format!("Go {GO} could not be fetched; install a Go of version 1.21 or later"))?;
    let told: serde_json::Value = serde_json::from_str(&told).context("Go does not say where a module lies")?;
    let module = told["Dir"].as_str().context("Go does not say where a module lies")?;

    let place = kept.parent().and_then(Path::parent).context("Go lies in a folder")?;
    let draft = place.with_file_name(format!(".go-draft-{}", process::id()));
    fs::create_dir_all(place.parent().context("a cache has a folder")?)?;
    run(&mut command(top, "cp", &["--recursive", module, &draft.to_string_lossy()]))?;
    run(&mut command(top, "chmod", &["--recursive", "u+w", &draft.to_string_lossy()]))?;
    for folder in ["bin", &format!("pkg/tool/{system}_{machine}")] {
        for program in fs::read_dir(draft.join(folder))? {
            fs::set_permissions(program?.path(), fs::Permissions::from_mode(0o755))?;
        }
    }
    for folder in ["src", "src/cmd"] {
        fs::rename(draft.join(folder).join("_go.mod"), draft.join(folder).join("go.mod"))?;
    }
    if fs::rename(&draft, place).is_err() && !kept.is_file() {
        bail!("Go {GO} could not be put into {}", place.display());
    }
    // Somebody else may have been faster.
    let _ = fs::remove_dir_all(&draft);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_go_are_read_and_compared() {
        assert_eq!(version("go version go1.26.8 linux/amd64\n"), Some((1, 26)));
        assert_eq!(version("go version go1.21rc2 linux/amd64\n"), Some((1, 21)));
        assert!(version("go version go1.19 linux/amd64").expect("a version") < GO_THAT_FETCHES);
        assert_eq!(version("go version devel +abc"), None);
    }

    #[test]
    fn an_api_server_is_built_from_pinned_sources_and_says_its_version() {
        let build = PROGRAMS[0].build_command(Path::new("/top"), Path::new("/cache/.draft"), Path::new("/go"));
        assert_eq!(build.get_current_dir(), Some(Path::new("/top/deploy/xtask/tools/kube-apiserver")));
        let arguments: Vec<_> = build.get_args().map(|argument| argument.to_string_lossy()).collect();
        assert_eq!(arguments[2..6], ["/go", "build", "-p", "2"]);
        assert!(arguments[7].contains("gitVersion=v1.35.4") && arguments[7].ends_with("gitMinor=35"));
        assert_eq!(arguments[9], "/cache/.draft/kube-apiserver");
    }

    #[test]
    fn the_pinned_sources_are_those_of_the_version() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let pinned = fs::read_to_string(top.join(KUBERNETES).join("go.mod")).expect("a module");
        for program in PROGRAMS.iter().filter(|program| program.module.is_some()) {
            assert!(pinned.contains(&format!("require k8s.io/kubernetes v{}\n", program.version)), "{}", program.name);
        }
    }
}
