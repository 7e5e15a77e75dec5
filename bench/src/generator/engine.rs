//! One thread of a job.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use jlb_packet_io::Poller;
use jlb_packet_io::wait::{Interest, Ready};
use rustix::io::Errno;
use rustix::net::sockopt::socket_error;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::answer::Answer;
use super::outcome::Outcome;
use super::{Job, now, socket};
use crate::error::{Doing, Result};
use crate::load::ErrorKind;
use crate::timer::Alarm;

/// What is read at once.
const BUFFER: usize = 256 << 10;
/// How often is looked for answers that did not come.
const LOOK: u64 = 20_000_000;
/// How long a connection rests after it failed, so that what fails at once is not tried without end.
const REST: u64 = 5_000_000;

/// What the alarm is reported as; no slot has that number.
const ALARM: u64 = u64::MAX;

/// Which part of a job a thread does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) number: u32,
    pub(super) of: u32,
}

/// What a connection is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// There is none.
    Closed,
    Connecting,
    /// Open, and nothing was asked.
    Idle,
    /// A request was sent.
    Asking,
    /// The answer is there; the server is to close.
    Ending,
}

/// Nanoseconds from the begin of the job.
#[derive(Clone, Copy, Debug)]
struct Request {
    due: u64,
    sent: u64,
}

/// Room for one connection at a time.
#[derive(Debug)]
struct Slot {
    socket: Option<OwnedFd>,
    phase: Phase,
    request: Option<Request>,
    /// When the phase began.
    since: u64,
    answer: Answer,
}

pub(super) struct Engine<'a> {
    job: &'a Job,
    share: Share,
    begin: Instant,
    poller: Poller,
    /// In an open loop: an epoll rounds waits up to milliseconds, which is more than most answers take.
    alarm: Option<Alarm>,
    /// What it is set to, if it has yet to go off.
    armed: Option<u64>,
    ready: Vec<Ready>,
    slots: Vec<Slot>,
    /// Slots without a request, in an open loop.
    free: VecDeque<usize>,
    /// When requests were due that no slot was free for.
    waiting: VecDeque<u64>,
    /// Slots that failed, and until when they rest.
    resting: VecDeque<(u64, usize)>,
    /// The number of the next request of an open loop.
    next: u64,
    /// Connections begun, to give the targets their turns.
    begun: usize,
    request: Vec<u8>,
    buffer: Vec<u8>,
    outcome: Outcome,
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// What something of the kernel's says about a connection.
fn kind(error: Errno) -> ErrorKind {
    ErrorKind::of_io(&error.into())
}

impl<'a> Engine<'a> {
    pub(super) fn new(job: &'a Job, share: Share, begin: Instant) -> Result<Self> {
        let (number, of) = (share.number, share.of);
        let connections = job.connections / of + u32::from(number < job.connections % of);
        let count = usize::try_from(connections).unwrap_or(usize::MAX);
        let slots = (0..count).map(|_| Slot {
            socket: None,
            phase: Phase::Closed,
            request: None,
            since: 0,
            answer: Answer::default(),
        });
        let close = if job.keep_alive {
            ""
        } else {
            "Connection: close\r\n"
        };
        let poller = Poller::new().doing("make an epoll")?;
        let mut alarm = None;
        if job.rate.is_some() {
            let made = Alarm::new().doing("make a timer")?;
            let added = poller.add(&made, ALARM, Interest::Readable);
            added.doing("wait for a timer")?;
            alarm = Some(made);
        }
        Ok(Self {
            job,
            share,
            begin,
            poller,
            alarm,
            armed: None,
            ready: Vec::with_capacity(64),
            slots: slots.collect(),
            free: VecDeque::with_capacity(count),
            waiting: VecDeque::with_capacity(1024),
            resting: VecDeque::with_capacity(count),
            next: 0,
            // Threads begin with different targets.
            begun: usize::try_from(number).unwrap_or(0) * count,
            request: format!("GET {} HTTP/1.1\r\nHost: lab\r\n{close}\r\n", job.path).into_bytes(),
            buffer: vec![0; BUFFER],
            outcome: Outcome::new()?,
        })
    }

