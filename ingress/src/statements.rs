//! What hosts state of their flows: an ingress learns which are over (R8).
//!
//! A tracker applies the States of a host in order, for they also say what a host has, and an old
//! "established" must not follow a "closed". An ingress needs no order: it takes only "closed",
//! which names the life that it ends. A life that ended stays ended, births only grow (R9), and an
//! entry of a later life is left alone. So a State may come late, twice or before another, each
//! is acknowledged by its own number, and nothing has to be remembered of its host.

use crate::ingress::Ingress;
use crate::messages::End;
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::message::{Control, FlowState, FlowStatement, List};
use jlb_protocol::planted::{self, Bug};
use jlb_protocol::{DropReason, NodeNumber, Role, Time, wire};

impl Ingress {
    /// Forgets the flows that their host states to be over, and acknowledges.
    ///
    /// A flow with an attempt under way keeps that: it asks for the life after the one that ended.
    pub(crate) fn handle_state(
        &mut self,
        now: Time,
        from: NodeNumber,
        sequence: u64,
        flows: &List<'_, FlowStatement>,
    ) -> Result<End, DropReason> {
        match self.view.member(from).map(|member| member.role) {
            Some(Role::HostAgent) => {}
            Some(Role::Ingress | Role::FlowTracker) => return Err(DropReason::WrongRole),
            None => return Err(DropReason::UnknownSender),
        }
        // What is not numbered answers a WhoHas.
        if sequence == 0 {
            return self.handle_who_has_answers(now, from, flows);
        }
        for statement in flows.iter() {
            match statement.state {
                FlowState::Closed => self.handle_closed(from, &statement),
                FlowState::Accepted
                | FlowState::Established
                | FlowState::Closing
                | FlowState::NotMine => {}
            }
        }
        self.acknowledge(from, sequence);
        Ok(End::Consumed)
    }

    fn handle_closed(&mut self, from: NodeNumber, statement: &FlowStatement) {
        let ended = self.cache.get(&statement.key).is_some_and(|entry| {
            let is_its = entry.host == from && entry.birth <= statement.birth;
            is_its || planted::is(Bug::AnybodyCloses)
        });
        if ended {
            self.cache.remove(&statement.key);
            self.stats.closed += 1;
        }
    }

    /// If the acknowledgement is lost, the host repeats the State (R5).
    fn acknowledge(&mut self, host: NodeNumber, sequence: u64) {
        let mut buf = self.outbox.buffer();
        let encoded = wire::encode_control(&Control::Ack { sequence }, &mut buf);
        self.send_new(encoded, host, FlowHash::NONE, buf);
    }
}

#[cfg(test)]
mod tests;
