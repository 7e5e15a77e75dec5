//! Where the fields of the headers stand, in bytes from the header's beginning, and the numbers in
//! them. No offset is written anywhere else.

use core::ops::Range;

/// A 16-bit field of a header.
pub(super) fn be16<const N: usize>(header: &[u8; N], field: Range<usize>) -> u16 {
    u16::from_be_bytes(array(header, field))
}

/// A 32-bit field of a header.
pub(super) fn be32<const N: usize>(header: &[u8; N], field: Range<usize>) -> u32 {
    u32::from_be_bytes(array(header, field))
}

/// A field of a header; its bytes up to the shorter of the two, zero behind. All ranges are
/// constants inside of their header, so the compiler leaves no check behind.
pub(super) fn array<const N: usize, const M: usize>(
    header: &[u8; N],
    field: Range<usize>,
) -> [u8; M] {
    let mut value = [0; M];
    for (to, from) in value.iter_mut().zip(&header[field]) {
        *to = *from;
    }
    value
}

/// RFC 791 section 3.1.
pub(super) mod ipv4 {
    use core::ops::Range;

    /// Bytes of a header without options.
    pub(crate) const LEN: usize = 20;
    /// Version (high four bits), header length in 32-bit words (low four).
    pub(crate) const VERSION_IHL: usize = 0;
    pub(crate) const DSCP_ECN: usize = 1;
    pub(crate) const TOTAL_LENGTH: Range<usize> = 2..4;
    pub(crate) const IDENTIFICATION: Range<usize> = 4..6;
    pub(crate) const FLAGS_OFFSET: Range<usize> = 6..8;
    pub(crate) const TTL: usize = 8;
    pub(crate) const PROTOCOL: usize = 9;
    pub(crate) const CHECKSUM: Range<usize> = 10..12;
    pub(crate) const SRC: Range<usize> = 12..16;
    pub(crate) const DST: Range<usize> = 16..20;

    /// Header length of a header without options, and the version, as in [`VERSION_IHL`].
    pub(crate) const PLAIN: u8 = 0x45;
    /// In [`FLAGS_OFFSET`]: the packet may not be cut into fragments.
    pub(crate) const DONT_FRAGMENT: u16 = 0x4000;
    /// In [`FLAGS_OFFSET`]: more fragments follow.
    pub(crate) const MORE_FRAGMENTS: u16 = 0x2000;
    /// In [`FLAGS_OFFSET`]: the fragment's place in the packet.
    pub(crate) const OFFSET: u16 = 0x1fff;
}

/// RFC 8200 section 3.
pub(super) mod ipv6 {
    use core::ops::Range;

    /// Bytes of the header.
    pub(crate) const LEN: usize = 40;
    /// Version, traffic class and flow label.
    pub(crate) const VERSION_CLASS: Range<usize> = 0..2;
    pub(crate) const PAYLOAD_LENGTH: Range<usize> = 4..6;
    pub(crate) const NEXT_HEADER: usize = 6;
    pub(crate) const HOP_LIMIT: usize = 7;
    pub(crate) const SRC: Range<usize> = 8..24;
    pub(crate) const DST: Range<usize> = 24..40;
}

/// RFC 8200 sections 4.2 to 4.6: the first eight bytes, which every extension header has.
pub(super) mod extension {
    use core::ops::Range;

    /// Bytes of the shortest one, and the unit of the length field.
    pub(crate) const UNIT: usize = 8;
    pub(crate) const NEXT_HEADER: usize = 0;
    /// Length in units, not counting the first.
    pub(crate) const LENGTH: usize = 1;
    /// Routing header: how many nodes are still to be visited.
    pub(crate) const SEGMENTS_LEFT: usize = 3;
    /// Fragment header: offset (high 13 bits), reserved (2), more fragments (1).
    pub(crate) const FRAGMENT_OFFSET: Range<usize> = 2..4;

    /// In [`FRAGMENT_OFFSET`]: the fragment's place in the packet.
    pub(crate) const OFFSET: u16 = 0xfff8;
    /// In [`FRAGMENT_OFFSET`]: more fragments follow.
    pub(crate) const MORE_FRAGMENTS: u16 = 0x0001;
}

/// RFC 9293 section 3.1.
pub(super) mod tcp {
    use core::ops::Range;

    /// Bytes of a header without options.
    pub(crate) const LEN: usize = 20;
    pub(crate) const SRC_PORT: Range<usize> = 0..2;
    pub(crate) const DST_PORT: Range<usize> = 2..4;
    pub(crate) const SEQ: Range<usize> = 4..8;
    pub(crate) const ACK: Range<usize> = 8..12;
    /// Header length in 32-bit words (high four bits).
    pub(crate) const DATA_OFFSET: usize = 12;
    pub(crate) const FLAGS: usize = 13;
    pub(crate) const WINDOW: Range<usize> = 14..16;
    pub(crate) const CHECKSUM: Range<usize> = 16..18;
    pub(crate) const URGENT: Range<usize> = 18..20;
}

/// RFC 768.
pub(super) mod udp {
    use core::ops::Range;

    /// Bytes of the header.
    pub(crate) const LEN: usize = 8;
    pub(crate) const SRC_PORT: Range<usize> = 0..2;
    pub(crate) const DST_PORT: Range<usize> = 2..4;
    pub(crate) const LENGTH: Range<usize> = 4..6;
    pub(crate) const CHECKSUM: Range<usize> = 6..8;
}

/// RFC 792 and RFC 4443 section 2.1; both have eight bytes before what they quote or echo.
pub(super) mod icmp {
    use core::ops::Range;

    /// Bytes of the header.
    pub(crate) const LEN: usize = 8;
    pub(crate) const TYPE: usize = 0;
    pub(crate) const CODE: usize = 1;
    pub(crate) const CHECKSUM: Range<usize> = 2..4;
}

/// Types of ICMP messages (RFC 792).
pub(super) mod icmpv4_type {
    pub(crate) const ECHO_REPLY: u8 = 0;
    pub(crate) const UNREACHABLE: u8 = 3;
    pub(crate) const ECHO_REQUEST: u8 = 8;
    pub(crate) const TIME_EXCEEDED: u8 = 11;
    pub(crate) const PARAMETER_PROBLEM: u8 = 12;
}

/// Types of ICMPv6 messages (RFC 4443).
pub(super) mod icmpv6_type {
    pub(crate) const UNREACHABLE: u8 = 1;
    pub(crate) const PACKET_TOO_BIG: u8 = 2;
    pub(crate) const TIME_EXCEEDED: u8 = 3;
    pub(crate) const PARAMETER_PROBLEM: u8 = 4;
    pub(crate) const ECHO_REQUEST: u8 = 128;
    pub(crate) const ECHO_REPLY: u8 = 129;
}

/// Numbers in IPv4's protocol and IPv6's next-header fields.
pub(super) mod ip_number {
    pub(crate) const HOP_BY_HOP: u8 = 0;
    pub(crate) const ICMPV4: u8 = 1;
    pub(crate) const TCP: u8 = crate::number::Protocol::Tcp.ip_number();
    pub(crate) const UDP: u8 = crate::number::Protocol::Udp.ip_number();
    pub(crate) const ROUTING: u8 = 43;
    pub(crate) const FRAGMENT: u8 = 44;
    pub(crate) const ICMPV6: u8 = 58;
    pub(crate) const DESTINATION_OPTIONS: u8 = 60;
}
