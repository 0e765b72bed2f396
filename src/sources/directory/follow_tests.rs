//! Tests of a followed directory, against the real file system. Each waits for what must come, and fails after a
//! generous time; what must not come is shown by something that comes later.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::symlink,
    time::{Duration, Instant},
};

use mcdns_core::model::{Fact, ObjectKey};
use tokio::sync::mpsc::{self, Receiver, error::TryRecvError};

use super::{
    Batch, Directory, Follower, Options,
    tests::{Tree, complaints, domain, service, told},
};

/// Longest that anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

struct Watched {
    tree: Tree,
    batches: Receiver<Batch>,
    follower: Follower,
}

impl Watched {
    /// Opens the tree, and follows it.
    fn start(tree: Tree) -> Self {
        Self::with(tree, Options { rescan: Duration::from_hours(1), ..Options::default() })
    }

    fn with(tree: Tree, options: Options) -> Self {
        let (directory, _) = Directory::open(tree.root(), options).expect("a directory");
        Self::follow(tree, directory)
    }

    fn follow(tree: Tree, directory: Directory) -> Self {
        let (sender, batches) = mpsc::channel(64);
        let follower = directory.watch(sender).expect("a thread");
        let mut watched = Self { tree, batches, follower };
        // The follower watches before it looks: once it has told of this, it sees whatever comes next.
        watched.tree.write("host/zz-started.yaml", &domain("started", "started.example"));
        watched.until("started", |batch| told(batch).contains(&"+Domain fed/started".to_owned()));
        watched
    }

    fn try_next(&mut self, patience: Duration) -> Option<Batch> {
        let deadline = Instant::now() + patience;
        loop {
            match self.batches.try_recv() {
                Ok(batch) => return Some(batch),
                Err(TryRecvError::Empty) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_micros(200));
                }
                Err(_) => return None,
            }
        }
    }

    fn next(&mut self) -> Batch {
        self.try_next(PATIENCE).expect("a batch")
    }

    fn until(&mut self, what: &str, found: impl Fn(&Batch) -> bool) -> Batch {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        while let Some(batch) = self.try_next(deadline.saturating_duration_since(Instant::now())) {
            if found(&batch) {
                return batch;
            }
            seen.push(told(&batch));
        }
        unreachable!("no batch with {what}, but {seen:?}")
    }

    /// Replaces a file by rename.
    fn replace(&self, path: &str, text: &str) {
        self.tree.write(".new", text);
        fs::rename(self.tree.path(".new"), self.tree.path(path)).expect("a rename");
    }
}

fn zone(batch: &Batch, name: &str) -> Option<String> {
    let key = ObjectKey::host(mcdns_core::model::Kind::Domain, "fed", name);
    let seen = batch.observations.iter().find(|observation| observation.key == key)?;
    match &seen.object.as_ref()?.fact {
        Fact::Domain(domain) => Some(domain.domain.clone()),
        _ => None,
    }
}

fn tree() -> Tree {
    let tree = Tree::new();
    tree.write("host/a.yaml", &domain("one", "old.example"));
    tree.write("members/c1/web.yaml", &service("web", "192.0.2.1"));
    tree
}

#[test]
fn a_file_replaced_by_rename_counts_at_once() {
    let mut watched = Watched::start(tree());
    let mut times = Vec::new();
    for round in 0..20 {
        let wanted = format!("new{round}.example");
        watched.tree.write(".new", &domain("one", &wanted));
        let start = Instant::now();
        fs::rename(watched.tree.path(".new"), watched.tree.path("host/a.yaml")).expect("a rename");
        let batch = watched.next();
        times.push(start.elapsed());
        assert_eq!((told(&batch), zone(&batch, "one")), (vec!["+Domain fed/one".to_owned()], Some(wanted)));
    }
    times.sort_unstable();
    // Alone it takes 3 ms; the machine may be busy.
    assert!(times[10] < Duration::from_millis(50), "{times:?}");
}

