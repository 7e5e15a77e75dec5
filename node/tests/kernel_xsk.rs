//! Frames go through `AF_XDP` sockets at the end of a cable, and none is lost without being counted.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod namespace;

use jlb_node::kernel::netlink::{Interface, Netlink, Prefix, Route, Target};
use jlb_node::kernel::steering::{Steering, Vips};
use jlb_packet_io::ebpf::{Link, Mode};
use jlb_packet_io::wait::{Interest, Poller};
use jlb_packet_io::xsk::{self, Frame, HEADROOM, Kick, Opened, Options, Queue};
use namespace::{Namespace, PATIENCE, cable, ip};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

const VIP: &str = "198.51.100.1";
/// Where the UDP payload begins in a frame, and the UDP header.
const PAYLOAD: usize = 42;
const UDP: usize = 34;

/// A client that reaches the VIP through the other end of a cable.
struct Net {
    client: Namespace,
    balancer: Namespace,
}

impl Net {
    fn new(label: &str) -> Self {
        let net = Self {
            client: Namespace::new(&format!("{label}-client")),
            balancer: Namespace::new(&format!("{label}-lb")),
        };
        cable(
            (&net.client, &[("10.1.0.2", 24)]),
            (&net.balancer, &[("10.1.0.1", 24)]),
        );
        net.client.run(|| {
            let netlink = Netlink::open().unwrap();
            let route = Route::new(Prefix::host(ip(VIP)), Target::Gateway(ip("10.1.0.1")));
            netlink.put_route(&route).unwrap();
        });
        net
    }

    /// A client's socket, connected to the VIP.
    fn socket(&self) -> UdpSocket {
        self.client.run(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.connect(SocketAddr::new(ip(VIP), 53)).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        })
    }
}

/// All that takes packets at one end of the cable.
struct Balancer {
    interface: Interface,
    steering: Steering,
    opened: Opened,
    link: Link,
    poller: Poller,
}

impl Balancer {
    /// In the calling thread's namespace.
    fn new(options: &Options) -> Self {
        let interface = Netlink::open().unwrap().interface("eth").unwrap();
        assert!(interface.is_veth);
        let vips = Vips::new().unwrap();
        vips.set(&[ip(VIP)]).unwrap();
        let steering = Steering::load(&vips, interface.hardware, 1388).unwrap();
        let queue = Queue {
            interface: interface.index,
            queue: 0,
        };
        let opened = xsk::open(&[queue], options).unwrap();
        assert!(!opened.zero_copy, "a cable has no memory of its own");
        opened.sockets[0].register(&steering.sockets).unwrap();
        let link = steering.attach(interface.index, Mode::Native).unwrap();
        let poller = Poller::new().unwrap();
        poller
            .add(&opened.sockets[0], 0, Interest::Readable)
            .unwrap();
        Self {
            interface,
            steering,
            opened,
            link,
            poller,
        }
    }

    /// The frames that are there within a moment, `max` at most.
    fn receive(&mut self, max: usize, patience: Duration) -> Vec<Frame> {
        let mut frames = Vec::new();
        let (pool, socket) = (&mut self.opened.pool, &mut self.opened.sockets[0]);
        while frames.len() < max {
            if socket.receive(&mut frames, max) > 0 {
                socket.refill(pool);
                continue;
            }
            if self.poller.wait(Some(patience)).unwrap().count() == 0 {
                break;
            }
        }
        frames
    }

    /// Turns a client's packets round.
    fn send_back(&mut self, frames: Vec<Frame>) {
        let socket = &mut self.opened.sockets[0];
        for mut frame in frames {
            let bytes = frame.as_mut_slice();
            bytes[..12].rotate_left(6);
            bytes[26..34].rotate_left(4);
            bytes[UDP..UDP + 4].rotate_left(2);
            // The sender's checksum may be that of the pseudo-header; IPv4 can do without.
            bytes[UDP + 6..UDP + 8].fill(0);
            socket.send(frame).unwrap();
        }
        assert_eq!(socket.kick().unwrap(), Kick::Done);
        socket.reclaim(&mut self.opened.pool);
    }
}

