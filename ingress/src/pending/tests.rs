use super::{Question, Relation};
use jlb_protocol::message::Intent;

#[test]
fn how_a_packet_relates_to_the_question_under_way() {
    use Intent::{Datagram, MidFlow, Syn};
    use Relation::{Repeat, Supersedes, Waits};
    let ask = |intent, isn| Question { intent, isn };
    let table = [
        // R7: one number is one attempt, another number is another connection.
        (ask(Syn, 1), ask(Syn, 1), Repeat),
        (ask(Syn, 2), ask(Syn, 1), Supersedes),
        (ask(Syn, 1), ask(MidFlow, 1), Supersedes),
        (ask(Syn, 1), ask(Datagram, 0), Supersedes),
        // Later packets of the flow wait for its answer, whatever was asked.
        (ask(MidFlow, 2), ask(Syn, 1), Waits),
        (ask(MidFlow, 1), ask(MidFlow, 1), Waits),
        (ask(MidFlow, 2), ask(MidFlow, 1), Waits),
        (ask(MidFlow, 0), ask(Datagram, 0), Waits),
        (ask(Datagram, 0), ask(Datagram, 0), Waits),
        // A datagram may begin a flow; an ICMP error must not have it refused.
        (ask(Datagram, 0), ask(MidFlow, 0), Supersedes),
        (ask(Datagram, 0), ask(Syn, 0), Supersedes),
    ];
    for (packet, asked, relation) in table {
        assert_eq!(
            packet.relation(asked),
            relation,
            "{packet:?} while {asked:?}"
        );
    }
}
