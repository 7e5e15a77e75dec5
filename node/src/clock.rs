//! The only place that reads clocks.

use jlb_packet_io::process;
use jlb_protocol::Time;

/// This machine's boot-time clock: monotonic, and it goes on while the machine sleeps, so that a
/// pause is seen as one (R11).
#[must_use]
pub fn now() -> Time {
    Time::from_nanos(process::boot_time_nanos())
}

/// Seconds since 1970 by the wall clock.
#[must_use]
pub fn wall_seconds() -> u64 {
    process::wall_clock_secs()
}
