//! Network namespaces that last as long as a test, and cables between them.

#![allow(dead_code, reason = "each test file uses its part")]

use jlb_node::kernel::netlink::{LinkSettings, Netlink};
use jlb_packet_io::netns;
use rtnetlink::{LinkUnspec, LinkVeth};
use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::Duration;

/// How long a test waits for what should happen at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A namespace that is deleted when it is dropped, also by a panic. Its loopback is up.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// A new namespace. `label` is unique among the tests of this crate.
    pub(crate) fn new(label: &str) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test makes network namespaces: run it as root"
        );
        let name = format!("jlbk-{}-{label}", std::process::id());
        netns::create(&name).unwrap();
        let namespace = Self { name };
        namespace.run(|| Netlink::open().unwrap().set_link("lo", UP).unwrap());
        namespace
    }

    /// Its file.
    pub(crate) fn path(&self) -> PathBuf {
        netns::path(&self.name)
    }

    /// Runs `work` in it.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        netns::run_in(&self.path(), work).unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let deleted = netns::delete(&self.name);
        if !std::thread::panicking() {
            deleted.unwrap();
        }
    }
}

/// Up, and nothing else changed.
pub(crate) const UP: LinkSettings = LinkSettings {
    up: Some(true),
    mtu: None,
    txqueuelen: None,
    multicast: None,
};

/// Lays a cable: device `eth` in both namespaces, up, with these addresses.
pub(crate) fn cable(left: (&Namespace, &[(&str, u8)]), right: (&Namespace, &[(&str, u8)])) {
    let other = File::open(right.0.path()).unwrap();
    left.0.run(|| {
        let netlink = Netlink::open().unwrap();
        let pair = LinkVeth::new("eth", "peer").build();
        let request = netlink.handle().link().add(pair).execute();
        netlink.wait("make a cable", request).unwrap();
        let peer = LinkUnspec::new_with_index(netlink.link_index("peer").unwrap())
            .setns_by_fd(other.as_raw_fd())
            .name("eth")
            .build();
        let request = netlink.handle().link().set(peer).execute();
        netlink.wait("lay a cable", request).unwrap();
    });
    for (namespace, addresses) in [left, right] {
        namespace.run(|| {
            let netlink = Netlink::open().unwrap();
            netlink.set_link("eth", UP).unwrap();
            for (address, length) in addresses {
                netlink.put_address("eth", ip(address), *length).unwrap();
            }
        });
    }
}

/// An address from its text.
pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
