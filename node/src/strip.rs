//! A host whose kernel takes the encapsulation off packets of established connections: what the agent
//! says of them goes into a map, and programs in front of the interfaces act on it.

use crate::error::Error;
use crate::kernel::netlink::Netlink;
use crate::kernel::stripping::{Expected, Flows, Stripping};
use crate::kernel::{self, sysctl};
use crate::report::Report;
use crate::xdp;
use jlb_config::XdpStrip;
use jlb_host_agent::{Ends, Strip};
use jlb_packet_io::ebpf::{Link, Mode};
use jlb_protocol::link::Route;
use jlb_protocol::{NodeNumber, ServiceNumber, Time};
use std::io;
use std::time::Duration;

/// What to put in place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Wanted {
    /// Where.
    pub(crate) on: XdpStrip,
    /// The port of messages.
    pub(crate) port: u16,
    /// The most flows that there can be.
    pub(crate) max_flows: u32,
}

/// An interface with its program, which leaves with this.
#[derive(Debug)]
struct Port {
    name: String,
    mode: Mode,
    _link: Link,
    _stripping: Stripping,
}

/// The programs and what they act on.
#[derive(Debug)]
pub(crate) struct Stripper {
    ports: Vec<Port>,
    flows: Flows,
    /// Flows that are told of and not taken back, about: what waits to be swept is not among them.
    told: u64,
    without_room: u64,
    failures: u64,
    sweep_at: Time,
}

/// Between two sweeps, each of which is some hundred calls.
const SWEEP_INTERVAL: Duration = Duration::from_millis(1);

/// What the programs do now of what the agent said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Heeded {
    /// All, but for what there is no room for.
    Yes,
    /// A connection is not stripped, though there may be room.
    NotAdded(ServiceNumber, Ends),
    /// Connections may be stripped that are not to be.
    NotRemoved,
}

impl Stripper {
    /// Puts the programs in place, in the calling thread's namespace; they strip nothing yet.
    ///
    /// # Errors
    /// [`Error::Setup`], which names the interface and what can't be done with it.
    pub(crate) fn open(wanted: &Wanted) -> Result<Self, Error> {
        let failed = |doing: String| move |error| Error::Setup(kernel::Error::new(doing, error));
        let netlink = Netlink::open().map_err(Error::Setup)?;
        let flows = Flows::new(wanted.max_flows).map_err(failed("make an eBPF map".into()))?;
        let mut ports = Vec::new();
        for name in &wanted.on.interfaces {
            let interface = netlink.interface(name).map_err(Error::Setup)?;
            take_clients(name).map_err(Error::Setup)?;
            let stripping = Stripping::load(&flows, interface.hardware, wanted.port)
                .map_err(io::Error::other)
                .map_err(failed(format!("load the program of {name}")))?;
            let otherwise = "without xdp_strip any interface works";
            let generic = wanted.on.generic;
            let (link, mode) = xdp::attach(&stripping.program, interface.index, generic, otherwise)
                .map_err(failed(format!("put an XDP program in front of {name}")))?;
            ports.push(Port {
                name: name.clone(),
                mode,
                _link: link,
                _stripping: stripping,
            });
        }
        Ok(Self {
            ports,
            flows,
            told: 0,
            without_room: 0,
            failures: 0,
            sweep_at: Time::ZERO,
        })
    }

    /// What a person should know of how packets are stripped, a line for each interface.
    pub(crate) fn describe(&self) -> Vec<String> {
        let line = |port: &Port| {
            let how = match port.mode {
                Mode::Native => "in the driver",
                Mode::Generic => "behind the driver (generic), which is slow",
            };
            format!(
                "{}: established connections are decapsulated by XDP {how}; their messages' tags are not verified",
                port.name
            )
        };
        self.ports.iter().map(line).collect()
    }

    /// Does what the agent says, as far as possible. `route` is the way from a node. The failure, if there is one,
    /// is the kernel's.
    pub(crate) fn apply(
        &mut self,
        strip: Strip,
        route: impl Fn(NodeNumber) -> Option<Route>,
    ) -> (Heeded, io::Result<()>) {
        let (heeded, result) = match strip {
            Strip::Clear => {
                self.told = 0;
                (Heeded::NotRemoved, self.flows.clear())
            }
            Strip::Remove(ends) => {
                let result = self.flows.remove(&ends).map(|was| {
                    self.told = self.told.saturating_sub(u64::from(was));
                });
                (Heeded::NotRemoved, result)
            }
            Strip::Add {
                ends,
                service,
                birth,
                ingress,
            } => {
                let not = Heeded::NotAdded(service, ends);
                let Some(Route { local, remote }) = route(ingress) else {
                    // It has just gone.
                    return (not, Ok(()));
                };
                let expected = Expected {
                    service,
                    birth,
                    ingress,
                    source: remote.ip(),
                    destination: local,
                };
                let result = match self.flows.add(&ends, &expected) {
                    Ok(()) => {
                        self.told += 1;
                        Ok(())
                    }
                    Err(error) if error.kind() == io::ErrorKind::ArgumentListTooLong => {
                        self.without_room += 1;
                        Ok(())
                    }
                    Err(error) => Err(error),
                };
                (not, result)
            }
        };
        if result.is_ok() {
            return (Heeded::Yes, result);
        }
        self.failures += 1;
        (heeded, result)
    }

    /// When [`Self::sweep`] is to be called, if it is.
    pub(crate) fn sweep_due(&self) -> Option<Time> {
        (!self.flows.is_swept()).then_some(self.sweep_at)
    }

    /// Frees some of the memory that is not needed any more, if it is time.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn sweep(&mut self, now: Time) -> io::Result<()> {
        if self.sweep_due().is_none_or(|due| now < due) {
            return Ok(());
        }
        self.sweep_at = now + SWEEP_INTERVAL;
        self.flows.sweep()
    }

    /// Adds what was counted.
    pub(crate) fn report(&self, report: &mut Report) {
        // A map that can't be read has nothing to add.
        let (packets, bytes) = self.flows.counts().unwrap_or_default();
        report.counters(&[
            (
                "jlb_xdp_stripped_total",
                "Client packets that the XDP program took the encapsulation off.",
                packets,
            ),
            (
                "jlb_xdp_stripped_bytes_total",
                "Bytes of client packets that the XDP program took the encapsulation off, without that.",
                bytes,
            ),
            (
                "jlb_xdp_flows_without_room_total",
                "Connections that the XDP program leaves to the agent since its map had no room.",
                self.without_room,
            ),
            (
                "jlb_xdp_flow_failures_total",
                "Changes of the XDP program's connections that the kernel refused for another reason than room; they are made again.",
                self.failures,
            ),
        ]);
        report.gauges(&[(
            "jlb_xdp_flows",
            "Connections whose packets the XDP program strips.",
            self.told,
        )]);
    }
}

/// Clients' packets come by this interface from now on, whatever their way back is: a strict check of
/// their source becomes a loose one, and none stays none.
fn take_clients(name: &str) -> kernel::Result<()> {
    let own = format!("ipv4/conf/{name}/rp_filter");
    let is_strict = |key: &str| Ok(sysctl::read(key)? == "1");
    if is_strict(&own)? || is_strict("ipv4/conf/all/rp_filter")? {
        // The larger of both counts.
        sysctl::raise(&own, 2)?;
    }
    Ok(())
}
