//! Where messages to a peer go: by which interface, to which hardware address.
//!
//! A thread of its own asks the kernel for the route and the neighbour of each address that it was
//! told of, again whenever the kernel has news of routes, neighbours or interfaces, and hands over the
//! whole table. What is not in it is sent by an ordinary socket, which has the kernel find the
//! neighbour; the peers' heartbeats go that way all the time and keep the kernel's knowledge fresh.

use super::outer::ETHERNET_LEN;
use crate::error::Error;
use crate::kernel;
use crate::kernel::netlink::{Interface, Netlink};
use jlb_packet_io::wait::{Interest, Poller, Waker};
use jlb_protocol::NodeNumber;
use netlink_sys::protocols::NETLINK_ROUTE;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteType,
};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::Duration;

/// Addresses that the thread looks after at most; messages to others leave by ordinary sockets.
const MAX_ADDRESSES: usize = 16_384;

/// Questions that may wait for the thread; others are asked again.
const MAX_QUESTIONS: usize = 1_024;

/// `RTNLGRP_LINK`, `_NEIGH`, `_IPV4_ROUTE`, `_IPV6_ROUTE` and `_NEXTHOP` of linux/rtnetlink.h.
const GROUPS: [u32; 5] = [1, 3, 7, 11, 32];

/// The least time between two looks: news come in bursts.
const PAUSE: Duration = Duration::from_millis(10);

/// The longest time: for what the kernel does not tell, such as rules.
const INTERVAL: Duration = Duration::from_secs(5);

/// The way to a peer's address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hop {
    /// Which of our interfaces, by its place among them.
    pub(crate) interface: usize,
    /// The Ethernet header.
    pub(crate) ethernet: [u8; ETHERNET_LEN],
    /// The largest IP packet in bytes.
    pub(crate) mtu: usize,
}

/// From one of our addresses to one of a peer's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Ends {
    pub(crate) local: IpAddr,
    pub(crate) remote: IpAddr,
}

type Table = HashMap<Ends, Hop, ahash::RandomState>;

/// The table, and how to reach the thread that makes it.
#[derive(Debug)]
pub(crate) struct NextHops {
    table: Table,
    /// What was found in the table last, by the number of the node that it was for, up to the highest.
    found: Vec<Option<(Ends, Hop)>>,
    asked: BTreeSet<Ends>,
    questions: SyncSender<Ends>,
    tables: Receiver<Table>,
    thread: Waker,
}

impl NextHops {
    /// Starts the thread, for these interfaces, by name and index, of the calling thread's namespace; `waker`
    /// is called when there is another table.
    ///
    /// # Errors
    /// [`Error::Setup`] if the kernel has no news to tell, [`Error::System`] without resources.
    pub(crate) fn start(interfaces: Vec<(String, u32)>, waker: Waker) -> Result<Self, Error> {
        let (questions, inbox) = sync_channel(MAX_QUESTIONS);
        let (publish, tables) = sync_channel(1);
        let thread = Waker::new().map_err(Error::system("make a waker"))?;
        let resolver = Resolver {
            interfaces,
            netlink: Netlink::open().map_err(Error::Setup)?,
            ends: BTreeSet::new(),
            inbox,
            publish,
            wake_up: thread.clone(),
            waker,
        };
        let news = News::open().map_err(Error::Setup)?;
        std::thread::Builder::new()
            .name("next-hops".into())
            .spawn(move || resolver.run(news))
            .map_err(Error::system("start the thread that looks up neighbours"))?;
        Ok(Self {
            table: Table::default(),
            found: Vec::new(),
            asked: BTreeSet::new(),
            questions,
            tables,
            thread,
        })
    }

    /// The way to a node at this address, if it is known; has it looked up otherwise.
    #[inline]
    pub(crate) fn get(&mut self, node: NodeNumber, ends: Ends) -> Option<Hop> {
        match self.found.get(usize::from(node.get())) {
            Some(Some((of, hop))) if *of == ends => Some(*hop),
            _ => self.look_up(node, ends),
        }
    }

    fn look_up(&mut self, node: NodeNumber, ends: Ends) -> Option<Hop> {
        let known = self.table.get(&ends).copied();
        if let Some(hop) = known {
            let at = usize::from(node.get());
            if self.found.len() <= at {
                self.found.resize(at + 1, None);
            }
            self.found[at] = Some((ends, hop));
        } else if !self.asked.contains(&ends) {
            self.ask(ends);
        }
        known
    }

    fn ask(&mut self, ends: Ends) {
        if self.asked.len() < MAX_ADDRESSES && self.questions.try_send(ends).is_ok() {
            self.asked.insert(ends);
            self.thread.wake();
        }
    }

    /// Takes another table, if there is one.
    pub(crate) fn take_news(&mut self) {
        if let Ok(table) = self.tables.try_recv() {
            self.table = table;
            self.found.clear();
            // The thread may wait for the room.
            self.thread.wake();
        }
    }

    /// Addresses to which the way is known.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}

impl Drop for NextHops {
    fn drop(&mut self) {
        // The channel is closed right after this: the thread sees it now or in a few seconds.
        self.thread.wake();
    }
}

/// That something of routes, neighbours or interfaces has changed.
struct News {
    netlink: netlink_sys::Socket,
    part: Vec<u8>,
}

impl News {
    fn open() -> kernel::Result<Self> {
        let subscribe = || -> std::io::Result<netlink_sys::Socket> {
            let mut netlink = netlink_sys::Socket::new(NETLINK_ROUTE)?;
            netlink.set_non_blocking(true)?;
            netlink.bind_auto()?;
            for group in GROUPS {
                netlink.add_membership(group)?;
            }
            Ok(netlink)
        };
        let netlink = subscribe()
            .map_err(|e| kernel::Error::new("subscribe to news of routes and neighbours", e))?;
        Ok(Self {
            netlink,
            part: Vec::with_capacity(16 << 10),
        })
    }

