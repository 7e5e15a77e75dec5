//! The kernel's list of TCP connections, and the news of their ends.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod namespace;

use jlb_node::kernel::netlink::Netlink;
use jlb_node::kernel::sock_diag::{
    self, Destroyed, DestroyedSocket, DumpScope, Event, Socket, SocketState,
};
use jlb_packet_io::Tun;
use jlb_packet_io::tun::LargeBuf;
use jlb_packet_io::wait::{Interest, Poller};
use jlb_protocol::PacketBuf;
use namespace::{Namespace, PATIENCE, UP, ip};
use socket2::SockRef;
use std::collections::VecDeque;
use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The connections whose local end is wanted.
fn dump(scope: DumpScope, wanted: impl Fn(SocketAddr) -> bool) -> Vec<Socket> {
    let mut sockets = Vec::new();
    let take = |socket: Socket, _| sockets.extend(wanted(socket.local).then_some(socket));
    sock_diag::dump(scope, take).unwrap();
    sockets
}

/// A listener, and a connection to it that is accepted.
struct Connection {
    server: SocketAddr,
    _listener: TcpListener,
    client: TcpStream,
    accepted: TcpStream,
}

impl Connection {
    /// Over the loopback of the thread's namespace, both ends in it.
    fn new(listen: &str, connect: &str) -> Self {
        let listener = TcpListener::bind((ip(listen), 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = SocketAddr::new(ip(connect), port);
        let client = TcpStream::connect(server).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        Self {
            server,
            _listener: listener,
            client,
            accepted,
        }
    }

    /// The server's end in a dump of either kind.
    fn listed(&self) -> Vec<Socket> {
        let all = dump(DumpScope::All, |local| local == self.server);
        let sockets = dump(DumpScope::Sockets, |local| local == self.server);
        assert_eq!(sockets, all);
        all
    }

    fn client_address(&self) -> SocketAddr {
        self.client.local_addr().unwrap()
    }
}

/// Waits for the end of a socket whose local end is `local`.
fn next_end(destroyed: &mut Destroyed, local: SocketAddr) -> DestroyedSocket {
    let mut poller = Poller::new().unwrap();
    poller.add(&*destroyed, 0, Interest::Readable).unwrap();
    let mut events = Vec::new();
    loop {
        assert_eq!(poller.wait(Some(PATIENCE)).unwrap().count(), 1, "no news");
        destroyed.read(&mut events).unwrap();
        for event in events.drain(..) {
            match event {
                Event::Closed(socket) if socket.local == local => return socket,
                Event::Closed(_) => {}
                Event::Lost => panic!("nothing much happens here"),
            }
        }
    }
}

/// No end of such a socket is told for a while.
fn check_no_end(destroyed: &mut Destroyed, local: SocketAddr) {
    let mut poller = Poller::new().unwrap();
    let mut events = Vec::new();
    poller.add(&*destroyed, 0, Interest::Readable).unwrap();
    let a_while = Some(Duration::from_millis(200));
    poller.wait(a_while).unwrap().for_each(drop);
    destroyed.read(&mut events).unwrap();
    let is_it = |e: &Event| matches!(e, Event::Closed(socket) if socket.local == local);
    assert!(!events.iter().any(is_it), "{events:?}");
}

/// Waits until the other side has seen the end of the stream.
fn wait_for_end(mut stream: &TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // A reset is an end too.
    let _ = stream.read(&mut [0]);
}

#[test]
fn a_close_by_the_server_is_told_and_leaves_time_wait() {
    Namespace::new("server-closes").run(|| {
        for (listen, connect) in [("127.0.0.1", "127.0.0.1"), ("::1", "::1")] {
            let mut destroyed = Destroyed::open().unwrap();
            let connection = Connection::new(listen, connect);
            let server = connection.server;
            let remote = connection.client_address();
            let [open] = connection.listed()[..] else {
                panic!("one connection");
            };
            assert_eq!((open.local, open.remote), (server, remote));
            assert_eq!(open.state, SocketState::Open);
            let Connection {
                accepted, client, ..
            } = connection;
            drop(accepted);
            wait_for_end(&client);
            drop(client);
            let end = next_end(&mut destroyed, server);
            let cookie = open.cookie;
            let expected = DestroyedSocket {
                local: server,
                remote,
                cookie,
            };
            assert_eq!(end, expected);
            let left = dump(DumpScope::All, |local| local == server);
            let time_wait = Socket {
                state: SocketState::TimeWait,
                ..open
            };
            assert_eq!(left, [time_wait]);
            assert_eq!(dump(DumpScope::Sockets, |local| local == server), []);
        }
    });
}

#[test]
fn a_half_closed_connection_is_listed_while_its_client_reads() {
    Namespace::new("half-closed").run(|| {
        let mut destroyed = Destroyed::open().unwrap();
        let connection = Connection::new("127.0.0.1", "127.0.0.1");
        let server = connection.server;
        let [open] = connection.listed()[..] else {
            panic!("one connection");
        };
        let Connection {
            accepted, client, ..
        } = connection;
        drop(accepted);
        wait_for_end(&client);
        // Whatever the kernel tells by now, it must still have something to answer the client with.
        let [left] = dump(DumpScope::All, |local| local == server)[..] else {
            panic!("the kernel still answers the client");
        };
        assert_eq!(left.cookie, open.cookie);
        drop(client);
        assert_eq!(next_end(&mut destroyed, server).cookie, open.cookie);
    });
}

#[test]
fn a_close_by_the_client_is_told_when_the_server_closes_too() {
    Namespace::new("client-closes").run(|| {
        let mut destroyed = Destroyed::open().unwrap();
        let connection = Connection::new("127.0.0.1", "127.0.0.1");
        let (server, remote) = (connection.server, connection.client_address());
        let [open] = connection.listed()[..] else {
            panic!("one connection");
        };
        let Connection {
            accepted, client, ..
        } = connection;
        drop(client);
        wait_for_end(&accepted);
        check_no_end(&mut destroyed, server);
        assert_eq!(dump(DumpScope::All, |local| local == server), [open]);
        drop(accepted);
        let end = next_end(&mut destroyed, server);
        let cookie = open.cookie;
        let expected = DestroyedSocket {
            local: server,
            remote,
            cookie,
        };
        assert_eq!(end, expected);
        assert_eq!(dump(DumpScope::All, |local| local == server), []);
    });
}

#[test]
fn a_reset_by_the_server_is_told_with_the_cookie() {
    Namespace::new("server-resets").run(|| {
        let mut destroyed = Destroyed::open().unwrap();
        let connection = Connection::new("127.0.0.1", "127.0.0.1");
        let (server, remote) = (connection.server, connection.client_address());
        let [open] = connection.listed()[..] else {
            panic!("one connection");
        };
        let linger = SockRef::from(&connection.accepted);
        linger.set_linger(Some(Duration::ZERO)).unwrap();
        let Connection {
            accepted,
            client: _client,
            ..
        } = connection;
        drop(accepted);
        let end = next_end(&mut destroyed, server);
        assert_eq!(end.cookie, open.cookie);
        let aborted = SocketAddr::new(remote.ip(), 0);
        assert_eq!(end.remote, aborted, "the port is forgotten");
        assert_eq!(dump(DumpScope::All, |local| local == server), []);
    });
}

#[test]
fn a_reset_by_the_client_is_told_when_the_server_closes() {
    Namespace::new("client-resets").run(|| {
        let mut destroyed = Destroyed::open().unwrap();
        let connection = Connection::new("127.0.0.1", "127.0.0.1");
        let server = connection.server;
        let [open] = connection.listed()[..] else {
            panic!("one connection");
        };
        let linger = SockRef::from(&connection.client);
        linger.set_linger(Some(Duration::ZERO)).unwrap();
        let Connection {
            accepted, client, ..
        } = connection;
        drop(client);
        wait_for_end(&accepted);
        // The list knows it first.
        assert_eq!(dump(DumpScope::All, |local| local == server), []);
        check_no_end(&mut destroyed, server);
        drop(accepted);
        assert_eq!(next_end(&mut destroyed, server).cookie, open.cookie);
    });
}

#[test]
fn an_ipv4_client_of_an_ipv6_listener_has_its_ipv4_address() {
    Namespace::new("mapped").run(|| {
        let mut destroyed = Destroyed::open().unwrap();
        let connection = Connection::new("::", "127.0.0.1");
        let (server, remote) = (connection.server, connection.client_address());
        let [open] = connection.listed()[..] else {
            panic!("one connection");
        };
        assert_eq!((open.local, open.remote), (server, remote));
        let Connection {
            accepted, client, ..
        } = connection;
        drop(accepted);
        wait_for_end(&client);
        drop(client);
        let end = next_end(&mut destroyed, server);
        assert_eq!((end.local, end.remote), (server, remote));
        let left = dump(DumpScope::All, |local| local == server);
        assert_eq!(left.len(), 1);
        assert_eq!(
            (left[0].remote, left[0].state),
            (remote, SocketState::TimeWait)
        );
    });
}

#[test]
fn listeners_and_strangers_are_not_listed() {
    Namespace::new("strangers").run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(dump(DumpScope::All, |_| true), []);
        let connection = Connection::new("127.0.0.1", "127.0.0.1");
        assert_eq!(dump(DumpScope::All, |_| true).len(), 2, "both ends");
        assert_eq!(connection.listed().len(), 1);
        drop(listener);
    });
}