#[test]
fn a_file_written_in_place_counts_when_it_is_closed() {
    let mut watched = Watched::start(tree());
    let mut file = fs::File::create(watched.tree.path("host/a.yaml")).expect("a file");
    let text = domain("one", "first.example") + "---\n" + &domain("two", "two.example");
    // The first half is a whole object by itself, which must not be seen alone.
    for part in [&text[..text.len() / 2], &text[text.len() / 2..]] {
        file.write_all(part.as_bytes()).expect("a write");
        file.sync_all().expect("a sync");
        // Something else is told meanwhile, longer than a file may be away.
        for round in 0..4 {
            watched.replace("host/b.yaml", &domain("other", &format!("other{round}.example")));
            assert_eq!(told(&watched.next()), ["+Domain fed/other"]);
            std::thread::sleep(Duration::from_millis(350));
        }
    }
    drop(file);
    let batch = watched.next();
    assert_eq!(told(&batch), ["+Domain fed/one", "+Domain fed/two"]);
    assert_eq!(zone(&batch, "one").as_deref(), Some("first.example"));
}

#[test]
fn many_quick_writes_end_with_the_last_one() {
    let mut watched = Watched::start(tree());
    // As long as each other, and within one step of the file system's clock.
    for round in 0..200 {
        watched.tree.write("host/a.yaml", &domain("one", &format!("a{round:03}.example")));
    }
    watched.until("the last one", |batch| zone(batch, "one").as_deref() == Some("a199.example"));
}

#[test]
fn a_vanished_file_counts_after_a_second_and_one_that_comes_back_was_never_gone() {
    let mut watched = Watched::start(tree());
    fs::remove_file(watched.tree.path("host/a.yaml")).expect("a file");
    std::thread::sleep(Duration::from_millis(300));
    watched.tree.write("host/a.yaml", &domain("one", "old.example"));
    fs::rename(watched.tree.path("members/c1/web.yaml"), watched.tree.path("members/c1/web")).expect("a rename");
    std::thread::sleep(Duration::from_millis(300));
    fs::rename(watched.tree.path("members/c1/web"), watched.tree.path("members/c1/web.yaml")).expect("a rename");
    let start = Instant::now();
    fs::remove_file(watched.tree.path("members/c1/web.yaml")).expect("a file");
    assert_eq!(told(&watched.next()), ["-Service shop/web in c1"]);
    assert!(start.elapsed() >= Duration::from_millis(950), "{:?}", start.elapsed());
}

#[test]
fn an_emptied_file_counts_after_a_second_of_quiet() {
    let mut watched = Watched::start(tree());
    watched.tree.write("host/a.yaml", "");
    std::thread::sleep(Duration::from_millis(400));
    watched.tree.write("host/a.yaml", &domain("one", "old.example"));
    let start = Instant::now();
    watched.tree.write("host/a.yaml", "");
    assert_eq!(told(&watched.next()), ["-Domain fed/one"]);
    assert!(start.elapsed() >= Duration::from_millis(950), "{:?}", start.elapsed());
    watched.tree.write("host/a.yaml", &domain("one", "new.example"));
    assert_eq!(told(&watched.next()), ["+Domain fed/one"]);
}

#[test]
fn a_syntax_error_is_told_and_mended() {
    let mut watched = Watched::start(tree());
    watched.replace("host/a.yaml", "kind: [\n");
    let batch = watched.next();
    assert_eq!((told(&batch), batch.complete), (Vec::new(), false));
    assert!(complaints(&batch, &watched.tree)[0].contains("error[syntax]: "), "{batch:?}");
    watched.replace("host/a.yaml", &domain("one", "new.example"));
    let batch = watched.next();
    assert_eq!((told(&batch), batch.complete), (vec!["+Domain fed/one".to_owned()], true));
    assert!(batch.findings.is_empty());
}

