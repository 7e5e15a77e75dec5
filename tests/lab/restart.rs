//! A host agent dies and comes back while its host serves; its connections do not notice.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jlb_bench::content;

use crate::harness::{FORGOTTEN_WITHIN, Lab, Wanted, eventually, http, vips};

/// Slow downloads and connections with one request after the other, over all hosts.
const DOWNLOADS: usize = 320;
const ASKING: usize = 160;
const HOSTS: u16 = 2;
/// What must go through the host whose agent dies, at least.
const ENOUGH: u64 = 200;

/// Bytes of a download, and how many of them a client takes a second.
const LENGTH: u64 = 4_000_000;
const RATE: u64 = 250_000;

/// Clients that ask until they are told to stop.
struct Clients {
    over: Arc<AtomicBool>,
    begun: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Result<(), String>>>,
}

impl Clients {
    fn start(lab: &Lab) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let begun = Arc::new(AtomicUsize::new(0));
        let mut threads = Vec::new();
        for at in 0..DOWNLOADS + ASKING {
            let vip = vips()[at % 2];
            let stream = lab.client().connect(SocketAddr::new(vip, 80)).unwrap();
            let (over, begun) = (Arc::clone(&over), Arc::clone(&begun));
            let work = move || {
                begun.fetch_add(1, Ordering::Relaxed);
                if at < DOWNLOADS {
                    download(stream)
                } else {
                    ask(stream, &over)
                }
            };
            let builder = std::thread::Builder::new().stack_size(256 << 10);
            threads.push(builder.spawn(work).unwrap());
        }
        Self {
            over,
            begun,
            threads,
        }
    }

    fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        let broken: Vec<String> = self
            .threads
            .into_iter()
            .filter_map(|thread| thread.join().unwrap().err())
            .collect();
        let count = broken.len();
        assert!(
            broken.is_empty(),
            "{count} connections broke, such as: {:?}",
            &broken[..1]
        );
    }
}

/// Reads the head of an answer; returns what came of the body with it.
fn head(stream: &mut TcpStream) -> Result<Vec<u8>, String> {
    let mut got = Vec::new();
    loop {
        if let Some(end) = got.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            return Ok(got.split_off(end + 4));
        }
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes) {
            Ok(0) => return Err("closed before an answer".into()),
            Ok(count) => got.extend(&bytes[..count]),
            Err(error) => return Err(format!("no answer: {error}")),
        }
    }
}

/// Takes one long answer slowly, and looks at every byte.
fn download(mut stream: TcpStream) -> Result<(), String> {
    let request = format!("GET /bytes/{LENGTH} HTTP/1.1\r\nhost: lab\r\nconnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .map_err(|error| error.to_string())?;
    let begin = Instant::now();
    let mut bytes = head(&mut stream)?;
    let mut done = 0;
    loop {
        if !content::matches(done, &bytes) {
            return Err(format!("wrong bytes after {done}"));
        }
        done += bytes.len() as u64;
        let due = Duration::from_millis(done * 1000 / RATE);
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
        bytes.resize(64 << 10, 0);
        match stream.read(&mut bytes) {
            Ok(0) if done == LENGTH => return Ok(()),
            Ok(0) => return Err(format!("closed after {done} bytes")),
            Ok(count) => bytes.truncate(count),
            Err(error) => return Err(format!("after {done} bytes: {error}")),
        }
    }
}

/// Asks again and again on one connection.
fn ask(mut stream: TcpStream, over: &AtomicBool) -> Result<(), String> {
    while !over.load(Ordering::Relaxed) {
        let request = b"GET /bytes/1000 HTTP/1.1\r\nhost: lab\r\n\r\n";
        stream
            .write_all(request)
            .map_err(|error| error.to_string())?;
        let mut body = head(&mut stream)?;
        let rest = body.len();
        body.resize(1_000, 0);
        stream
            .read_exact(&mut body[rest..])
            .map_err(|error| error.to_string())?;
        if !content::matches(0, &body) {
            return Err("wrong bytes".into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

#[test]
fn no_connection_breaks_when_a_host_agent_is_killed_and_started_again() {
    let lab = Lab::start(Wanted {
        hosts: HOSTS,
        ..Wanted::default()
    });
    let host = lab
        .nodes()
        .iter()
        .find(|node| node.name == "host-1")
        .unwrap();
    let clients = Clients::start(&lab);
    eventually(Duration::from_secs(10), "all clients ask", || {
        let begun = clients.begun.load(Ordering::Relaxed);
        if begun == DOWNLOADS + ASKING {
            Ok(())
        } else {
            Err(format!("{begun}"))
        }
    });
    std::thread::sleep(Duration::from_secs(2));
    let flows = |lab: &Lab| lab.metrics(host).sum("jlb_host_flows", &[]);
    let before = flows(&lab);
    assert!(
        before >= ENOUGH,
        "only {before} connections at {}",
        host.name
    );

    let words = lab.kill(&host.name);
    std::thread::sleep(Duration::from_millis(1_500));
    let _agent = lab.start_again(&host.name, &words);
    eventually(Duration::from_secs(5), "the agent is ready again", || {
        lab.is_ready(host)
    });
    let after = flows(&lab);
    assert!(
        after >= ENOUGH,
        "the agent knows {after} of {before} connections"
    );

    // Longer than it takes to read everything, with what was lost meanwhile repeated.
    std::thread::sleep(Duration::from_secs(6));
    clients.end();
    for vip in vips() {
        lab.client().must(
            "curl",
            &["-sS", "--fail", "-o", "/dev/null", &http(vip, "/")],
        );
    }
    lab.wait_until_empty(FORGOTTEN_WITHIN);
    lab.assert_books_balance();
}
