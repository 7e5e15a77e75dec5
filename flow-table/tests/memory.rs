//! What a flow costs in memory, counted by the table and seen by the kernel.

#![allow(clippy::unwrap_used, reason = "a test")]

use jlb_flow_table::FlowTable;
use std::num::NonZeroU32;
use std::time::Duration;

const FLOWS: u32 = 1_000_000;

/// As a flow key is laid out: an IPv6 address, a service, two ports.
type Key = ([u8; 16], u32, [u16; 2]);

fn key(number: u32) -> Key {
    let mut address = [0x20; 16];
    address[12..].copy_from_slice(&number.to_be_bytes());
    (address, 7, [number as u16, 443])
}

/// Bytes of this process in memory.
fn resident_bytes() -> usize {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Rss:"))
        .unwrap();
    let kibibytes: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
    kibibytes * 1024
}

/// A table full of flows, each with a deadline.
fn full_table<V: Copy>(value: V) -> FlowTable<Key, V> {
    let before = resident_bytes();
    let mut table = FlowTable::new(FLOWS, Duration::from_millis(10), 1);
    for number in 0..FLOWS {
        let handle = table.insert(key(number), value).unwrap();
        table.set_deadline(handle, u64::from(number) * 1_000_000);
    }
    let resident = resident_bytes() - before;
    let counted = table.allocated_bytes();
    // The allocator adds its own spending, and rounds to pages.
    let difference = resident.abs_diff(counted);
    assert!(
        difference < counted / 50,
        "{resident} resident, {counted} counted"
    );
    table
}

fn bytes_per_flow<V>(table: &FlowTable<Key, V>) -> f64 {
    table.allocated_bytes() as f64 / f64::from(FLOWS)
}

// One test, so that nothing else allocates meanwhile; it keeps both tables, so that the second
// does not use the memory of the first.
#[test]
fn a_million_flows_cost_what_they_should() {
    let small = full_table((NonZeroU32::MIN, [0_u32; 4]));
    let large = full_table((NonZeroU32::MIN, [0_u32; 9]));
    let (small, large) = (bytes_per_flow(&small), bytes_per_flow(&large));
    assert!(small <= 66.0, "{small} bytes a flow with 20-byte values");
    assert!(large <= 86.0, "{large} bytes a flow with 40-byte values");
}