#[test]
fn the_swap_of_a_mounted_config_map_counts_at_once() {
    let tree = tree();
    tree.write("host/mounted/..2024_1/web.yaml", &domain("two", "first.example"));
    symlink("..2024_1", tree.path("host/mounted/..data")).expect("a link");
    symlink("..data/web.yaml", tree.path("host/mounted/web.yaml")).expect("a link");
    let mut watched = Watched::start(tree);
    for round in 2..5 {
        let (old, new) = (format!("host/mounted/..2024_{}", round - 1), format!("..2024_{round}"));
        let wanted = format!("round{round}.example");
        watched.tree.write(&format!("host/mounted/{new}/web.yaml"), &domain("two", &wanted));
        symlink(&new, watched.tree.path("host/mounted/..data_tmp")).expect("a link");
        fs::rename(watched.tree.path("host/mounted/..data_tmp"), watched.tree.path("host/mounted/..data"))
            .expect("a rename");
        fs::remove_dir_all(watched.tree.path(&old)).expect("a folder");
        let batch = watched.next();
        assert_eq!((told(&batch), zone(&batch, "two")), (vec!["+Domain fed/two".to_owned()], Some(wanted)));
        assert!(batch.complete, "{batch:?}");
    }
    // A file behind a link is followed, too.
    watched.tree.write("host/mounted/..2024_4/web.yaml", &domain("two", "behind.example"));
    let batch = watched.next();
    assert_eq!(zone(&batch, "two").as_deref(), Some("behind.example"));
}

#[test]
fn new_folders_are_followed_nested_and_moved_in() {
    let mut watched = Watched::start(tree());
    watched.tree.write("members/c2/very/deep/web.yaml", &service("web", "192.0.2.2"));
    watched.until("a new service", |batch| told(batch).contains(&"+Service shop/web in c2".to_owned()));
    watched.replace("members/c2/very/deep/api.yaml", &service("api", "192.0.2.2"));
    watched.until("one in the new folder", |batch| told(batch) == ["+Service shop/api in c2"]);

    watched.tree.write(".c3/deep/web.yaml", &service("web", "192.0.2.3"));
    fs::rename(watched.tree.path(".c3"), watched.tree.path("members/c3")).expect("a rename");
    assert_eq!(told(&watched.next()), ["+member c3", "+Service shop/web in c3"]);
    watched.replace("members/c3/deep/api.yaml", &service("api", "192.0.2.3"));
    assert_eq!(told(&watched.next()), ["+Service shop/api in c3"]);

    fs::rename(watched.tree.path("members/c3"), watched.tree.path(".c3")).expect("a rename");
    assert_eq!(told(&watched.next()), ["-member c3", "-Service shop/api in c3", "-Service shop/web in c3"]);
    fs::rename(watched.tree.path(".c3"), watched.tree.path("members/c3")).expect("a rename");
    watched.until("the folder again", |batch| told(batch).contains(&"+Service shop/web in c3".to_owned()));
    watched.replace("members/c3/deep/web.yaml", &service("web", "192.0.2.33"));
    assert_eq!(told(&watched.next()), ["+Service shop/web in c3"]);
}

#[test]
fn a_folder_that_is_removed_and_made_again_within_a_second_was_never_gone() {
    let mut watched = Watched::start(tree());
    for _ in 0..3 {
        fs::remove_dir_all(watched.tree.path("members")).expect("a folder");
        watched.tree.write("members/c1/web.yaml", &service("web", "192.0.2.1"));
    }
    std::thread::sleep(Duration::from_millis(1500));
    // Still watched.
    watched.replace("members/c1/web.yaml", &service("web", "192.0.2.5"));
    assert_eq!(told(&watched.next()), ["+Service shop/web in c1"]);
}

#[test]
fn when_the_whole_directory_vanishes_nothing_goes_and_it_is_followed_again_when_it_is_back() {
    let mut watched = Watched::start(tree());
    fs::remove_dir_all(watched.tree.root()).expect("a folder");
    let batch = watched.next();
    assert_eq!((told(&batch), batch.lost, batch.complete), (Vec::new(), true, false));
    assert!(batch.findings[0].message.ends_with("; what was last known stays"), "{batch:?}");

    let again = self::tree();
    fs::rename(again.root(), watched.tree.root()).expect("a rename");
    // What was there only to see the start goes after its second.
    let batch = watched.next();
    assert_eq!((told(&batch), batch.lost, batch.complete), (Vec::new(), false, true));
    assert_eq!(told(&watched.next()), ["-Domain fed/started"]);
    watched.replace("host/a.yaml", &domain("one", "new.example"));
    assert_eq!(told(&watched.next()), ["+Domain fed/one"]);
}

