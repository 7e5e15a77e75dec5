//! Actions, messages and states in words.

use crate::atlas::{Atlas, Route};
use crate::cluster::{Belief, Place, UNIT};
use crate::machine::Letter;
use crate::packet::{Life, Packet};
use crate::world::{Action, Believers, World};
use jlb_protocol::message::{Control, FlowMessage, Reason};
use jlb_protocol::{Message, NodeNumber, Role, wire};

/// What happens in an action.
pub(crate) fn of_action(atlas: &Atlas, action: Action) -> String {
    let letter = |route: Route| {
        let letter = atlas.letter(route.id);
        letter.map_or_else(String::new, |letter| of_letter(&letter))
    };
    let subjects = || {
        let subjects = atlas.cluster.case.subjects.iter();
        let names: Vec<_> = subjects.map(|place| place.name()).collect();
        names.join(", ")
    };
    match action {
        Action::Send(packet, ingress) => {
            format!(
                "the client's {} arrives at {}",
                of_packet(packet),
                ingress.name()
            )
        }
        Action::Arrive(route) => format!("arrives: {}", letter(route)),
        Action::Double(route) => format!("arrives, and will once more: {}", letter(route)),
        Action::Lose(route) => format!("is lost: {}", letter(route)),
        Action::Timer(place) => format!("a deadline passes at {}", place.name()),
        Action::Dump(host) => format!("the agent of {} lists its kernel's sockets", host.name()),
        Action::Hear(host, cookie) => format!(
            "the agent of {} hears that socket {cookie} was destroyed",
            host.name()
        ),
        Action::Crash => format!("crash: {}", subjects()),
        Action::Start => format!("start again, without memory: {}", subjects()),
        Action::Believe(who, Belief { state, life }) => {
            let who = match who {
                Believers::Node(place) => place.name(),
                Believers::Tier(Role::Ingress) => "the ingress nodes",
                Believers::Tier(Role::FlowTracker) => "the other trackers",
                Believers::Tier(Role::HostAgent) => "the hosts",
            };
            format!("{state:?} in life {life} for {who}: {}", subjects())
        }
        Action::Room(host) => format!("{} has room", host.name()),
        Action::Activate => format!("filled, and active again: {}", subjects()),
    }
}

/// A client's packet.
fn of_packet(packet: Packet) -> String {
    let Packet { segment, life } = packet;
    let segment = format!("{segment:?}").to_uppercase();
    format!("{segment} of its {}", of_life(life))
}

const fn of_life(life: Life) -> &'static str {
    match life {
        Life::First => "first life",
        Life::Second => "second life",
    }
}

/// A message.
pub(crate) fn of_letter(letter: &Letter) -> String {
    let (from, to) = (letter.from.name(), letter.to.name());
    let what = match wire::decode(&letter.bytes) {
        Ok(Message::Flow(message)) => of_flow(&message),
        Ok(Message::Control(control)) => of_control(&control),
        Err(reason) => format!("unreadable: {reason:?}"),
    };
    format!("{from} -> {to}: {what}")
}

fn of_flow(message: &FlowMessage<'_>) -> String {
    let number = |node: Option<NodeNumber>| node.map_or("-".to_owned(), |node| node.to_string());
    let path = message.path;
    let mut words = format!("{:?}", message.kind);
    if message.kind.fields().offer {
        let isn = short_isn(message.offer.isn);
        let step = message.offer.step;
        words += &format!(" {:?} {isn} step {step}", message.intent);
    }
    if message.kind.fields().path {
        words += &format!(
            ", path {} {} {} {}",
            number(path.ingress),
            number(path.primary),
            number(path.secondary),
            number(path.host)
        );
    }
    if let Some(birth) = message.birth {
        words += &format!(", birth {}.{}", birth.incarnation, birth.counter);
    }
    if !message.tried.is_empty() {
        let tried: Vec<_> = message.tried.iter().map(|node| node.to_string()).collect();
        words += &format!(", tried {}", tried.join(" "));
    }
    if message.reason != Reason::None {
        words += &format!(", {:?}", message.reason);
    }
    if let Some(packet) = Packet::read(message.packet) {
        words += &format!(" [{}]", of_packet(packet));
    }
    words
}

fn of_control(control: &Control<'_>) -> String {
    match control {
        Control::State {
            sequence,
            filled,
            listed,
            flows,
        } => {
            let mut words = format!("State {sequence}");
            for flow in flows.iter() {
                let (birth, isn) = (flow.birth, short_isn(flow.isn));
                let (incarnation, counter) = (birth.incarnation, birth.counter);
                words += &format!(", {:?} birth {incarnation}.{counter} {isn}", flow.state);
            }
            if filled.is_some() {
                words += ", filled";
            }
            if let Some(listed) = listed {
                words += &format!(", all of bucket {}", listed.bucket);
            }
            words
        }
        Control::Hello { .. }
        | Control::HelloAck { .. }
        | Control::Ack { .. }
        | Control::Digest { .. }
        | Control::SendFull { .. }
        | Control::Load { .. }
        | Control::Members { .. } => format!("{control:?}"),
    }
}

fn short_isn(isn: u32) -> String {
    for life in Life::ALL {
        let offset = isn.wrapping_sub(life.isn());
        if offset < 16 {
            let number = life.index() + 1;
            return format!("isn{number}+{offset}").replace("+0", "");
        }
    }
    isn.to_string()
}

/// What of a node's state decides its future, a line each.
pub(crate) fn of_node(atlas: &Atlas, world: &World, place: Place) -> Vec<String> {
    let Some(machine) = atlas.node(world.node(place)) else {
        return Vec::new();
    };
    let key = format!("{:?}", atlas.cluster.key);
    let words = machine.words().replace(&key, "flow");
    let words = Life::ALL.into_iter().fold(words, |words, life| {
        let number = life.index() + 1;
        let offsets = (0..3).map(|offset| (life.isn() + offset).to_string());
        let names = [String::new(), "+1".to_owned(), "+2".to_owned()];
        offsets.zip(names).fold(words, |words, (digits, more)| {
            words.replace(&digits, &format!("isn{number}{more}"))
        })
    });
    words.lines().map(in_units).collect()
}

/// Distances in time are written in units.
fn in_units(line: &str) -> String {
    let distance = |sign: &str| {
        let seconds: f64 = line.strip_prefix(sign)?.strip_suffix('s')?.parse().ok()?;
        Some(format!("{sign}{} units", seconds / UNIT.as_secs_f64()))
    };
    distance("in ")
        .or_else(|| distance("ago "))
        .unwrap_or_else(|| line.to_owned())
}

/// A host's kernel, or the client.
pub(crate) fn of_surroundings(world: &World) -> Vec<String> {
    let kernels = world.kernels.iter().zip(["21", "22"]);
    let mut lines: Vec<_> = kernels
        .map(|(kernel, host)| format!("kernel of host {host}: {:?}", kernel.sock))
        .collect();
    lines.push(format!("{:?}", world.client));
    lines
}
