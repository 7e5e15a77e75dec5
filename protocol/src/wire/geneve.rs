//! The Geneve header (RFC 8926 section 3.4).

use crate::drop_reason::DropReason;
use core::ops::Range;

/// Bytes of the fixed header.
pub(super) const HEADER_LEN: usize = 8;

/// The UDP port of RFC 8926 section 3.3.
pub const UDP_PORT: u16 = 6081;

/// An IPv4 packet inside.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// An IPv6 packet inside.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// No packet inside: IEEE 802 local experimental EtherType 1.
pub const ETHERTYPE_CONTROL: u16 = 0x88b5;

const VERSION_AND_LENGTH: usize = 0;
const FLAGS: usize = 1;
const ETHERTYPE: Range<usize> = 2..4;
const VNI: Range<usize> = 4..7;

/// The O bit: a control packet, whose payload is not forwarded.
const FLAG_CONTROL: u8 = 0x80;
/// The C bit: critical options are present. The seal always is one.
const FLAG_CRITICAL: u8 = 0x40;

/// A parsed header with what follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geneve<'a> {
    pub(super) control: bool,
    pub(super) ethertype: u16,
    pub(super) vni: u32,
    pub(super) options: &'a [u8],
    pub(super) payload: &'a [u8],
}

impl<'a> Geneve<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, DropReason> {
        let (header, rest) = bytes
            .split_at_checked(HEADER_LEN)
            .ok_or(DropReason::Truncated)?;
        let first = header[VERSION_AND_LENGTH];
        let flags = header[FLAGS];
        if first >> 6 != 0 || flags & FLAG_CRITICAL == 0 {
            return Err(DropReason::BadGeneve);
        }
        let options_len = usize::from(first & 0x3f) * 4;
        let (options, payload) = rest
            .split_at_checked(options_len)
            .ok_or(DropReason::Truncated)?;
        let ethertype = u16::from_be_bytes([header[ETHERTYPE.start], header[ETHERTYPE.start + 1]]);
        let vni = u32::from_be_bytes([
            0,
            header[VNI.start],
            header[VNI.start + 1],
            header[VNI.start + 2],
        ]);
        let control = flags & FLAG_CONTROL != 0;
        if control != (ethertype == ETHERTYPE_CONTROL) {
            return Err(DropReason::BadGeneve);
        }
        Ok(Self {
            control,
            ethertype,
            vni,
            options,
            payload,
        })
    }
}

/// Bytes of options, and whether no packet follows, by the header of a message, as a little-endian word.
#[inline(always)]
pub(super) const fn extent(header: u64) -> (usize, bool) {
    let header = header.to_le_bytes();
    let options = (header[VERSION_AND_LENGTH] & 0x3f) as usize * 4;
    (options, header[FLAGS] & FLAG_CONTROL != 0)
}

/// A header; `options_len` is a multiple of 4, and `vni` has 24 bits.
#[inline]
pub(super) const fn header(
    options_len: usize,
    control: bool,
    ethertype: u16,
    vni: u32,
) -> [u8; HEADER_LEN] {
    let words = (options_len / 4) as u8 & 0x3f;
    let flags = FLAG_CRITICAL | if control { FLAG_CONTROL } else { 0 };
    let [high, low] = ethertype.to_be_bytes();
    let [_, first, second, third] = vni.to_be_bytes();
    [words, flags, high, low, first, second, third, 0]
}