/// A device whose other side is 10.9.0.2 and its like, and who listens on this side.
fn listener_behind_device() -> (Tun, TcpListener, SocketAddr) {
    let tun = Tun::open("tun", false).unwrap();
    let netlink = Netlink::open().unwrap();
    netlink.set_link("tun", UP).unwrap();
    netlink.put_address("tun", ip("10.9.0.1"), 24).unwrap();
    let listener = TcpListener::bind("10.9.0.1:0").unwrap();
    let server = listener.local_addr().unwrap();
    (tun, listener, server)
}

#[test]
fn a_client_that_does_not_finish_the_handshake_is_half_open() {
    Namespace::new("half-open").run(|| {
        let (tun, _listener, server) = listener_behind_device();
        let client = SocketAddr::new(ip("10.9.0.2"), 4000);
        tun.write(&syn(client, server)).unwrap();
        let [half_open] = dump(DumpScope::All, |local| local == server)[..] else {
            panic!("one connection");
        };
        assert_eq!(half_open.remote, client);
        assert_eq!(half_open.state, SocketState::HalfOpen);
        assert_ne!(half_open.cookie, 0);
    });
}

#[test]
fn a_socket_that_lost_the_race_for_its_connection_is_not_told() {
    /// As many as the race needs on a busy machine; usually a few hundred do.
    const TRIES: u16 = 20_000;
    const OPEN: usize = 200;
    Namespace::new("twin").run(|| {
        let (tun, listener, server) = listener_behind_device();
        let mut destroyed = Destroyed::open().unwrap();
        let mut open = VecDeque::new();
        let mut events = Vec::new();
        let mut tries = 0;
        while destroyed.twins() < 3 && tries < TRIES {
            let client = SocketAddr::new(ip("10.9.0.2"), 4_000 + tries);
            tries += 1;
            tun.write(&syn(client, server)).unwrap();
            let ack = sequence_of_answer(&tun, client).wrapping_add(1);
            // Either of them completes the handshake.
            let ends = [&b""[..], &b"GET /"[..]]
                .map(|payload| segment(client, server, [2, ack], 0x10, payload));
            // Neither sleeps, so that both go on at the same moment, on two processors.
            let there = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for end in &ends {
                    scope.spawn(|| {
                        there.fetch_add(1, Ordering::AcqRel);
                        while there.load(Ordering::Acquire) < ends.len() {
                            std::hint::spin_loop();
                        }
                        tun.write(end).unwrap();
                    });
                }
            });
            open.push_back(listener.accept().unwrap());
            destroyed.read(&mut events).unwrap();
            for event in events.drain(..) {
                let Event::Closed(socket) = event else {
                    panic!("{event:?}");
                };
                let is_open = open.iter().any(|(_, remote)| *remote == socket.remote);
                assert!(!is_open, "{socket:?} is open");
            }
            if open.len() > OPEN {
                open.pop_front();
            }
        }
        println!("{} of {tries} connections had a twin", destroyed.twins());
        if std::thread::available_parallelism().unwrap().get() > 1 {
            assert!(destroyed.twins() > 0, "this shows nothing");
        }
    });
}

