//! Tests of the directory as it is scanned; what follows changes is in `follow_tests.rs`.

use std::os::unix::fs::symlink;

use mcdns_core::model::Kind;
use tempfile::TempDir;

use super::*;

/// A federation directory in a temporary folder.
pub(super) struct Tree {
    folder: TempDir,
}

impl Tree {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir_all(folder.path().join("fed/host")).expect("a folder");
        fs::create_dir_all(folder.path().join("fed/members")).expect("a folder");
        Self { folder }
    }

    pub(super) fn root(&self) -> PathBuf {
        self.folder.path().join("fed")
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub(super) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    fn open(&self) -> (Directory, Batch) {
        Directory::open(self.root(), Options::default()).expect("a directory")
    }
}

pub(super) fn domain(name: &str, zone: &str) -> String {
    format!(
        "apiVersion: multiclusterdns.kubefed.io/v1alpha1\nkind: Domain\nmetadata: {{name: {name}, namespace: fed}}\n\
         domain: {zone}\n"
    )
}

pub(super) fn service(name: &str, ip: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  namespace: shop\n  labels: \
         {{kubefed.io/managed: \"true\"}}\nstatus: {{loadBalancer: {{ingress: [{{ip: {ip}}}]}}}}\n"
    )
}

/// Observations as text: `+` there, `-` gone.
pub(super) fn told(batch: &Batch) -> Vec<String> {
    let sign = |observation: &Observation| if observation.object.is_some() { '+' } else { '-' };
    batch.observations.iter().map(|observation| format!("{}{}", sign(observation), observation.key)).collect()
}

/// Findings as text, without the folder that changes with every run.
pub(super) fn complaints(batch: &Batch, tree: &Tree) -> Vec<String> {
    let prefix = format!("{}/", tree.root().display());
    batch.findings.iter().map(|finding| finding.to_string().replace(&prefix, "")).collect()
}

fn zone_of(batch: &Batch, name: &str) -> Option<String> {
    let observation = batch.observations.iter().find(|observation| &*observation.key.name == name)?;
    match &observation.object.as_ref()?.fact {
        Fact::Domain(domain) => Some(domain.domain.clone()),
        _ => None,
    }
}

#[test]
fn the_first_batch_lists_everything_and_the_next_only_what_changed() {
    let tree = Tree::new();
    tree.write("host/domains.yaml", &domain("galactic", "example.com"));
    tree.write("members/c1/deep/er/web.yaml", &service("web", "192.0.2.1"));
    tree.write("members/c1/.hidden/web.yaml", &service("hidden", "192.0.2.9"));
    tree.write("members/c1/.hidden.yaml", &service("hidden", "192.0.2.9"));
    tree.write("members/c1/notes.txt", "apiVersion: [");
    fs::create_dir(tree.path("members/c2")).expect("a folder");
    let (mut directory, batch) = tree.open();
    assert_eq!(told(&batch), ["+Domain fed/galactic", "+member c1", "+Service shop/web in c1", "+member c2"]);
    assert!(batch.findings.is_empty() && batch.complete && !batch.lost, "{batch:?}");

    assert_eq!(told(&directory.scan().expect("a scan")), Vec::<String>::new());
    tree.write("members/c1/deep/er/web.yaml", &service("web", "192.0.2.2"));
    tree.write("members/c3/web.yml", &service("web", "192.0.2.3"));
    fs::remove_file(tree.path("host/domains.yaml")).expect("a file");
    assert_eq!(
        told(&directory.scan().expect("a scan")),
        ["-Domain fed/galactic", "+Service shop/web in c1", "+member c3", "+Service shop/web in c3"]
    );
}

#[test]
fn what_is_no_federation_directory_cannot_be_opened() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let open = |path: &Path| Directory::open(path, Options::default()).map(|_| ()).map_err(|error| error.to_string());
    let missing = folder.path().join("missing");
    assert_eq!(open(&missing), Err(format!("{} cannot be read", missing.display())));
    assert_eq!(
        open(folder.path()),
        Err(format!(
            "{} is no federation directory: it has neither a folder `host` nor a folder `members`",
            folder.path().display()
        ))
    );
    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file");
    assert_eq!(open(&file), Err(format!("{} is no directory", file.display())));
}

