//! Weighted rendezvous hashing: of all nodes the one whose [`draw`] is the lowest, which is each in
//! proportion to its weight. Losing one moves no flow of the others.

/// When a clock that rings `weight` times as often as others rings first: exponentially distributed,
/// so that the first of all clocks is each in proportion to its weight. `score` is drawn evenly from all
/// numbers; a weight of 0 counts as 1.
#[must_use]
pub fn draw(score: u64, weight: u16) -> u128 {
    (u128::from(minus_log2(score)) << 32) / u128::from(weight.max(1))
}

/// -log2(score / 2^64) in units of 2^-32, above 0: in whole numbers, so that every build on every
/// node computes it alike.
fn minus_log2(score: u64) -> u64 {
    let score = score.max(1);
    let whole = score.ilog2();
    // The mantissa, from 1 to below 2 in units of 2^-63; squaring it brings out one bit of its
    // logarithm after the other.
    let mut mantissa = u128::from(score << score.leading_zeros());
    let mut fraction = 0_u64;
    for _ in 0..32 {
        mantissa = (mantissa * mantissa) >> 63;
        let bit = mantissa >> 64;
        mantissa >>= bit;
        fraction = (fraction << 1) | u64::from(bit == 1);
    }
    (64 << 32) - ((u64::from(whole) << 32) | fraction)
}

#[cfg(test)]
mod tests;