    fn now(&self) -> u64 {
        nanos(now().saturating_duration_since(self.begin))
    }

    /// When the last request is sent.
    fn end(&self) -> u64 {
        nanos(self.job.span())
    }

    fn is_measured(&self, at: u64) -> bool {
        at >= nanos(self.job.warm_up) && at < self.end()
    }

    pub(super) fn run(mut self) -> Result<Outcome> {
        // Timers that may be 50 us late, as they may by default, would be most of a latency here.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        self.start();
        let mut looked = 0;
        loop {
            let now = self.now();
            self.issue(now);
            self.end_rests(now);
            if now >= looked + LOOK {
                looked = now;
                self.expire(now);
            }
            if now >= self.end() && self.is_done() {
                return Ok(self.outcome);
            }
            let wake = self.next_wake(now, looked);
            let mut ready = std::mem::take(&mut self.ready);
            ready.clear();
            let waited = self.wait(now, wake, &mut ready);
            waited.doing("wait for connections")?;
            for event in &ready {
                if event.token == ALARM {
                    self.armed = None;
                } else {
                    self.handle(*event);
                }
            }
            self.ready = ready;
        }
    }

    /// Waits until something is ready, or until `wake`: to the microsecond where requests are due at fixed times.
    fn wait(&mut self, now: u64, wake: u64, ready: &mut Vec<Ready>) -> io::Result<()> {
        let span = Duration::from_nanos(wake.saturating_sub(now));
        let mut rounded = Some(span);
        if let Some(alarm) = self.alarm.as_ref().filter(|_| !span.is_zero()) {
            if self.armed != Some(wake) {
                alarm.set(span)?;
                self.armed = Some(wake);
            }
            rounded = None;
        }
        ready.extend(self.poller.wait(rounded)?);
        Ok(())
    }

    fn start(&mut self) {
        for slot in 0..self.slots.len() {
            match (self.job.rate, self.job.keep_alive) {
                (None, _) => self.ask_again(slot),
                (Some(_), true) => self.open(slot),
                (Some(_), false) => self.free.push_back(slot),
            }
        }
    }

