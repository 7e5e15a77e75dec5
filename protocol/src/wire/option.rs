//! The Geneve options (RFC 8926 section 3.5) that carry the fields of one flow.

use super::geneve::{self, ETHERTYPE_CONTROL, HEADER_LEN};
use super::seal;
use crate::buffer::Buffer;
use crate::drop_reason::DropReason;
use crate::flow::{Birth, FlowKey, OfferNumber};
use crate::message::{FlowMessage, Hunt, HuntHost, Intent, MAX_TRIED, Path, Reason, Tried};
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

/// Puts the options of one message in front of its payload, in place: the last one first.
pub(super) struct OptionWriter<'a, B> {
    buf: &'a mut B,
    len: usize,
}

impl<'a, B: Buffer> OptionWriter<'a, B> {
    pub(super) const fn new(buf: &'a mut B) -> Self {
        Self { buf, len: 0 }
    }

    /// Puts the seal, not sealed yet, and the Geneve header in front of all.
    ///
    /// # Errors
    /// [`DropReason::TooBig`] if there is no headroom, as of all others.
    #[inline]
    pub(super) fn finish(
        mut self,
        message_kind: u8,
        ethertype: u16,
        vni: u32,
    ) -> Result<(), DropReason> {
        let mut body = [0; seal::BODY_LEN];
        body[0] = seal::VERSION;
        body[1] = message_kind;
        self.put(SEAL, &body)?;
        let control = ethertype == ETHERTYPE_CONTROL;
        let header = geneve::header(self.len, control, ethertype, vni);
        let room = self.buf.prepend(header.len()).ok_or(DropReason::TooBig)?;
        room.copy_from_slice(&header);
        Ok(())
    }

    /// Puts what messages of a search begin with in front of all: Geneve header, unsealed seal, the flow's key if there
    /// is no packet, offer number and path. All at once, since that is nearly every message about one flow.
    ///
    /// # Errors
    /// [`DropReason::TooBig`]
    #[inline]
    pub(super) fn finish_search(
        self,
        message: &FlowMessage<'_>,
        ethertype: u16,
    ) -> Result<(), DropReason> {
        if ethertype != ETHERTYPE_CONTROL {
            let front = self.front::<{ KEY_AT + SEARCH_LEN }>(message, ethertype)?;
            return write_search(&mut front[KEY_AT..], message);
        }
        let front = self.front::<{ KEY_AT + KEY_LEN + SEARCH_LEN }>(message, ethertype)?;
        let (key, search) = front[KEY_AT..].split_at_mut(KEY_LEN);
        key[..OPTION_HEADER].copy_from_slice(&header(KEY, FlowKey::WIRE_LEN));
        key[OPTION_HEADER..].copy_from_slice(&message.key.to_bytes());
        write_search(search, message)
    }

