//! Servers on all hosts of a lab that end their connections in a chosen manner.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jlb_bench::plan::Role;
use socket2::SockRef;

use crate::harness::Lab;

/// What a server does with a connection, after it answered each byte with one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    UntilClientCloses,
    CloseAfterAnswer,
    ResetAfterAnswer,
    CloseWhenIdle(Duration),
    /// Says that it will send no more, and goes on to receive.
    EndOfAnswersFirst,
}

/// They run until the value goes.
pub(crate) struct Servers {
    over: Arc<AtomicBool>,
    received: Arc<AtomicU64>,
    listeners: Vec<TcpListener>,
}

impl Servers {
    pub(crate) fn start(lab: &Lab, port: u16, manner: Manner) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let received = Arc::new(AtomicU64::new(0));
        let mut listeners = Vec::new();
        for host in lab.of(Role::Host) {
            let listener = lab.inside(&host.name).listen(port);
            listeners.push(listener.try_clone().unwrap());
            let (over, received) = (Arc::clone(&over), Arc::clone(&received));
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let received = Arc::clone(&received);
                    // What a client does to its connection ends only this thread.
                    std::thread::spawn(move || serve(stream?, manner, &received));
                }
            });
        }
        Self {
            over,
            received,
            listeners,
        }
    }

    /// Bytes that all servers got.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for listener in &self.listeners {
            let _ = SockRef::from(listener).shutdown(Shutdown::Both);
        }
    }
}

fn serve(mut stream: TcpStream, manner: Manner, received: &AtomicU64) -> std::io::Result<()> {
    if let Manner::CloseWhenIdle(idle) = manner {
        stream.set_read_timeout(Some(idle))?;
    }
    let mut buffer = vec![0; 1 << 16];
    let mut answering = true;
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        received.fetch_add(count as u64, Ordering::Relaxed);
        if answering {
            stream.write_all(&vec![b'!'; count])?;
        }
        match manner {
            Manner::UntilClientCloses | Manner::CloseWhenIdle(_) => {}
            Manner::CloseAfterAnswer => return Ok(()),
            Manner::ResetAfterAnswer => {
                // The answer must be on its way before the reset throws it away.
                std::thread::sleep(Duration::from_millis(200));
                SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
                return Ok(());
            }
            Manner::EndOfAnswersFirst if answering => {
                stream.shutdown(Shutdown::Write)?;
                answering = false;
            }
            Manner::EndOfAnswersFirst => {}
        }
    }
}