    /// Nothing is asked, and nothing waits to be.
    fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.slots.iter().all(|slot| slot.request.is_none())
    }

    /// When request `number` of this thread is due: those of all threads together come evenly.
    fn due(&self, number: u64) -> Option<u64> {
        let rate = self.job.rate?;
        let (own, of) = (f64::from(self.share.number), f64::from(self.share.of));
        let due = (number as f64 * of + own) * 1e9 / rate;
        (due < self.end() as f64).then_some(due as u64)
    }

    /// Sends what is due in an open loop.
    fn issue(&mut self, now: u64) {
        while let Some(due) = self.due(self.next).filter(|&due| due <= now) {
            self.next += 1;
            if self.is_measured(due) {
                self.outcome.due += 1;
            }
            match self.free.pop_front() {
                Some(slot) => self.ask(slot, due),
                None => self.waiting.push_back(due),
            }
        }
    }

    fn next_wake(&self, now: u64, looked: u64) -> u64 {
        let mut wake = looked + LOOK;
        if let Some(due) = self.due(self.next) {
            wake = wake.min(due);
        }
        if let Some(&(until, _)) = self.resting.front() {
            wake = wake.min(until);
        }
        if now < self.end() {
            wake = wake.min(self.end());
        }
        wake
    }

    /// Asks the next thing on a slot that has no request.
    fn ask_again(&mut self, slot: usize) {
        let now = self.now();
        match self.job.rate {
            None if now < self.end() => self.ask(slot, now),
            None => {}
            Some(_) => match self.waiting.pop_front() {
                Some(due) => self.ask(slot, due),
                None => self.free.push_back(slot),
            },
        }
    }

    /// Has a slot ask something that is due.
    fn ask(&mut self, number: usize, due: u64) {
        let slot = &mut self.slots[number];
        slot.request = Some(Request { due, sent: due });
        match slot.phase {
            Phase::Idle => self.send(number),
            Phase::Closed => self.open(number),
            // It is sent when the connection is there.
            Phase::Connecting | Phase::Asking | Phase::Ending => {}
        }
    }

    fn open(&mut self, number: usize) {
        let now = self.now();
        let target = self.job.targets[self.begun % self.job.targets.len()];
        self.begun += 1;
        let slot = &mut self.slots[number];
        slot.since = now;
        slot.answer.clear();
        if let Some(request) = &mut slot.request {
            request.sent = now;
        }
        let begun = socket::begin(target, &self.job.sources).and_then(|socket| {
            let added = self.poller.add(&socket, number as u64, Interest::Writable);
            added.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            Ok(socket)
        });
        match begun {
            Ok(socket) => {
                slot.socket = Some(socket);
                slot.phase = Phase::Connecting;
            }
            Err(error) => self.fail(
                number,
                kind(error),
                &format!("connecting to {target}: {error}"),
            ),
        }
    }

    fn handle(&mut self, event: Ready) {
        let Ok(number) = usize::try_from(event.token) else {
            return;
        };
        match self.slots[number].phase {
            Phase::Closed => {}
            Phase::Connecting if event.writable => self.connected(number),
            Phase::Connecting => {}
            Phase::Idle | Phase::Asking | Phase::Ending => self.receive(number),
        }
    }

    fn connected(&mut self, number: usize) {
        let slot = &mut self.slots[number];
        let Some(socket) = &slot.socket else { return };
        let outcome = match socket_error(socket) {
            Ok(Ok(())) => {
                let changed = self
                    .poller
                    .modify(socket, number as u64, Interest::Readable);
                changed.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
            }
            Ok(Err(error)) | Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            return self.fail(number, kind(error), &format!("connecting: {error}"));
        }
        self.outcome.connected += 1;
        slot.phase = Phase::Idle;
        if slot.request.is_some() {
            self.send(number);
        } else {
            self.ask_again(number);
        }
    }

    fn send(&mut self, number: usize) {
        let now = self.now();
        let slot = &mut self.slots[number];
        let Some(socket) = &slot.socket else { return };
        slot.phase = Phase::Asking;
        slot.since = now;
        slot.answer.clear();
        // Of a connection that is for one request alone the time counts from its begin.
        if let Some(request) = &mut slot.request
            && self.job.keep_alive
        {
            request.sent = now;
        }
        // A fresh or idle connection has room for so few bytes.
        match send(socket, &self.request, SendFlags::NOSIGNAL) {
            Ok(count) if count == self.request.len() => {}
            Ok(_) => self.fail(number, ErrorKind::Closed, "a request was sent in part"),
            Err(error) => self.fail(number, kind(error), &format!("sending: {error}")),
        }
    }

    fn receive(&mut self, number: usize) {
        loop {
            let slot = &mut self.slots[number];
            let Some(socket) = &slot.socket else { return };
            let count = match recv(socket, &mut self.buffer[..], RecvFlags::empty()) {
                Ok((_, count)) => count,
                Err(Errno::AGAIN | Errno::INTR) => return,
                Err(error) => {
                    return self.fail(number, kind(error), &format!("receiving: {error}"));
                }
            };
            match (slot.phase, count) {
                (Phase::Ending, 0) => return self.ended(number),
                (Phase::Asking, 0) => {
                    let words = if slot.answer.is_empty() {
                        "closed before the answer"
                    } else {
                        "closed within the answer"
                    };
                    return self.fail(number, ErrorKind::Closed, words);
                }
                (_, 0) => {
                    return self.fail(number, ErrorKind::Closed, "closed while nothing was asked");
                }
                (Phase::Asking, count) => {
                    match slot.answer.take(&self.buffer[..count], self.job.body) {
                        Ok(true) => self.answered(number),
                        Ok(false) => {}
                        Err(wrong) => return self.fail(number, wrong.kind, &wrong.words),
                    }
                    // Only the end of a connection is asked for at once: it often comes with the answer.
                    if self.slots[number].phase != Phase::Ending && count < self.buffer.len() {
                        return;
                    }
                }
                (_, count) => {
                    let words = format!("{count} bytes that nobody asked for");
                    return self.fail(number, ErrorKind::WrongAnswer, &words);
                }
            }
        }
    }

    fn answered(&mut self, number: usize) {
        let now = self.now();
        let slot = &mut self.slots[number];
        let Some(request) = slot.request.take() else {
            return;
        };
        self.outcome.answered_in_all += 1;
        if self.is_measured(now) {
            self.outcome.answered += 1;
            self.outcome.bytes += self.job.body;
        }
        let slot = &mut self.slots[number];
        slot.since = now;
        slot.phase = if self.job.keep_alive {
            Phase::Idle
        } else {
            Phase::Ending
        };
        // In an open loop whatever was due within the span counts, however late it is answered.
        if self.job.rate.is_some() {
            if self.is_measured(request.due) {
                let latency = now.saturating_sub(request.due);
                self.outcome.latency.saturating_record(latency);
                let sent = now.saturating_sub(request.sent);
                self.outcome.uncorrected.saturating_record(sent);
            }
        } else if self.is_measured(now) {
            let latency = now.saturating_sub(request.sent);
            self.outcome.latency.saturating_record(latency);
        }
        if self.job.keep_alive {
            self.ask_again(number);
        }
    }

    /// A connection that had one request came to its proper end.
    fn ended(&mut self, number: usize) {
        self.close(number);
        self.ask_again(number);
    }

    fn close(&mut self, number: usize) {
        let slot = &mut self.slots[number];
        // Closing takes it out of the poller, too.
        slot.socket = None;
        slot.phase = Phase::Closed;
        slot.answer.clear();
    }

    /// Counts an error, gives the connection up, and has the slot go on a little later.
    fn fail(&mut self, number: usize, kind: ErrorKind, words: &str) {
        self.outcome.failure(kind, words);
        self.close(number);
        self.slots[number].request = None;
        self.free.retain(|&free| free != number);
        self.resting.push_back((self.now() + REST, number));
    }

    fn end_rests(&mut self, now: u64) {
        while let Some((_, slot)) = self.resting.pop_front_if(|(until, _)| *until <= now) {
            if now >= self.end() && self.waiting.is_empty() {
                continue;
            }
            match (self.job.rate, self.job.keep_alive) {
                (Some(_), true) => self.open(slot),
                _ => self.ask_again(slot),
            }
        }
    }

    /// Gives up what has had its patience.
    fn expire(&mut self, now: u64) {
        let patience = nanos(self.job.patience);
        for number in 0..self.slots.len() {
            let slot = &self.slots[number];
            if now.saturating_sub(slot.since) < patience {
                continue;
            }
            match slot.phase {
                Phase::Connecting => self.fail(
                    number,
                    ErrorKind::ConnectTimeout,
                    "no connection within the patience",
                ),
                Phase::Asking => {
                    self.fail(number, ErrorKind::Timeout, "no answer within the patience")
                }
                Phase::Ending => self.fail(number, ErrorKind::Timeout, "the server does not close"),
                Phase::Closed | Phase::Idle => {}
            }
        }
        // What never got a connection.
        while let Some(_due) = self
            .waiting
            .pop_front_if(|due| now.saturating_sub(*due) >= patience)
        {
            let words = "no connection was free within the patience";
            self.outcome.failure(ErrorKind::Timeout, words);
        }
    }
}
