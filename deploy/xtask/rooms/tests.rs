//! Rules held against workspaces that are made up.

use super::*;

const MANIFEST: &str = r"
[package]
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
publish.workspace = true
[lints]
workspace = true
";

/// A package in `folder` that is as it should be, and uses nothing.
fn package(folder: &str) -> Package {
    Package {
        name: name_of(folder),
        folder: folder.to_owned(),
        library: Some(if folder.is_empty() { "src/lib.rs" } else { "lib.rs" }.to_owned()),
        uses: Vec::new(),
        reaches: BTreeSet::new(),
        manifest: MANIFEST.parse().expect("the manifest is TOML"),
    }
}

fn name_of(folder: &str) -> String {
    format!("mcdns-{}", folder.replace('/', "-"))
}

/// The package with an edge to a crate or to our package in the folder of that name.
fn with(mut package: Package, kind: Use, name: &str) -> Package {
    let name = if name.contains('/') { name_of(name) } else { name.to_owned() };
    package.uses.push(graph::Used { name, kind });
    package
}

fn breaches(packages: Vec<Package>) -> Vec<String> {
    let workspace = Workspace { packages, license: Some("Apache-2.0".to_owned()) };
    check(&workspace).iter().map(ToString::to_string).collect()
}

/// The one breach, or a failure that shows all.
fn only_breach(packages: Vec<Package>) -> String {
    let found = breaches(packages);
    assert_eq!(found.len(), 1, "{found:#?}");
    found.into_iter().next().unwrap_or_default()
}

#[test]
fn rooms_that_keep_to_the_design_break_nothing() {
    let core = || package("src/core");
    let root = with(with(package(""), Use::Normal, "src/serve"), Use::Normal, "clap");
    let serve = with(with(package("src/serve"), Use::Normal, "src/core"), Use::Normal, "tokio");
    let route53 = with(with(package("providers/route53"), Use::Normal, "src/publish"), Use::Normal, "aws-sdk-route53");
    let publish = with(package("src/publish"), Use::Normal, "src/core");
    assert_eq!(breaches(vec![root, core(), serve, publish, route53]), Vec::<String>::new());
}

#[test]
fn the_core_with_a_runtime_is_refused_with_the_edge_and_the_reason() {
    let found = only_breach(vec![with(package("src/core"), Use::Normal, "tokio")]);
    assert!(found.contains("uses tokio (in what is shipped)"), "{found}");
    assert!(found.contains("a pure room has no runtime"), "{found}");
}

#[test]
fn a_pattern_covers_a_family_of_crates() {
    let found = only_breach(vec![with(package("src/serve"), Use::Build, "aws-config")]);
    assert!(found.contains("aws-config (in a build script)"), "{found}");
}

#[test]
fn tests_of_the_core_may_use_what_its_code_may_not() {
    assert_eq!(breaches(vec![with(package("src/core"), Use::Development, "rand")]), Vec::<String>::new());
}

#[test]
fn what_the_core_is_built_with_at_any_depth_counts() {
    let mut core = package("src/core");
    core.reaches.insert("mio".to_owned());
    let found = only_breach(vec![core]);
    assert!(found.contains("reaches mio; `cargo tree -p mcdns-src-core -e normal -i mio`"), "{found}");
}

#[test]
fn a_source_that_sees_the_server_is_refused() {
    let found = only_breach(vec![with(package("src/sources"), Use::Normal, "src/serve"), package("src/serve")]);
    assert!(found.contains("src/sources uses src/serve"), "{found}");
    assert!(found.contains("it may use src/core, src/api, src/skydns"), "{found}");
}

#[test]
fn providers_do_not_see_each_other() {
    let etcd = with(package("providers/etcd"), Use::Normal, "providers/memory");
    let found = only_breach(vec![etcd, package("providers/memory")]);
    assert!(found.contains("providers/* uses providers/*"), "{found}");
}

#[test]
fn what_is_for_tests_stays_in_tests() {
    let support = || package("tests/support");
    assert_eq!(breaches(vec![with(package(""), Use::Development, "tests/support"), support()]), Vec::<String>::new());
    let found = only_breach(vec![with(package(""), Use::Normal, "tests/support"), support()]);
    assert!(found.contains("must not be shipped"), "{found}");
}

#[test]
fn a_folder_without_rules_is_refused() {
    let found = only_breach(vec![package("src/extras")]);
    assert!(found.contains("`src/extras` has no room"), "{found}");
    let found = only_breach(vec![package("providers/etcd/wire")]);
    assert!(found.contains("has no room"), "{found}");
}

#[test]
fn a_manifest_that_does_not_inherit_is_refused_line_by_line() {
    let mut core = package("src/core");
    core.manifest = "[package]\nversion = \"1.0.0\"\n[dependencies]\nserde = \"1\"\n".parse().expect("TOML");
    let found = breaches(vec![core]);
    assert_eq!(found.len(), 7, "{found:#?}");
    assert!(found.iter().any(|breach| breach.contains("`[lints] workspace = true`")), "{found:#?}");
    assert!(found.iter().any(|breach| breach.contains("`serde.workspace = true`")), "{found:#?}");
}

#[test]
fn a_source_folder_inside_a_room_is_refused() {
    let mut core = package("src/core");
    core.library = Some("src/lib.rs".to_owned());
    assert!(only_breach(vec![core]).contains("its library starts at `src/lib.rs`"));
}

#[test]
fn metadata_gives_folders_kinds_and_the_library() {
    let metadata = r#"{"workspace_root": "/w", "packages": [
        {"name": "mcdns", "license": "Apache-2.0", "manifest_path": "/w/Cargo.toml", "dependencies": [], "targets": []},
        {"name": "mcdns-core", "license": "Apache-2.0", "manifest_path": "/w/src/core/Cargo.toml",
         "dependencies": [{"name": "serde", "kind": null}, {"name": "insta", "kind": "dev"}, {"name": "cc", "kind": "build"}],
         "targets": [{"kind": ["test"], "src_path": "/w/src/core/tests/zones.rs"},
                     {"kind": ["lib"], "src_path": "/w/src/core/lib.rs"}]}]}"#;
    let workspace = Workspace::parse(metadata, |_| Ok(MANIFEST.to_owned())).expect("the metadata is read");
    assert_eq!(workspace.license.as_deref(), Some("Apache-2.0"));
    let [root, core] = &workspace.packages[..] else { panic!("{workspace:#?}") };
    assert_eq!((root.folder.as_str(), root.library.as_deref()), ("", None));
    assert_eq!((core.folder.as_str(), core.library.as_deref()), ("src/core", Some("lib.rs")));
    let kinds: Vec<_> = core.uses.iter().map(|used| (used.name.as_str(), used.kind)).collect();
    assert_eq!(kinds, [("serde", Use::Normal), ("insta", Use::Development), ("cc", Use::Build)]);
}

#[test]
fn metadata_of_another_form_is_an_error() {
    assert!(Workspace::parse("{}", |_| Ok(String::new())).is_err());
}
