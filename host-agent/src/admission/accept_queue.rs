//! Takes flows while the server keeps up with accepting them.

use super::{Admission, Cause, part};
use crate::signals::Signals;

/// Fewer connections than this that wait for the server's `accept`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AcceptQueueLimit {
    /// The limit.
    pub(crate) most: u32,
}

impl Admission for AcceptQueueLimit {
    fn cause(&self) -> Cause {
        Cause::AcceptQueue
    }

    /// What was taken since the queue was read may wait in it as well; but a server whose queue was
    /// empty takes them as they come, and has its whole backlog to spare.
    fn room(&self, signals: &Signals) -> u32 {
        let readings = &signals.readings;
        let Some(queue) = readings.queue else {
            return u32::MAX;
        };
        let most = match queue.waiting {
            0 => queue.backlog.max(self.most),
            _ => queue.backlog.min(self.most),
        };
        let waiting = queue.waiting.saturating_add(readings.accepted);
        most.saturating_sub(waiting)
    }

    fn load(&self, signals: &Signals) -> u16 {
        let queue = signals.readings.queue;
        queue.map_or(0, |queue| part(queue.waiting.into(), self.most.into()))
    }
}
