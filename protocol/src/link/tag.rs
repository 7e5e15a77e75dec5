//! The tag over a message under the cluster's message key (R12). There are two, by the version of the seal.
//!
//! *Version 1* is SipHash-2-4 over all that is covered.
//!
//! *Version 3* is a Wegman-Carter code: SipHash-2-4 over what makes the message unique among all that the key
//! seals (sender, its life and worker, receiver and its life, counter), and the NH hash ([`super::nh`]) of
//! all else. Nothing is to be learnt of NH's key from tags, since SipHash is never asked the same twice, whatever the hashes are.
//! A forged message with a counter that no message had is a guess at a new value of SipHash, right once in
//! 2^64; one with a used counter has that message's tag only if NH does not tell the two apart, once in 2^64,
//! and is a guess otherwise.
//!
//! Both are of 8 bytes, and either suffices by itself, so that nothing is won by having a node use the first.

use super::nh::NhKey;
use crate::drop_reason::DropReason;
use crate::number::NodeNumber;
use crate::sip::Sip;
use crate::wire::{Covered, Seal};
use alloc::sync::Arc;
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
    sending: Key,
    others: Vec<Key>,
}

impl MessageKeys {
    /// Seals with `sending`; opens with that and with `others`.
    #[must_use]
    pub fn new(sending: MessageKey, others: Vec<MessageKey>) -> Self {
        Self {
            sending: Key::new(sending),
            others: others.into_iter().map(Key::new).collect(),
        }
    }

    pub(super) const fn sending(&self) -> &Key {
        &self.sending
    }

    pub(super) fn find(&self, id: u8) -> Option<&Key> {
        core::iter::once(&self.sending)
            .chain(&self.others)
            .find(|key| key.id() == id)
    }
}

/// A key with what is derived from it.
#[derive(Clone, Debug)]
pub(super) struct Key {
    given: MessageKey,
    derived: Arc<Derived>,
}

/// The keys of a seal of version 3.
struct Derived {
    sip: [u64; 2],
    nh: NhKey,
}

impl core::fmt::Debug for Derived {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Derived { .. }")
    }
}

/// What derived words are hashes of, before their number. 16 bytes in all: what a tag of version 1 is over
/// always has more, so that none is one of these words.
const LABEL: [u8; 8] = *b"JLB seal";

impl Key {
    fn new(given: MessageKey) -> Self {
        let mut number = 0_u64;
        let mut next = || {
            let mut hasher = SipHasher24::new_with_key(&given.secret);
            hasher.write(&LABEL);
            hasher.write(&number.to_be_bytes());
            number += 1;
            hasher.finish()
        };
        let derived = Derived {
            sip: [next(), next()],
            nh: NhKey::new(next),
        };
        Self {
            given,
            derived: Arc::new(derived),
        }
    }

    pub(super) const fn id(&self) -> u8 {
        self.given.id
    }

    /// The tag of version 1: over the receiver's incarnation, the outer addresses and ports, the Geneve
    /// header, all options but the tag itself, and the first 64 bytes of the client's packet or all of
    /// a control body.
    pub(super) fn first_tag(&self, receiver: u32, ends: Endpoints, covered: &Covered<'_>) -> u64 {
        let mut head = [0; HEAD_LEN];
        let (fixed, room) = head.split_at_mut(FIXED_LEN);
        write_fixed_part(receiver, ends, fixed);
        room.copy_from_slice(covered.before);
        // All at once is several times faster than piece by piece; of the head whole words are hashed.
        let mut hasher = SipHasher24::new_with_key(&self.given.secret);
        hasher.write(&head);
        hasher.hash(covered.rest)
    }

    /// The beginning of the tags of version 3 that a session's messages of one sender's worker have in common.
    #[cold]
    pub(super) fn begin(&self, sender: Sender, receiver: u32, from: IpAddr, to: IpAddr) -> Sip {
        let mut bytes = [0; SESSION_LEN];
        bytes[..2].copy_from_slice(&sender.node.get().to_be_bytes());
        bytes[2] = sender.worker;
        bytes[4..8].copy_from_slice(&sender.incarnation.to_be_bytes());
        bytes[8..12].copy_from_slice(&receiver.to_be_bytes());
        bytes[16..32].copy_from_slice(&octets(from));
        bytes[32..].copy_from_slice(&octets(to));
        let (words, _) = bytes.as_chunks();
        words
            .iter()
            .fold(Sip::new(self.derived.sip), |state, word| {
                state.word(u64::from_le_bytes(*word))
            })
    }

    /// The tag of version 3 of a message, from where its session's begin. `head` and `rest` are what is covered
    /// of the message and not in the session: [`Covered`].
    ///
    /// # Errors
    /// [`DropReason::BadField`]: a counter that no sender gets to. [`DropReason::TooBig`]: a message that none
    /// of ours is as long as.
    #[inline(always)]
    pub(super) fn tag(
        &self,
        begun: Sip,
        counter: u64,
        ports: [u16; 2],
        head: [u64; 2],
        rest: &[u8],
    ) -> Result<u64, DropReason> {
        if counter > MAX_COUNTER {
            return Err(DropReason::BadField);
        }
        let [from, to] = ports.map(u32::from);
        let hash = self.derived.nh.hash(from << 16 | to, head, rest)?;
        Ok(begun
            .word(hash as u64)
            .word((hash >> 64) as u64)
            .finish(counter | INPUT_LEN << 56))
    }
}

/// Who seals a session's messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender {
    pub(super) node: NodeNumber,
    pub(super) worker: u8,
    pub(super) incarnation: u32,
}

impl Sender {
    pub(super) const fn of(seal: &Seal) -> Self {
        Self {
            node: seal.sender,
            worker: seal.worker,
            incarnation: seal.incarnation,
        }
    }
}

/// What a session's messages have in common: sender (2 bytes), its worker (1), zero (1), its incarnation (4),
/// the receiver's incarnation (4), zero (4), source and destination address (16 each).
const SESSION_LEN: usize = 48;

/// Bytes that SipHash gets: the session, the hash (16) and the counter (7).
const INPUT_LEN: u64 = SESSION_LEN as u64 + 16 + 7;

/// At ten million messages a second two centuries.
const MAX_COUNTER: u64 = (1 << 56) - 1;

/// The outer addresses and ports of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoints {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
}

/// Bytes of the receiver's incarnation, the outer addresses and ports.
const FIXED_LEN: usize = 40;

/// These, and the bytes of the message in front of the tag.
const HEAD_LEN: usize = FIXED_LEN + Covered::BEFORE;

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

#[cfg(test)]
mod tests;
