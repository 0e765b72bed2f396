//! A hosts(5) file, which says what host names among the targets resolve to.
//!
//! It takes the place of the resolvers in tests and where there is no network. One address and its names a line, `#`
//! starts a comment; the lines of one name are united; names are taken in normal form (lower case, no trailing dot).
//! A line that is wrong is left out with a finding, a name that is wrong is left out of its line. Addresses from a
//! hosts file have no TTL.
//!
//! The file is followed by the rules for files of a directory: replaced by rename it counts at once, written in place
//! when its writer closes it, emptied after a second of quiet. A file that is gone or cannot be read takes nothing
//! away: what was last known stays, with a finding.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use mcdns_core::{
    check::{Finding, FindingCode},
    dns::OwnerName,
    model::{Fact, HostAddressesFact, Kind, Object, ObjectKey, Observation, Origin},
};
use tokio::sync::mpsc::Sender;

use crate::directory::{Batch, Follower, Happening, Notice, Pending, Sign, Watches, reason, steps};

/// How long the file must stay empty before that counts.
const QUIET: Duration = Duration::from_secs(1);
/// How often the file is looked at without being told to.
const RESCAN: Duration = Duration::from_secs(30);
/// How often it is looked at where the system gives no notifications, and while it cannot be read.
const POLL: Duration = Duration::from_secs(1);

/// What a hosts file says: names in normal form, and what is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts {
    /// Addresses of each name, and the first line that it stands in.
    pub names: BTreeMap<String, (BTreeSet<IpAddr>, u32)>,
    /// Lines and names that were left out.
    pub findings: Vec<Finding>,
}

/// Reads the text of a hosts file; `file` is its path for findings.
pub fn parse(text: &[u8], file: &Arc<str>) -> Hosts {
    let mut hosts = Hosts::default();
    for (line, number) in text.split(|octet| *octet == b'\n').zip(1_u32..) {
        let line = line.split(|octet| *octet == b'#').next().unwrap_or_default();
        let mut wrong = |message: String, column: usize, help: &str| {
            let column = u32::try_from(column + 1).unwrap_or(0);
            hosts.findings.push(Finding::new(FindingCode::Syntax, message).at(file, number, column).help(help));
        };
        let Ok(line) = std::str::from_utf8(line) else {
            wrong("the line is not UTF-8, and is left out".to_owned(), 0, "write names in ASCII");
            continue;
        };
        let column_of = |field: &str| field.as_ptr() as usize - line.as_ptr() as usize;
        let mut fields = line.split_ascii_whitespace();
        let Some(address) = fields.next() else { continue };
        let Ok(ip) = address.parse::<IpAddr>() else {
            let message = format!("`{}` is no IP address; the line is left out", shorten(address));
            wrong(message, column_of(address), "write an address, then its names");
            continue;
        };
        let mut named = false;
        for field in fields {
            named = true;
            match OwnerName::parse_host(field, false) {
                Ok(name) => {
                    let known = hosts.names.entry(name.to_string()).or_insert_with(|| (BTreeSet::new(), number));
                    known.0.insert(ip);
                }
                Err(error) => {
                    let message = format!("`{}` is no host name, and is left out: {error}", shorten(field));
                    wrong(message, column_of(field), "write letters, digits, hyphens and dots");
                }
            }
        }
        if !named {
            wrong("an address without a name".to_owned(), column_of(address), "add its names, or remove the line");
        }
    }
    hosts
}

/// A hosts file and what is known of it.
#[derive(Debug)]
pub struct HostsFile {
    path: PathBuf,
    shown: Arc<str>,
    objects: BTreeMap<ObjectKey, Arc<Object>>,
    findings: Vec<Finding>,
    /// Why it cannot be read now.
    unreadable: Option<Finding>,
    scanned: bool,
}

