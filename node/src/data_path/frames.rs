//! Client packets that come by `AF_XDP`, and the messages that leave that way.

use super::{SOON, Turn};
use crate::machine::{Machine, RoleConfig};
use crate::underlay::BATCH;
use crate::xdp::Unsent;
use jlb_ingress::Verdict;
use jlb_packet_io::xsk::Frame;
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::{DropReason, NodeNumber, Time};
use std::net::IpAddr;

impl<M: Machine> Turn<M> {
    /// Client packets that socket `at` has.
    pub(super) fn read_frames(&mut self, now: Time, at: usize) {
        let Some(frames) = &mut self.path.frames else {
            return;
        };
        let mut packets = std::mem::take(&mut self.frame_packets);
        let count = frames.receive(at, &mut packets);
        self.taken.all += count;
        self.has_more |= count == BATCH;
        self.stack.received += count as u64;
        let taken = self.path.machine.process_frames(now, &mut packets);
        for packet in packets.drain(..) {
            if !taken {
                self.stack.drop_for(DropReason::WrongRole);
                self.put(packet.buf);
                continue;
            }
            self.stack.consumed += 1;
            match packet.verdict {
                Verdict::Forward { to, flow } => self.send_frame(now, to, flow, packet.buf),
                Verdict::Inject => {
                    self.write_stack(now, packet.buf.as_slice());
                    self.put(packet.buf);
                }
                Verdict::Pending | Verdict::Held | Verdict::Dropped(_) => self.put(packet.buf),
            }
        }
        self.frame_packets = packets;
        // Messages that do not go by a frame are not overtaken by more than a batch of them.
        self.flush(now);
        self.settle_frames(now);
    }

    /// Has the kernel send frames and gives it free ones, also if nothing has arrived.
    pub(super) fn settle_frames(&mut self, now: Time) {
        let Some(frames) = &mut self.path.frames else {
            return;
        };
        if let Err((interface, error)) = frames.settle() {
            self.complain(now, "send by AF_XDP", || format!("{interface}: {error}"));
        }
    }

    /// When [`Self::settle_frames`] is to be called, if it is.
    pub(super) fn frames_due(&self, now: Time) -> Option<Time> {
        let frames = self.path.frames.as_ref()?;
        frames.waits().then(|| now + SOON)
    }

    /// Another configuration of the role may have other VIPs.
    pub(super) fn steer(&mut self, now: Time, config: &RoleConfig) {
        let (Some(frames), RoleConfig::Ingress(config)) = (&self.path.frames, config) else {
            return;
        };
        let services = config.services.iter();
        let vips: Vec<IpAddr> = services.map(|service| service.matching.vip).collect();
        if let Err(error) = frames.set_vips(&vips) {
            self.complain(now, "tell the XDP programs the VIPs", || error.to_string());
        }
    }

    fn put(&mut self, frame: Frame) {
        if let Some(frames) = &mut self.path.frames {
            frames.put(frame);
        }
    }

    fn send_frame(&mut self, now: Time, to: NodeNumber, flow: FlowHash, mut frame: Frame) {
        let (link, underlay) = (&mut self.path.link, &mut self.path.underlay);
        let source = link
            .route(to)
            .and_then(|route| underlay.source(route.local, flow));
        let port = source.map_or(0, |(_, port)| port);
        let sealed = link.seal(to, port, &mut frame);
        let (Ok(route), Some(frames)) = (sealed, &mut self.path.frames) else {
            // The link counted why.
            self.put(frame);
            return;
        };
        let Some((socket, port)) = source else {
            self.path.link.send_failed();
            self.put(frame);
            return;
        };
        match frames.send(to, frame, &route, port) {
            Ok(()) => {}
            Err(Unsent::Otherwise(frame)) => {
                let mut buf = self.spare.pop().unwrap_or_default();
                buf.fill(frame.as_slice());
                self.put(frame);
                self.push(now, socket, buf, route);
            }
            Err(Unsent::Lost(frame)) => {
                self.path.link.send_failed();
                self.put(frame);
                self.complain(now, "send by AF_XDP", || {
                    "the interface takes no more".into()
                });
            }
        }
    }
}
