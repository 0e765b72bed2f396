//! One program per state directory.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process,
};

use crate::StateError;

/// Name of the lock file.
pub(crate) const LOCK: &str = "lock";

/// Takes the lock of a state directory; it is let go when the file is dropped, or when the process dies.
pub(crate) fn acquire(directory: &Path) -> Result<File, StateError> {
    let path = directory.join(LOCK);
    let open_error = |source| StateError::Lock { path: path.clone(), source };
    let writable = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    // A read-only disk still has what was known; a lock does not need to write.
    let mut file = writable.or_else(|error| File::open(&path).map_err(|_| error)).map_err(open_error)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let _ = (&mut file).take(32).read_to_string(&mut text);
            return Err(StateError::Locked { path: directory.to_owned(), holder: text.trim().parse().ok() });
        }
        Err(TryLockError::Error(error)) => return Err(open_error(error)),
    }
    // Who holds it is for people; failing to write it harms nothing.
    if file.set_len(0).is_ok() {
        let _ = writeln!(file, "{}", process::id());
    }
    Ok(file)
}
