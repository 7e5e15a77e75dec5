//! Faults put in on purpose: each is a wrapper around what a machine sends or what is handed to it,
//! and one of the checkers has to find it.

use crate::rng::Rng;
use jlb_protocol::message::{FlowKind, FlowMessage, Intent, Reason, Tried};
use jlb_protocol::{Message, NodeNumber, PacketBuf, wire};

/// A fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Planted {
    /// A host's packets are delivered by another host now and then (S1).
    SecondHost,
    /// A host delivers what it rejects (S1).
    DeliversRejected,
    /// An offer after a reject goes to the host that rejected (S2).
    AsksAgain,
    /// A tracker forgets everything now and then when a host rejects (S2).
    ForgetsSearches,
    /// A tracker refuses what a host accepts, a new flow (S3).
    RefusesAccepted,
    /// The same, with a packet of an open connection (S4).
    ResetsLive,
    /// Data is never delivered (S4).
    DropsData,
    /// An ingress never forgets (S5).
    NeverForgets,
    /// A message is handed to a node twice and counted once (S6).
    CountsOnce,
}

impl Planted {
    /// Every fault.
    pub const ALL: [Self; 9] = [
        Self::SecondHost,
        Self::DeliversRejected,
        Self::AsksAgain,
        Self::ForgetsSearches,
        Self::RefusesAccepted,
        Self::ResetsLive,
        Self::DropsData,
        Self::NeverForgets,
        Self::CountsOnce,
    ];

    /// What becomes of a message that a machine sends: another addressee and other bytes, or the
    /// same.
    pub(crate) fn tamper(
        self,
        rng: &mut Rng,
        to: NodeNumber,
        bytes: &[u8],
    ) -> Option<(NodeNumber, Vec<u8>)> {
        let Ok(Message::Flow(message)) = wire::decode(bytes) else {
            return None;
        };
        match self {
            Self::AsksAgain if message.kind == FlowKind::Offer => {
                // The secondary's Offer, which goes to the host.
                let again = message.tried.iter().next()?;
                if message.path.host != Some(to) {
                    return None;
                }
                let mut path = message.path;
                path.host = Some(again);
                Some((again, encode(&FlowMessage { path, ..message })?))
            }
            Self::RefusesAccepted | Self::ResetsLive
                if message.kind == FlowKind::Accept && message.path.ingress == Some(to) =>
            {
                let wanted = if self == Self::ResetsLive {
                    Intent::MidFlow
                } else {
                    Intent::Syn
                };
                if message.intent != wanted || !rng.chance(500) {
                    return None;
                }
                let refuse = FlowMessage {
                    kind: FlowKind::Refuse,
                    birth: None,
                    reason: Reason::Exhausted,
                    tried: Tried::NONE,
                    ..message
                };
                Some((to, encode(&refuse)?))
            }
            Self::SecondHost
            | Self::DeliversRejected
            | Self::AsksAgain
            | Self::ForgetsSearches
            | Self::RefusesAccepted
            | Self::ResetsLive
            | Self::DropsData
            | Self::NeverForgets
            | Self::CountsOnce => None,
        }
    }
}

fn encode(message: &FlowMessage<'_>) -> Option<Vec<u8>> {
    let mut buf = PacketBuf::default();
    wire::encode_flow(message, &mut buf).ok()?;
    Some(buf.as_slice().to_vec())
}
