//! The Geneve options (RFC 8926 section 3.5) that carry the fields of one flow.

use super::seal;
use crate::drop_reason::DropReason;
use crate::flow::{Birth, FlowKey, OfferNumber};
use crate::message::{Hunt, HuntHost, Intent, MAX_HUNT, MAX_TRIED, Path, Reason, Tried};
use crate::number::NodeNumber;

/// The class of all our options, from the experimental range 0xff00 to 0xffff.
const CLASS: u16 = 0xff4a;

/// Bytes of an option's own header: class (2), type (1), length in words (1).
pub(super) const OPTION_HEADER: usize = 4;

/// The high bit of the type: a receiver that does not know the option drops the packet.
const CRITICAL: u8 = 0x80;

const SEAL: u8 = 0x81;
const OFFER: u8 = 0x82;
const PATH: u8 = 0x83;
const BIRTH: u8 = 0x84;
const TRIED: u8 = 0x85;
const VERDICT: u8 = 0x86;
const KEY: u8 = 0x87;
/// Not critical: who does not know it searches plainly.
const HUNT: u8 = 0x08;

const OFFER_LEN: usize = 8;
const PATH_LEN: usize = 8;
const BIRTH_LEN: usize = 8;
const VERDICT_LEN: usize = 4;
/// Bytes of each host of a hunt: number (2), step (1), flags (1), incarnation (4).
const HUNT_HOST_LEN: usize = 8;
/// In the flags: the Offer may be passed on.
const PASSES: u8 = 1;

/// The most bytes that the options of any message take.
const MAX_OPTIONS: usize = 8 * OPTION_HEADER
    + seal::BODY_LEN
    + OFFER_LEN
    + PATH_LEN
    + BIRTH_LEN
    + 2 * MAX_TRIED
    + HUNT_HOST_LEN * MAX_HUNT
    + VERDICT_LEN
    + FlowKey::WIRE_LEN;

/// Builds the options of one message.
pub(super) struct OptionWriter {
    bytes: [u8; MAX_OPTIONS],
    len: usize,
}

impl OptionWriter {
    pub(super) const fn new() -> Self {
        Self {
            bytes: [0; MAX_OPTIONS],
            len: 0,
        }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Appends an option and returns its body; every option is appended at most once, so that
    /// there is always room. `body_len` is a multiple of 4.
    fn append(&mut self, kind: u8, body_len: usize) -> &mut [u8] {
        let at = self.len;
        self.len = at + OPTION_HEADER + body_len;
        let option = &mut self.bytes[at..self.len];
        let (head, body) = option.split_at_mut(OPTION_HEADER);
        head.copy_from_slice(&header(kind, body_len));
        body
    }

    pub(super) fn seal(&mut self, message_kind: u8) {
        let body = self.append(SEAL, seal::BODY_LEN);
        body[0] = seal::VERSION;
        body[1] = message_kind;
    }

    pub(super) fn offer(&mut self, offer: OfferNumber, intent: Intent) {
        let body = self.append(OFFER, OFFER_LEN);
        body[..4].copy_from_slice(&offer.isn.to_be_bytes());
        body[4] = offer.step;
        body[5] = intent as u8;
    }

    pub(super) fn path(&mut self, path: &Path) {
        let body = self.append(PATH, PATH_LEN);
        let nodes = [path.ingress, path.primary, path.secondary, path.host];
        for (node, bytes) in nodes.into_iter().zip(body.chunks_exact_mut(2)) {
            bytes.copy_from_slice(&NodeNumber::to_wire(node).to_be_bytes());
        }
    }

    pub(super) fn birth(&mut self, birth: Birth) {
        let body = self.append(BIRTH, BIRTH_LEN);
        write_birth(birth, body);
    }

    /// Pads to whole words with node number 0.
    pub(super) fn tried(&mut self, tried: &Tried) {
        let body = self.append(TRIED, (2 * tried.len()).next_multiple_of(4));
        for (node, bytes) in tried.iter().zip(body.chunks_exact_mut(2)) {
            bytes.copy_from_slice(&node.get().to_be_bytes());
        }
    }

    pub(super) fn hunt(&mut self, hunt: &Hunt) {
        let body = self.append(HUNT, HUNT_HOST_LEN * hunt.len());
        for (host, bytes) in hunt.iter().zip(body.chunks_exact_mut(HUNT_HOST_LEN)) {
            bytes[..2].copy_from_slice(&host.host.get().to_be_bytes());
            bytes[2] = host.step;
            bytes[3] = if hunt.passes() { PASSES } else { 0 };
            bytes[4..].copy_from_slice(&host.incarnation.to_be_bytes());
        }
    }

    pub(super) fn verdict(&mut self, reason: Reason, load: u16) {
        let body = self.append(VERDICT, VERDICT_LEN);
        body[0] = reason as u8;
        body[2..4].copy_from_slice(&load.to_be_bytes());
    }

    pub(super) fn key(&mut self, key: &FlowKey) {
        self.append(KEY, FlowKey::WIRE_LEN)
            .copy_from_slice(&key.to_bytes());
    }
}

/// Bytes of the options of a Data message with a birth.
pub(super) const DATA_LEN: usize = 2 * OPTION_HEADER + seal::BODY_LEN + BIRTH_LEN;

/// Writes the options of a Data message with a birth, as [`OptionWriter`] does one after the other.
#[inline]
pub(super) fn write_data(bytes: &mut [u8; DATA_LEN], message_kind: u8, birth: Birth) {
    const BIRTH_AT: usize = OPTION_HEADER + seal::BODY_LEN;
    bytes[..OPTION_HEADER].copy_from_slice(&header(SEAL, seal::BODY_LEN));
    bytes[OPTION_HEADER..BIRTH_AT].fill(0);
    bytes[OPTION_HEADER] = seal::VERSION;
    bytes[OPTION_HEADER + 1] = message_kind;
    bytes[BIRTH_AT..BIRTH_AT + OPTION_HEADER].copy_from_slice(&header(BIRTH, BIRTH_LEN));
    write_birth(birth, &mut bytes[BIRTH_AT + OPTION_HEADER..]);
}

/// The header of an option.
#[inline]
const fn header(kind: u8, body_len: usize) -> [u8; OPTION_HEADER] {
    let [high, low] = CLASS.to_be_bytes();
    [high, low, kind, (body_len / 4) as u8 & 0x1f]
}

/// The options of a received message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    pub(super) seal_kind: Option<u8>,
    pub(super) offer: Option<(OfferNumber, Intent)>,
    pub(super) path: Option<Path>,
    pub(super) birth: Option<Birth>,
    pub(super) tried: Option<Tried>,
    pub(super) hunt: Option<Hunt>,
    pub(super) verdict: Option<(Reason, u16)>,
    pub(super) key: Option<FlowKey>,
}

