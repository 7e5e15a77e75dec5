//! Packets of clients.

use jlb_protocol::buffer::MAX_PACKET;
use jlb_protocol::packet::{self, Packet};
use jlb_protocol::{FlowKey, Message, PacketBuf, ServiceNumber, wire};

/// Parses a packet, answers it in every way, and carries it in a Data message.
pub fn run(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(MAX_PACKET)];
    let mut answer = PacketBuf::default();
    let parsed = packet::parse(bytes);
    if packet::write_reset(bytes, &mut answer).is_ok() {
        check_answer(parsed.as_ref().ok(), &answer);
    }
    if packet::write_unreachable(bytes, &mut answer).is_ok() {
        check_answer(parsed.as_ref().ok(), &answer);
    }
    let mut echo = PacketBuf::from_packet(bytes);
    if packet::answer_echo(&mut echo).is_ok() {
        check_answer(parsed.as_ref().ok(), &echo);
    }
    if let Ok(parsed) = parsed {
        check(&parsed, bytes);
    }
}

fn check(parsed: &Packet, bytes: &[u8]) {
    assert!(parsed.total_len <= bytes.len());
    assert_eq!(parsed.src.is_ipv4(), parsed.dst.is_ipv4());
    let Some(service) = ServiceNumber::new(ServiceNumber::MAX) else {
        return;
    };
    let key = parsed.flow_key(service);
    assert_eq!(key.is_some(), parsed.vip_endpoint().is_some());
    assert_eq!(key.is_some(), parsed.intent().is_some());
    let mut buf = PacketBuf::from_packet(bytes);
    let carried = wire::encapsulate_data(&mut buf, service, None);
    assert_eq!(carried, Ok(()));
    match (wire::decode(buf.as_slice()), key) {
        (Ok(Message::Flow(data)), Some(key)) => {
            assert_eq!(data.key, key);
            assert_eq!(data.packet, &bytes[..parsed.total_len]);
            assert_eq!(FlowKey::from_bytes(&key.to_bytes()), Some(key));
        }
        (decoded, key) => assert!(decoded.is_err() && key.is_none()),
    }
}

/// An answer is a whole packet, and goes back to where the question came from.
fn check_answer(question: Option<&Packet>, answer: &PacketBuf) {
    let answer = packet::parse(answer.as_slice());
    assert!(answer.is_ok(), "{answer:?}");
    if let (Some(question), Ok(answer)) = (question, answer) {
        assert_eq!((answer.src, answer.dst), (question.dst, question.src));
    }
}
