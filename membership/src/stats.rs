//! What membership counts.

use core::time::Duration;

/// Counters since the start, and the present numbers of nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Peers that are believed alive now.
    pub up: u32,
    /// Peers of the file, or that answered once, that are believed down now.
    pub down: u32,
    /// Nodes that are asked now whether they are there.
    pub asked: u32,
    /// Peers that came up, returns included.
    pub came: u64,
    /// Peers that fell silent.
    pub silent: u64,
    /// Peers that were heard, but did not answer: the way to them is broken, not the way from them.
    pub deaf: u64,
    /// Peers that said that they leave.
    pub left: u64,
    /// Peers that restarted while they were up.
    pub restarted: u64,
    /// The longest time that a peer had been silent when it was believed down for it.
    pub longest_silence: Duration,
    /// Times that this node itself was late by more than a heartbeat, and excused all silence.
    pub excused: u64,
    /// Times that this node noticed it had been paused (R11).
    pub pauses: u64,
    /// Hellos beyond the heartbeat, to peers that were silent.
    pub probes: u64,
    /// Nodes outside the file that answered.
    pub learnt: u64,
    /// Nodes outside the file that are not known any more: they never answered, or were down long.
    pub forgotten: u64,
    /// Nodes outside the file for which there was no room (R14), or whose number is taken.
    pub refused: u64,
}
