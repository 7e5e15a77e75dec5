//! What is written down about each lab, so that another process can take it away.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Doing, LabError, Result};
use crate::plan::Plan;
use crate::process_id::ProcessId;

/// Where the files are: in the run directory, which a restart of the machine empties as it does
/// the namespaces.
const DIRECTORY: &str = "/run/jlb-lab";
/// Extension of a file that is being written.
const NEW: &str = "new";

/// One process of a lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The node, or what else it is.
    pub name: String,
    /// Which process.
    pub id: ProcessId,
}

/// One lab, as written to disk. Written before the lab has anything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The lab.
    pub id: String,
    /// The process that runs it.
    pub owner: ProcessId,
    /// Whether it stays when the owner has ended.
    pub kept: bool,
    /// Its directory of configuration and logs.
    pub directory: PathBuf,
    /// The programs that run in its namespaces.
    pub programs: Vec<PathBuf>,
    /// Its processes.
    pub processes: Vec<Recorded>,
}

impl State {
    /// A new lab of this process, under an id that no other one has.
    ///
    /// # Errors
    /// When the run directory cannot be written.
    pub fn create() -> Result<Self> {
        fs::create_dir_all(DIRECTORY)
            .doing(format_args!("make {DIRECTORY}"))
            .map_err(|error| error.mend("run as root"))?;
        let owner = ProcessId::own().ok_or_else(|| {
            LabError::new("cannot read /proc/self/stat").mend("the lab needs /proc to be mounted")
        })?;
        loop {
            let id = new_id()?;
            let directory = Plan::directory_of(&id);
            let state = Self {
                id,
                owner,
                kept: false,
                directory,
                programs: Vec::new(),
                processes: Vec::new(),
            };
            if state.claim()? {
                return Ok(state);
            }
        }
    }

    /// Writes it for the first time; false if another lab has the id.
    fn claim(&self) -> Result<bool> {
        // A link comes into being with its content, and only if the name is free.
        let new = self
            .path()
            .with_extension(format!("{}.{NEW}", self.owner.pid));
        if let Err(error) = self.write_to(&new) {
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        let linked = fs::hard_link(&new, self.path());
        let _ = fs::remove_file(&new);
        match linked {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error).doing(format_args!("write in {DIRECTORY}")),
        }
    }

    /// Writes it anew, whole or not at all.
    ///
    /// # Errors
    /// When the run directory cannot be written.
    pub fn write(&self) -> Result<()> {
        let path = self.path();
        let new = path.with_extension(NEW);
        self.write_to(&new)?;
        fs::rename(&new, &path).doing(format_args!("write {}", path.display()))
    }

    fn write_to(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).doing("describe the lab")?;
        fs::write(path, text).doing(format_args!("write {}", path.display()))
    }

    /// Notes a process and writes that down.
    ///
    /// # Errors
    /// See [`State::write`].
    pub fn record(&mut self, name: &str, pid: u32) -> Result<()> {
        // One that has ended already needs no note.
        if let Some(id) = ProcessId::of(pid) {
            self.processes.push(Recorded {
                name: name.to_owned(),
                id,
            });
        }
        self.write()
    }

    /// All labs that are written down. A file that cannot be read is passed over: it is another
    /// version's, or was cut short before its lab had anything.
    pub fn all() -> Vec<Self> {
        let Ok(entries) = fs::read_dir(DIRECTORY) else {
            return Vec::new();
        };
        let mut all: Vec<Self> = entries
            .filter_map(|entry| Self::read(&entry.ok()?.path()))
            .collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    fn read(path: &Path) -> Option<Self> {
        if path.extension()? != "json" {
            return None;
        }
        let state: Self = serde_json::from_str(&fs::read_to_string(path).ok()?).ok()?;
        // What gets removed is named by the id; a file that was tampered with names nothing else.
        // Where the directory is depends on the environment of the lab that made it.
        let named = Plan::directory_of(&state.id);
        let its = state.path() == path
            && state.directory.is_absolute()
            && state.directory.file_name() == named.file_name();
        its.then_some(state)
    }

    /// Removes what a process that was killed at its first write left.
    pub(crate) fn remove_unfinished() {
        let Ok(entries) = fs::read_dir(DIRECTORY) else {
            return;
        };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            // `ID.PID.new`, see `claim`.
            let Some(pid) = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.strip_suffix(".new")?.rsplit_once('.'))
                .and_then(|(_, pid)| pid.parse().ok())
            else {
                continue;
            };
            if ProcessId::of(pid).is_none() {
                // Best effort: it is one small file that nobody reads.
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Forgets the lab.
    ///
    /// # Errors
    /// When the file is there and cannot be removed.
    pub fn remove(&self) -> Result<()> {
        let _ = fs::remove_file(self.path().with_extension(NEW));
        match fs::remove_file(self.path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).doing(format_args!("remove {}", self.path().display()))
            }
            _ => Ok(()),
        }
    }

    fn path(&self) -> PathBuf {
        Path::new(DIRECTORY).join(format!("{}.json", self.id))
    }
}

/// Four characters that are hard to mistake for a word.
fn new_id() -> Result<String> {
    let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid").doing("read a random number")?;
    Ok(uuid
        .chars()
        .filter(char::is_ascii_hexdigit)
        .take(4)
        .collect())
}
