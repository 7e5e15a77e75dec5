//! The seal: the first option of every message (R12).

use super::geneve::HEADER_LEN;
use super::option::OPTION_HEADER;
use crate::drop_reason::DropReason;
use crate::number::NodeNumber;
use core::ops::Range;

/// The version of the messages: one that a node does not know is dropped as a whole.
pub const VERSION: u8 = 1;

/// Bytes of the option's body.
pub(super) const BODY_LEN: usize = 28;

/// Bytes from the Geneve header to the end of the seal: the least that a message has.
pub const SEALED_LEN: usize = HEADER_LEN + OPTION_HEADER + BODY_LEN;

const AT: usize = HEADER_LEN + OPTION_HEADER;
const VERSION_AT: usize = AT;
const KIND_AT: usize = AT + 1;
const KEY_ID_AT: usize = AT + 2;
const WORKER_AT: usize = AT + 3;
const SENDER: Range<usize> = AT + 4..AT + 6;
const RECEIVER: Range<usize> = AT + 6..AT + 8;
const INCARNATION: Range<usize> = AT + 8..AT + 12;
const COUNTER: Range<usize> = AT + 12..AT + 20;
const TAG: Range<usize> = AT + 20..AT + 28;

/// Who sent a message, for which life of whom, and as which of its messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seal {
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
    /// SipHash-2-4, see `link::tag`.
    pub tag: [u8; 8],
}

fn array<const N: usize>(bytes: &[u8], range: Range<usize>) -> Result<[u8; N], DropReason> {
    bytes
        .get(range)
        .and_then(|part| part.try_into().ok())
        .ok_or(DropReason::Truncated)
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
        let [version] = array(bytes, VERSION_AT..VERSION_AT + 1)?;
        if version != VERSION {
            return Err(DropReason::BadVersion);
        }
        let [kind, key_id, worker] = array(bytes, KIND_AT..WORKER_AT + 1)?;
        let sender = u16::from_be_bytes(array(bytes, SENDER)?);
        Ok(Self {
            kind,
            key_id,
            worker,
            sender: NodeNumber::new(sender).ok_or(DropReason::UnknownSender)?,
            receiver: u16::from_be_bytes(array(bytes, RECEIVER)?),
            incarnation: u32::from_be_bytes(array(bytes, INCARNATION)?),
            counter: u64::from_be_bytes(array(bytes, COUNTER)?),
            tag: array(bytes, TAG)?,
        })
    }

    /// Writes all but version, kind and tag into a message that an encoder wrote.
    ///
    /// # Errors
    /// [`DropReason::Truncated`] if it is no such message.
    pub(crate) fn write(&self, bytes: &mut [u8]) -> Result<(), DropReason> {
        if bytes.len() < SEALED_LEN {
            return Err(DropReason::Truncated);
        }
        bytes[KEY_ID_AT] = self.key_id;
        bytes[WORKER_AT] = self.worker;
        bytes[SENDER].copy_from_slice(&self.sender.get().to_be_bytes());
        bytes[RECEIVER].copy_from_slice(&self.receiver.to_be_bytes());
        bytes[INCARNATION].copy_from_slice(&self.incarnation.to_be_bytes());
        bytes[COUNTER].copy_from_slice(&self.counter.to_be_bytes());
        Ok(())
    }
}

/// How many bytes of a message, from its Geneve header on, the tag covers: header and options,
/// and of what follows the first 64 bytes of a client's packet or all of a control body (R12).
pub(crate) fn covered_len(bytes: &[u8]) -> Result<usize, DropReason> {
    let geneve = super::Geneve::parse(bytes)?;
    let headers = HEADER_LEN + geneve.options.len();
    let payload = geneve.payload.len();
    Ok(headers
        + if geneve.control {
            payload
        } else {
            payload.min(64)
        })
}

/// Where the tag stands, from the Geneve header.
pub(crate) const fn tag_range() -> Range<usize> {
    TAG
}
