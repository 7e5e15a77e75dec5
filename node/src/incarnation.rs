//! A number that grows at each start of a node.

use crate::clock;
use crate::error::Error;
use std::path::Path;

/// 2020-01-01T00:00:00Z: incarnations count seconds from here, which 32 bits hold until 2156.
const EPOCH: u64 = 1_577_836_800;

/// The incarnation of this start: the larger of the wall clock (seconds since 2020) and the stored
/// last one plus one. It is stored before it is used.
///
/// # Errors
/// [`Error::State`] if the directory can't be written, or the file holds no number: without it, a
/// clock set back would make this start look older than the last, and no peer would listen.
pub(crate) fn next(directory: &Path, node: &str) -> Result<u32, Error> {
    let path = directory.join(format!("{node}.incarnation"));
    let fail = |source| Error::State {
        path: path.clone(),
        source,
    };
    std::fs::create_dir_all(directory).map_err(fail)?;
    let stored = match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().parse::<u32>().map_err(|_| fail(damaged()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(fail(error)),
    };
    let wall = u32::try_from(clock::wall_seconds().saturating_sub(EPOCH)).unwrap_or(u32::MAX);
    let after_last = stored.checked_add(1).ok_or_else(|| fail(damaged()))?;
    let incarnation = wall.max(after_last);
    let fresh = directory.join(format!("{node}.incarnation.new"));
    std::fs::write(&fresh, format!("{incarnation}\n")).map_err(fail)?;
    std::fs::File::open(&fresh)
        .and_then(|file| file.sync_all())
        .map_err(fail)?;
    std::fs::rename(&fresh, &path)
        .and_then(|()| std::fs::File::open(directory)?.sync_all())
        .map_err(fail)?;
    Ok(incarnation)
}

fn damaged() -> std::io::Error {
    std::io::Error::new(
        std::io::ErrorKind::InvalidData,
        "it holds no usable number; if the clock is right and was never ahead, delete it",
    )
}

#[cfg(test)]
mod tests;