#[test]
fn packets_come_in_and_go_out_in_the_frame_that_they_came_in() {
    let net = Net::new("xsk-through");
    let client = net.socket();
    net.balancer.run(|| {
        let mut balancer = Balancer::new(&Options::default());
        for payload in [b"question".as_slice(), &[7; 1300]] {
            client.send(payload).unwrap();
            let mut frames = balancer.receive(1, PATIENCE);
            let frame = &mut frames[0];
            assert_eq!(frame.as_slice()[..6], balancer.interface.hardware);
            assert_eq!(&frame.as_slice()[PAYLOAD..], payload);
            // All the headroom is there, and no more.
            assert!(frame.prepend(HEADROOM + 1).is_none());
            frame.prepend(HEADROOM).unwrap().fill(0xee);
            frame.strip(HEADROOM);
            assert_eq!(&frame.as_slice()[PAYLOAD..], payload);
            balancer.send_back(frames);
            let mut answer = [0; 2000];
            let len = client.recv(&mut answer).unwrap();
            assert_eq!(&answer[..len], payload);
        }
    });
}

#[test]
fn every_frame_comes_back_and_is_used_again() {
    let net = Net::new("xsk-again");
    let client = net.socket();
    let options = Options {
        frames: 256,
        ring: 64,
        ..Options::default()
    };
    net.balancer.run(|| {
        let mut balancer = Balancer::new(&options);
        let free = balancer.opened.pool.len();
        assert_eq!(free, 256 - 64, "the kernel has a ring of frames");
        for round in 0..100_u8 {
            for _ in 0..48 {
                client.send(&[round; 100]).unwrap();
            }
            let frames = balancer.receive(48, PATIENCE);
            assert_eq!(frames.len(), 48);
            assert!(frames.iter().all(|one| one.as_slice()[PAYLOAD] == round));
            balancer.send_back(frames);
            let mut answer = [0; 200];
            for _ in 0..48 {
                assert_eq!(client.recv(&mut answer).unwrap(), 100);
                assert_eq!(answer[0], round);
            }
        }
        let (pool, socket) = (&mut balancer.opened.pool, &mut balancer.opened.sockets[0]);
        socket.reclaim(pool);
        socket.refill(pool);
        assert_eq!(pool.len(), free);
        assert_eq!(socket.statistics().unwrap(), xsk::Statistics::default());
    });
}

#[test]
fn what_finds_no_room_is_counted() {
    let net = Net::new("xsk-full");
    let client = net.socket();
    let options = Options {
        frames: 256,
        ring: 64,
        ..Options::default()
    };
    net.balancer.run(|| {
        let mut balancer = Balancer::new(&options);
        for _ in 0..200 {
            client.send(b"too many").unwrap();
        }
        let frames = balancer.receive(300, Duration::from_millis(200));
        let counted = balancer.opened.sockets[0].statistics().unwrap();
        let lost = counted.dropped + counted.ring_full;
        assert!(frames.len() >= 64);
        assert_eq!(frames.len() as u64 + lost, 200, "{counted:?}");
        for frame in frames {
            balancer.opened.pool.put(frame).unwrap();
        }
    });
}

#[test]
fn a_full_ring_gives_the_frame_back() {
    let net = Net::new("xsk-ring");
    net.balancer.run(|| {
        let options = Options {
            frames: 256,
            ring: 16,
            ..Options::default()
        };
        let mut balancer = Balancer::new(&options);
        let (pool, socket) = (&mut balancer.opened.pool, &mut balancer.opened.sockets[0]);
        let free = pool.len();
        let mut sent = 0;
        let refused = loop {
            let mut frame = pool.take().unwrap();
            assert!(frame.fill(&[0; 60]));
            match socket.send(frame) {
                Ok(()) => sent += 1,
                Err(frame) => break frame,
            }
        };
        assert_eq!(sent, 16);
        pool.put(refused).unwrap();
        assert_eq!(socket.kick().unwrap(), Kick::Done);
        let mut back = 0;
        while back < sent {
            back += socket.reclaim(pool);
        }
        assert_eq!(pool.len(), free);
    });
}

