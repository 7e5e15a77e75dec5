//! Several threads that move the packets of one ingress.
//!
//! The *first worker* is the data thread with the whole role. Each other one is a *forwarder*: from queues of its own it
//! takes clients' packets, sends those that it has a shortcut for, and hands all others to the first worker, by a
//! ring. What a forwarder writes for each packet is its own alone. It shares with others:
//!
//! - [`Shared`], which the first worker writes when a view, configuration or session changes;
//! - the rings, for what is handed on and answered, and nothing else;
//! - its [`Boards`], which it writes once a turn and the first worker reads when it reports.

mod board;
mod forwarding;

pub(crate) use board::{Boards, Counts};
pub(crate) use forwarding::{Beginning, Forwarding};

use crate::error::Error;
use jlb_ingress::{Rules, Shortcut};
use jlb_packet_io::wait::Waker;
use jlb_protocol::link::{Link, Sessions};
use jlb_protocol::view::Member;
use jlb_protocol::{FlowKey, NodeNumber, PacketBuf, Role, View};
use rtrb::{Consumer, Producer, RingBuffer};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// What may be with the first worker at once, of each forwarder: packets, and leases asked for.
pub(crate) const HANDED: usize = 1_024;

/// A value on cache lines of its own. Processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Apart<T>(pub(crate) T);

/// What forwarders go by: it never changes, another one takes its place.
#[derive(Clone)]
pub(crate) struct Published {
    /// Of each publication another one.
    pub(crate) revision: u32,
    /// Shortcuts of others are over. Sessions alone do not end any: without one to its host a shortcut is not used.
    pub(crate) generation: u32,
    pub(crate) rules: Arc<Rules>,
    pub(crate) sessions: Arc<Sessions>,
}

/// What the first worker tells all forwarders.
pub(crate) struct Shared {
    signal: Apart<Signal>,
    published: Apart<Mutex<Published>>,
}

/// What forwarders read for each batch lies on other lines than what is written for a publication.
const _: () = {
    use std::mem::offset_of;
    assert!(align_of::<Shared>() == 128 && size_of::<Apart<Signal>>() == 128);
    assert!(offset_of!(Shared, signal).is_multiple_of(128));
    assert!(offset_of!(Shared, published).is_multiple_of(128));
    assert!(align_of::<Boards>() == 128 && size_of::<Boards>().is_multiple_of(128));
};

/// What each forwarder reads before each batch: in caches of all, for as long as nothing changes.
struct Signal {
    revision: AtomicU32,
    stop: AtomicBool,
}

impl Shared {
    pub(crate) fn new(published: Published) -> Self {
        Self {
            signal: Apart(Signal {
                revision: AtomicU32::new(published.revision),
                stop: AtomicBool::new(false),
            }),
            published: Apart(Mutex::new(published)),
        }
    }

    /// Has all forwarders go by this from their next batches on.
    pub(crate) fn publish(&self, published: Published) {
        let revision = published.revision;
        let mut place = self.lock();
        *place = published;
        self.signal.0.revision.store(revision, Ordering::Release);
    }

    /// Of what was published last.
    #[inline]
    pub(crate) fn revision(&self) -> u32 {
        self.signal.0.revision.load(Ordering::Acquire)
    }

