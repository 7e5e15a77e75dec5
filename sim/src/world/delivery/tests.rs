use super::*;
use jlb_protocol::PacketBuf;
use jlb_protocol::message::{Control, List};

#[test]
fn the_type_of_a_message_is_where_it_is_looked_for() {
    let mut buf = PacketBuf::default();
    let load = Control::Load {
        services: List::Values(&[]),
    };
    wire::encode_control(&load, &mut buf).unwrap();
    assert_eq!(buf.as_slice()[KIND_AT], load.kind() as u8);
}
