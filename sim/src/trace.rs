//! What happened to one flow, in words.

use crate::segment;
use jlb_protocol::message::{Control, FlowMessage, Reason};
use jlb_protocol::{FlowKey, NodeNumber, Time};
use std::collections::VecDeque;

/// The trace of one client's flow; of none unless asked for, since words cost
/// time.
#[derive(Clone, Default, Debug)]
pub(crate) struct Trace {
    is_on: bool,
    client: Option<usize>,
    lines: VecDeque<String>,
}

/// A trace keeps its latest lines.
const MAX_LINES: usize = 4000;

impl Trace {
    /// The trace of a client's flow, or only of what concerns every flow.
    pub(crate) fn of(client: Option<usize>) -> Self {
        Self {
            is_on: true,
            client,
            lines: VecDeque::new(),
        }
    }

    pub(crate) const fn client(&self) -> Option<usize> {
        self.client
    }

    /// Whether anything is noted at all.
    pub(crate) const fn is_on(&self) -> bool {
        self.is_on
    }

    /// Whether anything is noted of this client.
    pub(crate) fn wants(&self, client: usize) -> bool {
        self.client == Some(client)
    }

    pub(crate) fn note(&mut self, now: Time, client: usize, words: impl FnOnce() -> String) {
        if self.wants(client) {
            self.line(now, &words());
        }
    }

    /// Notes what concerns every flow.
    pub(crate) fn note_all(&mut self, now: Time, words: impl FnOnce() -> String) {
        if self.is_on {
            self.line(now, &words());
        }
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }

    fn line(&mut self, now: Time, words: &str) {
        if self.lines.len() >= MAX_LINES {
            self.lines.pop_front();
        }
        let micros = now.as_nanos() / 1000;
        let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
        self.lines
            .push_back(format!("{seconds:>4}.{micros:06}  {words}"));
    }
}

/// A message about a flow, in words.
pub(crate) fn flow_words(message: &FlowMessage<'_>) -> String {
    let number = |node: Option<NodeNumber>| node.map_or(0, NodeNumber::get);
    let path = message.path;
    let mut words = format!(
        "{:?} {:?} isn {:#010x} step {} path {}/{}/{}/{}",
        message.kind,
        message.intent,
        message.offer.isn,
        message.offer.step,
        number(path.ingress),
        number(path.primary),
        number(path.secondary),
        number(path.host),
    );
    if let Some(birth) = message.birth {
        words += &format!(" birth {}.{}", birth.incarnation, birth.counter);
    }
    if !message.tried.is_empty() {
        let tried: Vec<_> = message.tried.iter().map(|node| node.to_string()).collect();
        words += &format!(" tried {}", tried.join(","));
    }
    if message.reason != Reason::None {
        words += &format!(" reason {:?}", message.reason);
    }
    if let Some(read) = segment::read(message.packet) {
        words += &format!(" [{}]", segment::describe(read.kind));
    }
    words
}

/// Each statement of a State, in words.
pub(crate) fn statement_words(control: &Control<'_>) -> Vec<(FlowKey, String)> {
    let Control::State {
        sequence, flows, ..
    } = control
    else {
        return Vec::new();
    };
    let words = flows.iter().map(|flow| {
        let (state, birth, isn) = (flow.state, flow.birth, flow.isn);
        let birth = format!("{}.{}", birth.incarnation, birth.counter);
        let words = format!("State {sequence}: {state:?} birth {birth} isn {isn:#010x}");
        (flow.key, words)
    });
    words.collect()
}
