//! A server with a limited number of workers, in a time of its own: who gets how much of it is reckoned, so that many
//! of them fit on a machine that has fewer cores than they have together.

use jlb_queueing::Server;

/// The most jobs at once.
const MOST: usize = u16::MAX as usize;

/// The server, and who waits for which job. Times are in seconds and never fall.
#[derive(Debug)]
pub(crate) struct Station<T> {
    server: Server,
    /// By the job's mark.
    waiting: Vec<Option<T>>,
    free: Vec<u16>,
}

impl<T> Station<T> {
    /// One that has nothing to do.
    pub(crate) const fn new(server: Server) -> Self {
        Self {
            server,
            waiting: Vec::new(),
            free: Vec::new(),
        }
    }

    /// A job of so many seconds on one core of speed 1. Before this, all must [leave](Self::leave) that are done by
    /// `now`. Gives `who` back if there are too many.
    pub(crate) fn arrive(&mut self, now: f64, work: f64, who: T) -> Result<(), T> {
        let mark = match self.free.pop() {
            Some(mark) => mark,
            None if self.waiting.len() >= MOST => return Err(who),
            None => {
                self.waiting.push(None);
                u16::try_from(self.waiting.len() - 1).unwrap_or(u16::MAX)
            }
        };
        if let Some(place) = self.waiting.get_mut(usize::from(mark)) {
            *place = Some(who);
        }
        self.server.take(now, work, now, mark);
        Ok(())
    }

    /// When the next job is done, if none arrives before.
    pub(crate) fn next_done(&self) -> Option<f64> {
        self.server.next_done()
    }

    /// Whose job is the next that was done by `now`: at the moment at which it was, however late this is called.
    pub(crate) fn leave(&mut self, now: f64) -> Option<T> {
        let at = self.server.next_done().filter(|&at| at <= now)?;
        let done = self.server.complete(at)?;
        let who = self.waiting.get_mut(usize::from(done.mark))?.take();
        self.free.push(done.mark);
        who
    }
}

#[cfg(test)]
mod tests;
