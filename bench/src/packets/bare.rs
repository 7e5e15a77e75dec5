//! Loops that only receive and send, by the same calls as the nodes: what a way in allows on this
//! machine.

use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use jlb_node::kernel::ingress_setup::IngressSetup;
use jlb_node::kernel::netlink::Netlink;
use jlb_node::kernel::steering::{Steering, Vips};
use jlb_packet_io::ebpf::Mode;
use jlb_packet_io::process::{pin_to_cpu, set_thread_nice};
use jlb_packet_io::tun::{LargeBuf, Received};
use jlb_packet_io::udp::{MAX_RUN, MAX_RUN_BYTES, Origin, Run, UdpSocket};
use jlb_packet_io::wait::{Interest, Poller};
use jlb_packet_io::xsk::{self, Options, Queue};
use jlb_protocol::PacketBuf;
use jlb_protocol::packet::offload::Segments;

use super::rig::{NICE, Rig, SINK, UNDER, VIP, WIRE};
use crate::error::{Doing, LabError, Result};

/// Packets of a batch, as in a node.
const BATCH: usize = 64;
/// Bytes that an ingress puts before a client's packet, about.
const MESSAGE_HEADERS: usize = 64;
/// How soon a loop notices that it is to end.
const LOOK: Duration = Duration::from_millis(10);

/// A loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Loop {
    /// `AF_XDP` to `AF_XDP`.
    AfXdp,
    /// TUN to UDP, large packets in runs.
    Tun,
    /// UDP to UDP.
    Udp,
}

/// A loop that runs until this goes.
pub(super) struct Running {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Running {
    /// Starts it on a thread of its own, kept to one processor, in the rig's middle namespace.
    pub(super) fn start(kind: Loop, rig: &Rig, cpu: usize) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (namespace, ends) = (rig.middle.clone(), Arc::clone(&stop));
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("bare-loop".into())
            .spawn(move || {
                namespace.enter()?;
                pin_to_cpu(cpu).doing("keep a thread on a processor")?;
                // As a node's packet thread; without the privilege all threads are alike.
                let _ = set_thread_nice(NICE);
                match kind {
                    Loop::AfXdp => af_xdp(&ends, tell),
                    Loop::Tun => tun(&ends, tell),
                    Loop::Udp => udp(&ends, tell),
                }
            })
            .doing("start a thread")?;
        let mut running = Self {
            stop,
            thread: Some(thread),
        };
        // The other end goes when the loop can't start.
        if told.recv().is_err() {
            running.end()?;
            return Err(LabError::new("a loop ended before it began"));
        }
        Ok(running)
    }

