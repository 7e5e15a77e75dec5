//! Settings belong to a namespace.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod namespace;

use jlb_node::kernel::sysctl;
use namespace::Namespace;
use std::io::ErrorKind;

#[test]
fn a_setting_changes_in_its_namespace_only() {
    let (changed, other) = (Namespace::new("sysctl-a"), Namespace::new("sysctl-b"));
    let key = "ipv4/conf/all/arp_ignore";
    let before = other.run(|| sysctl::read(key).unwrap());
    changed.run(|| {
        sysctl::write(key, "2").unwrap();
        assert_eq!(sysctl::read(key).unwrap(), "2");
        sysctl::raise(key, 1).unwrap();
        assert_eq!(sysctl::read(key).unwrap(), "2", "not lowered");
        sysctl::raise(key, 3).unwrap();
        assert_eq!(sysctl::read(key).unwrap(), "3");
    });
    assert_eq!(other.run(|| sysctl::read(key).unwrap()), before);
}

#[test]
fn errors_name_the_key() {
    Namespace::new("sysctl-errors").run(|| {
        let missing = sysctl::write("ipv4/conf/nothere/rp_filter", "2").unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(missing.to_string().contains("ipv4/conf/nothere/rp_filter"));
        let refused = sysctl::write("ipv4/ip_forward", "yes").unwrap_err();
        assert!(refused.to_string().contains("ipv4/ip_forward"));
    });
}