/// The sequence number of the SYN that answers this client's.
fn sequence_of_answer(tun: &Tun, client: SocketAddr) -> u32 {
    let mut poller = Poller::new().unwrap();
    poller.add(tun, 0, Interest::Readable).unwrap();
    let (mut packet, mut large) = (PacketBuf::new(1_500), LargeBuf::default());
    loop {
        if tun.receive(&mut packet, &mut large).is_err() {
            assert!(poller.wait(Some(PATIENCE)).unwrap().count() > 0, "silence");
            continue;
        }
        let bytes = packet.as_slice();
        let is_tcp = bytes[0] == 0x45 && bytes[9] == 6;
        if is_tcp && bytes[22..24] == client.port().to_be_bytes() && bytes[33] == 0x12 {
            return u32::from_be_bytes(bytes[24..28].try_into().unwrap());
        }
    }
}

/// A SYN without options, its checksums right.
fn syn(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    segment(from, to, [1, 0], 2, b"")
}

/// A segment without options, its checksums right.
fn segment(
    from: SocketAddr,
    to: SocketAddr,
    [sequence, acknowledged]: [u32; 2],
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    let (IpAddr::V4(source), IpAddr::V4(target)) = (from.ip(), to.ip()) else {
        panic!("IPv4 only");
    };
    let addresses = [source.octets(), target.octets()].concat();
    let mut tcp = Vec::new();
    tcp.extend(from.port().to_be_bytes());
    tcp.extend(to.port().to_be_bytes());
    tcp.extend(sequence.to_be_bytes());
    tcp.extend(acknowledged.to_be_bytes());
    tcp.extend([5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
    tcp.extend(payload);
    let len = u16::try_from(tcp.len()).unwrap();
    let pseudo = [&addresses[..], &[0, 6], &len.to_be_bytes(), &tcp].concat();
    tcp[16..18].copy_from_slice(&checksum(&pseudo).to_be_bytes());
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0];
    packet[2..4].copy_from_slice(&(20 + len).to_be_bytes());
    packet.extend(addresses);
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(tcp);
    packet
}

fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |&low| u32::from(low)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[test]
fn a_dump_of_many_connections_is_complete() {
    Namespace::new("many").run(|| {
        // More than one part of the kernel's answer holds.
        let connections: Vec<Connection> = (0..1500)
            .map(|_| Connection::new("127.0.0.1", "127.0.0.1"))
            .collect();
        let mut listed = dump(DumpScope::All, |_| true);
        listed.sort_by_key(|socket| (socket.local, socket.remote));
        let mut expected: Vec<(SocketAddr, SocketAddr)> = connections
            .iter()
            .map(|c| (c.server, c.client_address()))
            .flat_map(|(server, client)| [(server, client), (client, server)])
            .collect();
        expected.sort();
        let ends: Vec<_> = listed.iter().map(|s| (s.local, s.remote)).collect();
        assert_eq!(ends, expected);
        let mut cookies: Vec<u64> = listed.iter().map(|s| s.cookie).collect();
        cookies.sort_unstable();
        cookies.dedup();
        assert_eq!(cookies.len(), listed.len(), "no two have one cookie");
    });
}

#[test]
fn more_news_than_room_is_told_as_lost() {
    Namespace::new("lost").run(|| {
        let mut destroyed = Destroyed::with_buffer(8 << 10).unwrap();
        let mut witness = Destroyed::open().unwrap();
        let mut last = None;
        for _ in 0..200 {
            let connection = Connection::new("127.0.0.1", "127.0.0.1");
            let linger = SockRef::from(&connection.accepted);
            linger.set_linger(Some(Duration::ZERO)).unwrap();
            last = Some(connection.server);
        }
        // All is told to both at the same time.
        next_end(&mut witness, last.unwrap());
        let mut events = Vec::new();
        destroyed.read(&mut events).unwrap();
        assert!(events.contains(&Event::Lost));
        let mut poller = Poller::new().unwrap();
        poller.add(&destroyed, 0, Interest::Readable).unwrap();
        // Later news come again, once the storm is over.
        let mut told = false;
        while !told {
            let connection = Connection::new("127.0.0.1", "127.0.0.1");
            let server = connection.server;
            drop(connection);
            events.clear();
            assert_eq!(poller.wait(Some(PATIENCE)).unwrap().count(), 1, "no news");
            destroyed.read(&mut events).unwrap();
            told = events
                .iter()
                .any(|e| matches!(e, Event::Closed(socket) if socket.local == server));
        }
    });
}

#[test]
fn other_namespaces_are_not_told_about() {
    let (here, there) = (Namespace::new("news-here"), Namespace::new("news-there"));
    let mut destroyed = here.run(|| Destroyed::open().unwrap());
    there.run(|| drop(Connection::new("127.0.0.1", "127.0.0.1")));
    assert_eq!(here.run(|| dump(DumpScope::All, |_| true)), []);
    // A socket stays in its namespace wherever it is read.
    let server = here.run(|| {
        let connection = Connection::new("127.0.0.1", "127.0.0.1");
        connection.server
    });
    assert_eq!(next_end(&mut destroyed, server).local, server);
}
