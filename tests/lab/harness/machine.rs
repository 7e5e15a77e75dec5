//! The machine that the tests run on: what it must have, whose turn it is, and time.

use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

/// Programs that the tests run; `scripts/setup` installs them.
const TOOLS: [&str; 15] = [
    "chromium", "curl", "haproxy", "ip", "kill", "nft", "nginx", "openssl", "ping", "promtool",
    "ss", "tcpdump", "timeout", "tshark", "wrk",
];

/// Labs share two processors or so: one at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Waits for the turn of the caller and checks what every test needs.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static CHECK: Once = Once::new();
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    CHECK.call_once(check_machine);
    turn
}

fn check_machine() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let root = status.lines().any(|line| {
        line.strip_prefix("Uid:")
            .is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0"))
    });
    assert!(
        root,
        "these tests build network namespaces: run them as root (scripts/test)"
    );
    let has = |tool: &&str| {
        let mut words = Command::new("sh");
        words
            .args(["-c", "command -v \"$0\"", tool])
            .stdout(Stdio::null());
        words.status().is_ok_and(|status| status.success())
    };
    let missing: Vec<&str> = TOOLS.into_iter().filter(|tool| !has(tool)).collect();
    assert!(
        missing.is_empty(),
        "not installed: {}; scripts/setup does it",
        missing.join(", ")
    );
}

/// Whether there is time for long loads.
pub(crate) fn long() -> bool {
    std::env::var_os("JLB_LONG").is_some()
}

/// Looks until something is so; panics with the last complaint when the time is over.
pub(crate) fn eventually<T>(
    within: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<T, String>,
) -> T {
    let begin = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(complaint) if begin.elapsed() >= within => {
                panic!("{what}: not within {within:?}: {complaint}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(name: &str, pid: u32) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status();
    assert!(status.unwrap().success(), "no {name} for process {pid}");
}
