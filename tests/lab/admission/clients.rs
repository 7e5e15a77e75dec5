//! Clients that come whether or not those before them are served.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jlb_bench::plan::VIP_V4;

use crate::harness::Namespace;

/// How long a client waits; longer than any server is slow.
const PATIENCE: Duration = Duration::from_secs(8);

/// The most that come in one run.
const MOST: u32 = 10_000;

/// One connection for one answer.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) opened: Instant,
    /// When its handshake was over.
    pub(crate) connected: Option<Instant>,
    pub(crate) ended: Instant,
    /// The host that answered, or what went wrong.
    pub(crate) outcome: Result<String, String>,
}

/// A thread from which they come.
pub(crate) struct Clients {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Attempt>>,
}

impl Clients {
    /// So many a second.
    pub(crate) fn start(place: Namespace, rate: u32) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let thread = std::thread::spawn(move || place.enter(|| come(&ended, rate)));
        Self { over, thread }
    }

    /// No more of them; all that came, when they have what they came for.
    pub(crate) fn end(self) -> Vec<Attempt> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn come(over: &AtomicBool, rate: u32) -> Vec<Attempt> {
    let mut due = Instant::now();
    let mut threads = Vec::new();
    for _ in 0..MOST {
        // What a busy machine made late is not made up for: that would be a burst.
        due = Instant::now().max(due + Duration::from_secs(1) / rate);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if over.load(Ordering::Relaxed) {
            break;
        }
        // It is in this thread's namespace.
        let builder = std::thread::Builder::new().stack_size(128 << 10);
        threads.push(builder.spawn(attempt).unwrap());
    }
    let attempts = threads.into_iter().map(|thread| thread.join().unwrap());
    attempts.collect()
}

fn attempt() -> Attempt {
    let opened = Instant::now();
    let mut connected = None;
    let outcome = ask(&mut connected);
    Attempt {
        opened,
        connected,
        ended: Instant::now(),
        outcome: outcome.map_err(|error| error.to_string()),
    }
}

fn ask(connected: &mut Option<Instant>) -> std::io::Result<String> {
    let vip = SocketAddr::new(VIP_V4.into(), 80);
    let mut stream = TcpStream::connect_timeout(&vip, PATIENCE)?;
    *connected = Some(Instant::now());
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: lab\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nhere\n") {
        let mut bytes = [0; 1024];
        match stream.read(&mut bytes)? {
            0 => return Err(std::io::Error::other("closed before the answer was over")),
            count => answer.extend(&bytes[..count]),
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    let host = answer
        .lines()
        .find_map(|line| line.strip_prefix("x-host: "));
    host.map(str::to_owned)
        .ok_or_else(|| std::io::Error::other("no host said its name"))
}
