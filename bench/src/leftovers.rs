//! Takes labs away: the own one at its end, others that lost their process, kept ones by command.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use tokio::time::Instant;

use crate::error::{Doing, Result};
use crate::netns::Namespace;
use crate::plan::Plan;
use crate::process_id::{Grip, ProcessId};
use crate::state::State;

/// How long processes may take to end by themselves.
const GRACE: Duration = Duration::from_secs(3);
/// How long the kernel may take to end what was killed.
const KILL_GRACE: Duration = Duration::from_secs(5);

/// Removes every lab whose process is gone, unless it is to be kept; returns their ids.
///
/// # Errors
/// When something of one of them cannot be removed.
pub fn sweep() -> Result<Vec<String>> {
    State::remove_unfinished();
    let mut removed = Vec::new();
    for state in State::all() {
        if !state.kept && !state.owner.is_alive() {
            remove(&state)?;
            removed.push(state.id);
        }
    }
    Ok(removed)
}

/// Removes everything of one lab: processes, namespaces with their devices, files. What is
/// removed already is no error.
///
/// # Errors
/// The first failure; everything else is tried before it is returned.
pub fn remove(state: &State) -> Result<()> {
    let namespaces = Namespace::list(&Plan::prefix_of(&state.id))?;
    end_processes(state, &namespaces);
    let mut outcome = Ok(());
    for namespace in &namespaces {
        outcome = outcome.and(namespace.delete());
    }
    outcome = outcome.and(match fs::remove_dir_all(&state.directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).doing(format_args!("remove {}", state.directory.display()))
        }
        _ => Ok(()),
    });
    // Only a lab that is gone is forgotten: the next start tries again.
    outcome.and_then(|()| state.remove())
}

fn end_processes(state: &State, namespaces: &[Namespace]) {
    let mut ids: Vec<ProcessId> = state.processes.iter().map(|process| process.id).collect();
    ids.extend(strays(namespaces, &state.programs));
    let grips = |ids: &[ProcessId]| ids.iter().filter_map(|id| id.grip()).collect::<Vec<_>>();
    let asked = grips(&ids);
    for grip in &asked {
        grip.signal(Signal::TERM);
    }
    wait_for(&asked, GRACE);
    // Workers that a server started meanwhile are found now.
    ids.extend(strays(namespaces, &state.programs));
    let stubborn = grips(&ids);
    for grip in &stubborn {
        grip.signal(Signal::KILL);
    }
    wait_for(&stubborn, KILL_GRACE);
}

/// Waits until all of them have ended or the time is over.
fn wait_for(grips: &[Grip], longest: Duration) {
    let deadline = Instant::now() + longest;
    for grip in grips {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).ok();
        let mut ended = [PollFd::from_borrowed_fd(grip.fd().as_fd(), PollFlags::IN)];
        // Only a signal interrupts it; the next process is waited for then.
        let _ = poll(&mut ended, left.as_ref());
    }
}

/// Processes of the lab's programs in its namespaces: those that a lab started but had no time to
/// write down, and those that its servers started. A person's shell in there is left alone.
fn strays(namespaces: &[Namespace], programs: &[PathBuf]) -> Vec<ProcessId> {
    let inodes: BTreeSet<u64> = namespaces
        .iter()
        .filter_map(|namespace| fs::metadata(namespace.path()).ok().map(|m| m.st_ino()))
        .collect();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let process = Path::new("/proc").join(pid.to_string());
            let inside = fs::metadata(process.join("ns/net"))
                .is_ok_and(|metadata| inodes.contains(&metadata.st_ino()));
            inside && fs::read_link(process.join("exe")).is_ok_and(|exe| is_one(&exe, programs))
        })
        .filter(|pid| *pid != std::process::id())
        .filter_map(ProcessId::of)
        .collect()
}

/// Whether `exe` is one of the programs, also when its file was replaced since it started.
fn is_one(exe: &Path, programs: &[PathBuf]) -> bool {
    let text = exe.to_string_lossy();
    let exe = Path::new(text.strip_suffix(" (deleted)").unwrap_or(&text));
    programs.iter().any(|program| program == exe)
}

#[cfg(test)]
mod tests;
