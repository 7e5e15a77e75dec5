//! Policy rules: which routing table answers for which packets.

use super::{Netlink, PROTOCOL, Prefix, allow};
use crate::kernel::Result;
use futures_util::TryStreamExt;
use rtnetlink::IpVersion;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rustix::io::Errno;
use std::net::IpAddr;

/// `from PREFIX lookup TABLE priority PRIORITY`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Rule {
    /// Source of the packets.
    pub from: Prefix,
    /// The table that is asked. Where it has no route, the next rule is tried.
    pub table: u32,
    /// Lower is asked first; the main table's rule has 32766.
    pub priority: u32,
}

impl Netlink {
    /// Adds a rule.
    ///
    /// # Errors
    /// The kernel's.
    pub fn put_rule(&self, rule: &Rule) -> Result<()> {
        let mut request = self.handle().rule().add();
        *request.message_mut() = message(rule);
        allow(
            self.wait(
                format!("add the rule `{}`", describe(rule)),
                request.execute(),
            ),
            &[Errno::EXIST],
        )
    }

    /// Deletes a rule.
    ///
    /// # Errors
    /// The kernel's, but that there is no such rule.
    pub fn delete_rule(&self, rule: &Rule) -> Result<()> {
        let request = self.handle().rule().del(message(rule)).execute();
        allow(
            self.wait(format!("delete the rule `{}`", describe(rule)), request),
            &[Errno::NOENT],
        )
    }

    /// The rules that [`Netlink::put_rule`] has added, of both IP versions.
    ///
    /// # Errors
    /// The kernel's.
    pub fn rules(&self) -> Result<Vec<Rule>> {
        let mut rules = Vec::new();
        for version in [IpVersion::V4, IpVersion::V6] {
            let request = self.handle().rule().get(version).execute();
            let messages = match self.wait("list the rules", request.try_collect::<Vec<_>>()) {
                // A kernel without this IP version.
                Err(error) if is_unsupported(error.raw_os_error()) => continue,
                other => other?,
            };
            rules.extend(messages.iter().filter_map(parse));
        }
        Ok(rules)
    }
}

pub(super) fn is_unsupported(code: Option<i32>) -> bool {
    [Errno::AFNOSUPPORT, Errno::OPNOTSUPP]
        .iter()
        .any(|errno| code == Some(errno.raw_os_error()))
}

fn message(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = match rule.from.address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.src_len = rule.from.length;
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![
        RuleAttribute::Source(rule.from.address),
        RuleAttribute::Table(rule.table),
        RuleAttribute::Priority(rule.priority),
        RuleAttribute::Protocol(PROTOCOL),
    ];
    message
}

fn parse(message: &RuleMessage) -> Option<Rule> {
    let mut from = None;
    let mut table = u32::from(message.header.table);
    let mut priority = 0;
    let mut ours = false;
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Source(address) => from = Some(*address),
            RuleAttribute::Table(number) => table = *number,
            RuleAttribute::Priority(number) => priority = *number,
            RuleAttribute::Protocol(protocol) => ours = *protocol == PROTOCOL,
            _ => {}
        }
    }
    let from = Prefix {
        address: from?,
        length: message.header.src_len,
    };
    ours.then_some(Rule {
        from,
        table,
        priority,
    })
}

fn describe(rule: &Rule) -> String {
    let Rule {
        from,
        table,
        priority,
    } = rule;
    format!("from {from} lookup {table} priority {priority}")
}
