use crate::testbed::{Bed, TTL, ingress, tracker};
use jlb_protocol::message::{FlowKind, Intent, Path, Reason};
use jlb_protocol::{DropReason, OfferNumber};

#[test]
fn a_refusal_names_the_attempt_and_the_trackers_that_decided() {
    let mut bed = Bed::new(2, 1);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let offer = bed.settle_one();
    bed.reject(&offer, Reason::Load);
    let refuse = bed.settle_one();
    assert_eq!(refuse.kind, FlowKind::Refuse);
    assert_eq!(refuse.key, key);
    assert_eq!(
        refuse.offer,
        OfferNumber {
            isn: 5,
            step: TTL - 1
        }
    );
    assert_eq!(refuse.intent, Intent::Syn);
    let path = Path {
        ingress: Some(ingress()),
        primary: Some(tracker(1)),
        secondary: Some(tracker(2)),
        host: None,
    };
    assert_eq!(refuse.path, path);
    assert!(refuse.packet.is_empty());
}

#[test]
fn a_refusal_needs_room_for_its_record_or_is_told_without() {
    let mut bed = Bed::with(1, 0, |config| config.limits.max_untrusted = 1);
    for nth in 0..2 {
        let key = bed.flow(nth);
        for _ in 0..2 {
            bed.open(&key, Intent::Syn, 5);
            let expected = [Reason::NoHost, Reason::Quota][nth];
            assert_eq!(bed.settle_one().reason, expected);
        }
    }
    let stats = bed.stats(1);
    assert_eq!(stats.flows, 1);
    assert_eq!((stats.refused_no_host, stats.refused_quota), (1, 2));
    assert_eq!(bed.dropped(1, DropReason::OfferedQuota), 2);
}