#[test]
fn a_frame_belongs_to_its_own_memory() {
    let net = Net::new("xsk-other");
    net.balancer.run(|| {
        let mut balancer = Balancer::new(&Options::default());
        let loopback = Queue {
            interface: 1,
            queue: 0,
        };
        let mut other = xsk::open(&[loopback], &Options::default()).unwrap();
        let frame = other.pool.take().unwrap();
        let frame = balancer.opened.sockets[0].send(frame).unwrap_err();
        let frame = balancer.opened.pool.put(frame).unwrap_err();
        // Whoever has a frame has its bytes, whatever else is gone.
        drop(other);
        assert!(frame.is_empty());
        assert_eq!(frame.as_slice(), b"");
    });
}

#[test]
fn a_queue_that_is_not_there_is_refused_and_a_busy_one_is_waited_for() {
    let net = Net::new("xsk-queue");
    net.balancer.run(|| {
        let balancer = Balancer::new(&Options::default());
        let queue = |queue| Queue {
            interface: balancer.interface.index,
            queue,
        };
        let error = xsk::open(&[queue(1)], &Options::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let error = xsk::open(&[queue(0)], &Options::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        drop(balancer);
        Balancer::new(&Options::default());
    });
}

#[test]
fn two_interfaces_share_their_frames() {
    let net = Net::new("xsk-two");
    let client = net.socket();
    net.balancer.run(|| {
        let eth = Netlink::open().unwrap().interface("eth").unwrap();
        let queues = [eth.index, 1].map(|interface| Queue {
            interface,
            queue: 0,
        });
        let vips = Vips::new().unwrap();
        vips.set(&[ip(VIP)]).unwrap();
        let steering = Steering::load(&vips, eth.hardware, 1388).unwrap();
        let mut opened = xsk::open(&queues, &Options::default()).unwrap();
        opened.sockets[0].register(&steering.sockets).unwrap();
        let _link = steering.attach(eth.index, Mode::Native).unwrap();
        let mut poller = Poller::new().unwrap();
        poller
            .add(&opened.sockets[0], 0, Interest::Readable)
            .unwrap();
        client.send(b"across").unwrap();
        assert_eq!(poller.wait(Some(PATIENCE)).unwrap().count(), 1);
        let mut frames = Vec::new();
        assert_eq!(opened.sockets[0].receive(&mut frames, 8), 1);
        // It came by one and leaves by the other.
        opened.sockets[1].send(frames.remove(0)).unwrap();
        assert_eq!(opened.sockets[1].kick().unwrap(), Kick::Done);
        let free = opened.pool.len();
        while opened.sockets[1].reclaim(&mut opened.pool) == 0 {}
        assert_eq!(opened.pool.len(), free + 1);
    });
}

#[test]
fn the_stack_gets_the_packets_when_the_program_is_gone() {
    let net = Net::new("xsk-gone");
    let client = net.socket();
    net.balancer.run(|| {
        Netlink::open()
            .unwrap()
            .put_address("lo", ip(VIP), 32)
            .unwrap();
        let server = UdpSocket::bind((VIP, 53)).unwrap();
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut balancer = Balancer::new(&Options::default());
        client.send(b"first").unwrap();
        let frames = balancer.receive(1, PATIENCE);
        assert_eq!(&frames[0].as_slice()[PAYLOAD..], b"first");
        balancer.send_back(frames);
        let Balancer {
            steering,
            opened,
            link,
            ..
        } = balancer;
        drop(opened);
        // The program is there, its socket is not.
        client.send(b"second").unwrap();
        let mut room = [0; 100];
        assert_eq!(server.recv(&mut room).unwrap(), 6);
        drop((link, steering));
        client.send(b"the third").unwrap();
        assert_eq!(server.recv(&mut room).unwrap(), 9);
    });
}
