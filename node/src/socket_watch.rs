//! The kernel's sockets on a host: destroy events in the data thread, whole lists on a thread of
//! their own, so that a long list never stalls packets.

use crate::clock;
use crate::error::Error;
use crate::kernel::sock_diag::{self, Destroyed, DumpScope, Socket};
use jlb_packet_io::process;
use jlb_packet_io::wait::Waker;
use jlb_protocol::Time;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Sockets that are handed over at a time: a fraction of a millisecond of the reader's.
const PART: usize = 1_024;

/// The most answers that wait for the reader: then the thread waits too.
pub(crate) const MAX_ANSWERS: usize = 2;

/// How long the thread may run at a time: a little longer than the kernel gives to others (0.7 to 3 ms), so that they cut in
/// on it as soon as they have something to do, in its first lists, too; but where all processors are wanted, it has so long in one go.
const SLICE: Duration = Duration::from_millis(5);

/// How much the kernel prefers others to the thread: a long list is no reason for packets or servers to wait.
const NICE: i32 = 10;

/// ... but for the first, without which a host agent does not know its flows (R4).
const LISTS_IN_A_HURRY: u32 = 2;

/// The wait after a list that failed; doubles with each failure after it.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The longest wait after a list that failed.
const LONGEST_RETRY: Duration = Duration::from_secs(16);

/// Destroy events, and lists on request.
pub(crate) struct SocketWatch {
    /// Closes, as they happen.
    pub(crate) events: Destroyed,
    /// All sockets.
    pub(crate) lists: Lists,
}

impl SocketWatch {
    /// Subscribes, and starts the thread that makes lists of the sockets of these addresses, as they
    /// are when a list is begun. Both belong to the network namespace of the calling thread.
    pub(crate) fn start(vips: Arc<Mutex<Vec<IpAddr>>>, waker: Waker) -> Result<Self, Error> {
        let events = Destroyed::open().map_err(Error::Setup)?;
        let lists = Lists::start(waker, move |scope, parts| {
            let vips = vips.lock().unwrap_or_else(PoisonError::into_inner).clone();
            sock_diag::dump(scope, |socket| {
                if vips.contains(&socket.local.ip()) {
                    parts.add(socket);
                }
            })
        })?;
        Ok(Self { events, lists })
    }
}

/// What there is of a list that was asked for.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It is begun.
    Begun {
        /// When.
        started: Time,
        /// What is to be in it.
        scope: DumpScope,
    },
    /// Some of it.
    Part(Vec<Socket>),
    /// That was all.
    Complete {
        /// What its making took of a processor.
        cost: Duration,
    },
    /// There will be no more of it; the next may be asked for after a pause.
    Failed(crate::kernel::Error),
    /// There will never be one again.
    ThreadEnded,
}

/// What a list is handed over in.
struct Parts<'a> {
    to_reader: &'a SyncSender<Answer>,
    waker: &'a Waker,
    part: Vec<Socket>,
}

impl Parts<'_> {
    /// Adds a socket to the list. Waits if the reader is slow.
    fn add(&mut self, socket: Socket) {
        self.part.push(socket);
        if self.part.len() >= PART {
            let next = Vec::with_capacity(PART);
            let part = std::mem::replace(&mut self.part, next);
            self.send(Answer::Part(part));
        }
    }

    /// The list is made, or could not be.
    fn end(&mut self, made: crate::kernel::Result<()>, cost: Duration) {
        if !self.part.is_empty() {
            let part = std::mem::take(&mut self.part);
            self.send(Answer::Part(part));
        }
        self.send(made.map_or_else(Answer::Failed, |()| Answer::Complete { cost }));
    }

    /// A reader that is gone asks for no other list, so that the thread ends after this one.
    fn send(&self, answer: Answer) {
        let _ = self.to_reader.send(answer);
        self.waker.wake();
    }
}

/// The thread that makes lists, one at a time.
pub(crate) struct Lists {
    requests: SyncSender<DumpScope>,
    answers: Receiver<Answer>,
    asked: bool,
    /// No list is asked for before.
    pause: Time,
    retry: Duration,
}

impl Lists {
    /// Starts the thread; `waker` is woken when there is an answer.
    fn start(
        waker: Waker,
        mut make: impl FnMut(DumpScope, &mut Parts<'_>) -> crate::kernel::Result<()> + Send + 'static,
    ) -> Result<Self, Error> {
        let (requests, asked) = sync_channel::<DumpScope>(1);
        let (to_reader, answers) = sync_channel(MAX_ANSWERS);
        std::thread::Builder::new()
            .name("sockets".into())
            .spawn(move || {
                // Wakes also when the thread ends by a panic, once its end of the channel is gone.
                let last = WakeOnDrop(waker);
                let to_reader = to_reader;
                let mut complete = 0;
                // Where the kernel does not know it, lists are made all the same.
                let _ = process::set_thread_slice(SLICE);
                while let Ok(scope) = asked.recv() {
                    let mut parts = Parts {
                        to_reader: &to_reader,
                        waker: &last.0,
                        part: Vec::new(),
                    };
                    let started = clock::now();
                    parts.send(Answer::Begun { started, scope });
                    let before = process::thread_time();
                    let made = make(scope, &mut parts);
                    complete += u32::from(made.is_ok());
                    if complete == LISTS_IN_A_HURRY {
                        // Where it is not allowed, lists are made all the same.
                        let _ = process::set_thread_nice(NICE);
                    }
                    let cost = process::thread_time().saturating_sub(before);
                    parts.end(made, cost);
                }
            })
            .map_err(Error::system("start a thread"))?;
        Ok(Self {
            requests,
            answers,
            asked: false,
            pause: Time::ZERO,
            retry: FIRST_RETRY,
        })
    }

    /// When to ask, if a list is wanted at `wanted`: not while one is being made, and after
    /// failures only now and then.
    pub(crate) fn due(&self, wanted: Option<Time>) -> Option<Time> {
        if self.asked {
            None
        } else {
            wanted.map(|wanted| wanted.max(self.pause))
        }
    }

    /// Asks for a list; one at a time. That the thread has ended is told by [`Self::poll`].
    pub(crate) fn ask(&mut self, scope: DumpScope) {
        if !self.asked {
            self.asked = self.requests.try_send(scope).is_ok();
        }
    }

    /// The next answer, once it is there.
    pub(crate) fn poll(&mut self, now: Time) -> Option<Answer> {
        let answer = match self.answers.try_recv() {
            Ok(answer) => answer,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => return Some(Answer::ThreadEnded),
        };
        match answer {
            Answer::Complete { .. } => {
                self.asked = false;
                self.retry = FIRST_RETRY;
            }
            Answer::Failed(_) => {
                self.asked = false;
                self.pause = now + self.retry;
                self.retry = (self.retry * 2).min(LONGEST_RETRY);
            }
            Answer::Begun { .. } | Answer::Part(_) | Answer::ThreadEnded => {}
        }
        Some(answer)
    }
}

struct WakeOnDrop(Waker);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        self.0.wake();
    }
}

#[cfg(test)]
mod tests;
