//! SipHash-2-4 (Aumasson and Bernstein, 2012) over whole words, from a state that can be kept: what many
//! messages have in common is hashed once.

/// The state after some words.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sip([u64; 4]);

impl Sip {
    /// The state before any word.
    pub(crate) const fn new(key: [u64; 2]) -> Self {
        let [k0, k1] = key;
        Self([
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ])
    }

    /// The same, of a key's bytes.
    pub(crate) const fn with_bytes(key: [u8; 16]) -> Self {
        let both = u128::from_le_bytes(key);
        Self::new([both as u64, (both >> 64) as u64])
    }

    /// Takes the next eight bytes, as a little-endian word.
    #[inline(always)]
    pub(crate) fn word(mut self, word: u64) -> Self {
        self.0[3] ^= word;
        self.round();
        self.round();
        self.0[0] ^= word;
        self
    }

    /// The hash, after the last word: up to seven bytes in its lower part, and in the highest one the low
    /// byte of the length of all.
    #[inline(always)]
    pub(crate) fn finish(self, last: u64) -> u64 {
        let mut state = self.word(last);
        state.0[2] ^= 0xff;
        for _ in 0..4 {
            state.round();
        }
        let [a, b, c, d] = state.0;
        a ^ b ^ c ^ d
    }

    #[inline(always)]
    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.0;
        a = a.wrapping_add(b);
        c = c.wrapping_add(d);
        b = b.rotate_left(13) ^ a;
        d = d.rotate_left(16) ^ c;
        a = a.rotate_left(32);
        c = c.wrapping_add(b);
        a = a.wrapping_add(d);
        b = b.rotate_left(17) ^ c;
        d = d.rotate_left(21) ^ a;
        c = c.rotate_left(32);
        self.0 = [a, b, c, d];
    }
}

impl core::fmt::Debug for Sip {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Sip(..)")
    }
}

#[cfg(test)]
mod tests;
