//! The seal: the first option of every message (R12).

use super::geneve::HEADER_LEN;
use super::option::OPTION_HEADER;
use crate::drop_reason::DropReason;
use crate::message::FlowKind;
use crate::number::NodeNumber;
use core::ops::Range;

/// The version of a seal that every node knows; the tag is SipHash-2-4 over all. Hellos and their answers have
/// this one.
pub const VERSION: u8 = 1;

/// The version of a seal whose tag is NH and SipHash-2-4, see `link::tag`. It has the number of the wire
/// version that brought it: it is for peers that have said that they speak that.
pub const NH_VERSION: u8 = 3;

/// Whether a seal has a version that this build knows; other messages are dropped as a whole.
pub(super) const fn is_known(version: u8) -> bool {
    version == VERSION || version == NH_VERSION && super::WIRE_VERSION >= NH_VERSION
}

/// Bytes of the option's body.
pub(super) const BODY_LEN: usize = 28;

/// Bytes from the Geneve header to the end of the seal: the least that a message has.
pub const SEALED_LEN: usize = HEADER_LEN + OPTION_HEADER + BODY_LEN;

const AT: usize = HEADER_LEN + OPTION_HEADER;
const VERSION_AT: usize = AT;
const KIND_AT: usize = AT + 1;
const KEY_ID_AT: usize = AT + 2;
const WORKER_AT: usize = AT + 3;
/// The second word: from the option's own header on.
const SECOND: Range<usize> = HEADER_LEN..WORKER_AT + 1;
/// The third word: from the sender to its incarnation.
const THIRD: Range<usize> = SENDER.start..INCARNATION.end;
const SENDER: Range<usize> = AT + 4..AT + 6;
const RECEIVER: Range<usize> = AT + 6..AT + 8;
const INCARNATION: Range<usize> = AT + 8..AT + 12;
const COUNTER: Range<usize> = AT + 12..AT + 20;
const TAG: Range<usize> = AT + 20..AT + 28;

/// Whether it is a message of [`FlowKind::Data`], as far as its type says.
#[must_use]
pub fn is_data(message: &[u8]) -> bool {
    message.get(KIND_AT) == Some(&(FlowKind::Data as u8))
}

/// Who sent a message, for which life of whom, and as which of its messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seal {
    /// How the tag is made: [`VERSION`] or [`NH_VERSION`].
    pub version: u8,
    /// The message's type number.
    pub kind: u8,
    /// Which key the tag is made with.
    pub key_id: u8,
    /// The sender's worker.
    pub worker: u8,
    /// The sender.
    pub sender: NodeNumber,
    /// The low 16 bits of the receiver's incarnation, 0 in Hello: a quick look, the tag decides.
    pub receiver: u16,
    /// The sender's incarnation.
    pub incarnation: u32,
    /// The worker's count of messages to this receiver.
    pub counter: u64,
    /// See `link::tag`.
    pub tag: u64,
}

impl Seal {
    /// Reads the seal of a message, from its Geneve header on.
    ///
    /// # Errors
    /// [`DropReason::Truncated`], [`DropReason::BadGeneve`], [`DropReason::BadOption`],
    /// [`DropReason::BadVersion`] or [`DropReason::UnknownSender`] (number 0).
    #[inline]
    pub fn read(bytes: &[u8]) -> Result<Self, DropReason> {
        let geneve = super::Geneve::parse(bytes)?;
        if geneve.options.len() < OPTION_HEADER + BODY_LEN {
            return Err(DropReason::BadOption);
        }
        if !super::option::is_seal(geneve.options) {
            return Err(DropReason::BadOption);
        }
        let bytes: &[u8; SEALED_LEN] = bytes.first_chunk().ok_or(DropReason::Truncated)?;
        let version = bytes[VERSION_AT];
        if !is_known(version) {
            return Err(DropReason::BadVersion);
        }
        let sender = u16::from_be_bytes(array(bytes, SENDER));
        Ok(Self {
            version,
            kind: bytes[KIND_AT],
            key_id: bytes[KEY_ID_AT],
            worker: bytes[WORKER_AT],
            sender: NodeNumber::new(sender).ok_or(DropReason::UnknownSender)?,
            receiver: u16::from_be_bytes(array(bytes, RECEIVER)),
            incarnation: u32::from_be_bytes(array(bytes, INCARNATION)),
            counter: u64::from_be_bytes(array(bytes, COUNTER)),
            tag: u64::from_be_bytes(array(bytes, TAG)),
        })
    }
}

