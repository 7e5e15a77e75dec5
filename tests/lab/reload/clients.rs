//! Connections that stay open and ask again and again, and new ones beside them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use jlb_bench::content;
use jlb_bench::web::HOST_HEADER;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::harness::{Lab, eventually, vips};

/// Threads that ask, each on its share of the connections.
const THREADS: usize = 8;

/// Bytes of an answer.
const LENGTH: usize = 1_000;

/// A connection that is told what it must be told, or an error.
type Asked<T> = Result<T, String>;

/// A connection to a service of the lab.
pub(crate) fn connect(lab: &Lab, target: SocketAddr) -> io::Result<TcpStream> {
    let stream = lab.client().connect(target)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Asks once, and checks every byte; returns the head of the answer.
fn ask(stream: &mut TcpStream) -> Asked<String> {
    let request = format!("GET /bytes/{LENGTH} HTTP/1.1\r\nhost: lab\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .map_err(|error| format!("can't ask: {error}"))?;
    let mut got = Vec::new();
    let mut bytes = [0; 4_096];
    loop {
        let end = got.windows(4).position(|it: &[u8]| it == b"\r\n\r\n");
        if let Some(end) = end
            && got.len() >= end + 4 + LENGTH
        {
            let (head, body) = got.split_at(end + 4);
            if body.len() != LENGTH || !content::matches(0, body) {
                return Err("wrong bytes".into());
            }
            return Ok(String::from_utf8_lossy(head).into_owned());
        }
        match stream.read(&mut bytes) {
            Ok(0) => return Err("closed amid an answer".into()),
            Ok(count) => got.extend(&bytes[..count]),
            Err(error) => return Err(format!("no answer: {error}")),
        }
    }
}

/// The host that answers on a connection, as it says.
pub(crate) fn host_of(stream: &mut TcpStream) -> Asked<String> {
    let head = ask(stream)?;
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let said = lines.find(|(name, _)| name.eq_ignore_ascii_case(HOST_HEADER));
    let (_, host) = said.ok_or_else(|| format!("no host says that it answers: {head}"))?;
    Ok(host.to_owned())
}

/// Asks on all connections in turn until told to stop; each must be answered by one host for ever.
fn ask_all(mut streams: Vec<TcpStream>, over: &AtomicBool, answered: &AtomicU64) -> Asked<()> {
    let mut hosts = Vec::new();
    for stream in &mut streams {
        hosts.push(host_of(stream)?);
    }
    while !over.load(Ordering::Relaxed) {
        for (stream, host) in streams.iter_mut().zip(&hosts) {
            let now = host_of(stream)?;
            if now != *host {
                return Err(format!("a flow moved from {host} to {now}"));
            }
            answered.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}

/// Clients that ask until they are told to stop.
pub(crate) struct Clients {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    opened: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Asked<()>>>,
}

impl Clients {
    /// So many connections, to each VIP in turn, and one that is new all the while. All of them have
    /// been answered when this returns.
    pub(crate) fn start(lab: &Lab, connections: usize) -> Self {
        // Each connection is a file; the usual limit is 1,024.
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: limit.maximum,
            ..limit
        };
        setrlimit(Resource::Nofile, raised).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let opened = Arc::new(AtomicU64::new(0));
        let target = |at: usize| SocketAddr::new(vips()[at % 2], 80);
        let mut shares: Vec<Vec<TcpStream>> = (0..THREADS).map(|_| Vec::new()).collect();
        for at in 0..connections {
            shares[at / 2 % THREADS].push(connect(lab, target(at)).unwrap());
        }
        let mut threads: Vec<_> = shares
            .into_iter()
            .map(|streams| {
                let (over, answered) = (Arc::clone(&over), Arc::clone(&answered));
                std::thread::spawn(move || ask_all(streams, &over, &answered))
            })
            .collect();
        let (client, stop, count) = (lab.client(), Arc::clone(&over), Arc::clone(&opened));
        threads.push(std::thread::spawn(move || {
            let mut at = 0;
            while !stop.load(Ordering::Relaxed) {
                let stream = client.connect(target(at));
                let mut stream = stream.map_err(|error| format!("can't connect: {error}"))?;
                ask(&mut stream)?;
                count.fetch_add(1, Ordering::Relaxed);
                at += 1;
                std::thread::sleep(Duration::from_millis(2));
            }
            Ok(())
        }));
        let clients = Self {
            over,
            answered,
            opened,
            threads,
        };
        eventually(
            Duration::from_secs(30),
            "all connections are answered",
            || {
                let answered = clients.answered.load(Ordering::Relaxed);
                let enough = answered >= connections as u64;
                enough.then_some(()).ok_or(format!("{answered} answers"))
            },
        );
        clients
    }

    /// Stops all of them, and panics if any saw an error; returns how many answers there were on
    /// connections that stayed, and how many new connections.
    pub(crate) fn end(self) -> (u64, u64) {
        self.over.store(true, Ordering::Relaxed);
        let results = self
            .threads
            .into_iter()
            .map(|thread| thread.join().unwrap());
        let errors: Vec<String> = results.filter_map(Result::err).collect();
        assert!(errors.is_empty(), "connections broke: {errors:?}");
        (
            self.answered.load(Ordering::Relaxed),
            self.opened.load(Ordering::Relaxed),
        )
    }
}
