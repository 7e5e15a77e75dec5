//! Namespaces are made, found, entered and removed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod namespace;

use jlb_packet_io::netns;
use namespace::{Namespace, require_root};
use std::fs;
use std::io::ErrorKind;

fn here() -> std::path::PathBuf {
    fs::read_link("/proc/thread-self/ns/net").unwrap()
}

#[test]
fn a_new_namespace_is_listed_until_it_is_deleted() {
    require_root();
    let prefix = format!("jlbk-{}-list", std::process::id());
    let names = [format!("{prefix}-a"), format!("{prefix}-b")];
    for name in &names {
        netns::create(name).unwrap();
    }
    assert_eq!(netns::list(&prefix).unwrap(), names);
    let again = netns::create(&names[0]).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    for name in &names {
        netns::delete(name).unwrap();
        netns::delete(name).unwrap();
    }
    assert_eq!(netns::list(&prefix).unwrap(), Vec::<String>::new());
}

/// Places in the table of TCP connections that the namespace's own are in; negative if that is the machine's.
fn connections(name: &str) -> i64 {
    let read = || fs::read_to_string("/proc/sys/net/ipv4/tcp_ehash_entries");
    let text = netns::run_in(&netns::path(name), read).unwrap().unwrap();
    text.trim().parse().unwrap()
}

#[test]
fn a_namespace_may_have_a_table_of_connections_of_its_own() {
    require_root();
    let prefix = format!("jlbk-{}-apart", std::process::id());
    let (shared, own) = (format!("{prefix}-a"), format!("{prefix}-b"));
    netns::create(&shared).unwrap();
    netns::create_apart(&own, 1 << 10).unwrap();
    let again = netns::create_apart(&own, 1 << 10).unwrap_err();
    let sizes = [connections(&shared), connections(&own)];
    netns::delete(&shared).unwrap();
    netns::delete(&own).unwrap();
    assert!(sizes[0] < 0, "{sizes:?}");
    assert_eq!(sizes[1], 1 << 10);
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
}

#[test]
fn work_runs_inside_and_the_caller_stays_outside() {
    let namespace = Namespace::new("inside");
    let outside = here();
    let (inside, devices) = namespace.run(|| {
        let devices = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
        (here(), devices)
    });
    assert_ne!(inside, outside);
    assert_eq!(here(), outside);
    let names: Vec<&str> = devices
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.trim())
        .collect();
    assert_eq!(names, ["lo"], "a new namespace has a loopback and no more");
}

#[test]
fn a_panic_inside_reaches_the_caller() {
    let namespace = Namespace::new("panic");
    let path = namespace.path();
    let result = std::panic::catch_unwind(|| netns::run_in(&path, || panic!("inside")));
    let panic = result.unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"inside"));
}

#[test]
fn what_is_no_namespace_is_refused() {
    require_root();
    for name in ["", ".", "..", "a/b", "a b", "a\0b"] {
        let error = netns::create(name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name:?}");
    }
    let missing = netns::run_in(&netns::path("jlbk-not-there"), || ()).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let ordinary = netns::run_in("/etc/passwd".as_ref(), || ()).unwrap_err();
    assert_eq!(ordinary.kind(), ErrorKind::InvalidInput);
}