/// What a session's seals have in common, in words as they stand in a message: all but its type, counter and tag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Imprint {
    second: u64,
    third: u64,
}

impl Imprint {
    /// That of this seal.
    pub(crate) const fn of(seal: &Seal) -> Self {
        let [a, b] = seal.sender.get().to_be_bytes();
        let [c, d] = seal.receiver.to_be_bytes();
        let [e, f, g, h] = seal.incarnation.to_be_bytes();
        let second = [0, 0, 0, 0, seal.version, 0, seal.key_id, seal.worker];
        Self {
            second: u64::from_le_bytes(second),
            third: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        }
    }

    /// Writes the seal of a message that an encoder wrote, all but its type, which is there, and the tag; gives its
    /// first two words, see [`Covered::head`].
    #[inline(always)]
    pub(crate) fn write(&self, counter: u64, bytes: &mut [u8; SEALED_LEN]) -> [u64; 2] {
        /// Of the second word: the option's own header, and the message's type.
        const KEPT: u64 = u64::from_le_bytes([0xff, 0xff, 0xff, 0xff, 0, 0xff, 0, 0]);
        let first = u64::from_le_bytes(array(bytes, 0..8));
        let second = u64::from_le_bytes(array(bytes, SECOND)) & KEPT | self.second;
        // In whole words: the hash of the message reads them at once.
        bytes[SECOND].copy_from_slice(&second.to_le_bytes());
        bytes[THIRD].copy_from_slice(&self.third.to_le_bytes());
        bytes[COUNTER].copy_from_slice(&counter.to_be_bytes());
        [first, second]
    }
}

/// Writes the tag into a message whose seal is there.
#[inline(always)]
pub(crate) fn write_tag(tag: u64, bytes: &mut [u8; SEALED_LEN]) {
    bytes[TAG].copy_from_slice(&tag.to_be_bytes());
}

/// A field of a header; all ranges are constants inside of it.
fn array<const N: usize>(header: &[u8; SEALED_LEN], field: Range<usize>) -> [u8; N] {
    let mut value = [0; N];
    value.copy_from_slice(&header[field]);
    value
}

/// What the tag of a message covers, from its Geneve header on: header and options without the tag, and of what
/// follows the first 64 bytes of a client's packet or all of a control body (R12).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Covered<'a> {
    /// What stands in front of the tag.
    pub(crate) before: &'a [u8; TAG.start],
    /// What follows it, as far as it is covered.
    pub(crate) rest: &'a [u8],
}

impl<'a> Covered<'a> {
    /// Bytes in front of the tag.
    pub(crate) const BEFORE: usize = TAG.start;

    /// The first 16 bytes as two words, little-endian: all of what stands in front of the tag that differs between
    /// messages of one session, but for the counter.
    #[inline]
    pub(crate) fn head(&self) -> [u64; 2] {
        let (words, _) = self.before.as_chunks();
        [u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1])]
    }

    /// Bytes of a client's packet that are covered.
    const PACKET: usize = 64;

    /// What is covered of a message, of which [`Geneve`] has been read, or that an encoder wrote.
    ///
    /// [`Geneve`]: super::Geneve
    ///
    /// # Errors
    /// [`DropReason::Truncated`]
    #[inline]
    pub(crate) fn of(bytes: &'a [u8]) -> Result<Self, DropReason> {
        let first = bytes.first_chunk().ok_or(DropReason::Truncated)?;
        let before = bytes.first_chunk().ok_or(DropReason::Truncated)?;
        let behind = bytes.get(TAG.end..).ok_or(DropReason::Truncated)?;
        let rest = Self::behind_tag(u64::from_le_bytes(*first), behind);
        Ok(Self { before, rest })
    }

    /// What is covered of what stands behind the tag, by the first word of the message, little-endian.
    #[inline(always)]
    pub(crate) fn behind_tag(first: u64, behind: &[u8]) -> &[u8] {
        let (options, control) = super::geneve::extent(first);
        let end = (HEADER_LEN + options + Self::PACKET).saturating_sub(TAG.end);
        match behind.get(..end) {
            Some(covered) if !control => covered,
            _ => behind,
        }
    }
}