/// Whether the options begin with a seal of the right length.
pub(super) fn is_seal(options: &[u8]) -> bool {
    matches!(options, [a, b, SEAL, words, ..]
        if u16::from_be_bytes([*a, *b]) == CLASS && usize::from(*words) * 4 == seal::BODY_LEN)
}

#[inline]
pub(super) fn parse(mut bytes: &[u8]) -> Result<Options, DropReason> {
    let mut options = Options::default();
    // Each turn takes at least four of at most 252 bytes.
    while !bytes.is_empty() {
        let (header, rest) = bytes
            .split_at_checked(OPTION_HEADER)
            .ok_or(DropReason::BadOption)?;
        let (kind, words) = (header[2], header[3] & 0x1f);
        let (body, rest) = rest
            .split_at_checked(usize::from(words) * 4)
            .ok_or(DropReason::BadOption)?;
        bytes = rest;
        if u16::from_be_bytes([header[0], header[1]]) == CLASS {
            options.take(kind, body)?;
        } else if kind & CRITICAL != 0 {
            return Err(DropReason::BadOption);
        }
    }
    Ok(options)
}

/// One bit for each of these options: Offer, Path, Birth, Tried, Hunt, Verdict, Key.
pub(super) const fn bits(options: [bool; 7]) -> u8 {
    let [offer, path, birth, tried, hunt, verdict, key] = options;
    offer as u8
        | (path as u8) << 1
        | (birth as u8) << 2
        | (tried as u8) << 3
        | (hunt as u8) << 4
        | (verdict as u8) << 5
        | (key as u8) << 6
}

impl Options {
    /// Which options there are, without the seal, as [`bits`].
    #[inline]
    pub(super) const fn present(&self) -> u8 {
        bits([
            self.offer.is_some(),
            self.path.is_some(),
            self.birth.is_some(),
            self.tried.is_some(),
            self.hunt.is_some(),
            self.verdict.is_some(),
            self.key.is_some(),
        ])
    }

