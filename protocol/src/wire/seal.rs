//! The seal: the first option of every message (R12).

use super::geneve::HEADER_LEN;
use super::option::OPTION_HEADER;
use crate::drop_reason::DropReason;
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
const SENDER: Range<usize> = AT + 4..AT + 6;
const RECEIVER: Range<usize> = AT + 6..AT + 8;
const INCARNATION: Range<usize> = AT + 8..AT + 12;
const COUNTER: Range<usize> = AT + 12..AT + 20;
const TAG: Range<usize> = AT + 20..AT + 28;

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

    /// Writes all but kind and tag into a message that an encoder wrote; gives its first two words, see
    /// [`Covered::head`].
    ///
    /// # Errors
    /// [`DropReason::Truncated`] if it is no such message.
    #[inline]
    pub(crate) fn write(&self, bytes: &mut [u8]) -> Result<[u64; 2], DropReason> {
        /// Of the second word: the option's own header, and the message's type.
        const KEPT: u64 = u64::from_le_bytes([0xff, 0xff, 0xff, 0xff, 0, 0xff, 0, 0]);
        let bytes: &mut [u8; SEALED_LEN] = bytes.first_chunk_mut().ok_or(DropReason::Truncated)?;
        let first = u64::from_le_bytes(array(bytes, 0..8));
        let ours = [0, 0, 0, 0, self.version, 0, self.key_id, self.worker];
        let second = u64::from_le_bytes(array(bytes, SECOND)) & KEPT | u64::from_le_bytes(ours);
        // In whole words: the hash of the message reads them at once.
        bytes[SECOND].copy_from_slice(&second.to_le_bytes());
        bytes[SENDER].copy_from_slice(&self.sender.get().to_be_bytes());
        bytes[RECEIVER].copy_from_slice(&self.receiver.to_be_bytes());
        bytes[INCARNATION].copy_from_slice(&self.incarnation.to_be_bytes());
        bytes[COUNTER].copy_from_slice(&self.counter.to_be_bytes());
        Ok([first, second])
    }

    /// Writes the tag into a message that [`Self::write`] has written to.
    ///
    /// # Errors
    /// [`DropReason::Truncated`] if it is no such message.
    #[inline]
    pub(crate) fn write_tag(tag: u64, bytes: &mut [u8]) -> Result<(), DropReason> {
        let bytes: &mut [u8; SEALED_LEN] = bytes.first_chunk_mut().ok_or(DropReason::Truncated)?;
        bytes[TAG].copy_from_slice(&tag.to_be_bytes());
        Ok(())
    }
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
        let (options, control) = super::geneve::extent(bytes)?;
        let packet = HEADER_LEN + options + Self::PACKET;
        let end = if control {
            bytes.len()
        } else {
            packet.min(bytes.len())
        };
        let before = bytes.first_chunk().ok_or(DropReason::Truncated)?;
        let rest = bytes.get(TAG.end..end).ok_or(DropReason::Truncated)?;
        Ok(Self { before, rest })
    }
}
