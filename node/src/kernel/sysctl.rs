//! The network settings under `/proc/sys/net`, of the calling thread's namespace.

use crate::kernel::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = "/proc/sys/net";

/// Reads the setting at `key`, a path below `/proc/sys/net` such as `ipv4/ip_forward`. Slashes and
/// not dots, because names of devices have dots.
///
/// # Errors
/// Names the key.
pub fn read(key: &str) -> Result<String> {
    let text = fs::read_to_string(path(key)).map_err(|e| Error::new(format!("read {key}"), e))?;
    Ok(text.trim().to_owned())
}

/// Sets it, unless it has that value already: in a container the settings may be right and not
/// writable.
///
/// # Errors
/// Names the key and the value.
pub fn write(key: &str, value: &str) -> Result<()> {
    if read(key)? == value {
        return Ok(());
    }
    fs::write(path(key), value).map_err(|e| Error::new(format!("set {key} to {value}"), e))
}

/// Raises a number that is lower than `least`.
///
/// # Errors
/// Names the key and the value.
pub fn raise(key: &str, least: u32) -> Result<()> {
    let now = read(key)?;
    if now.parse::<u32>().is_ok_and(|now| now >= least) {
        return Ok(());
    }
    write(key, &least.to_string())
}

fn path(key: &str) -> PathBuf {
    Path::new(ROOT).join(key)
}
