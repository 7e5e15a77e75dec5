//! The kernel's sockets on a host: destroy events in the data thread, whole lists and look-ups of single connections on a
//! thread of their own, so that a long list never stalls packets.

use crate::clock;
use crate::error::Error;
use crate::kernel::sock_diag::{self, Destroyed, DumpScope, Found, LookUp, LookedUp, Socket};
use jlb_packet_io::process;
use jlb_packet_io::wait::Waker;
use jlb_protocol::Time;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
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
        // Whether the last list had connections that are bound to a device, which look-ups do not find.
        let bound = Arc::new(AtomicBool::new(false));
        let some_are_bound = Arc::clone(&bound);
        let list = move |scope, parts: &mut Parts<'_>| {
            let vips = vips.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let mut one_is_bound = false;
            let made = sock_diag::dump(scope, |socket, is_bound| {
                if vips.contains(&socket.local.ip()) {
                    one_is_bound |= is_bound;
                    parts.add(socket);
                }
            });
            bound.store(one_is_bound, Ordering::Relaxed);
            made
        };
        let look_up = move |asked: &[LookUp]| {
            let mut answers = sock_diag::look_up(asked)?;
            if some_are_bound.load(Ordering::Relaxed) {
                doubt_absence(&mut answers);
            }
            Ok(answers)
        };
        let lists = Lists::start(waker, list, look_up)?;
        Ok(Self { events, lists })
    }
}

/// That nothing was found says nothing.
fn doubt_absence(answers: &mut [LookedUp]) {
    for answer in answers {
        if answer.found == Found::Nothing {
            answer.found = Found::Unknown;
        }
    }
}

/// What the thread is asked for.
#[derive(Debug)]
enum Request {
    List(DumpScope),
    LookUps(Vec<LookUp>),
}

/// What there is of what was asked for.
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
    /// All of the look-ups.
    LookedUp {
        /// When they began.
        started: Time,
        /// What they took of a processor.
        cost: Duration,
        /// What was found.
        answers: Vec<LookedUp>,
    },
    /// There are none of the look-ups; others may be asked for after a pause.
    LookUpsFailed(crate::kernel::Error),
    /// There will never be any again.
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

/// The thread that makes lists and look-ups, one thing at a time.
pub(crate) struct Lists {
    requests: SyncSender<Request>,
    answers: Receiver<Answer>,
    asked: bool,
    lists: Pause,
    look_ups: Pause,
}

/// When one kind of request may be made again after one that failed.
struct Pause {
    until: Time,
    next: Duration,
}

impl Pause {
    const NONE: Self = Self {
        until: Time::ZERO,
        next: FIRST_RETRY,
    };

    fn failed(&mut self, now: Time) {
        self.until = now + self.next;
        self.next = (self.next * 2).min(LONGEST_RETRY);
    }

    fn worked(&mut self) {
        self.next = FIRST_RETRY;
    }
}

impl Lists {
    /// Starts the thread; `waker` is woken when there is an answer.
    fn start(
        waker: Waker,
        mut list: impl FnMut(DumpScope, &mut Parts<'_>) -> crate::kernel::Result<()> + Send + 'static,
        mut look_up: impl FnMut(&[LookUp]) -> crate::kernel::Result<Vec<LookedUp>> + Send + 'static,
    ) -> Result<Self, Error> {
        let (requests, asked) = sync_channel::<Request>(1);
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
                while let Ok(request) = asked.recv() {
                    let mut parts = Parts {
                        to_reader: &to_reader,
                        waker: &last.0,
                        part: Vec::new(),
                    };
                    let started = clock::now();
                    let before = process::thread_time();
                    let cost = || process::thread_time().saturating_sub(before);
                    match request {
                        Request::List(scope) => {
                            parts.send(Answer::Begun { started, scope });
                            let made = list(scope, &mut parts);
                            complete += u32::from(made.is_ok());
                            if complete == LISTS_IN_A_HURRY {
                                // Where it is not allowed, lists are made all the same.
                                let _ = process::set_thread_nice(NICE);
                            }
                            parts.end(made, cost());
                        }
                        Request::LookUps(asked) => {
                            let made = look_up(&asked);
                            let cost = cost();
                            let looked_up = |answers| Answer::LookedUp {
                                started,
                                cost,
                                answers,
                            };
                            parts.send(made.map_or_else(Answer::LookUpsFailed, looked_up));
                        }
                    }
                }
            })
            .map_err(Error::system("start a thread"))?;
        Ok(Self {
            requests,
            answers,
            asked: false,
            lists: Pause::NONE,
            look_ups: Pause::NONE,
        })
    }

    /// When to ask, if a list is wanted at `wanted`: not while something is being made, and after
    /// failures only now and then.
    pub(crate) fn due(&self, wanted: Option<Time>) -> Option<Time> {
        self.not_before(&self.lists, wanted)
    }

    /// The same for look-ups.
    pub(crate) fn look_ups_due(&self, wanted: Option<Time>) -> Option<Time> {
        self.not_before(&self.look_ups, wanted)
    }

    fn not_before(&self, pause: &Pause, wanted: Option<Time>) -> Option<Time> {
        let wanted = wanted.filter(|_| !self.asked)?;
        Some(wanted.max(pause.until))
    }

    /// Asks for a list, if nothing is being made. That the thread has ended is told by [`Self::poll`].
    pub(crate) fn ask(&mut self, scope: DumpScope) {
        self.request(Request::List(scope));
    }

    /// Asks for look-ups, if nothing is being made.
    pub(crate) fn look_up(&mut self, connections: Vec<LookUp>) {
        self.request(Request::LookUps(connections));
    }

    fn request(&mut self, request: Request) {
        if !self.asked {
            self.asked = self.requests.try_send(request).is_ok();
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
            Answer::Complete { .. } => self.lists.worked(),
            Answer::Failed(_) => self.lists.failed(now),
            Answer::LookedUp { .. } => self.look_ups.worked(),
            Answer::LookUpsFailed(_) => self.look_ups.failed(now),
            Answer::Begun { .. } | Answer::Part(_) | Answer::ThreadEnded => return Some(answer),
        }
        self.asked = false;
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
