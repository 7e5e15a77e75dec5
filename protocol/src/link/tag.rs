//! The tag over a message: SipHash-2-4 under the cluster's message key (R12).

use crate::drop_reason::DropReason;
use crate::wire::{covered_len, tag_range};
use alloc::vec::Vec;
use core::hash::Hasher;
use core::net::{IpAddr, SocketAddr};
use siphasher::sip::SipHasher24;

/// A key that messages are sealed with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MessageKey {
    /// Its number, 1 to 255, unique among the keys in use.
    pub id: u8,
    /// The secret.
    pub secret: [u8; 16],
}

impl core::fmt::Debug for MessageKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "MessageKey {{ id: {}, .. }}", self.id)
    }
}

/// The key to seal with, and those that messages may be sealed with during a rotation.
#[derive(Clone, Debug)]
pub struct MessageKeys {
    sending: MessageKey,
    others: Vec<MessageKey>,
}

impl MessageKeys {
    /// Seals with `sending`; opens with that and with `others`.
    #[must_use]
    pub const fn new(sending: MessageKey, others: Vec<MessageKey>) -> Self {
        Self { sending, others }
    }

    pub(super) const fn sending(&self) -> &MessageKey {
        &self.sending
    }

    pub(super) fn find(&self, id: u8) -> Option<&MessageKey> {
        core::iter::once(&self.sending)
            .chain(&self.others)
            .find(|key| key.id == id)
    }
}

/// The outer addresses and ports of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoints {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
}

/// The tag of a message from its Geneve header on: over the receiver's incarnation, the outer
/// addresses and ports, the Geneve header, all options but the tag itself, and the first 64 bytes
/// of the client's packet or all of a control body.
pub(super) fn compute(
    key: &MessageKey,
    receiver: u32,
    ends: Endpoints,
    bytes: &[u8],
) -> Result<[u8; 8], DropReason> {
    let covered = bytes
        .get(..covered_len(bytes)?)
        .ok_or(DropReason::Truncated)?;
    let range = tag_range();
    let (before, after) = covered
        .get(..range.start)
        .zip(covered.get(range.end..))
        .ok_or(DropReason::Truncated)?;
    let mut head = [0; HEAD_LEN];
    let (fixed, room) = head.split_at_mut(FIXED_LEN);
    write_fixed_part(receiver, ends, fixed);
    room.copy_from_slice(before);
    // All at once is several times faster than piece by piece; of the head whole words are hashed.
    let mut hasher = SipHasher24::new_with_key(&key.secret);
    hasher.write(&head);
    Ok(hasher.hash(after).to_be_bytes())
}

/// Bytes of the receiver's incarnation, the outer addresses and ports.
const FIXED_LEN: usize = 40;

/// These, and the bytes of the message in front of the tag.
const HEAD_LEN: usize = FIXED_LEN + tag_range().start;

fn write_fixed_part(receiver: u32, ends: Endpoints, bytes: &mut [u8]) {
    bytes[..4].copy_from_slice(&receiver.to_be_bytes());
    bytes[4..6].copy_from_slice(&ends.from.port().to_be_bytes());
    bytes[6..8].copy_from_slice(&ends.to.port().to_be_bytes());
    bytes[8..24].copy_from_slice(&octets(ends.from.ip()));
    bytes[24..].copy_from_slice(&octets(ends.to.ip()));
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Computes the tag and writes it into the message.
pub(super) fn write(
    key: &MessageKey,
    receiver: u32,
    ends: Endpoints,
    bytes: &mut [u8],
) -> Result<(), DropReason> {
    let tag = compute(key, receiver, ends, bytes)?;
    bytes
        .get_mut(tag_range())
        .ok_or(DropReason::Truncated)?
        .copy_from_slice(&tag);
    Ok(())
}

#[cfg(test)]
mod tests;
