//! In which order rows have their turns: drawn anew for every round, the same for the same seed.

use super::workload::Workload;

/// An order of `count` rows.
pub(super) fn draw(seed: u64, alternation: u32, workload: Workload, count: usize) -> Vec<usize> {
    let mut state = seed
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(u64::from(alternation) << 8 | workload as u64);
    let mut order: Vec<usize> = (0..count).collect();
    for place in (1..count).rev() {
        let other = next(&mut state) % (place as u64 + 1);
        order.swap(place, usize::try_from(other).unwrap_or(0));
    }
    order
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