    /// Makes room for so many bytes in front of all, and writes Geneve header and seal into it.
    #[inline(always)]
    fn front<const LEN: usize>(
        self,
        message: &FlowMessage<'_>,
        ethertype: u16,
    ) -> Result<&'a mut [u8; LEN], DropReason> {
        let options = self.len + LEN - HEADER_LEN;
        let room = self.buf.prepend(LEN).ok_or(DropReason::TooBig)?;
        let room: &mut [u8; LEN] = room.try_into().map_err(|_| DropReason::TooBig)?;
        let control = ethertype == ETHERTYPE_CONTROL;
        let vni = message.key.service().get();
        room[..HEADER_LEN].copy_from_slice(&geneve::header(options, control, ethertype, vni));
        room[HEADER_LEN..SEAL_BODY_AT].copy_from_slice(&header(SEAL, seal::BODY_LEN));
        room[SEAL_BODY_AT..KEY_AT].fill(0);
        room[SEAL_BODY_AT] = seal::VERSION;
        room[SEAL_BODY_AT + 1] = message.kind as u8;
        Ok(room)
    }

    /// Puts an option in front; the length of its body is a multiple of 4.
    #[inline(always)]
    fn put<const LEN: usize>(&mut self, kind: u8, body: &[u8; LEN]) -> Result<(), DropReason> {
        let len = OPTION_HEADER + LEN;
        self.len += len;
        let room = self.buf.prepend(len).ok_or(DropReason::TooBig)?;
        let (head, rest) = room.split_at_mut(OPTION_HEADER);
        head.copy_from_slice(&header(kind, LEN));
        rest.copy_from_slice(body);
        Ok(())
    }

    /// Puts an option whose body has as many bytes as the list needs in front. The body is not written yet.
    fn list(&mut self, kind: u8, body_len: usize) -> Result<&mut [u8], DropReason> {
        let len = OPTION_HEADER + body_len;
        self.len += len;
        let room = self.buf.prepend(len).ok_or(DropReason::TooBig)?;
        let (head, body) = room.split_first_chunk_mut().ok_or(DropReason::TooBig)?;
        *head = header(kind, body_len);
        Ok(body)
    }

    #[inline]
    pub(super) fn birth(&mut self, birth: Birth) -> Result<(), DropReason> {
        let mut body = [0; BIRTH_LEN];
        write_birth(birth, &mut body);
        self.put(BIRTH, &body)
    }

    /// Pads to whole words with node number 0.
    pub(super) fn tried(&mut self, tried: &Tried) -> Result<(), DropReason> {
        let body = self.list(TRIED, (2 * tried.len()).next_multiple_of(4))?;
        body.fill(0);
        for (node, bytes) in tried.iter().zip(body.chunks_exact_mut(2)) {
            bytes.copy_from_slice(&node.get().to_be_bytes());
        }
        Ok(())
    }

    pub(super) fn hunt(&mut self, hunt: &Hunt) -> Result<(), DropReason> {
        let body = self.list(HUNT, HUNT_HOST_LEN * hunt.len())?;
        for (host, bytes) in hunt.iter().zip(body.chunks_exact_mut(HUNT_HOST_LEN)) {
            bytes[..2].copy_from_slice(&host.host.get().to_be_bytes());
            bytes[2] = host.step;
            bytes[3] = if hunt.passes() { PASSES } else { 0 };
            bytes[4..].copy_from_slice(&host.incarnation.to_be_bytes());
        }
        Ok(())
    }

    pub(super) fn verdict(&mut self, reason: Reason, load: u16) -> Result<(), DropReason> {
        let [high, low] = load.to_be_bytes();
        self.put(VERDICT, &[reason as u8, 0, high, low])
    }
}

/// Where the body of the seal begins in a message, and where what follows the seal does.
const SEAL_BODY_AT: usize = HEADER_LEN + OPTION_HEADER;
/// See [`SEAL_BODY_AT`].
const KEY_AT: usize = SEAL_BODY_AT + seal::BODY_LEN;

/// Bytes of a key.
const KEY_LEN: usize = OPTION_HEADER + FlowKey::WIRE_LEN;

/// Bytes of an offer number and a path.
const SEARCH_LEN: usize = 2 * OPTION_HEADER + OFFER_LEN + PATH_LEN;

/// Writes a message's offer number and path.
#[inline(always)]
fn write_search(bytes: &mut [u8], message: &FlowMessage<'_>) -> Result<(), DropReason> {
    const PATH_AT: usize = OPTION_HEADER + OFFER_LEN;
    let bytes: &mut [u8; SEARCH_LEN] = bytes.try_into().map_err(|_| DropReason::TooBig)?;
    let FlowMessage {
        offer,
        intent,
        path,
        ..
    } = message;
    let [a, b, c, d] = offer.isn.to_be_bytes();
    bytes[..OPTION_HEADER].copy_from_slice(&header(OFFER, OFFER_LEN));
    let offer = [a, b, c, d, offer.step, *intent as u8, 0, 0];
    bytes[OPTION_HEADER..PATH_AT].copy_from_slice(&offer);
    let nodes = [path.ingress, path.primary, path.secondary, path.host];
    let nodes = nodes.map(|node| u64::from(NodeNumber::to_wire(node)));
    let [ingress, primary, secondary, host] = nodes;
    let nodes = ingress << 48 | primary << 32 | secondary << 16 | host;
    bytes[PATH_AT..PATH_AT + OPTION_HEADER].copy_from_slice(&header(PATH, PATH_LEN));
    bytes[PATH_AT + OPTION_HEADER..].copy_from_slice(&nodes.to_be_bytes());
    Ok(())
}

/// Bytes of the options of a Data message with a birth.
pub(super) const DATA_LEN: usize = 2 * OPTION_HEADER + seal::BODY_LEN + BIRTH_LEN;

/// Writes the options of a Data message with a birth, as [`OptionWriter`] does.
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

/// The options of a received message. Of the lists there are the bodies: few messages have any.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options<'a> {
    /// Which there are, as [`bits`], and [`SEALED`].
    there: u8,
    seal_kind: u8,
    pub(super) intent: Intent,
    pub(super) reason: Reason,
    pub(super) load: u16,
    pub(super) offer: OfferNumber,
    pub(super) path: Path,
    pub(super) birth: Option<Birth>,
    pub(super) key: Option<FlowKey>,
    tried: &'a [u8],
    hunt: &'a [u8],
}

