//! Generated packets: `jlb_protocol::packet` agrees with two independent libraries, etherparse and
//! pnet, on what is in them and on the answers that it builds; hostile bytes do no harm.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests by their attribute, not what they call"
)]

mod agreement;
mod answers;
mod generate;
mod hostile;
mod oracle;
