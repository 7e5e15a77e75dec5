//! The way that the messages of one connection must take.

/// A node, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Ingress(u16),
    Tracker(u16),
    Host(u16),
}

/// A type of message, as far as an undisturbed connection needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Open,
    Offer,
    Accept,
    Data,
    Other(u8),
}

impl Kind {
    pub(crate) fn of(number: u8) -> Self {
        match number {
            1 => Kind::Open,
            2 => Kind::Offer,
            3 => Kind::Accept,
            8 => Kind::Data,
            other => Kind::Other(other),
        }
    }
}

/// One message that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    pub(crate) from: Place,
    pub(crate) to: Place,
    pub(crate) kind: Kind,
}

/// Whether the messages of a connection went ingress, primary, secondary, host, the same way
/// back, and from then on only from the ingress to that host. A repeated message (the ingress
/// repeats an Open that takes long) counts where it came first.
pub(crate) fn check(seen: &[Hop]) -> Result<(), String> {
    let mut hops: Vec<Hop> = Vec::new();
    for hop in seen {
        if !hops.contains(hop) {
            hops.push(*hop);
        }
    }
    let [open, first_offer, second_offer, ..] = hops[..] else {
        return Err(format!("only {} messages", hops.len()));
    };
    let (Place::Ingress(_), Place::Tracker(_)) = (open.from, open.to) else {
        return Err(format!(
            "the first message goes from {:?} to {:?}",
            open.from, open.to
        ));
    };
    let (ingress, primary) = (open.from, open.to);
    let secondary @ Place::Tracker(_) = first_offer.to else {
        return Err(format!(
            "the primary offers to {:?}, not to a secondary",
            first_offer.to
        ));
    };
    let host @ Place::Host(_) = second_offer.to else {
        return Err(format!(
            "the secondary offers to {:?}, not to a host",
            second_offer.to
        ));
    };
    if secondary == primary {
        return Err("one tracker is primary and secondary".into());
    }
    let way = [
        (ingress, primary, Kind::Open),
        (primary, secondary, Kind::Offer),
        (secondary, host, Kind::Offer),
        (host, secondary, Kind::Accept),
        (secondary, primary, Kind::Accept),
        (primary, ingress, Kind::Accept),
        (ingress, host, Kind::Data),
    ];
    let way: Vec<Hop> = way
        .into_iter()
        .map(|(from, to, kind)| Hop { from, to, kind })
        .collect();
    match way
        .iter()
        .zip(&hops)
        .find(|(expected, hop)| expected != hop)
    {
        Some((expected, hop)) => Err(format!("{hop:?} came where {expected:?} was due")),
        None if hops.len() < way.len() => Err(format!("{:?} is missing", way[hops.len()])),
        None => match hops.get(way.len()) {
            Some(hop) => Err(format!("{hop:?} came after the first data")),
            None => Ok(()),
        },
    }
}

mod tests {
    use super::Kind::{Accept, Data, Offer, Open};
    use super::Place::{Host, Ingress, Tracker};
    use super::{Hop, Kind, Place, check};

    type Message = (Place, Place, Kind);

    const GOOD: [Message; 8] = [
        (Ingress(11), Tracker(61), Open),
        (Tracker(61), Tracker(62), Offer),
        (Tracker(62), Host(111), Offer),
        (Host(111), Tracker(62), Accept),
        (Tracker(62), Tracker(61), Accept),
        (Tracker(61), Ingress(11), Accept),
        (Ingress(11), Host(111), Data),
        (Ingress(11), Host(111), Data),
    ];

    fn verdict(messages: &[Message]) -> Result<(), String> {
        let hops: Vec<Hop> = messages
            .iter()
            .map(|&(from, to, kind)| Hop { from, to, kind })
            .collect();
        check(&hops)
    }

    fn refused(messages: &[Message], because: &str) {
        let error = verdict(messages).expect_err("the planted mistake is not seen");
        assert!(error.contains(because), "{error}");
    }

    #[test]
    fn the_way_of_a_connection_is_accepted_with_repeats() {
        verdict(&GOOD).unwrap();
        let mut repeated = GOOD.to_vec();
        repeated.splice(2..2, [GOOD[0], GOOD[1]]);
        verdict(&repeated).unwrap();
    }

    #[test]
    fn a_secondary_that_is_left_out_is_seen() {
        let mut without = GOOD.to_vec();
        without.splice(
            1..5,
            [
                (Tracker(61), Host(111), Offer),
                (Host(111), Tracker(61), Accept),
            ],
        );
        refused(&without, "not to a secondary");
        let mut on_the_way_back = GOOD.to_vec();
        on_the_way_back.splice(3..5, [(Host(111), Tracker(61), Accept)]);
        refused(&on_the_way_back, "was due");
    }

    #[test]
    fn detours_and_gaps_are_seen() {
        let mut other_host = GOOD.to_vec();
        other_host.push((Ingress(11), Host(112), Data));
        refused(&other_host, "after the first data");
        let mut other_ingress = GOOD.to_vec();
        other_ingress.push((Ingress(12), Tracker(61), Open));
        refused(&other_ingress, "after the first data");
        let mut early = GOOD.to_vec();
        early.swap(5, 6);
        refused(&early, "was due");
        let mut itself = GOOD.to_vec();
        itself[1] = (Tracker(61), Tracker(61), Offer);
        refused(&itself, "primary and secondary");
        refused(&GOOD[..6], "is missing");
        refused(&GOOD[..2], "only 2");
    }
}