/// Whether the options begin with a seal of the right length.
pub(super) fn is_seal(options: &[u8]) -> bool {
    matches!(options, [a, b, SEAL, words, ..]
        if u16::from_be_bytes([*a, *b]) == CLASS && usize::from(*words) * 4 == seal::BODY_LEN)
}

/// Reads options into those of a message of which none is known yet.
#[inline(always)]
pub(super) fn parse<'a>(mut bytes: &'a [u8], options: &mut Options<'a>) -> Result<(), DropReason> {
    // Those that most messages have, in the order in which they are written.
    if let Some(body) = next(&mut bytes, SEAL) {
        options.take_seal(body)?;
    }
    if let Some(body) = next(&mut bytes, KEY) {
        options.take_key(body)?;
    }
    if let Some(body) = next(&mut bytes, OFFER) {
        options.take_offer(body)?;
    }
    if let Some(body) = next(&mut bytes, PATH) {
        options.take_path(body)?;
    }
    if let Some(body) = next(&mut bytes, BIRTH) {
        options.take_birth(body)?;
    }
    // Each turn takes at least four of at most 252 bytes.
    while !bytes.is_empty() {
        let (&[high, low, kind, words], rest) = bytes
            .split_first_chunk::<OPTION_HEADER>()
            .ok_or(DropReason::BadOption)?;
        let (body, rest) = rest
            .split_at_checked(usize::from(words & 0x1f) * 4)
            .ok_or(DropReason::BadOption)?;
        bytes = rest;
        if u16::from_be_bytes([high, low]) == CLASS {
            options.take(kind, body)?;
        } else if kind & CRITICAL != 0 {
            return Err(DropReason::BadOption);
        }
    }
    Ok(())
}

/// The body of the option that comes next, if it is one of this type and length.
#[inline(always)]
fn next<'a, const LEN: usize>(bytes: &mut &'a [u8], kind: u8) -> Option<&'a [u8; LEN]> {
    let (head, rest) = bytes.split_first_chunk()?;
    if u32::from_be_bytes(*head) != u32::from_be_bytes(header(kind, LEN)) {
        return None;
    }
    let (body, rest) = rest.split_first_chunk()?;
    *bytes = rest;
    Some(body)
}

const OFFER_BIT: u8 = 1;
const PATH_BIT: u8 = 1 << 1;
const BIRTH_BIT: u8 = 1 << 2;
const TRIED_BIT: u8 = 1 << 3;
const HUNT_BIT: u8 = 1 << 4;
const VERDICT_BIT: u8 = 1 << 5;
const KEY_BIT: u8 = 1 << 6;
/// There is a seal.
const SEALED: u8 = 1 << 7;

/// One bit for each of these options: Offer, Path, Birth, Tried, Hunt, Verdict, Key.
pub(super) const fn bits(options: [bool; 7]) -> u8 {
    let [offer, path, birth, tried, hunt, verdict, key] = options;
    let bits = [
        (offer, OFFER_BIT),
        (path, PATH_BIT),
        (birth, BIRTH_BIT),
        (tried, TRIED_BIT),
        (hunt, HUNT_BIT),
        (verdict, VERDICT_BIT),
        (key, KEY_BIT),
    ];
    let (mut all, mut at) = (0, 0);
    while at < bits.len() {
        let (is_there, bit) = bits[at];
        all |= if is_there { bit } else { 0 };
        at += 1;
    }
    all
}

impl<'a> Options<'a> {
    /// None.
    pub(super) const NONE: Self = Self {
        there: 0,
        seal_kind: 0,
        intent: Intent::MidFlow,
        reason: Reason::None,
        load: 0,
        offer: OfferNumber { isn: 0, step: 0 },
        path: Path {
            ingress: None,
            primary: None,
            secondary: None,
            host: None,
        },
        birth: None,
        key: None,
        tried: &[],
        hunt: &[],
    };

    /// Which options there are, without the seal, as [`bits`].
    #[inline]
    pub(super) const fn present(&self) -> u8 {
        self.there & !SEALED
    }

    /// The type that the seal gives the message.
    #[inline]
    pub(super) const fn kind(&self) -> Option<u8> {
        if self.there & SEALED == 0 {
            None
        } else {
            Some(self.seal_kind)
        }
    }

    /// The hosts tried.
    #[inline(always)]
    pub(super) fn tried(&self) -> Tried {
        if self.there & TRIED_BIT == 0 {
            return Tried::NONE;
        }
        read_tried(self.tried)
    }