    /// Reads all that there is, and says whether there was any.
    fn take(&mut self) -> bool {
        let mut any = false;
        loop {
            self.part.clear();
            match self.netlink.recv_from(&mut self.part, 0) {
                Ok(_) => any = true,
                Err(error) => match Errno::from_io_error(&error) {
                    // What is lost is news, too.
                    Some(Errno::NOBUFS) => any = true,
                    Some(Errno::INTR) => {}
                    _ => return any,
                },
            }
        }
    }
}

/// The thread's own.
struct Resolver {
    interfaces: Vec<(String, u32)>,
    netlink: Netlink,
    ends: BTreeSet<Ends>,
    inbox: Receiver<Ends>,
    publish: SyncSender<Table>,
    wake_up: Waker,
    /// The data thread's.
    waker: Waker,
}

impl Resolver {
    fn run(mut self, mut news: News) {
        let Ok(mut poller) = Poller::new() else {
            return;
        };
        let (netlink, wake_up) = (&news.netlink, &self.wake_up);
        if poller.add(netlink, 0, Interest::Readable).is_err()
            || poller.add(wake_up, 1, Interest::Readable).is_err()
        {
            return;
        }
        let mut last = Table::default();
        let mut pause = None;
        loop {
            let wait = pause.take().unwrap_or(INTERVAL);
            match poller.wait(Some(wait)) {
                Ok(ready) => ready.for_each(drop),
                Err(_) => return,
            }
            self.wake_up.clear();
            news.take();
            loop {
                match self.inbox.try_recv() {
                    Ok(ends) => drop(self.ends.insert(ends)),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            // A question that fails keeps the way of before: the next look may tell.
            if let Ok(table) = self.look()
                && table != last
            {
                match self.publish.try_send(table.clone()) {
                    Ok(()) => {
                        last = table;
                        self.waker.wake();
                    }
                    Err(TrySendError::Full(_)) => {
                        self.waker.wake();
                        pause = Some(PAUSE);
                    }
                    Err(TrySendError::Disconnected(_)) => return,
                }
            }
            // What comes meanwhile is seen together.
            if let Ok(mut quiet) = Poller::new()
                && let Ok(ready) = quiet.wait(Some(PAUSE))
            {
                ready.for_each(drop);
            }
        }
    }

    fn look(&self) -> kernel::Result<Table> {
        let mut interfaces = BTreeMap::new();
        for (at, (name, index)) in self.interfaces.iter().enumerate() {
            // One that is gone for now takes no messages, nor does another one of its name: the sockets are
            // bound to the first.
            if let Ok(interface) = self.netlink.interface(name)
                && interface.index == *index
            {
                interfaces.insert(interface.index, (at, interface));
            }
        }
        let neighbours: BTreeMap<(u32, IpAddr), [u8; 6]> = self
            .netlink
            .neighbours()?
            .into_iter()
            .map(|one| ((one.interface, one.address), one.hardware))
            .collect();
        let hop = |&ends: &Ends| {
            let route = self.netlink.route_from(Some(ends.local), ends.remote)?;
            let way = Way::of(&route, ends.remote)?;
            let (at, interface) = interfaces.get(&way.interface)?;
            let hardware = neighbours.get(&(way.interface, way.gateway))?;
            Some((ends, make_hop(*at, interface, *hardware, &way, ends.remote)))
        };
        Ok(self.ends.iter().filter_map(hop).collect())
    }
}

fn make_hop(at: usize, interface: &Interface, to: [u8; 6], way: &Way, remote: IpAddr) -> Hop {
    let ethertype: u16 = if remote.is_ipv4() { 0x0800 } else { 0x86dd };
    let mut ethernet = [0; ETHERNET_LEN];
    ethernet[..6].copy_from_slice(&to);
    ethernet[6..12].copy_from_slice(&interface.hardware);
    ethernet[12..].copy_from_slice(&ethertype.to_be_bytes());
    let mtu = way.mtu.map_or(interface.mtu, |mtu| mtu.min(interface.mtu));
    Hop {
        interface: at,
        ethernet,
        mtu: mtu as usize,
    }
}

/// What a route says.
struct Way {
    interface: u32,
    /// Who is asked for by its hardware address.
    gateway: IpAddr,
    mtu: Option<u32>,
}

impl Way {
    /// `None` for routes that only the kernel can follow.
    fn of(route: &RouteMessage, remote: IpAddr) -> Option<Self> {
        if route.header.kind != RouteType::Unicast {
            return None;
        }
        let mut way = Self {
            interface: 0,
            gateway: remote,
            mtu: None,
        };
        for attribute in &route.attributes {
            match attribute {
                RouteAttribute::Oif(index) => way.interface = *index,
                RouteAttribute::Gateway(RouteAddress::Inet(v4)) => way.gateway = (*v4).into(),
                RouteAttribute::Gateway(RouteAddress::Inet6(v6)) => way.gateway = (*v6).into(),
                RouteAttribute::Metrics(metrics) => {
                    way.mtu = metrics.iter().find_map(|metric| match metric {
                        RouteMetric::Mtu(mtu) => Some(*mtu),
                        _ => None,
                    });
                }
                RouteAttribute::Via(_)
                | RouteAttribute::Encap(_)
                | RouteAttribute::EncapType(_)
                | RouteAttribute::MultiPath(_) => return None,
                _ => {}
            }
        }
        (way.interface != 0).then_some(way)
    }
}

#[cfg(test)]
mod tests;
