//! Devices and their addresses.

use super::{Netlink, allow};
use crate::kernel::{Error, Result};
use futures_util::TryStreamExt;
use jlb_packet_io::wait::Poller;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use rtnetlink::packet_route::route::RouteType;
use rtnetlink::{AddressMessageBuilder, LinkUnspec};
use rustix::io::Errno;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// How often, and how many times at most, a new address is looked at.
const READY_PAUSE: Duration = Duration::from_millis(1);
const READY_TRIES: u32 = 2000;

/// What to change about a device; `None` leaves a thing as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkSettings {
    /// Up or down.
    pub up: Option<bool>,
    /// Largest packet in bytes.
    pub mtu: Option<u32>,
    /// Packets that may wait to be sent.
    pub txqueuelen: Option<u32>,
    /// Whether the device takes part in multicast.
    pub multicast: Option<bool>,
}

/// An Ethernet interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Its index.
    pub index: u32,
    /// Its hardware address.
    pub hardware: [u8; 6],
    /// Largest IP packet in bytes.
    pub mtu: u32,
    /// Queues that packets may come by, as far as the kernel has made them: the driver may use fewer.
    pub queues: u32,
    /// Whether it is one end of a virtual cable (veth). Packets come through it with checksums that
    /// nobody has finished.
    pub is_veth: bool,
}

impl Netlink {
    /// The Ethernet interface of that name.
    ///
    /// # Errors
    /// `NotFound` if there is no such device, `Unsupported` if it is of another kind.
    pub fn interface(&self, name: &str) -> Result<Interface> {
        let link = self.link(name)?.ok_or_else(|| missing(name))?;
        let mut interface = Interface {
            index: link.header.index,
            hardware: [0; 6],
            mtu: 0,
            queues: 1,
            is_veth: false,
        };
        let mut has_address = false;
        for attribute in &link.attributes {
            match attribute {
                LinkAttribute::Address(address) if address.len() == 6 => {
                    interface.hardware.copy_from_slice(address);
                    has_address = address.iter().any(|&byte| byte != 0);
                }
                LinkAttribute::Mtu(mtu) => interface.mtu = *mtu,
                LinkAttribute::NumRxQueues(queues) => interface.queues = *queues,
                LinkAttribute::LinkInfo(about) => {
                    interface.is_veth = about
                        .iter()
                        .any(|one| matches!(one, LinkInfo::Kind(InfoKind::Veth)));
                }
                _ => {}
            }
        }
        if has_address {
            return Ok(interface);
        }
        let reason = io::Error::new(io::ErrorKind::Unsupported, "it is no Ethernet interface");
        Err(Error::new(format!("use {name}"), reason))
    }

    /// The device of that name, if there is one.
    ///
    /// # Errors
    /// Any but that there is none.
    pub fn link(&self, name: &str) -> Result<Option<LinkMessage>> {
        let mut links = self
            .handle()
            .link()
            .get()
            .match_name(name.to_owned())
            .execute();
        match self.wait(format!("look up device {name}"), links.try_next()) {
            Err(error) if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => Ok(None),
            other => other,
        }
    }

    /// The index of the device, which must exist.
    ///
    /// # Errors
    /// `NotFound` if there is no such device.
    pub fn link_index(&self, name: &str) -> Result<u32> {
        self.link(name)?
            .map(|link| link.header.index)
            .ok_or_else(|| missing(name))
    }

    /// Changes a device.
    ///
    /// # Errors
    /// `NotFound` if there is no such device.
    pub fn set_link(&self, name: &str, settings: LinkSettings) -> Result<()> {
        let mut link = LinkUnspec::new_with_index(self.link_index(name)?);
        if let Some(mtu) = settings.mtu {
            link = link.mtu(mtu);
        }
        if let Some(len) = settings.txqueuelen {
            link = link.txqueuelen(len);
        }
        if let Some(multicast) = settings.multicast {
            link = link.multicast(multicast);
        }
        link = match settings.up {
            Some(true) => link.up(),
            Some(false) => link.down(),
            None => link,
        };
        let request = self.handle().link().set(link.build()).execute();
        self.wait(format!("set up device {name}"), request)
    }