impl HostsFile {
    /// A file of which nothing is known yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let shown = path.to_string_lossy().into();
        Self { path, shown, objects: BTreeMap::new(), findings: Vec::new(), unreadable: None, scanned: false }
    }

    /// Reads a file for the first time. The error is the system's; trying again helps once the file is there.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<(Self, Batch)> {
        let mut hosts = Self::new(path);
        let batch = hosts.scan()?;
        Ok((hosts, batch))
    }

    /// Takes what was known before a restart, before the first [`HostsFile::scan`]; other kinds are left alone.
    pub fn adopt(&mut self, objects: impl IntoIterator<Item = (ObjectKey, Arc<Object>)>) {
        self.objects.extend(objects.into_iter().filter(|(key, _)| key.kind == Kind::HostAddresses));
    }

    /// Reads the file. The first batch lists everything, and what is gone since [`HostsFile::adopt`].
    pub fn scan(&mut self) -> io::Result<Batch> {
        let text = read(&self.path)?;
        let observations = self.take(&text);
        Ok(self.batch(observations.unwrap_or_default()))
    }

    /// Follows the file on a thread of its own until the [`Follower`] is dropped or the receiver is gone.
    pub fn watch(self, sender: Sender<Batch>) -> io::Result<Follower> {
        let (stop, notices) = mpsc::channel();
        let watches = Watches::start(stop.clone()).ok();
        let mut engine = Engine { hosts: self, pending: Pending::new(QUIET), watches, steps: Vec::new() };
        Follower::spawn("hosts", stop, move || engine.run(&notices, &sender))
    }

    /// Takes a text; what has changed, or none if not even the findings have.
    fn take(&mut self, text: &[u8]) -> Option<Vec<Observation>> {
        let hosts = parse(text, &self.shown);
        let mut before = std::mem::take(&mut self.objects);
        let mut observations = Vec::new();
        for (name, (addresses, line)) in hosts.names {
            let key = ObjectKey::host_addresses(&name);
            let fact = HostAddressesFact { addresses: addresses.into_iter().collect(), ttl: None };
            let origin = Some(Origin { file: self.shown.clone(), line });
            let object = Object { origin, ..Object::new(Fact::HostAddresses(fact)) };
            let object = match before.remove(&key) {
                Some(same) if *same == object => {
                    if !self.scanned {
                        observations.push(Observation { key: key.clone(), object: Some(same.clone()) });
                    }
                    same
                }
                _ => {
                    let object = Arc::new(object);
                    observations.push(Observation { key: key.clone(), object: Some(object.clone()) });
                    object
                }
            };
            self.objects.insert(key, object);
        }
        observations.extend(before.into_keys().map(|key| Observation { key, object: None }));
        observations.sort_by(|one, other| one.key.cmp(&other.key));
        let mended = self.unreadable.take().is_some();
        let other_findings = std::mem::replace(&mut self.findings, hosts.findings) != self.findings;
        let first = !std::mem::replace(&mut self.scanned, true);
        (first || mended || other_findings || !observations.is_empty()).then_some(observations)
    }

    /// Takes it that the file cannot be read; true if that is news.
    fn take_unreadable(&mut self, error: &io::Error) -> bool {
        let finding = Finding::new(FindingCode::Unreadable, format!("{}; what was last known stays", reason(error)))
            .at(&self.shown, 0, 0)
            .help("bring the file back; an empty one says that no name has addresses");
        self.unreadable.replace(finding.clone()) != Some(finding)
    }

    fn batch(&self, observations: Vec<Observation>) -> Batch {
        let mut findings = self.findings.clone();
        findings.extend(self.unreadable.clone());
        findings.sort_unstable();
        let lost = self.unreadable.is_some();
        Batch { observations, findings, ignored: BTreeMap::new(), complete: self.scanned && !lost, lost }
    }
}

struct Engine {
    hosts: HostsFile,
    pending: Pending,
    watches: Option<Watches>,
    /// What the path leads over, links included.
    steps: Vec<(PathBuf, std::ffi::OsString)>,
}

/// The one path that is pending or not.
const FILE: &str = "file";

