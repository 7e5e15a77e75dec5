//! Bytes that server and client both know, so that each sees at once when one is wrong, missing
//! or in the wrong place.

use std::sync::OnceLock;

use hyper::body::Bytes;

/// The bytes repeat after so many: a prime, so that no block size of disks, pages or segments
/// divides it, and content that slid by one of those is noticed.
const PERIOD: usize = 65_521;

/// A 64-bit FNV-1a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// Takes more bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// The sum so far.
    pub fn value(self) -> u64 {
        self.0
    }
}

fn block() -> &'static Bytes {
    static BLOCK: OnceLock<Bytes> = OnceLock::new();
    BLOCK.get_or_init(|| {
        // The low byte of a linear congruential generator is poor; its high byte is not.
        let mut state = 1_u64;
        let bytes = (0..PERIOD).map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_be_bytes()[0]
        });
        Bytes::from_iter(bytes)
    })
}

/// The bytes from `offset`: at least one, at most `most` of them. Nothing is copied.
pub fn piece(offset: u64, most: u64) -> Bytes {
    let block = block();
    let start = (offset % PERIOD as u64) as usize;
    let length = usize::try_from(most)
        .unwrap_or(usize::MAX)
        .min(PERIOD - start);
    block.slice(start..start + length)
}

/// Whether `bytes` are what stands at `offset`.
pub fn matches(offset: u64, bytes: &[u8]) -> bool {
    let (mut offset, mut rest) = (offset, bytes);
    while !rest.is_empty() {
        let expected = piece(offset, rest.len() as u64);
        let (now, later) = rest.split_at(expected.len());
        if now != &expected[..] {
            return false;
        }
        offset += now.len() as u64;
        rest = later;
    }
    true
}

/// The sum of the first `length` bytes.
pub fn sum_of_first(length: u64) -> Fnv {
    let mut sum = Fnv::default();
    let mut done = 0;
    while done < length {
        let next = piece(done, length - done);
        sum.update(&next);
        done += next.len() as u64;
    }
    sum
}

#[cfg(test)]
mod tests;
