//! The processes of a lab: whether they live, how they die, and how they come back.

use std::process::Stdio;
use std::time::Duration;

use jlb_bench::state::State;

use super::{Background, Lab, eventually, signal};

impl Lab {
    /// What is written down about it.
    pub(crate) fn state(&self) -> State {
        State::all()
            .into_iter()
            .find(|state| state.id == self.plan.id)
            .expect("the lab is written down")
    }

    /// The process with that name in the state file.
    pub(crate) fn pid(&self, name: &str) -> u32 {
        let state = self.state();
        let process = state.processes.iter().find(|process| process.name == name);
        process
            .unwrap_or_else(|| panic!("no process {name} in the lab"))
            .id
            .pid
    }

    /// Panics unless every process that the lab started still runs.
    pub(crate) fn assert_all_alive(&self) {
        let state = self.state();
        let dead: Vec<&str> = state
            .processes
            .iter()
            .filter(|process| !process.id.is_alive())
            .map(|process| process.name.as_str())
            .collect();
        assert!(dead.is_empty(), "died: {}", dead.join(", "));
    }

    /// Kills a node's process as the kernel would for want of memory; returns the words that it
    /// was started with.
    pub(crate) fn kill(&self, name: &str) -> Vec<String> {
        let pid = self.pid(name);
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        signal("KILL", pid);
        eventually(Duration::from_secs(5), "a killed process ends", || {
            // Its files are open until the last of its threads has ended, which may take a while in the
            // kernel; whom it had for a parent may still want to know of it.
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            let has_ended = stat.map_or(true, |stat| stat.contains(") Z "));
            let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
            let gone = has_ended && threads.map_or(0, Iterator::count) <= 1;
            gone.then_some(()).ok_or_else(|| format!("{pid} is there"))
        });
        String::from_utf8(words)
            .unwrap()
            .split_terminator('\0')
            .map(str::to_owned)
            .collect()
    }

    /// Starts a node with these words. The process ends with the value.
    pub(crate) fn start_again(&self, name: &str, words: &[String]) -> Background {
        let log = self.directory().join(format!("logs/{name}-again.log"));
        let log = std::fs::File::create(log).unwrap();
        let mut command = self.inside(name).command(&words[0]);
        command
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        Background(command.spawn().unwrap())
    }
}