    #[inline]
    fn take(&mut self, kind: u8, body: &[u8]) -> Result<(), DropReason> {
        match kind {
            SEAL => {
                let &[version, message_kind, ..] = body else {
                    return Err(DropReason::BadOption);
                };
                if !seal::is_known(version) {
                    return Err(DropReason::BadVersion);
                }
                once(&mut self.seal_kind, message_kind, body, seal::BODY_LEN)
            }
            OFFER => {
                let &[a, b, c, d, step, intent, ..] = body else {
                    return Err(DropReason::BadOption);
                };
                let intent = Intent::from_wire(intent).ok_or(DropReason::BadField)?;
                let isn = u32::from_be_bytes([a, b, c, d]);
                once(
                    &mut self.offer,
                    (OfferNumber { isn, step }, intent),
                    body,
                    OFFER_LEN,
                )
            }
            PATH => {
                let mut nodes = body
                    .chunks_exact(2)
                    .map(|node| NodeNumber::new(u16::from_be_bytes([node[0], node[1]])));
                let mut next = || nodes.next().flatten();
                let path = Path {
                    ingress: next(),
                    primary: next(),
                    secondary: next(),
                    host: next(),
                };
                once(&mut self.path, path, body, PATH_LEN)
            }
            BIRTH => {
                let birth = read_birth(body).ok_or(DropReason::BadOption)?;
                once(&mut self.birth, birth, body, BIRTH_LEN)
            }
            TRIED => {
                if body.len() > 2 * MAX_TRIED {
                    return Err(DropReason::BadOption);
                }
                let mut tried = Tried::NONE;
                for node in body.chunks_exact(2) {
                    if let Some(node) = NodeNumber::new(u16::from_be_bytes([node[0], node[1]])) {
                        tried.push(node);
                    }
                }
                once(&mut self.tried, tried, body, body.len())
            }
            HUNT => {
                let hunt = read_hunt(body)?;
                once(&mut self.hunt, hunt, body, body.len())
            }
            VERDICT => {
                let &[reason, _, high, low] = body else {
                    return Err(DropReason::BadOption);
                };
                let reason = Reason::from_wire(reason).ok_or(DropReason::BadField)?;
                let load = u16::from_be_bytes([high, low]);
                once(&mut self.verdict, (reason, load), body, VERDICT_LEN)
            }
            KEY => {
                let key = body.try_into().map_err(|_| DropReason::BadOption)?;
                let key = FlowKey::from_bytes(key).ok_or(DropReason::BadField)?;
                once(&mut self.key, key, body, FlowKey::WIRE_LEN)
            }
            unknown if unknown & CRITICAL != 0 => Err(DropReason::BadOption),
            _ => Ok(()),
        }
    }
}

/// Stores an option's value, if it has the right length and is there for the first time.
fn once<T>(slot: &mut Option<T>, value: T, body: &[u8], len: usize) -> Result<(), DropReason> {
    if slot.is_some() || body.len() != len {
        return Err(DropReason::BadOption);
    }
    *slot = Some(value);
    Ok(())
}

/// Reads the hosts of a hunt. Flags that are not known yet mean nothing.
fn read_hunt(body: &[u8]) -> Result<Hunt, DropReason> {
    let (hosts, rest) = body.as_chunks::<HUNT_HOST_LEN>();
    if hosts.is_empty() || !rest.is_empty() {
        return Err(DropReason::BadOption);
    }
    let mut hunt = Hunt::NONE;
    let mut passes = true;
    for &[high, low, step, flags, a, b, c, d] in hosts {
        let next = HuntHost {
            host: NodeNumber::new(u16::from_be_bytes([high, low])).ok_or(DropReason::BadField)?,
            step,
            incarnation: u32::from_be_bytes([a, b, c, d]),
        };
        if !hunt.push(next) {
            return Err(DropReason::BadField);
        }
        passes &= flags & PASSES != 0;
    }
    Ok(hunt.passing(passes))
}

/// Writes a birth into the first 8 bytes.
#[inline]
pub(super) fn write_birth(birth: Birth, bytes: &mut [u8]) {
    bytes[..4].copy_from_slice(&birth.incarnation.to_be_bytes());
    bytes[4..8].copy_from_slice(&birth.counter.to_be_bytes());
}

/// Reads a birth from the first 8 bytes.
pub(super) fn read_birth(bytes: &[u8]) -> Option<Birth> {
    let (incarnation, rest) = bytes.split_first_chunk::<4>()?;
    let counter = rest.first_chunk::<4>()?;
    Some(Birth {
        incarnation: u32::from_be_bytes(*incarnation),
        counter: u32::from_be_bytes(*counter),
    })
}

impl Intent {
    fn from_wire(number: u8) -> Option<Self> {
        [Self::Syn, Self::MidFlow, Self::Datagram]
            .into_iter()
            .find(|&intent| intent as u8 == number)
    }
}

impl Reason {
    /// Every reason, in order of its number.
    pub const ALL: [Self; 10] = [
        Self::None,
        Self::Load,
        Self::NotOwner,
        Self::Exhausted,
        Self::NoHost,
        Self::Quota,
        Self::NotFilled,
        Self::Queued,
        Self::Unknown,
        Self::Draining,
    ];

    fn from_wire(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|&reason| reason as u8 == number)
    }
}
