//! The kernel's sockets on a host: destroy events in the data thread, whole lists on a thread of
//! their own, so that a long list never stalls packets.

use crate::clock;
use crate::error::Error;
use crate::kernel::sock_diag::{self, Destroyed, TcpState};
use jlb_host_agent::{Socket, SocketState};
use jlb_packet_io::wait::Waker;
use jlb_protocol::Time;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// A complete list of sockets.
pub(crate) struct Dump {
    /// When the list was begun.
    pub(crate) started: Time,
    /// The sockets.
    pub(crate) sockets: Vec<Socket>,
}

/// Destroy events, and lists on request.
pub(crate) struct SocketWatch {
    /// Closes, as they happen.
    pub(crate) events: Destroyed,
    requests: SyncSender<()>,
    dumps: Receiver<crate::kernel::Result<Dump>>,
    asked: bool,
}

impl SocketWatch {
    /// Subscribes, and starts the thread that makes lists of the sockets of these addresses. Both
    /// belong to the network namespace of the calling thread.
    pub(crate) fn start(vips: Vec<IpAddr>, waker: Waker) -> Result<Self, Error> {
        let events = Destroyed::open().map_err(Error::Setup)?;
        let (requests, asked) = sync_channel::<()>(1);
        let (answers, dumps) = sync_channel(1);
        std::thread::Builder::new()
            .name("sockets".into())
            .spawn(move || {
                while asked.recv().is_ok() {
                    let started = clock::now();
                    let dump =
                        sock_diag::dump(|local| vips.contains(&local.ip())).map(|sockets| Dump {
                            started,
                            sockets: sockets.iter().map(to_role).collect(),
                        });
                    if answers.send(dump).is_err() {
                        return;
                    }
                    waker.wake();
                }
            })
            .map_err(Error::system("start a thread"))?;
        Ok(Self {
            events,
            requests,
            dumps,
            asked: false,
        })
    }

    /// Asks for a list; one at a time.
    pub(crate) fn ask(&mut self) {
        if !self.asked {
            self.asked = self.requests.try_send(()).is_ok();
        }
    }

    /// The list asked for, once it is there.
    pub(crate) fn poll(&mut self) -> Option<crate::kernel::Result<Dump>> {
        let dump = self.dumps.try_recv().ok()?;
        self.asked = false;
        Some(dump)
    }

    /// Whether a list was asked for and is not there yet.
    pub(crate) const fn is_waiting(&self) -> bool {
        self.asked
    }
}

/// The socket as the role knows it.
fn to_role(socket: &sock_diag::Socket) -> Socket {
    let state = match socket.state {
        TcpState::HalfOpen => SocketState::HalfOpen,
        TcpState::Open => SocketState::Open,
        TcpState::TimeWait => SocketState::TimeWait,
    };
    Socket {
        local: socket.local,
        remote: socket.remote,
        cookie: socket.cookie,
        state,
    }
}
