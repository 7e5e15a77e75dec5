//! New connections at a steady rate: each asks once and ends.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{Course, Crowd, Endpoints, Phase};
use crate::error::{Doing, LabError, Result};
use crate::load::{ErrorKind, Failure, What, ask, connect};

/// An open that did not end in a right answer.
#[derive(Debug)]
pub(crate) struct FailedOpen {
    pub(crate) begun: Instant,
    /// Whether some host had taken the connection.
    pub(crate) connected: bool,
    pub(crate) failure: Failure,
}

/// How the new connections went.
#[derive(Debug, Default)]
pub(crate) struct Opens {
    /// How long those took that went well, from the SYN to the answer, and when they began.
    pub(crate) good: Vec<(Instant, Duration)>,
    /// Those that did not.
    pub(crate) failed: Vec<FailedOpen>,
}

/// Opens until the end of the scenario; then waits for what is under way.
pub(super) async fn run(crowd: &Crowd, mut course: Course) -> Result<Opens> {
    let opens = Rc::new(RefCell::new(Opens::default()));
    let mut tasks = JoinSet::new();
    if crowd.new_rate > 0.0 {
        let interval = Duration::from_secs_f64(1.0 / crowd.new_rate);
        let mut due = Instant::now();
        let mut number = 0;
        while course.phase() < Phase::End {
            let end = Endpoints::of(crowd, number);
            let (patience, opens) = (crowd.patience, Rc::clone(&opens));
            tasks.spawn_local(async move {
                let begun = Instant::now();
                let mut connected = false;
                let outcome = open(end, patience, &mut connected).await;
                let mut opens = opens.borrow_mut();
                match outcome {
                    Ok(()) => opens.good.push((begun, begun.elapsed())),
                    Err(failure) => opens.failed.push(FailedOpen {
                        begun,
                        connected,
                        failure,
                    }),
                }
            });
            // Those that are over need no place.
            while let Some(done) = tasks.try_join_next() {
                done.doing("open a connection")?;
            }
            number = number.wrapping_add(1);
            due += interval;
            course.pause_until(due).await;
        }
    } else {
        course.reaches(Phase::End).await;
    }
    while let Some(done) = tasks.join_next().await {
        done.doing("open a connection")?;
    }
    drop(tasks);
    Rc::into_inner(opens)
        .map(RefCell::into_inner)
        .ok_or_else(|| LabError::new("an open outlived the scenario"))
}

async fn open(
    end: Endpoints,
    patience: Duration,
    connected: &mut bool,
) -> std::result::Result<(), Failure> {
    let connection = connect(end.target, end.source, patience).await?;
    *connected = true;
    let mut sender = connection.handshake().await?;
    let authority = end.authority();
    let asking = ask(&mut sender, What::Small, &authority, true);
    let answered = timeout(patience, asking).await.map_err(|_| {
        let words = format!("no answer from {} in {patience:?}", end.target);
        Failure::new(ErrorKind::Timeout, words)
    })?;
    answered.map(|_| ())
}
