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
use jlb_protocol::link::Sessions;
use jlb_protocol::{FlowKey, PacketBuf};
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
    generation: AtomicU32,
    stop: AtomicBool,
}

impl Shared {
    pub(crate) fn new(published: Published) -> Self {
        Self {
            signal: Apart(Signal {
                generation: AtomicU32::new(published.generation),
                stop: AtomicBool::new(false),
            }),
            published: Apart(Mutex::new(published)),
        }
    }

    /// Has all forwarders go by this, and their shortcuts end: from their next batches on.
    pub(crate) fn publish(&self, published: Published) {
        let generation = published.generation;
        let mut place = self.lock();
        *place = published;
        self.signal
            .0
            .generation
            .store(generation, Ordering::Release);
    }

    /// The present generation.
    #[inline]
    pub(crate) fn generation(&self) -> u32 {
        self.signal.0.generation.load(Ordering::Acquire)
    }

    /// What to go by, when the generation is another one than before.
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
    /// What the last publication was made of.
    pub(crate) sessions: Arc<Sessions>,
    /// [`jlb_protocol::link::Link::sessions_changed`] at that time.
    pub(crate) sessions_changed: u64,
    /// The role's view or configuration is another one since.
    pub(crate) role_changed: bool,
}

impl Forwarders {
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

/// A processor for each of so many workers, if there are enough.
pub(crate) fn processors(workers: usize) -> Vec<Option<usize>> {
    let allowed = jlb_packet_io::process::allowed_cpus().unwrap_or_default();
    if allowed.len() < workers {
        tracing::info!(
            "{workers} workers on {} processors: none of them keeps to one",
            allowed.len()
        );
        return vec![None; workers];
    }
    allowed.into_iter().take(workers).map(Some).collect()
}

#[cfg(test)]
mod tests;
