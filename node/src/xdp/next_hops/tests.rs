use super::*;
use crate::kernel::netlink::{LinkSettings, Prefix, Route, Target};
use jlb_packet_io::netns;
use rtnetlink::LinkVeth;

const NODE: NodeNumber = NodeNumber::new(7).unwrap();
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SECOND: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// A namespace with a cable whose end `near` has addresses; deleted when it goes.
struct Net(String);

impl Net {
    fn new(label: &str) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test makes network namespaces: run it as root"
        );
        let name = format!("jlbk-{}-{label}", std::process::id());
        netns::create(&name).unwrap();
        Self(name)
    }

    fn run(&self, test: impl FnOnce(&Netlink) + Send) {
        let work = || {
            let netlink = Netlink::open().unwrap();
            let pair = LinkVeth::new("near", "far").build();
            let request = netlink.handle().link().add(pair).execute();
            netlink.wait("make a cable", request).unwrap();
            let up = LinkSettings {
                up: Some(true),
                ..LinkSettings::default()
            };
            netlink.set_link("near", up).unwrap();
            netlink.set_link("far", up).unwrap();
            for (address, length) in [("10.0.0.1", 24), ("fd00::1", 64)] {
                netlink.put_address("near", ip(address), length).unwrap();
            }
            test(&netlink);
        };
        netns::run_in(&netns::path(&self.0), work).unwrap();
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let _ = netns::delete(&self.0);
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ends(remote: &str) -> Ends {
    let remote = ip(remote);
    let local = if remote.is_ipv4() {
        "10.0.0.1"
    } else {
        "fd00::1"
    };
    Ends {
        local: ip(local),
        remote,
    }
}

/// The table of `near`, and what wakes when it changes.
struct Watched {
    hops: NextHops,
    poller: Poller,
    waker: Waker,
}

impl Watched {
    fn start() -> Self {
        let waker = Waker::new().unwrap();
        let poller = Poller::new().unwrap();
        poller.add(&waker, 0, Interest::Readable).unwrap();
        let index = Netlink::open().unwrap().interface("near").unwrap().index;
        let hops = NextHops::start(vec![("near".into(), index)], waker.clone()).unwrap();
        Self {
            hops,
            poller,
            waker,
        }
    }

    /// Waits until this is the way, by its hardware address.
    fn wait_for(&mut self, ends: Ends, hardware: Option<[u8; 6]>) -> Option<Hop> {
        let started = crate::clock::now();
        loop {
            let hop = self.hops.get(NODE, ends);
            let now = hop.map(|hop| <[u8; 6]>::try_from(&hop.ethernet[..6]).unwrap());
            if now == hardware {
                return hop;
            }
            let waited = crate::clock::now().since(started);
            assert!(waited < PATIENCE, "{ends:?} is at {now:?}");
            let left = PATIENCE.saturating_sub(waited);
            self.poller.wait(Some(left)).unwrap().for_each(drop);
            self.waker.clear();
            self.hops.take_news();
        }
    }
}

#[test]
fn a_neighbour_is_known_as_long_as_the_kernel_knows_it() {
    Net::new("hops-neighbour").run(|netlink| {
        let interface = netlink.interface("near").unwrap();
        let mut watched = Watched::start();
        for (remote, ethertype) in [("10.0.0.2", [8, 0]), ("fd00::2", [0x86, 0xdd])] {
            let ends = ends(remote);
            assert_eq!(watched.hops.get(NODE, ends), None);
            netlink.put_neighbour("near", ends.remote, FIRST).unwrap();
            let hop = watched.wait_for(ends, Some(FIRST)).unwrap();
            assert_eq!(hop.ethernet[6..12], interface.hardware);
            assert_eq!(hop.ethernet[12..], ethertype);
            assert_eq!((hop.interface, hop.mtu), (0, 1_500));
            netlink.put_neighbour("near", ends.remote, SECOND).unwrap();
            watched.wait_for(ends, Some(SECOND));
            netlink.delete_neighbour("near", ends.remote).unwrap();
            watched.wait_for(ends, None);
        }
        assert_eq!(watched.hops.len(), 0);
    });
}

#[test]
fn a_route_leads_to_its_gateway_and_says_what_fits() {
    Net::new("hops-route").run(|netlink| {
        let far = ends("192.0.2.9");
        let mut watched = Watched::start();
        assert_eq!(watched.hops.get(NODE, far), None);
        let gateways = [("10.0.0.2", FIRST), ("10.0.0.3", SECOND)];
        for (gateway, hardware) in gateways {
            netlink
                .put_neighbour("near", ip(gateway), hardware)
                .unwrap();
        }
        for (gateway, hardware) in gateways {
            let route = Route::new(Prefix::host(far.remote), Target::Gateway(ip(gateway)));
            netlink.put_route(&route).unwrap();
            watched.wait_for(far, Some(hardware));
        }
        let smaller = LinkSettings {
            mtu: Some(1_400),
            ..LinkSettings::default()
        };
        netlink.set_link("near", smaller).unwrap();
        let other = ends("10.0.0.2");
        while watched
            .wait_for(other, Some(FIRST))
            .is_some_and(|hop| hop.mtu != 1_400)
        {
            watched.poller.wait(Some(PATIENCE)).unwrap().for_each(drop);
            watched.waker.clear();
            watched.hops.take_news();
        }
    });
}

#[test]
fn what_leaves_by_another_interface_is_not_ours() {
    Net::new("hops-other").run(|netlink| {
        let mut watched = Watched::start();
        // This machine's own address, one by the other end, and one that no route leads to.
        netlink.put_address("far", ip("10.9.0.1"), 24).unwrap();
        netlink
            .put_neighbour("far", ip("10.9.0.2"), SECOND)
            .unwrap();
        let others = ["10.0.0.1", "10.9.0.2", "203.0.113.1"].map(ends);
        for ends in others {
            assert_eq!(watched.hops.get(NODE, ends), None);
        }
        netlink
            .put_neighbour("near", ip("10.0.0.2"), FIRST)
            .unwrap();
        // Asked after them and known: so they were looked at.
        watched.wait_for(self::ends("10.0.0.2"), Some(FIRST));
        for ends in others {
            assert_eq!(watched.hops.get(NODE, ends), None);
        }
    });
}
