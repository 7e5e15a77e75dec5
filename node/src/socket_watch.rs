//! The kernel's sockets on a host: destroy events in the data thread, whole lists on a thread of
//! their own, so that a long list never stalls packets.

use crate::clock;
use crate::error::Error;
use crate::kernel::sock_diag::{self, Destroyed, Socket};
use jlb_packet_io::wait::Waker;
use jlb_protocol::Time;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The wait after a list that failed; doubles with each failure after it.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The longest wait after a list that failed.
const LONGEST_RETRY: Duration = Duration::from_secs(16);

/// A complete list of sockets.
pub(crate) struct Dump {
    /// When the list was begun.
    pub(crate) started: Time,
    /// The sockets.
    pub(crate) sockets: Vec<Socket>,
}

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
        let lists = Lists::start(waker, move || {
            let started = clock::now();
            let vips = vips.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let sockets = sock_diag::dump(|local| vips.contains(&local.ip()))?;
            Ok(Dump { started, sockets })
        })?;
        Ok(Self { events, lists })
    }
}

/// What became of a request for a list.
pub(crate) enum Answer {
    /// The list.
    Complete(Dump),
    /// There is none; the next may be asked for after a pause.
    Failed(crate::kernel::Error),
    /// There will never be one again.
    ThreadEnded,
}

/// The thread that makes lists, one at a time.
pub(crate) struct Lists {
    requests: SyncSender<()>,
    answers: Receiver<crate::kernel::Result<Dump>>,
    asked: bool,
    /// No list is asked for before.
    pause: Time,
    retry: Duration,
}

impl Lists {
    /// Starts the thread; `waker` is woken when there is an answer.
    fn start(
        waker: Waker,
        mut make: impl FnMut() -> crate::kernel::Result<Dump> + Send + 'static,
    ) -> Result<Self, Error> {
        let (requests, asked) = sync_channel::<()>(1);
        let (to_reader, answers) = sync_channel(1);
        std::thread::Builder::new()
            .name("sockets".into())
            .spawn(move || {
                // Wakes also when the thread ends by a panic, once its end of the channel is gone.
                let last = WakeOnDrop(waker);
                let to_reader = to_reader;
                while asked.recv().is_ok() {
                    if to_reader.send(make()).is_err() {
                        return;
                    }
                    last.0.wake();
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
    pub(crate) fn ask(&mut self) {
        if !self.asked {
            self.asked = self.requests.try_send(()).is_ok();
        }
    }

    /// The answer, once it is there.
    pub(crate) fn poll(&mut self, now: Time) -> Option<Answer> {
        let answer = match self.answers.try_recv() {
            Ok(answer) => answer,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => return Some(Answer::ThreadEnded),
        };
        self.asked = false;
        match answer {
            Ok(dump) => {
                self.retry = FIRST_RETRY;
                Some(Answer::Complete(dump))
            }
            Err(error) => {
                self.pause = now + self.retry;
                self.retry = (self.retry * 2).min(LONGEST_RETRY);
                Some(Answer::Failed(error))
            }
        }
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
