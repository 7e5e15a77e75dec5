//! Neighbours: the hardware addresses of those on the same wire.

use super::{Netlink, allow};
use crate::kernel::Result;
use futures_util::TryStreamExt;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use rustix::io::Errno;
use std::net::IpAddr;

/// A neighbour whose hardware address the kernel knows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Neighbour {
    /// The index of the interface that it is at.
    pub interface: u32,
    /// Its address.
    pub address: IpAddr,
    /// Its hardware address.
    pub hardware: [u8; 6],
}

impl Netlink {
    /// The neighbours to which the kernel would send without asking first.
    ///
    /// # Errors
    /// Those of asking.
    pub fn neighbours(&self) -> Result<Vec<Neighbour>> {
        let mut found = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let request = self.handle().neighbours().get().set_address_family(family);
            let answers = request.execute().try_collect::<Vec<_>>();
            let messages = self.wait("list the neighbours", answers)?;
            found.extend(messages.iter().filter_map(usable));
        }
        Ok(found)
    }

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

/// What the message says, if the kernel would use it.
fn usable(message: &NeighbourMessage) -> Option<Neighbour> {
    match message.header.state {
        NeighbourState::Reachable
        | NeighbourState::Stale
        | NeighbourState::Delay
        | NeighbourState::Probe
        | NeighbourState::Permanent => {}
        _ => return None,
    }
    let (mut address, mut hardware) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => {
                address = Some(IpAddr::V4(*v4));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => {
                address = Some(IpAddr::V6(*v6));
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                hardware = <[u8; 6]>::try_from(bytes.as_slice()).ok();
            }
            _ => {}
        }
    }
    Some(Neighbour {
        interface: message.header.ifindex,
        address: address?,
        hardware: hardware?,
    })
}
