//! The Internet checksum (RFC 1071), with and without pseudo-header.

use core::net::IpAddr;
use etherparse::checksum::Sum16BitWords;

/// The checksum of `bytes`: what belongs into a checksum field that is 0 among them; 0 if the
/// field holds the right value already.
#[must_use]
pub fn plain(bytes: &[u8]) -> u16 {
    finish(&add(Sum16BitWords::new(), bytes))
}

/// The same of 16-bit words, fewer than 2^16. Of what was just written this takes less time, since it need not be
/// read again.
#[must_use]
#[inline]
pub fn of_words(words: impl IntoIterator<Item = u16>) -> u16 {
    let sum: u32 = words.into_iter().map(u32::from).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

/// The checksum of `bytes`, fewer than 2^32, behind the pseudo-header of two addresses of one
/// family (RFC 9293 section 3.1, RFC 8200 section 8.1); `protocol` is an IP number. A sender of UDP
/// writes 0xffff where this gives 0.
#[must_use]
pub fn with_pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8, bytes: &[u8]) -> u16 {
    of_parts(src, dst, protocol, [bytes, &[]])
}

/// As [`with_pseudo_header`], of bytes in two parts, the first of an even length.
#[must_use]
pub fn of_parts(src: IpAddr, dst: IpAddr, protocol: u8, parts: [&[u8]; 2]) -> u16 {
    let [first, second] = parts;
    let sum = pseudo_header(src, dst, protocol, first.len() + second.len());
    finish(&add(add(sum, first), second))
}

/// What a partial checksum holds: the folded sum of the pseudo-header, as of a packet with `len`
/// bytes behind its IP header.
#[must_use]
#[inline]
pub fn partial(src: IpAddr, dst: IpAddr, protocol: u8, len: usize) -> u16 {
    !finish(&pseudo_header(src, dst, protocol, len))
}

/// Bytes that are summed in one step.
const STEP: usize = 32;
/// From here on steps pay.
const LONG: usize = 4 * STEP;

/// Adds bytes, with whatever came before of an even length. Those of long slices are added side by side, as 32-bit words
/// (RFC 1071 section 2, (C)), which processors do many of at once.
#[inline]
fn add(sum: Sum16BitWords, bytes: &[u8]) -> Sum16BitWords {
    if bytes.len() < LONG {
        return sum.add_slice(bytes);
    }
    let (steps, rest) = bytes.as_chunks::<STEP>();
    let mut lanes = [0_u64; STEP / 4];
    for step in steps {
        for (lane, word) in lanes.iter_mut().zip(step.as_chunks::<4>().0) {
            // Fewer than 2^32 words: there is no carry.
            *lane += u64::from(u32::from_ne_bytes(*word));
        }
    }
    let mut sum = sum;
    for lane in lanes {
        sum = sum.add_8bytes(lane.to_ne_bytes());
    }
    sum.add_slice(rest)
}

#[inline]
fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8, len: usize) -> Sum16BitWords {
    let mut sum = Sum16BitWords::new();
    for address in [src, dst] {
        sum = match address {
            IpAddr::V4(v4) => sum.add_4bytes(v4.octets()),
            IpAddr::V6(v6) => sum.add_16bytes(v6.octets()),
        };
    }
    // Length and protocol have 16 bits each in IPv4's pseudo-header and 32 in IPv6's: the same sum.
    let length = u32::try_from(len).unwrap_or(u32::MAX);
    sum.add_4bytes(length.to_be_bytes())
        .add_2bytes([0, protocol])
}

/// The sum counts in the machine's byte order; a field is big-endian.
#[inline]
fn finish(sum: &Sum16BitWords) -> u16 {
    sum.ones_complement().to_be()
}

#[cfg(test)]
mod tests;
