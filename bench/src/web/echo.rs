//! UDP echo: what arrives goes back, from the address that it was sent to.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// The largest datagram there is.
const LARGEST: usize = 65_535;

/// Binds to `address`, which may be a VIP that no interface has yet. Bound to it, the socket
/// answers from it.
pub(super) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        socket.set_freebind_v6(true)?;
    } else {
        socket.set_freebind_v4(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// Echoes for as long as the process lives. Errors on the socket are about single datagrams (an
/// unreachable client): the next one is not concerned.
pub(super) async fn run(socket: UdpSocket) {
    let mut buffer = vec![0; LARGEST];
    loop {
        if let Ok((length, client)) = socket.recv_from(&mut buffer).await {
            let _ = socket
                .send_to(buffer.get(..length).unwrap_or_default(), client)
                .await;
        }
    }
}
