//! Permanent neighbours.

use super::{Netlink, allow};
use crate::kernel::Result;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::neighbour::{NeighbourAttribute, NeighbourMessage};
use rustix::io::Errno;
use std::net::IpAddr;

impl Netlink {
    /// Writes down for good which hardware address a neighbour has.
    ///
    /// # Errors
    /// `NotFound` if there is no such device.
    pub fn put_neighbour(&self, device: &str, address: IpAddr, hardware: [u8; 6]) -> Result<()> {
        let request = self
            .handle()
            .neighbours()
            .add(self.link_index(device)?, address)
            .link_layer_address(&hardware)
            .replace()
            .execute();
        self.wait(format!("set neighbour {address} on {device}"), request)
    }

    /// Forgets a neighbour.
    ///
    /// # Errors
    /// `NotFound` if there is no such device.
    pub fn delete_neighbour(&self, device: &str, address: IpAddr) -> Result<()> {
        let mut message = NeighbourMessage::default();
        message.header.ifindex = self.link_index(device)?;
        message.header.family = match address {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        message
            .attributes
            .push(NeighbourAttribute::Destination(address.into()));
        let request = self.handle().neighbours().del(message).execute();
        allow(
            self.wait(format!("delete neighbour {address} on {device}"), request),
            &[Errno::NOENT],
        )
    }
}
