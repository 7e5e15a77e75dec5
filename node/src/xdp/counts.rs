//! What is counted of packets that come and go by `AF_XDP`.

use crate::report::Report;

/// Interfaces that are counted apart: as many as a node may name.
const PORTS: usize = 8;

/// Of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct PortCounts {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) no_frame: u64,
    pub(crate) receive_ring_full: u64,
    pub(crate) refused: u64,
}

/// Of all of them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct FrameCounts {
    /// In the order in which the node names them.
    pub(crate) ports: [PortCounts; PORTS],
    /// Messages that left by an ordinary socket, by reason.
    pub(crate) no_next_hop: u64,
    pub(crate) no_socket: u64,
    pub(crate) too_big: u64,
    /// Messages lost since an interface took no more.
    pub(crate) ring_full: u64,
    /// Packets whose checksum was finished here.
    pub(crate) finished: u64,
    /// Gauge: free frames.
    pub(crate) free: u64,
    /// Gauge: next hops known.
    pub(crate) next_hops: u64,
}

/// Words of all counts.
pub(crate) const WORDS: usize = 5 * PORTS + 7;

impl FrameCounts {
    pub(crate) fn words(&self) -> [u64; WORDS] {
        let mut words = [0; WORDS];
        let (ports, others) = words.split_at_mut(5 * PORTS);
        for (place, port) in ports.chunks_exact_mut(5).zip(&self.ports) {
            place.copy_from_slice(&[
                port.received,
                port.sent,
                port.no_frame,
                port.receive_ring_full,
                port.refused,
            ]);
        }
        others.copy_from_slice(&[
            self.no_next_hop,
            self.no_socket,
            self.too_big,
            self.ring_full,
            self.finished,
            self.free,
            self.next_hops,
        ]);
        words
    }

    pub(crate) fn of(words: &[u64; WORDS]) -> Self {
        let (ports, others) = words.split_at(5 * PORTS);
        let mut counts = Self::default();
        for (port, place) in counts.ports.iter_mut().zip(ports.as_chunks().0) {
            let [received, sent, no_frame, receive_ring_full, refused] = *place;
            *port = PortCounts {
                received,
                sent,
                no_frame,
                receive_ring_full,
                refused,
            };
        }
        if let [
            no_next_hop,
            no_socket,
            too_big,
            ring_full,
            finished,
            free,
            next_hops,
        ] = *others
        {
            counts = Self {
                ports: counts.ports,
                no_next_hop,
                no_socket,
                too_big,
                ring_full,
                finished,
                free,
                next_hops,
            };
        }
        counts
    }

    /// What two workers have counted together; of next hops those that one knows, for all look for the same.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let mut words = self.words();
        for (word, more) in words.iter_mut().zip(other.words()) {
            *word += more;
        }
        Self {
            next_hops: self.next_hops.max(other.next_hops),
            ..Self::of(&words)
        }
    }

    pub(super) fn report(&self, names: &[&str], report: &mut Report) {
        for (name, port) in names.iter().zip(&self.ports) {
            let interface: (&'static str, &dyn ToString) = ("interface", name);
            report.counter(
                "jlb_xdp_received_total",
                "Client packets received by AF_XDP.",
                &[interface],
                port.received,
            );
            report.counter(
                "jlb_xdp_sent_total",
                "Messages sent by AF_XDP.",
                &[interface],
                port.sent,
            );
            for (reason, value) in [
                ("no_frame", port.no_frame),
                ("receive_ring_full", port.receive_ring_full),
                ("refused", port.refused),
            ] {
                report.counter(
                    "jlb_xdp_lost_total",
                    "Packets that the kernel lost at an AF_XDP socket, before they were received or after they were given to it.",
                    &[interface, ("reason", &reason)],
                    value,
                );
            }
        }
        report.counter_by(
            "jlb_xdp_by_socket_total",
            "Messages about packets received by AF_XDP that left by an ordinary socket.",
            "reason",
            &[
                ("no_next_hop", self.no_next_hop),
                ("no_socket", self.no_socket),
                ("too_big", self.too_big),
            ],
        );
        report.counters(&[
            (
                "jlb_xdp_send_ring_full_total",
                "Messages lost since the interface took no more; they count as send_failed, too.",
                self.ring_full,
            ),
            (
                "jlb_xdp_checksums_finished_total",
                "Client packets whose transport checksum the sender had left unfinished.",
                self.finished,
            ),
        ]);
        report.gauges(&[
            (
                "jlb_xdp_free_frames",
                "Frames of the AF_XDP sockets' memory that are free.",
                self.free,
            ),
            (
                "jlb_xdp_next_hops",
                "Peers' addresses whose next hop is known.",
                self.next_hops,
            ),
        ]);
    }
}

#[cfg(test)]
mod tests;