    fn end(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        ended.unwrap_or(Ok(Ok(()))).unwrap_or(Ok(()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn af_xdp(stop: &AtomicBool, ready: std::sync::mpsc::Sender<()>) -> Result<()> {
    let netlink = Netlink::open().doing("open netlink")?;
    let (input, output) = (
        netlink.interface("in").doing("look")?,
        netlink.interface(UNDER).doing("look")?,
    );
    let queues = [input.index, output.index].map(|interface| Queue {
        interface,
        queue: 0,
    });
    let opened = xsk::open(&queues, &Options::default()).doing("open AF_XDP sockets")?;
    let (mut pool, mut sockets) = (opened.pool, opened.sockets);
    let vips = Vips::new().doing("make a map")?;
    vips.set(&[IpAddr::V4(VIP)]).doing("write a map")?;
    let steering = Steering::load(&vips, input.hardware, 1_388).doing("load a program")?;
    sockets[0].register(&steering.sockets).doing("use a map")?;
    let _link = steering
        .attach(input.index, Mode::Native)
        .doing("attach a program")?;
    let mut poller = Poller::new().doing("poll")?;
    poller
        .add(&sockets[0], 0, Interest::Readable)
        .doing("poll")?;
    let _ = ready.send(());
    let mut frames = Vec::with_capacity(BATCH);
    while !stop.load(Ordering::Relaxed) {
        poller.wait(Some(LOOK)).doing("poll")?.for_each(drop);
        sockets[0].receive(&mut frames, BATCH);
        for mut frame in frames.drain(..) {
            let bytes = frame.as_mut_slice();
            bytes[..6].copy_from_slice(&WIRE);
            bytes[6..12].copy_from_slice(&output.hardware);
            if let Err(frame) = sockets[1].send(frame) {
                let _ = pool.put(frame);
            }
        }
        sockets[1].kick().doing("send")?;
        sockets[1].reclaim(&mut pool);
        sockets[0].refill(&mut pool);
    }
    Ok(())
}

/// Sends one datagram for each packet.
fn send_all(socket: &UdpSocket, packets: &[PacketBuf], to: SocketAddr) {
    let mut parts = [IoSlice::new(&[]); BATCH];
    let run = Run {
        to,
        buffers: 1,
        segment: 0,
    };
    for (part, packet) in parts.iter_mut().zip(packets) {
        *part = IoSlice::new(packet.as_slice());
    }
    // What the kernel does not take is lost, as in a node.
    let count = packets.len();
    let _ = socket.send_runs(&parts[..count], &[run; BATCH][..count]);
}

/// Sends as many datagrams as the packet has segments, in runs, and the bytes as they are.
fn send_large(socket: &UdpSocket, packet: &[u8], segments: Option<Segments>, to: SocketAddr) {
    let Some(segments) = segments else { return };
    let payload = packet
        .len()
        .saturating_sub(usize::from(segments.header_len));
    let count = payload.div_ceil(usize::from(segments.size.get())).max(1);
    let datagram = packet.len().div_ceil(count).max(1);
    // As many as a node's, which have headers of their own.
    let message = usize::from(segments.size.get() + segments.header_len) + MESSAGE_HEADERS;
    let together = MAX_RUN.min(MAX_RUN_BYTES / message).max(1);
    let mut parts = [IoSlice::new(&[]); BATCH];
    let mut runs = [Run {
        to,
        buffers: 1,
        segment: datagram as u16,
    }; BATCH];
    let mut used = 0;
    for (bytes, (part, run)) in packet
        .chunks(together * datagram)
        .zip(parts.iter_mut().zip(&mut runs))
    {
        *part = IoSlice::new(bytes);
        if bytes.len() <= datagram {
            run.segment = 0;
        }
        used += 1;
    }
    // What the kernel does not take is lost, as in a node.
    let _ = socket.send_runs(&parts[..used], &runs[..used]);
}

fn tun(stop: &AtomicBool, ready: std::sync::mpsc::Sender<()>) -> Result<()> {
    let setup = IngressSetup::new(vec![VIP.into()], 1_388);
    let tun = setup.apply().doing("set up a TUN device")?;
    let socket = UdpSocket::bind(SocketAddr::from(([10, 91, 0, 1], 0))).doing("bind a socket")?;
    let mut poller = Poller::new().doing("poll")?;
    poller.add(&tun, 0, Interest::Readable).doing("poll")?;
    let _ = ready.send(());
    let mut packets: Vec<PacketBuf> = (0..BATCH).map(|_| PacketBuf::new(2_048)).collect();
    let mut large = LargeBuf::default();
    while !stop.load(Ordering::Relaxed) {
        poller.wait(Some(LOOK)).doing("poll")?.for_each(drop);
        let (mut count, to) = (0, SocketAddr::from((SINK, 6_081)));
        for _ in 0..BATCH {
            match tun.receive(&mut packets[count], &mut large) {
                Ok(Received::Packet(_)) => count += 1,
                Ok(Received::Large(len, offload)) => {
                    send_large(&socket, large.packet(len), offload.segments, to);
                }
                Err(_) => break,
            }
        }
        send_all(&socket, &packets[..count], to);
    }
    Ok(())
}

fn udp(stop: &AtomicBool, ready: std::sync::mpsc::Sender<()>) -> Result<()> {
    let netlink = Netlink::open().doing("open netlink")?;
    netlink
        .put_address("lo", VIP.into(), 32)
        .doing("put an address")?;
    let input = UdpSocket::bind(SocketAddr::from((VIP, 7))).doing("bind a socket")?;
    let output = UdpSocket::bind(SocketAddr::from(([10, 91, 0, 1], 0))).doing("bind a socket")?;
    let mut poller = Poller::new().doing("poll")?;
    poller.add(&input, 0, Interest::Readable).doing("poll")?;
    let _ = ready.send(());
    let mut packets: Vec<PacketBuf> = (0..BATCH).map(|_| PacketBuf::new(2_048)).collect();
    let mut origins = [Origin::default(); BATCH];
    while !stop.load(Ordering::Relaxed) {
        poller.wait(Some(LOOK)).doing("poll")?.for_each(drop);
        let count = input.recv_batch(&mut packets, &mut origins).unwrap_or(0);
        send_all(&output, &packets[..count], SocketAddr::from((SINK, 6_081)));
    }
    Ok(())
}