impl Engine {
    fn run(&mut self, notices: &Receiver<Notice>, sender: &Sender<Batch>) {
        let mut next_look = Instant::now();
        loop {
            let now = Instant::now();
            let told = !self.pending.take_due().is_empty();
            let gone = !self.pending.take_gone(now).is_empty();
            if told || gone || now >= next_look {
                self.rewatch();
                let batch = self.look(told, gone, now);
                if let Some(batch) = batch
                    && sender.blocking_send(batch).is_err()
                {
                    return;
                }
                let slow = self.watches.is_some() && self.hosts.unreadable.is_none();
                next_look = now + if slow { RESCAN } else { POLL };
            }
            if sender.is_closed() {
                return;
            }
            let due = self.pending.next().map_or(next_look, |due| due.min(next_look));
            match notices.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(Notice::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(notice) => self.note(notice, &mut next_look),
                Err(RecvTimeoutError::Timeout) => {}
            }
            while let Ok(notice) = notices.try_recv() {
                if matches!(notice, Notice::Stop) {
                    return;
                }
                self.note(notice, &mut next_look);
            }
        }
    }

    fn note(&mut self, notice: Notice, next_look: &mut Instant) {
        let now = Instant::now();
        let (path, happening) = match notice {
            Notice::At(path, happening) => (path, happening),
            Notice::Overflow => {
                self.pending.forget_writers();
                *next_look = now;
                return;
            }
            Notice::Trouble(reason) => {
                tracing::warn!(file = &*self.hosts.shown, reason, "no notifications of changed files");
                self.watches = None;
                return;
            }
            Notice::Stop => return,
        };
        let ours = self.steps.iter().any(|(folder, name)| path == folder.join(name));
        if !ours {
            return;
        }
        let sign = match happening {
            Happening::Closed | Happening::MovedHere | Happening::Permissions => Sign::Written,
            Happening::Appeared => {
                let linked = fs::symlink_metadata(&path).is_ok_and(|metadata| {
                    metadata.is_symlink() || std::os::unix::fs::MetadataExt::nlink(&metadata) > 1
                });
                if linked { Sign::Written } else { Sign::Changing }
            }
            Happening::Changing => Sign::Changing,
            Happening::Gone => Sign::Gone,
        };
        self.pending.sign(FILE, sign, now);
    }