    /// Whether the device is up.
    ///
    /// # Errors
    /// `NotFound` if there is no such device.
    pub fn is_up(&self, name: &str) -> Result<bool> {
        let link = self.link(name)?.ok_or_else(|| missing(name))?;
        Ok(link.header.flags.contains(LinkFlags::Up))
    }

    /// Deletes a device.
    ///
    /// # Errors
    /// Any but that there is none.
    pub fn delete_link(&self, name: &str) -> Result<()> {
        let Some(link) = self.link(name)? else {
            return Ok(());
        };
        let request = self.handle().link().del(link.header.index).execute();
        allow(
            self.wait(format!("delete device {name}"), request),
            &[Errno::NODEV],
        )
    }

    /// The addresses of a device with their prefix lengths.
    ///
    /// # Errors
    /// `NotFound` if there is no such device.
    pub fn addresses(&self, device: &str) -> Result<Vec<(IpAddr, u8)>> {
        let index = self.link_index(device)?;
        let request = self
            .handle()
            .address()
            .get()
            .set_link_index_filter(index)
            .execute()
            .try_collect::<Vec<_>>();
        let messages = self.wait(format!("list the addresses of {device}"), request)?;
        Ok(messages
            .iter()
            .filter_map(|m| Some((local_address(m)?, m.header.prefix_len)))
            .collect())
    }

    /// Gives a device an address, and waits until it works if the device is up. IPv6 does not look
    /// for duplicates.
    ///
    /// # Errors
    /// `NotFound` if there is no such device.
    pub fn put_address(&self, device: &str, address: IpAddr, prefix_len: u8) -> Result<()> {
        let doing = format!("put address {address}/{prefix_len} on {device}");
        let message = address_message(self.link_index(device)?, address, prefix_len);
        let mut request = self
            .handle()
            .address()
            .add(message.header.index, address, prefix_len)
            .replace();
        *request.message_mut() = message;
        self.wait(doing.clone(), request.execute())?;
        let link = self.link(device)?;
        if link.is_some_and(|link| link.header.flags.contains(LinkFlags::Up)) {
            self.wait_until_local(address)
                .map_err(|source| Error::new(doing, source))?;
        }
        Ok(())
    }

    /// The kernel takes packets for a new IPv6 address only when some work of its own is done, a
    /// few milliseconds after it has said yes.
    fn wait_until_local(&self, address: IpAddr) -> io::Result<()> {
        let mut poller = Poller::new()?;
        for _ in 0..READY_TRIES {
            // No route at all is no answer yet.
            if self
                .route_of(address)
                .is_some_and(|route| route.header.kind == RouteType::Local)
            {
                return Ok(());
            }
            poller.wait(Some(READY_PAUSE))?.for_each(drop);
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// Takes an address off a device.
    ///
    /// # Errors
    /// `NotFound` if there is no such device.
    pub fn delete_address(&self, device: &str, address: IpAddr, prefix_len: u8) -> Result<()> {
        let message = address_message(self.link_index(device)?, address, prefix_len);
        let request = self.handle().address().del(message).execute();
        allow(
            self.wait(
                format!("take address {address}/{prefix_len} off {device}"),
                request,
            ),
            &[Errno::ADDRNOTAVAIL],
        )
    }
}

fn missing(name: &str) -> Error {
    let missing = io::Error::new(io::ErrorKind::NotFound, "there is no such device");
    Error::new(format!("look up device {name}"), missing)
}

fn address_message(index: u32, address: IpAddr, prefix_len: u8) -> AddressMessage {
    match address {
        IpAddr::V4(address) => AddressMessageBuilder::<Ipv4Addr>::new()
            .index(index)
            .address(address, prefix_len)
            .build(),
        IpAddr::V6(address) => {
            let mut message = AddressMessageBuilder::<Ipv6Addr>::new()
                .index(index)
                .address(address, prefix_len)
                .build();
            message
                .attributes
                .push(AddressAttribute::Flags(AddressFlags::Nodad));
            message
        }
    }
}

fn local_address(message: &AddressMessage) -> Option<IpAddr> {
    let mut address = None;
    for attribute in &message.attributes {
        match attribute {
            // Where both are given, the other one is the peer's.
            AddressAttribute::Local(local) => return Some(*local),
            AddressAttribute::Address(own) => address = Some(*own),
            _ => {}
        }
    }
    address
}
