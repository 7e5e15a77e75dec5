//! What the control plane looks after every few seconds: that the machine is still set up as the
//! node needs it, and that its peers are heard of.

use crate::kernel;
use crate::kernel::host_setup::HostSetup;
use crate::kernel::ingress_setup::IngressSetup;
use crate::report::Report;
use jlb_config::Membership;
use jlb_protocol::DropReason;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::oneshot;
use tracing::{info, warn};

/// How often it looks.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);

/// A peer that is silent for longer than this, and for longer than so many of its heartbeats, is
/// worth a warning.
const SILENCE: Duration = Duration::from_secs(5);
const HEARTBEATS: u32 = 4;

/// What a node has set up on its machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Setup {
    /// That of an ingress.
    Ingress(IngressSetup),
    /// That of a host.
    Host(HostSetup),
}

impl Setup {
    fn repair(&self) -> kernel::Result<bool> {
        match self {
            Setup::Ingress(setup) => setup.repair(),
            Setup::Host(setup) => setup.repair(),
        }
    }

    /// Adds what its VIPs need.
    pub(crate) async fn extend(&self) -> kernel::Result<()> {
        let setup = self.clone();
        on_a_thread(move || match setup {
            Setup::Ingress(setup) => setup.extend(),
            Setup::Host(setup) => setup.extend(),
        })
        .await
    }

    /// Removes what other VIPs needed.
    pub(crate) async fn shrink(&self) -> kernel::Result<()> {
        let setup = self.clone();
        on_a_thread(move || match setup {
            Setup::Ingress(setup) => setup.shrink(),
            Setup::Host(setup) => setup.shrink(),
        })
        .await
    }

    /// Puts back what others have changed, and says so in the log.
    pub(crate) async fn keep(&self) {
        let setup = self.clone();
        match on_a_thread(move || setup.repair()).await {
            Ok(false) => {}
            Ok(true) => warn!(
                "something else changed the device, its addresses, routes or rules; put them back"
            ),
            Err(error) => warn!(%error, "can't look after the machine's set-up"),
        }
    }
}

/// Does something with netlink. Its requests run a runtime of their own, which tokio's blocking
/// threads don't allow: they belong to this one.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> kernel::Result<T> + Send + 'static,
) -> kernel::Result<T> {
    let (tell, told) = oneshot::channel();
    let failed = |error| kernel::Error::new("have a thread of its own set the machine up", error);
    std::thread::Builder::new()
        .name("setup".into())
        .spawn(move || {
            let _ = tell.send(work());
        })
        .map_err(failed)?;
    told.await
        .unwrap_or_else(|_| Err(failed(std::io::Error::other("it panicked"))))
}

/// Something about peers that a person should know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Finding {
    /// Nothing is heard of this peer.
    Silent(String),
    /// This one, which was silent, is heard of again.
    Back(String),
    /// So many more messages did not verify.
    Unverified(u64),
}

/// Who is silent, so that each silence is told once.
#[derive(Clone, Debug)]
pub(crate) struct Silences {
    longest: Duration,
    /// Only who was never heard of is told: the membership tells of the others.
    only_unheard: bool,
    /// Who was heard of at some look. A new life of this node forgets when that was.
    heard: BTreeSet<String>,
    silent: BTreeSet<String>,
    unverified: u64,
}

impl Silences {
    /// For peers that say Hello this often, where membership is such.
    pub(crate) fn new(hello: Duration, membership: Membership) -> Self {
        let longest = SILENCE.max(hello.saturating_mul(HEARTBEATS));
        let (longest, only_unheard) = match membership {
            Membership::Static => (longest, false),
            Membership::Dynamic => (SILENCE, true),
        };
        Self {
            longest,
            only_unheard,
            heard: BTreeSet::new(),
            silent: BTreeSet::new(),
            unverified: 0,
        }
    }

    /// Peers say Hello this often from now on.
    pub(crate) fn set_pace(&mut self, hello: Duration, membership: Membership) {
        let Self {
            longest,
            only_unheard,
            ..
        } = Self::new(hello, membership);
        self.longest = longest;
        self.only_unheard = only_unheard;
    }

    /// What is new since the last look.
    pub(crate) fn look(&mut self, report: &Report) -> Vec<Finding> {
        let mut findings = Vec::new();
        let heard = report.members.iter().filter(|line| line.silence.is_some());
        self.heard.extend(heard.map(|line| line.name.clone()));
        for sample in &report.samples {
            if sample.name != "jlb_peer_silence_seconds" {
                continue;
            }
            let Some((_, peer)) = sample.labels.first() else {
                continue;
            };
            let counts = !(self.only_unheard && self.heard.contains(peer));
            if counts && sample.value > self.longest.as_secs_f64() {
                if self.silent.insert(peer.clone()) {
                    findings.push(Finding::Silent(peer.clone()));
                }
            } else if self.silent.remove(peer) {
                findings.push(Finding::Back(peer.clone()));
            }
        }
        let unverified = [DropReason::BadTag, DropReason::UnknownKey]
            .map(|reason| report.link.dropped(reason))
            .iter()
            .sum();
        if unverified > self.unverified {
            findings.push(Finding::Unverified(unverified - self.unverified));
            self.unverified = unverified;
        }
        findings
    }
}

impl Finding {
    /// Writes it to the log.
    pub(crate) fn log(&self) {
        match self {
            Finding::Silent(peer) => warn!(
                peer,
                "peer is silent: it is down, or the network does not let it through, or it has \
                 other keys"
            ),
            Finding::Back(peer) => info!(peer, "peer is heard of again"),
            Finding::Unverified(count) => warn!(
                count,
                "messages do not verify: a node has other keys, or someone forges them"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
