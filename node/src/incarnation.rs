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
/// [`Error::State`] if the directory can't be written: without it, a clock set back would make
/// this start look older than the last.
pub(crate) fn next(directory: &Path, node: &str) -> Result<u32, Error> {
    let path = directory.join(format!("{node}.incarnation"));
    let fail = |source| Error::State {
        path: path.clone(),
        source,
    };
    std::fs::create_dir_all(directory).map_err(fail)?;
    let stored = match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().parse::<u32>().unwrap_or(0),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(fail(error)),
    };
    let wall = u32::try_from(clock::wall_seconds().saturating_sub(EPOCH)).unwrap_or(u32::MAX);
    let incarnation = wall.max(stored.saturating_add(1)).max(1);
    let fresh = directory.join(format!("{node}.incarnation.new"));
    std::fs::write(&fresh, format!("{incarnation}\n")).map_err(fail)?;
    std::fs::File::open(&fresh)
        .and_then(|file| file.sync_all())
        .map_err(fail)?;
    std::fs::rename(&fresh, &path).map_err(fail)?;
    Ok(incarnation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_start_is_later_than_the_last_even_if_the_clock_went_back() {
        let directory =
            std::env::temp_dir().join(format!("jlb-incarnation-{}", std::process::id()));
        let first = next(&directory, "a").unwrap();
        let second = next(&directory, "a").unwrap();
        assert!(second > first);
        let ahead = first + 1_000_000;
        std::fs::write(directory.join("a.incarnation"), format!("{ahead}\n")).unwrap();
        assert_eq!(next(&directory, "a").unwrap(), ahead + 1);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
