use super::*;

#[test]
fn the_headroom_is_given_out_once_and_no_further() {
    let mut buf = PacketBuf::from_packet(b"packet");
    assert_eq!(buf.prepend(HEADROOM).unwrap().len(), HEADROOM);
    assert_eq!(buf.len(), HEADROOM + 6);
    assert!(buf.prepend(1).is_none());
    assert_eq!(buf.len(), HEADROOM + 6);
    assert!(buf.prepend(0).unwrap().is_empty());
    buf.strip(HEADROOM);
    assert_eq!(buf.as_slice(), b"packet");
    assert!(buf.prepend(usize::MAX).is_none());
}

#[test]
fn the_largest_packet_fits_and_one_byte_more_is_cut() {
    let mut buf = PacketBuf::new(0);
    assert!(buf.fill(&[1; MAX_PACKET]));
    assert_eq!(buf.len(), MAX_PACKET);
    assert!(!buf.fill(&[2; MAX_PACKET + 1]));
    assert_eq!(buf.as_slice(), [2; MAX_PACKET]);
    assert_eq!(
        PacketBuf::from_packet(&[3; 2 * MAX_PACKET]).len(),
        MAX_PACKET
    );
    assert_eq!(PacketBuf::new(usize::MAX).space().len(), MAX_PACKET);
}

#[test]
fn lengths_that_are_too_large_are_cut_to_what_there_is() {
    let mut buf = PacketBuf::new(10);
    assert_eq!(buf.space().len(), 10);
    for len in [11, usize::MAX] {
        buf.set_len(len);
        assert_eq!(buf.len(), 10);
    }
    buf.set_len(4);
    buf.strip(usize::MAX);
    assert!(buf.is_empty());
}

#[test]
fn clearing_gives_the_headroom_back() {
    let mut buf = PacketBuf::from_packet(b"packet");
    buf.strip(3);
    buf.clear();
    assert!(buf.is_empty());
    assert!(buf.prepend(HEADROOM).is_some());
    // A read from a device begins behind the headroom, whatever was there before.
    assert_eq!(buf.space().len(), 6);
    assert!(buf.prepend(HEADROOM).is_some());
}

#[test]
fn reserving_grows_and_never_shrinks() {
    let mut buf = PacketBuf::new(100);
    buf.reserve(50);
    assert_eq!(buf.space().len(), 100);
    buf.reserve(usize::MAX);
    assert_eq!(buf.space().len(), MAX_PACKET);
}
