use super::*;
use crate::number::ServiceNumber;
use core::net::{IpAddr, Ipv4Addr};

fn key(port: u16) -> FlowKey {
    let client = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
    FlowKey::new(client, port, ServiceNumber::new(1).unwrap(), 80)
}

const BIRTH: Birth = Birth {
    incarnation: 7,
    counter: 1,
};

/// Made by another implementation of SipHash-2-4, over 32 bytes.
const VECTOR: u64 = 0x9f15_999e_94d5_3752;

#[test]
fn a_flow_has_the_bucket_of_its_top_eight_bits() {
    assert_eq!(bucket(FlowHash(0)), 0);
    assert_eq!(bucket(FlowHash(0x00ff_ffff_ffff_ffff)), 0);
    assert_eq!(bucket(FlowHash(0x0100_0000_0000_0000)), 1);
    assert_eq!(bucket(FlowHash(u64::MAX)), BUCKETS - 1);
}

#[test]
fn the_digest_of_a_flow_is_specified_to_the_bit() {
    assert_eq!(flow_digest(&key(40_000), BIRTH), VECTOR);
}

#[test]
fn another_flow_and_another_life_have_other_digests() {
    let one = flow_digest(&key(40_000), BIRTH);
    assert_ne!(flow_digest(&key(40_001), BIRTH), one);
    assert_ne!(flow_digest(&key(40_000), BIRTH.next()), one);
}