#[test]
fn an_emptied_directory_is_a_lost_one() {
    let mut watched = Watched::start(tree());
    fs::remove_dir_all(watched.tree.path("host")).expect("a folder");
    fs::remove_dir_all(watched.tree.path("members")).expect("a folder");
    let batch = watched.next();
    assert_eq!((told(&batch), batch.lost), (Vec::new(), true));
}

#[test]
fn a_directory_that_comes_later_is_told_whole() {
    let tree = Tree::new();
    tree.write("host/a.yaml", &domain("one", "one.example"));
    let away = tree.root().with_file_name("away");
    fs::rename(tree.root(), &away).expect("a rename");
    let mut directory = Directory::new(tree.root(), Options::default());
    assert!(directory.scan().is_err());
    let (sender, batches) = mpsc::channel(8);
    let follower = directory.watch(sender).expect("a thread");
    let mut watched = Watched { tree, batches, follower };
    let batch = watched.next();
    assert_eq!((told(&batch), batch.lost), (Vec::new(), true));
    fs::rename(&away, watched.tree.root()).expect("a rename");
    let batch = watched.next();
    assert_eq!((told(&batch), batch.lost, batch.complete), (vec!["+Domain fed/one".to_owned()], false, true));
}

#[test]
fn without_notifications_files_are_looked_at() {
    let options = Options { notifications: false, ..Options::default() };
    let mut watched = Watched::with(tree(), options);
    watched.replace("host/a.yaml", &domain("one", "new.example"));
    assert_eq!(told(&watched.next()), ["+Domain fed/one"]);
    fs::remove_file(watched.tree.path("host/a.yaml")).expect("a file");
    assert_eq!(told(&watched.next()), ["-Domain fed/one"]);
}

#[test]
fn what_no_notification_tells_is_seen_by_the_look_at_all_files() {
    let tree = tree();
    let elsewhere = tree.root().with_file_name("elsewhere.yaml");
    fs::write(&elsewhere, domain("two", "old.example")).expect("a file");
    // A second name of the file, whose folder is not watched.
    fs::hard_link(&elsewhere, tree.path("host/two.yaml")).expect("a link");
    let mut watched = Watched::with(tree, Options { rescan: Duration::from_millis(200), ..Options::default() });
    fs::create_dir(watched.tree.root().with_file_name("sub")).expect("a folder");
    let moved = watched.tree.root().with_file_name("sub").join("moved.yaml");
    fs::rename(&elsewhere, &moved).expect("a rename");
    fs::write(&moved, domain("two", "new.example")).expect("a write");
    watched.until("the change", |batch| zone(batch, "two").as_deref() == Some("new.example"));
}

#[test]
fn a_file_linked_into_place_counts() {
    let mut watched = Watched::start(tree());
    let elsewhere = watched.tree.root().with_file_name("elsewhere.yaml");
    fs::write(&elsewhere, domain("two", "two.example")).expect("a file");
    fs::hard_link(&elsewhere, watched.tree.path("host/two.yaml")).expect("a link");
    assert_eq!(told(&watched.next()), ["+Domain fed/two"]);
    symlink(&elsewhere, watched.tree.path("host/0.yaml")).expect("a link");
    let batch = watched.next();
    assert_eq!((told(&batch), batch.findings.len()), (vec!["+Domain fed/two".to_owned()], 1));
}

#[test]
fn a_dropped_follower_ends() {
    let Watched { batches, follower, tree: _tree } = Watched::start(tree());
    drop(follower);
    let deadline = Instant::now() + PATIENCE;
    while !batches.is_closed() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(batches.is_closed() || batches.sender_strong_count() == 0);
}
