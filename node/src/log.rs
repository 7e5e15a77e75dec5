//! The log of the process: lines on standard error, and how much of it.

use tracing_subscriber::EnvFilter;

/// Changes how much is logged.
pub(crate) type SetLevel = Box<dyn Fn(&str)>;

/// Begins to log at this level, or as the environment's `JLB_LOG` asks; that stays then.
pub(crate) fn start(level: &str, json: bool) -> SetLevel {
    let asked = EnvFilter::try_from_env("JLB_LOG");
    let is_asked = asked.is_ok();
    let filter = asked.unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt()
        // What can't be written is lost. To complain of that on the same full disk would be a panic.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    // A second node in one process (a test) keeps the first one's log.
    let set: SetLevel = if json {
        let builder = builder
            .json()
            .with_env_filter(filter)
            .with_filter_reloading();
        let handle = builder.reload_handle();
        let _ = builder.try_init();
        Box::new(move |level| {
            let _ = handle.reload(EnvFilter::new(level));
        })
    } else {
        let builder = builder
            .with_ansi(false)
            .with_env_filter(filter)
            .with_filter_reloading();
        let handle = builder.reload_handle();
        let _ = builder.try_init();
        Box::new(move |level| {
            let _ = handle.reload(EnvFilter::new(level));
        })
    };
    if is_asked { Box::new(|_| {}) } else { set }
}