    /// Reads the file; a batch if that is news.
    fn look(&mut self, told: bool, settled: bool, now: Instant) -> Option<Batch> {
        if !told && (self.pending.is_being_written(FILE) || self.pending.is_gone(FILE)) {
            return None;
        }
        match read(&self.hosts.path) {
            Ok(text) if text.is_empty() && !settled && self.hosts.scanned && !self.hosts.objects.is_empty() => {
                self.pending.sign(FILE, Sign::Gone, now);
                None
            }
            Ok(text) => self.hosts.take(&text).map(|observations| self.hosts.batch(observations)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !settled && self.hosts.unreadable.is_none() => {
                self.pending.sign(FILE, Sign::Gone, now);
                None
            }
            Err(error) => self.hosts.take_unreadable(&error).then(|| self.hosts.batch(Vec::new())),
        }
    }

    /// Watches what the path leads over now.
    fn rewatch(&mut self) {
        let path = std::path::absolute(&self.hosts.path).unwrap_or_else(|_| self.hosts.path.clone());
        let folder = path.parent().and_then(|parent| fs::canonicalize(parent).ok());
        let (Some(folder), Some(name), Some(watches)) = (folder, path.file_name(), &mut self.watches) else { return };
        let now = steps(&folder, name);
        let results: Result<Vec<()>, String> = now.iter().map(|(folder, _)| watches.add(folder)).collect();
        for (folder, _) in std::mem::replace(&mut self.steps, now) {
            watches.remove(&folder);
        }
        if let Err(reason) = results {
            tracing::warn!(file = &*self.hosts.shown, reason, "no notifications of changed files");
            self.watches = None;
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Asked before opening, because opening a named pipe waits for its writer.
    if fs::metadata(path)?.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    fs::read(path)
}

/// Cuts what is too long for a message.
fn shorten(text: &str) -> String {
    if text.chars().count() <= 80 { text.to_owned() } else { text.chars().take(80).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    fn parsed(text: &[u8]) -> (Vec<String>, Vec<String>) {
        let hosts = parse(text, &"hosts".into());
        let name =
            |(name, (addresses, line)): (&String, &(BTreeSet<IpAddr>, u32))| format!("{line} {name} {addresses:?}");
        (hosts.names.iter().map(name).collect(), hosts.findings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn lines_of_one_name_are_united_and_names_are_lower_cased() {
        let text = b"# load balancers\n\
            192.0.2.2\ta.elb.example   A.ELB.example. b.elb.example # both\n\
            \r\n\
            192.0.2.1 A.elb.example\n\
            2001:db8::1 a.elb.example\r\n\
            192.0.2.1 a.elb.example";
        assert_eq!(
            parsed(text),
            (
                vec![
                    "2 a.elb.example {192.0.2.1, 192.0.2.2, 2001:db8::1}".to_owned(),
                    "2 b.elb.example {192.0.2.2}".to_owned()
                ],
                Vec::new()
            )
        );
    }

    #[test]
    fn a_wrong_line_is_left_out_alone_with_its_place() {
        let (names, findings) =
            parsed(b"192.0.2.300 a.example\n192.0.2.1\n  192.0.2.1 ok.example under_score.example\n192.0.2.1 \xff\n");
        assert_eq!(names, ["3 ok.example {192.0.2.1}"]);
        assert_eq!(
            findings,
            [
                "hosts:1:1: error[syntax]: `192.0.2.300` is no IP address; the line is left out\n  help: write an \
                 address, then its names",
                "hosts:2:1: error[syntax]: an address without a name\n  help: add its names, or remove the line",
                "hosts:3:24: error[syntax]: `under_score.example` is no host name, and is left out: the label \
                 `under_score` may only have letters, digits and hyphens, with no hyphen at its ends\n  help: write \
                 letters, digits, hyphens and dots",
                "hosts:4:1: error[syntax]: the line is not UTF-8, and is left out\n  help: write names in ASCII",
            ]
        );
    }

    fn told(batch: &Batch) -> Vec<String> {
        let sign = |observation: &Observation| if observation.object.is_some() { '+' } else { '-' };
        batch.observations.iter().map(|observation| format!("{}{}", sign(observation), observation.key.name)).collect()
    }

    #[test]
    fn what_is_gone_since_a_restart_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hosts");
        fs::write(&path, "192.0.2.1 a.example b.example\n").expect("a file");
        let (mut hosts, batch) = HostsFile::open(&path).expect("a file");
        assert_eq!(told(&batch), ["+a.example", "+b.example"]);
        assert_eq!(told(&hosts.scan().expect("a scan")), Vec::<String>::new());
        fs::write(&path, "192.0.2.1 a.example\n192.0.2.3 c.example\n").expect("a file");
        let mut again = HostsFile::new(&path);
        again.adopt(batch.observations.into_iter().filter_map(|seen| Some((seen.key, seen.object?))));
        assert_eq!(told(&again.scan().expect("a scan")), ["+a.example", "-b.example", "+c.example"]);
    }

    #[test]
    fn a_file_is_followed_and_its_loss_takes_nothing_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hosts");
        fs::write(&path, "192.0.2.1 a.example\n").expect("a file");
        let (hosts, _) = HostsFile::open(&path).expect("a file");
        let (sender, mut batches) = mpsc::channel(8);
        let _follower = hosts.watch(sender).expect("a thread");
        let mut next = move || {
            let deadline = Instant::now() + Duration::from_secs(20);
            loop {
                match batches.try_recv() {
                    Ok(batch) => return batch,
                    Err(_) => assert!(Instant::now() < deadline, "no batch"),
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        // The follower may not be there yet; its first look sees this, or else its notices do.
        fs::write(&path, "192.0.2.1 a.example b.example\n").expect("a file");
        assert_eq!(told(&next()), ["+b.example"]);
        let new = folder.path().join("new");
        fs::write(&new, "192.0.2.9 a.example b.example\n").expect("a file");
        fs::rename(&new, &path).expect("a rename");
        assert_eq!(told(&next()), ["+a.example", "+b.example"]);
        fs::remove_file(&path).expect("a file");
        let batch = next();
        assert_eq!((told(&batch), batch.lost, batch.findings.len()), (Vec::new(), true, 1));
        fs::write(&path, "192.0.2.9 a.example b.example\n").expect("a file");
        let batch = next();
        assert_eq!((told(&batch), batch.lost, batch.findings.len()), (Vec::new(), false, 0));
        fs::write(&path, "").expect("a file");
        assert_eq!(told(&next()), ["-a.example", "-b.example"]);
    }
}
