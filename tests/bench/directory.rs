//! From a large federation directory to the first right answer: everything that a start does, in wall-clock time.

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use support::federation::{Federation, Shape};

use crate::{
    Setup,
    process::{Server, free_address},
    question::Asker,
    report::{Report, progress},
};

/// When to give up.
const DEADLINE: Duration = Duration::from_mins(2);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(5);

/// Writes the directory, starts mcdns on it, and asks for the record that comes last until it is there.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let federation = Federation::new(Shape::LARGE)?;
    let directory = folder.path().join("federation");
    let octets = federation.write(&directory).context("the federation cannot be written")?;
    progress(format_args!("{} MB of JSON written", octets / 1_000_000));

    let last = federation.shape().records - 1;
    let (name, addresses) = (federation.global_name(last), federation.addresses(last));
    let address = free_address()?;
    let log = folder.path().join("log");
    let state = folder.path().join("state");
    let arguments = run_arguments(&directory, address, &state)?;
    let start = Instant::now();
    let mut server = Server::start(&setup.mcdns, &arguments, address, None, &log)?;
    let mut asker = Asker::new(address, Duration::from_millis(100))?;
    let passed = asker.until(&name, &addresses, start, DEADLINE, PAUSE);
    server.check(&log)?;
    let seconds = passed?.as_secs_f64();
    report.at_most(
        format!("from a directory of {} MB of JSON to the first right answer", octets / 1_000_000),
        "at most 15 s",
        15.0,
        seconds,
        format!("{seconds:.1} s"),
    );
    report.information("memory of mcdns then", format!("{:.0} MiB", server.memory()));
    Ok(())
}

/// Arguments of `mcdns run` on a directory; nothing outside the folder and no well-known port is used.
pub(crate) fn run_arguments(directory: &Path, address: SocketAddr, state: &Path) -> anyhow::Result<Vec<String>> {
    let text = |path: &Path| path.display().to_string();
    Ok(vec![
        "run".to_owned(),
        text(directory),
        "--listen".to_owned(),
        address.to_string(),
        "--admin".to_owned(),
        free_address()?.to_string(),
        "--state-dir".to_owned(),
        text(state),
    ])
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use mcdns_core::model::{Object, Observation};
    use mcdns_sources::directory::{Directory, Options};

    use super::*;

    /// Objects by key, without where they stand.
    fn by_key(observations: impl IntoIterator<Item = Observation>) -> BTreeMap<String, Option<Object>> {
        let without_place = |object: Arc<Object>| Object { origin: None, ..(*object).clone() };
        observations
            .into_iter()
            .map(|observation| (format!("{:?}", observation.key), observation.object.map(without_place)))
            .collect()
    }

    #[test]
    fn a_directory_that_is_written_is_read_as_the_observations_that_are_computed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let federation = Federation::new(Shape::LARGE.tenth().tenth()).expect("the shape is possible");
        federation.write(folder.path()).expect("it is written");
        let (_directory, batch) = Directory::open(folder.path(), Options::default()).expect("it is read");
        assert_eq!(batch.findings, []);
        let (read, computed) = (by_key(batch.observations), by_key(federation.observations()));
        for (key, object) in &computed {
            assert_eq!(read.get(key), Some(object), "{key}");
        }
        assert_eq!(read.len(), computed.len());
    }
}