    /// What to go by, when the revision is another one than before.
    pub(crate) fn published(&self) -> Published {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Published> {
        // Nobody panics while it is held.
        self.published
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        self.signal.0.stop.store(true, Ordering::Release);
    }

    pub(crate) fn stops(&self) -> bool {
        self.signal.0.stop.load(Ordering::Acquire)
    }
}

/// What a forwarder hands to the first worker, under a number that the answer has.
pub(crate) enum Handed {
    /// A packet, with the key of its flow, if it is of one.
    Packet {
        number: u64,
        key: Option<FlowKey>,
        buf: PacketBuf,
    },
    /// The flow goes on, and its lease is half over.
    Renew { number: u64, key: FlowKey },
}

/// The first worker's answer to one [`Handed`]: there is always one.
pub(crate) struct Answer {
    pub(crate) number: u64,
    pub(crate) generation: u32,
    /// A free buffer for the one that came.
    pub(crate) buf: Option<PacketBuf>,
    pub(crate) shortcut: Option<Shortcut>,
}

/// The forwarder's end of both rings.
pub(crate) struct Upward {
    pub(crate) handed: Producer<Handed>,
    pub(crate) answers: Consumer<Answer>,
}

/// The first worker's.
pub(crate) struct Downward {
    pub(crate) handed: Consumer<Handed>,
    pub(crate) answers: Producer<Answer>,
}

/// Both rings have room for all that may be under way.
pub(crate) fn rings() -> (Upward, Downward) {
    let (to_first, handed) = RingBuffer::new(HANDED);
    let (answers, from_first) = RingBuffer::new(HANDED);
    (
        Upward {
            handed: to_first,
            answers: from_first,
        },
        Downward { handed, answers },
    )
}

/// A forwarder as the first worker has it.
pub(crate) struct Attached {
    pub(crate) rings: Downward,
    pub(crate) boards: Arc<Boards>,
    /// What of the first board is in the first worker's books.
    pub(crate) counted: Counts,
    waker: Waker,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Attached {
    /// Starts the thread, which makes all that it writes itself: in memory of its own.
    ///
    /// # Errors
    /// [`Error::System`] without resources, [`Error::Bind`] if an address can't be used.
    pub(crate) fn start(
        beginning: Beginning,
        rings: Downward,
        cpu: Option<usize>,
    ) -> Result<Self, Error> {
        let (waker, first) = (beginning.waker.clone(), beginning.first.clone());
        let (tell, told) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name(format!("data-{}", beginning.number))
            .spawn(move || {
                // After the thread's end of the rings is gone, whatever the end was.
                let _told = WakesAtTheEnd(first);
                pin(cpu);
                let forwarding = Forwarding::new(beginning)?;
                let _ = tell.send(forwarding.boards());
                forwarding.run()
            })
            .map_err(Error::system("start a forwarder's thread"))?;
        let Ok(boards) = told.recv() else {
            return Err(ended(thread).unwrap_or_else(|| Error::DataThread(PANICKED.into())));
        };
        Ok(Self {
            rings,
            boards,
            counted: Counts::default(),
            waker,
            thread: Some(thread),
        })
    }

    /// With a thread that runs already.
    #[cfg(test)]
    pub(crate) fn with_thread(
        rings: Downward,
        boards: Arc<Boards>,
        waker: Waker,
        thread: JoinHandle<Result<(), Error>>,
    ) -> Self {
        Self {
            rings,
            boards,
            counted: Counts::default(),
            waker,
            thread: Some(thread),
        }
    }

    /// How the thread ended, if it did.
    fn end(&mut self) -> Option<Error> {
        if !self.rings.handed.is_abandoned() {
            return None;
        }
        ended(self.thread.take()?)
    }
}

const PANICKED: &str = "a thread that forwards packets panicked; its last words are above";

/// Why a thread ended; `None` if it was told to.
fn ended(thread: JoinHandle<Result<(), Error>>) -> Option<Error> {
    match thread.join() {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(_) => Some(Error::DataThread(PANICKED.into())),
    }
}

struct WakesAtTheEnd(Waker);

impl Drop for WakesAtTheEnd {
    fn drop(&mut self) {
        self.0.wake();
    }
}

/// All forwarders, and what the first worker tells them.
pub(crate) struct Forwarders {
    pub(crate) shared: Arc<Shared>,
    pub(crate) list: Vec<Attached>,
    /// The last publication.
    pub(crate) published: Published,
    /// [`Link::sessions_changed`] at that time.
    sessions_changed: u64,
    /// The hosts of the view, sorted.
    hosts: Vec<Member>,
    /// Something that shortcuts depend on is another one since.
    leases_end: bool,
}

impl Forwarders {
    /// None yet.
    pub(crate) fn new(rules: Rules, link: &Link) -> Self {
        let published = Published {
            revision: 1,
            generation: 1,
            rules: Arc::new(rules),
            sessions: Arc::new(link.sessions_to_seal()),
        };
        Self {
            shared: Arc::new(Shared::new(published.clone())),
            list: Vec::new(),
            published,
            sessions_changed: link.sessions_changed(),
            hosts: Vec::new(),
            leases_end: false,
        }
    }

    /// The view is another one: whatever it says of a host ends the shortcuts, and nothing else of it does.
    pub(crate) fn see(&mut self, view: &View) {
        let members = view.members().iter().copied();
        let hosts = members.filter(|member| member.role == Role::HostAgent);
        if !hosts.clone().eq(self.hosts.iter().copied()) {
            self.hosts = hosts.collect();
            self.leases_end = true;
        }
    }

    /// The configuration or this life is another one.
    pub(crate) fn end_leases(&mut self) {
        self.leases_end = true;
    }

    /// Tells what has changed. `rules` are those of now, where there are any.
    pub(crate) fn publish(&mut self, link: &Link, rules: impl FnOnce() -> Option<Rules>) {
        let sessions_changed = link.sessions_changed();
        if !self.leases_end && self.sessions_changed == sessions_changed {
            return;
        }
        let published = &mut self.published;
        if self.sessions_changed != sessions_changed {
            published.sessions = Arc::new(link.sessions_to_seal());
            self.sessions_changed = sessions_changed;
        }
        if std::mem::take(&mut self.leases_end) {
            published.generation = published.generation.wrapping_add(1);
            if let Some(rules) = rules() {
                published.rules = Arc::new(rules);
            }
        }
        published.revision = published.revision.wrapping_add(1);
        self.shared.publish(published.clone());
    }

    /// Why one of them ended, if one did.
    pub(crate) fn failure(&mut self) -> Option<Error> {
        self.list.iter_mut().find_map(Attached::end)
    }
}

impl Drop for Forwarders {
    fn drop(&mut self) {
        self.shared.stop();
        for one in &mut self.list {
            one.waker.wake();
        }
        for one in &mut self.list {
            if let Some(thread) = one.thread.take() {
                // What it says was asked for, or nobody is left to be told.
                let _ = thread.join();
            }
        }
    }
}

/// Keeps the calling thread on this processor.
pub(crate) fn pin(cpu: Option<usize>) {
    if let Some(cpu) = cpu
        && let Err(error) = jlb_packet_io::process::pin_to_cpu(cpu)
    {
        tracing::warn!("can't keep a worker on processor {cpu}: {error}");
    }
}

/// A processor for each of so many workers, if there are enough. Nodes on one machine begin at different ones, as far as
/// their numbers do.
pub(crate) fn processors(node: NodeNumber, workers: usize) -> Vec<Option<usize>> {
    let allowed = jlb_packet_io::process::allowed_cpus().unwrap_or_default();
    if allowed.len() < workers {
        tracing::info!(
            "{workers} workers on {} processors: none of them keeps to one",
            allowed.len()
        );
        return vec![None; workers];
    }
    let from = usize::from(node.get()) % allowed.len().max(1);
    let round = allowed.into_iter().map(Some);
    round.clone().cycle().skip(from).take(workers).collect()
}

#[cfg(test)]
mod tests;