#[test]
fn the_first_path_wins_and_the_second_takes_over() {
    let tree = Tree::new();
    tree.write("host/b.yaml", &domain("galactic", "b.example"));
    // Bytewise, `-` stands before `/`, and so the file before the folder.
    tree.write("host/a/x.yaml", &domain("galactic", "a.example"));
    tree.write("host/a-x.yaml", &domain("galactic", "a-x.example"));
    let (mut directory, batch) = tree.open();
    assert_eq!(zone_of(&batch, "galactic").as_deref(), Some("a-x.example"));
    assert_eq!(
        complaints(&batch, &tree),
        [
            "host/a/x.yaml:1: warning[duplicate-object]: Domain fed/galactic: also stands in host/a-x.yaml:1, which \
             counts\n  help: keep one of them",
            "host/b.yaml:1: warning[duplicate-object]: Domain fed/galactic: also stands in host/a-x.yaml:1, which \
             counts\n  help: keep one of them",
        ]
    );
    fs::remove_file(tree.path("host/a-x.yaml")).expect("a file");
    let batch = directory.scan().expect("a scan");
    assert_eq!(zone_of(&batch, "galactic").as_deref(), Some("a.example"));
    assert_eq!(batch.findings.len(), 1);
    fs::remove_file(tree.path("host/b.yaml")).expect("a file");
    let batch = directory.scan().expect("a scan");
    assert!(batch.observations.is_empty() && batch.findings.is_empty(), "{batch:?}");
    // A better path comes along.
    tree.write("host/0.yaml", &domain("galactic", "0.example"));
    assert_eq!(zone_of(&directory.scan().expect("a scan"), "galactic").as_deref(), Some("0.example"));
}

#[test]
fn a_broken_file_keeps_its_last_good_objects_and_a_wrong_object_goes_alone() {
    let tree = Tree::new();
    let good = format!("{}---\n{}", domain("one", "one.example"), domain("two", "two.example"));
    tree.write("host/a.yaml", &good);
    tree.write("host/broken.json", "{\n  \"kind\": oops}");
    let (mut directory, batch) = tree.open();
    assert_eq!(told(&batch), ["+Domain fed/one", "+Domain fed/two"]);
    assert_eq!(
        complaints(&batch, &tree),
        ["host/broken.json:2:11: error[syntax]: expected value\n  help: mend the file; until then its last good \
          objects stay"]
    );
    assert!(!batch.complete);

    tree.write("host/a.yaml", "kind: [\n");
    let batch = directory.scan().expect("a scan");
    assert_eq!((told(&batch), batch.findings.len()), (Vec::new(), 2));
    tree.write("host/a.yaml", &good.replace("domain: two.example", "domain: 2"));
    tree.write("host/broken.json", "");
    let batch = directory.scan().expect("a scan");
    assert_eq!(told(&batch), ["-Domain fed/two"]);
    assert_eq!(
        complaints(&batch, &tree),
        ["host/a.yaml:6: error[wrong-object]: Domain fed/two: domain: must be a string, not integer `2`\n  help: put \
          it in quotes: \"2\""]
    );
    tree.write("host/a.yaml", &good);
    let batch = directory.scan().expect("a scan");
    assert_eq!((told(&batch), batch.complete), (vec!["+Domain fed/two".to_owned()], true));
}

#[test]
fn a_moved_line_is_told_and_equal_content_is_not() {
    let tree = Tree::new();
    tree.write("host/a.yaml", &domain("one", "one.example"));
    let (mut directory, _) = tree.open();
    tree.write("host/a.yaml", &format!("# again\n{}", domain("one", "one.example")));
    let batch = directory.scan().expect("a scan");
    assert_eq!(told(&batch), ["+Domain fed/one"]);
    let line = batch.observations[0].object.as_ref().and_then(|object| object.origin.as_ref()).map(|at| at.line);
    assert_eq!(line, Some(2));
    tree.write("host/a.yaml", &format!("#  else\n{}# end\n", domain("one", "one.example")));
    assert!(directory.scan().expect("a scan").observations.is_empty());
}

#[test]
fn links_are_followed_and_loops_of_them_end() {
    let tree = Tree::new();
    tree.write("host/..2024/web.yaml", &domain("one", "one.example"));
    symlink("..2024", tree.path("host/..data")).expect("a link");
    symlink("..data/web.yaml", tree.path("host/web.yaml")).expect("a link");
    symlink("..", tree.path("host/loop")).expect("a link");
    symlink("self.yaml", tree.path("host/self.yaml")).expect("a link");
    symlink("nothing.yaml", tree.path("host/dangling.yaml")).expect("a link");
    let (_, batch) = tree.open();
    assert_eq!(told(&batch), ["+Domain fed/one"]);
    let complaints = complaints(&batch, &tree);
    assert_eq!(complaints.len(), 3, "{complaints:#?}");
    assert!(complaints[0].starts_with("host/dangling.yaml: error[unreadable]: is a link to nothing"), "{complaints:?}");
    assert_eq!(complaints[1], "host/loop: warning[unreadable]: leads back to the directory itself, and is left out");
    assert!(complaints[2].starts_with("host/self.yaml: error[unreadable]: cannot be read: "), "{complaints:?}");
}

