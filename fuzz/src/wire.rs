//! Messages behind a verified seal: what is read can be written, and is then the same.

use jlb_protocol::{DropReason, Message, PacketBuf, wire};

/// Reads a message, writes it, and reads it again.
pub fn run(bytes: &[u8]) {
    // The seal's own reader comes first on a real node.
    let _ = wire::Seal::read(bytes);
    let Ok(message) = wire::decode(bytes) else {
        return;
    };
    let mut buf = PacketBuf::default();
    match encode(&message, &mut buf) {
        Ok(()) => assert_eq!(wire::decode(buf.as_slice()), Ok(message)),
        Err(reason) => assert_eq!(reason, DropReason::TooBig),
    }
}

/// Writes any message.
pub fn encode(message: &Message<'_>, buf: &mut PacketBuf) -> Result<(), DropReason> {
    match message {
        Message::Flow(flow) => wire::encode_flow(flow, buf),
        Message::Control(control) => wire::encode_control(control, buf),
    }
}
