//! nginx with a small accept queue and a slow upstream. It serves as operators know it from a full disk
//! or a log collector that hangs: nginx writes a line for each request with a `write` that blocks. Its
//! worker waits there and accepts nobody meanwhile, so that the kernel's accept queue fills, although
//! the process lives and the kernel goes on with handshakes.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::harness::{Lab, eventually, signal};

/// What nginx asks the kernel to let wait.
pub(crate) const BACKLOG: u32 = 8;

/// Bytes of a line: a page, so that a pipe holds as many lines as pages.
const LINE: usize = 4096;

/// Lines that a pipe takes that nobody reads.
pub(crate) const PIPE_LINES: u32 = 16;

const O_NONBLOCK: i32 = 0o4000;

/// Lines a second of a collector that takes all there are.
const FREE: u32 = u32::MAX;

/// What a host's nginx writes its log to.
pub(crate) struct Collector {
    pace: Arc<AtomicU32>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Collector {
    /// Has a host's nginx write to a collector from now on, with a small accept queue.
    pub(crate) fn start(lab: &Lab, host: &str) -> Self {
        let own = lab.directory().join(format!("nginx-{host}"));
        let pipe = own.join("log-pipe");
        let named = pipe.to_str().unwrap();
        lab.inside(host).must("mkfifo", &[named]);
        // Open for writing too, so that this does not wait for a writer.
        let reads = File::options()
            .read(true)
            .write(true)
            .custom_flags(O_NONBLOCK)
            .open(&pipe)
            .unwrap();

        let path = own.join("nginx.conf");
        let conf = std::fs::read_to_string(&path).unwrap();
        // A word of a configuration may not be that long.
        let third = format!("'{}'", "x".repeat((LINE - 1) / 3));
        let log = format!("log_format page {third} {third} {third};\naccess_log {named} page;");
        let changed = conf
            .replace("access_log off;", &log)
            .replace("backlog=65535", &format!("backlog={BACKLOG}"));
        assert_ne!(conf, changed);
        std::fs::write(&path, changed).unwrap();
        let pid = std::fs::read_to_string(own.join("nginx.pid")).unwrap();
        signal("HUP", pid.trim().parse().unwrap());
        eventually(Duration::from_secs(5), "nginx has its backlog", || {
            let said = lab.inside(host).must("ss", &["-Hltn4", "sport = :80"]);
            let backlog = said.split_whitespace().nth(2).map(str::to_owned);
            let has = backlog.as_deref() == Some(&BACKLOG.to_string());
            has.then_some(()).ok_or(said)
        });

        let pace = Arc::new(AtomicU32::new(FREE));
        let over = Arc::new(AtomicBool::new(false));
        let (its_pace, its_end) = (Arc::clone(&pace), Arc::clone(&over));
        let thread = std::thread::spawn(move || collect(reads, &its_pace, &its_end));
        Self {
            pace,
            over,
            thread: Some(thread),
        }
    }

    /// Takes so many lines a second from now on.
    pub(crate) fn slow(&self, lines_a_second: u32) {
        self.pace.store(lines_a_second, Ordering::Relaxed);
    }

    /// Takes all lines from now on.
    pub(crate) fn free(&self) {
        self.slow(FREE);
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn collect(mut pipe: File, pace: &AtomicU32, over: &AtomicBool) {
    let moment = Duration::from_millis(2);
    let mut waited = Duration::ZERO;
    let mut bytes = vec![0; LINE];
    while !over.load(Ordering::Relaxed) {
        let pace = pace.load(Ordering::Relaxed);
        if pace != FREE && waited * pace < Duration::from_secs(1) {
            std::thread::sleep(moment);
            waited += moment;
            continue;
        }
        waited = Duration::ZERO;
        match pipe.read(&mut bytes) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(moment),
            Err(error) => panic!("the pipe can't be read: {error}"),
        }
    }
}