#[test]
fn what_cannot_be_read_keeps_its_objects() {
    let tree = Tree::new();
    tree.write("host/a.yaml", &domain("one", "one.example"));
    tree.write("members/c1/web.yaml", &service("web", "192.0.2.1"));
    let (mut directory, _) = tree.open();
    fs::remove_file(tree.path("host/a.yaml")).expect("a file");
    symlink("a.yaml", tree.path("host/a.yaml")).expect("a link to itself");
    fs::rename(tree.path("members/c1"), tree.path("members/.c1")).expect("a folder");
    symlink("c1", tree.path("members/c1")).expect("a link to itself");
    let batch = directory.scan().expect("a scan");
    assert_eq!((told(&batch), batch.complete, batch.findings.len()), (Vec::new(), false, 2));
    fs::remove_file(tree.path("members/c1")).expect("a link");
    fs::rename(tree.path("members/.c1"), tree.path("members/c1")).expect("a folder");
    fs::remove_file(tree.path("host/a.yaml")).expect("a link");
    let batch = directory.scan().expect("a scan");
    assert_eq!((told(&batch), batch.complete), (vec!["-Domain fed/one".to_owned()], true));
}

#[test]
fn a_named_pipe_is_left_out_and_a_file_beside_the_members_is_misplaced() {
    let tree = Tree::new();
    let made = std::process::Command::new("mkfifo").arg(tree.path("host/pipe.yaml")).status();
    assert!(made.expect("mkfifo").success());
    tree.write("members/c1.yaml", &service("web", "192.0.2.1"));
    let (_, batch) = tree.open();
    assert_eq!(
        complaints(&batch, &tree),
        [
            "host/pipe.yaml: warning[unreadable]: is no regular file, and is left out",
            "members/c1.yaml: warning[misplaced]: stands directly in `members`, and is left out\n  help: move it into \
             the folder of its cluster, members/<cluster>/",
        ]
    );
}

#[test]
fn after_a_restart_what_is_known_stays_for_broken_files_and_goes_where_it_is_gone() {
    let tree = Tree::new();
    tree.write("host/a.yaml", &domain("one", "one.example"));
    tree.write("host/b.yaml", &domain("two", "two.example"));
    tree.write("host/c.yaml", &domain("three", "three.example"));
    tree.write("members/c1/web.yaml", &service("web", "192.0.2.1"));
    let (_, batch) = tree.open();
    let known = batch.observations.into_iter().filter_map(|seen| Some((seen.key, seen.object?)));
    let mut known: Vec<_> = known.collect();
    known.push((ObjectKey::host(Kind::Domain, "fed", "elsewhere"), known[0].1.clone()));
    if let Some((_, object)) = known.last_mut() {
        let origin = Some(Origin { file: "/other/host/x.yaml".into(), line: 1 });
        *object = Arc::new(Object { origin, ..Object::clone(object) });
    }

    tree.write("host/a.yaml", "kind: [");
    fs::remove_file(tree.path("host/b.yaml")).expect("a file");
    fs::remove_dir_all(tree.path("members/c1")).expect("a folder");
    let mut directory = Directory::new(tree.root(), Options::default());
    directory.adopt(known);
    let batch = directory.scan().expect("a scan");
    assert_eq!(
        told(&batch),
        [
            "-Domain fed/elsewhere",
            "+Domain fed/one",
            "+Domain fed/three",
            "-Domain fed/two",
            "-member c1",
            "-Service shop/web in c1"
        ]
    );
    assert!(!batch.complete);
}

#[test]
fn paths_are_printed_as_given() {
    let tree = Tree::new();
    tree.write("host/a.yaml", &domain("one", "one.example"));
    let given = format!("{}/", tree.root().display());
    let (_, batch) = Directory::open(&given, Options::default()).expect("a directory");
    let origin = batch.observations[0].object.as_ref().and_then(|object| object.origin.clone());
    assert_eq!(origin.map(|origin| origin.file.to_string()), Some(format!("{given}host/a.yaml")));
}

#[test]
fn kinds_that_nobody_reads_are_counted_over_all_files() {
    let tree = Tree::new();
    tree.write("host/a.yaml", "apiVersion: v1\nkind: Secret\n---\napiVersion: v1\nkind: Secret\n");
    tree.write("members/c1/a.yaml", "apiVersion: v1\nkind: Secret\n---\napiVersion: apps/v1\nkind: Deployment\n");
    let (mut directory, batch) = tree.open();
    let counts =
        |batch: &Batch| batch.ignored.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>();
    assert_eq!(counts(&batch), ["1 apps/v1/Deployment", "3 v1/Secret"]);
    tree.write("host/a.yaml", "apiVersion: v1\nkind: Secret\n");
    fs::remove_file(tree.path("members/c1/a.yaml")).expect("a file");
    assert_eq!(counts(&directory.scan().expect("a scan")), ["1 v1/Secret"]);
}
