//! TUN devices come and go as they are told. Packets through them: `jlb-node`'s tests.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod namespace;

use jlb_packet_io::Tun;
use jlb_packet_io::tun::{LargeBuf, Options};
use jlb_protocol::PacketBuf;
use namespace::Namespace;
use std::fs;
use std::io::ErrorKind;

fn exists(device: &str) -> bool {
    let devices = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    devices
        .lines()
        .any(|line| line.trim().starts_with(&format!("{device}:")))
}

#[test]
fn a_device_goes_with_its_file() {
    Namespace::new("transient").run(|| {
        let tun = Tun::open("jlbk-a", false).unwrap();
        assert_eq!(tun.name(), "jlbk-a");
        assert!(exists("jlbk-a"));
        drop(tun);
        assert!(!exists("jlbk-a"));
    });
}

#[test]
fn a_persistent_device_outlives_its_file_until_deleted() {
    Namespace::new("persistent").run(|| {
        drop(Tun::open("jlbk-b", true).unwrap());
        assert!(exists("jlbk-b"));
        drop(Tun::open("jlbk-b", true).unwrap());
        assert!(exists("jlbk-b"), "opening again changes nothing");
        Tun::delete("jlbk-b").unwrap();
        assert!(!exists("jlbk-b"));
        Tun::delete("jlbk-b").unwrap();
        assert!(!exists("jlbk-b"), "deleting again changes nothing");
    });
}

#[test]
fn a_device_that_is_held_is_busy() {
    Namespace::new("busy").run(|| {
        let _held = Tun::open("jlbk-c", true).unwrap();
        let error = Tun::open("jlbk-c", true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        let error = Tun::delete("jlbk-c").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
    });
}

#[test]
fn a_device_with_several_queues_is_opened_by_each_worker() {
    Namespace::new("queues").run(|| {
        let options = Options {
            multi_queue: true,
            ..Options::default()
        };
        let first = Tun::open_with("jlbk-d", options).unwrap();
        let second = Tun::open_with("jlbk-d", options).unwrap();
        assert_eq!(first.name(), second.name());
    });
}

#[test]
fn a_read_without_a_packet_does_not_wait() {
    Namespace::new("empty").run(|| {
        let tun = Tun::open("jlbk-e", false).unwrap();
        let mut slot = PacketBuf::default();
        let error = tun
            .receive(&mut slot, &mut LargeBuf::default())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn names_that_the_kernel_would_change_are_refused() {
    let too_long = "a".repeat(16);
    for name in ["", "jlb%d", "a/b", "a b", "a:b", &too_long] {
        let error = Tun::open(name, false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name:?}");
    }
}