    /// The hosts of a hunt.
    #[inline(always)]
    pub(super) fn hunt(&self) -> Result<Hunt, DropReason> {
        if self.there & HUNT_BIT == 0 {
            return Ok(Hunt::NONE);
        }
        read_hunt(self.hunt)
    }

    /// Notes that there is an option, which may be there once.
    #[inline(always)]
    const fn once(&mut self, bit: u8) -> Result<(), DropReason> {
        if self.there & bit != 0 {
            return Err(DropReason::BadOption);
        }
        self.there |= bit;
        Ok(())
    }

    #[inline]
    fn take(&mut self, kind: u8, body: &'a [u8]) -> Result<(), DropReason> {
        match kind {
            SEAL => {
                if body.get(..1).is_some_and(|it| !seal::is_known(it[0])) {
                    return Err(DropReason::BadVersion);
                }
                self.take_seal(whole(body)?)
            }
            OFFER => self.take_offer(whole(body)?),
            PATH => self.take_path(whole(body)?),
            BIRTH => self.take_birth(whole(body)?),
            TRIED => {
                if body.len() > 2 * MAX_TRIED {
                    return Err(DropReason::BadOption);
                }
                self.tried = body;
                self.once(TRIED_BIT)
            }
            HUNT => {
                self.hunt = body;
                self.once(HUNT_BIT)
            }
            VERDICT => {
                let &[reason, _, high, low] = whole::<VERDICT_LEN>(body)?;
                self.reason = Reason::from_wire(reason).ok_or(DropReason::BadField)?;
                self.load = u16::from_be_bytes([high, low]);
                self.once(VERDICT_BIT)
            }
            KEY => self.take_key(whole(body)?),
            unknown if unknown & CRITICAL != 0 => Err(DropReason::BadOption),
            _ => Ok(()),
        }
    }

    #[inline(always)]
    fn take_seal(&mut self, body: &[u8; seal::BODY_LEN]) -> Result<(), DropReason> {
        let [version, message_kind, ..] = *body;
        if !seal::is_known(version) {
            return Err(DropReason::BadVersion);
        }
        self.seal_kind = message_kind;
        self.once(SEALED)
    }

    #[inline(always)]
    fn take_offer(&mut self, body: &[u8; OFFER_LEN]) -> Result<(), DropReason> {
        let [a, b, c, d, step, intent, _, _] = *body;
        self.intent = Intent::from_wire(intent).ok_or(DropReason::BadField)?;
        let isn = u32::from_be_bytes([a, b, c, d]);
        self.offer = OfferNumber { isn, step };
        self.once(OFFER_BIT)
    }

    #[inline(always)]
    fn take_path(&mut self, body: &[u8; PATH_LEN]) -> Result<(), DropReason> {
        let nodes = u64::from_be_bytes(*body);
        self.path = Path {
            ingress: NodeNumber::new((nodes >> 48) as u16),
            primary: NodeNumber::new((nodes >> 32) as u16),
            secondary: NodeNumber::new((nodes >> 16) as u16),
            host: NodeNumber::new(nodes as u16),
        };
        self.once(PATH_BIT)
    }

    #[inline(always)]
    fn take_birth(&mut self, body: &[u8; BIRTH_LEN]) -> Result<(), DropReason> {
        let birth = u64::from_be_bytes(*body);
        self.birth = Some(Birth {
            incarnation: (birth >> 32) as u32,
            counter: birth as u32,
        });
        self.once(BIRTH_BIT)
    }

    #[inline(always)]
    fn take_key(&mut self, body: &[u8; FlowKey::WIRE_LEN]) -> Result<(), DropReason> {
        self.key = Some(FlowKey::from_bytes(body).ok_or(DropReason::BadField)?);
        self.once(KEY_BIT)
    }
}

/// The body of an option of this length.
#[inline(always)]
fn whole<const LEN: usize>(body: &[u8]) -> Result<&[u8; LEN], DropReason> {
    body.try_into().map_err(|_| DropReason::BadOption)
}

/// Reads the hosts tried.
fn read_tried(body: &[u8]) -> Tried {
    let mut tried = Tried::NONE;
    for node in body.chunks_exact(2) {
        if let Some(node) = NodeNumber::new(u16::from_be_bytes([node[0], node[1]])) {
            tried.push(node);
        }
    }
    tried
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
    #[inline]
    const fn from_wire(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Syn),
            1 => Some(Self::MidFlow),
            2 => Some(Self::Datagram),
            _ => None,
        }
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
