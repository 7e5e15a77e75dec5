//! The host agent, with messages behind a verified seal and news from the kernel.

use super::ingress::{VIP4, VIP6, matches};
use super::role::{Driven, node, play, view};
use super::script::Script;
use jlb_host_agent::config::{Admission, Config, Drain, Limits, Service, Timers};
use jlb_host_agent::{DumpScope, Found, HostAgent, LookedUp, Socket, SocketState};
use jlb_protocol::keyed_hash::HashKey;
use jlb_protocol::{Message, NodeNumber, PacketBuf, Time, Transmit, View};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

impl Driven for HostAgent {
    fn message(&mut self, now: Time, from: NodeNumber, message: &Message<'_>) {
        self.handle_message(now, from, message);
    }

    /// The first byte says what it is: 0 the end of a socket, 3 what was found of what is asked for, anything else a list.
    fn local(&mut self, now: Time, bytes: &[u8]) {
        let mut script = Script(bytes);
        let kind = script.byte();
        if kind == 0 {
            let socket = socket(&mut script);
            self.handle_socket_closed(now, socket.local, socket.remote, socket.cookie);
            return;
        }
        if kind == 3 {
            self.expect_look_ups();
            let answers = self.take_look_ups().into_iter().map(|asked| LookedUp {
                asked,
                found: match script.byte() {
                    0 => Found::Nothing,
                    1 => Found::Unknown,
                    seconds => Found::Socket {
                        socket: socket(&mut script),
                        rest: Some(Duration::from_secs(seconds.into())),
                    },
                },
            });
            let answers: Vec<_> = answers.collect();
            self.handle_looked_up(now, now, Duration::ZERO, &answers);
            return;
        }
        // The first that were found are of everything.
        let scope = if kind == 2 {
            DumpScope::Sockets
        } else {
            DumpScope::All
        };
        let mut sockets = Vec::new();
        while !script.is_over() {
            sockets.push(socket(&mut script));
        }
        if !self.is_ready() {
            // The agent believes no first list alone.
            self.handle_sockets(now, now, scope, &sockets);
        }
        self.handle_sockets(now, now, scope, &sockets);
    }

    fn view(&mut self, now: Time, view: View) {
        self.handle_view(now, view);
    }

    fn timeout(&mut self, now: Time) {
        self.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Time> {
        HostAgent::poll_timeout(self)
    }

    fn transmit(&mut self) -> Option<Transmit> {
        self.poll_transmit()
    }

    fn recycle(&mut self, buf: PacketBuf) {
        HostAgent::recycle(self, buf);
    }

    fn imbalance(&self) -> i128 {
        self.stats().ledger.imbalance()
    }
}

/// Four bytes: the client, its port (0 as the kernel tells it of aborted sockets), the state, and
/// the cookie.
fn socket(script: &mut Script<'_>) -> Socket {
    let client = script.byte();
    let remote_port = match script.byte() {
        0 => 0,
        port => 40_000 - 1 + u16::from(port),
    };
    let state = script.one_of(&[
        SocketState::HalfOpen,
        SocketState::Open,
        SocketState::TimeWait,
    ]);
    let (vip, client) = if client.is_multiple_of(2) {
        (VIP4, IpAddr::V4(Ipv4Addr::new(192, 0, 2, client)))
    } else {
        (
            VIP6,
            IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, client.into())),
        )
    };
    Socket {
        local: SocketAddr::new(vip, 80),
        remote: SocketAddr::new(client, remote_port),
        cookie: script.byte().into(),
        state,
    }
}

/// Plays a script with a small host, whose bounds are soon reached.
pub fn run(bytes: &[u8]) {
    let config = Config {
        node: node(21),
        incarnation: 1,
        hash_key: HashKey::new([3; 16]),
        services: matches()
            .map(|matching| Service {
                number: matching.service,
                matching,
                admission: Admission::max_connections(3),
                must_accept: false,
            })
            .to_vec(),
        drain: Drain::default(),
        limits: Limits {
            max_flows: 5,
            max_rejects: 2,
            max_statements: 4,
            max_outbox: 8,
        },
        timers: Timers {
            handshake: Duration::from_secs(5),
            linger: Duration::from_secs(10),
            udp_idle: Duration::from_secs(30),
            refresh: Duration::from_secs(10),
            state_delay: Duration::from_millis(20),
            state_retry: Duration::from_millis(200),
            load_interval: Duration::from_millis(500),
            load_interval_min: Duration::from_millis(50),
            socketless: Duration::from_secs(3),
            reject_rotation: Duration::from_secs(10),
        },
    };
    play(
        &mut HostAgent::new(config, view(0), 1, Time::from_millis(1)),
        bytes,
    );
}
