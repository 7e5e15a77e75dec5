//! What the lab's web server does where a host's capacity is to be felt: `/work` and `/station`.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use jlb_queueing::{Discipline, Server};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::station::Station;
use crate::error::Result;
use crate::timer::Timer;

/// The host's station in real time.
#[derive(Debug)]
pub(crate) struct Workers {
    begun: Instant,
    station: RefCell<Station<oneshot::Sender<()>>>,
    /// The next job is done at another time than it was.
    changed: Notify,
    failing: Cell<bool>,
}

impl Workers {
    /// One core under processor sharing.
    pub(crate) fn new() -> Self {
        Self {
            begun: Instant::now(),
            station: RefCell::new(Station::new(Server::new(1.0, 1.0))),
            changed: Notify::new(),
            failing: Cell::new(false),
        }
    }

    fn now(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// Whether every job fails at once.
    pub(crate) const fn is_failing(&self) -> bool {
        self.failing.get()
    }

    /// Does a job of so much work; false where nobody does: there are too many, or the station was replaced.
    pub(crate) async fn work(&self, work: Duration) -> bool {
        let (tell, told) = oneshot::channel();
        self.dismiss();
        let arrived = {
            let mut station = self.station.borrow_mut();
            station.arrive(self.now(), work.as_secs_f64(), tell).is_ok()
        };
        self.changed.notify_one();
        arrived && told.await.is_ok()
    }

    /// Tells all whose jobs are done.
    fn dismiss(&self) {
        let now = self.now();
        let mut station = self.station.borrow_mut();
        while let Some(who) = station.leave(now) {
            // Who has gone meanwhile does not want to know.
            let _ = who.send(());
        }
    }

    /// Does what the words after `/station/` say: `sharing/CORES/PERCENT` or `queue/CORES/PERCENT` for an idle station
    /// whose cores are so fast, `failing` for one that fails. False: they say nothing.
    pub(crate) fn command(&self, words: &str) -> bool {
        if words == "failing" {
            self.failing.set(true);
            return true;
        }
        let Some(server) = server(words) else {
            return false;
        };
        self.failing.set(false);
        *self.station.borrow_mut() = Station::new(server);
        self.changed.notify_one();
        true
    }

    /// Lets the jobs end when they are done; never returns without an error.
    pub(crate) async fn run(&self) -> Result<()> {
        let timer = Timer::new()?;
        loop {
            self.dismiss();
            let next = self.station.borrow().next_done();
            match next {
                None => self.changed.notified().await,
                Some(at) => {
                    let span = Duration::from_secs_f64((at - self.now()).max(0.0));
                    tokio::select! {
                        () = self.changed.notified() => {}
                        // What is left of a microsecond is not waited for: it is asked again.
                        waited = timer.wait(span) => waited?,
                    }
                }
            }
        }
    }
}

/// The words of [`Workers::command`] for a server.
pub(crate) fn words(discipline: Discipline, cores: u16, percent: u16) -> String {
    let discipline = match discipline {
        Discipline::Sharing => "sharing",
        Discipline::Queue => "queue",
    };
    format!("{discipline}/{cores}/{percent}")
}

fn server(words: &str) -> Option<Server> {
    let mut words = words.split('/');
    let discipline = match words.next()? {
        "sharing" => Discipline::Sharing,
        "queue" => Discipline::Queue,
        _ => return None,
    };
    let cores: u16 = words.next()?.parse().ok()?;
    let percent: u16 = words.next()?.parse().ok()?;
    (cores > 0 && percent > 0 && words.next().is_none())
        .then(|| Server::of(discipline, f64::from(cores), f64::from(percent) / 100.0))
}

#[cfg(test)]
mod tests;
