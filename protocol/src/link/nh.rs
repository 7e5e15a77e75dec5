//! NH, the universal hash of UMAC (Black, Halevi, Krawczyk, Krovetz and Rogaway, "UMAC: Fast and Secure
//! Message Authentication", 1999), on words of 64 bits as in VMAC (Krovetz, "Message Authentication on
//! 64-bit Architectures", 2006): the sum of (k + m)(k' + m') over pairs of words m, m' of the message and
//! k, k' of the key, each inner sum modulo 2^64, the outer one modulo 2^128.
//!
//! Of two messages that differ, chosen without knowledge of the key, the sums are equal with a probability of
//! 2^-64 at most. Let them differ in the second word of some pair (the first is as good): whatever k' is, its
//! factors a and b in both messages differ, and for all other words of the key given
//! (k + m) a - (k + n) b = e has one solution k at most (UMAC, theorem 4.2). Messages of different lengths differ
//! in the first pair, which the length is in.

use crate::drop_reason::DropReason;

/// Pairs of words in the key: for the longest options (220 bytes behind the tag) and the longest control
/// body.
const PAIRS: usize = 2 + (220 + crate::wire::MAX_BODY).div_ceil(16);

/// A key.
#[derive(Clone)]
pub(super) struct NhKey {
    lengths: [u64; 2],
    head: [u64; 2],
    rest: [[u64; 2]; PAIRS - 2],
}

impl NhKey {
    /// The key of these words, in order.
    pub(super) fn new(mut word: impl FnMut() -> u64) -> Self {
        let mut pair = || [word(), word()];
        Self {
            lengths: pair(),
            head: pair(),
            rest: core::array::from_fn(|_| pair()),
        }
    }

    /// The hash of a message: `ports`, the words of `head`, and `rest`, whose length counts too. Its bytes
    /// make little-endian words; the last pair is filled up with zeros.
    ///
    /// # Errors
    /// [`DropReason::TooBig`]: `rest` is longer than that of any message.
    #[inline(always)]
    pub(super) fn hash(&self, ports: u32, head: [u64; 2], rest: &[u8]) -> Result<u128, DropReason> {
        let lengths = product(self.lengths, [rest.len() as u64, u64::from(ports)]);
        let mut sum = lengths.wrapping_add(product(self.head, head));
        let (pairs, last) = rest.as_chunks::<16>();
        let keys = self.rest.get(..pairs.len()).ok_or(DropReason::TooBig)?;
        for (&key, pair) in keys.iter().zip(pairs) {
            sum = sum.wrapping_add(product(key, words(pair)));
        }
        if last.is_empty() {
            return Ok(sum);
        }
        let key = self.rest.get(pairs.len()).ok_or(DropReason::TooBig)?;
        Ok(sum.wrapping_add(product(*key, last_words(last))))
    }
}

/// The words of fewer than 16 bytes, filled up with zeros.
#[inline(always)]
fn last_words(bytes: &[u8]) -> [u64; 2] {
    match bytes.split_first_chunk::<8>() {
        Some((first, rest)) => [u64::from_le_bytes(*first), last_word(rest)],
        None => [last_word(bytes), 0],
    }
}

/// The word of fewer than 8 bytes, by reads that overlap rather than byte by byte.
#[inline(always)]
fn last_word(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    if let (Some(&first), Some(&last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let (first, last) = (u32::from_le_bytes(first), u32::from_le_bytes(last));
        return u64::from(first) | u64::from(last) << (8 * (len - 4));
    }
    let byte = |at: usize| u64::from(bytes[at]) << (8 * at);
    if len == 0 {
        return 0;
    }
    byte(0) | byte(len / 2) | byte(len - 1)
}

#[inline]
fn product([k, l]: [u64; 2], [m, n]: [u64; 2]) -> u128 {
    u128::from(k.wrapping_add(m)) * u128::from(l.wrapping_add(n))
}

#[inline]
fn words(bytes: &[u8; 16]) -> [u64; 2] {
    let both = u128::from_le_bytes(*bytes);
    [both as u64, (both >> 64) as u64]
}

#[cfg(test)]
mod tests;
