//! What of the filling decides the future.

use super::{Filling, Source};
use jlb_protocol::digest::{Digest, Digester};

impl Digest for Filling {
    fn digest(&self, into: &mut Digester<'_>) {
        // What holds of all hosts follows from each; the present ranking follows from the view.
        let Self {
            sources,
            rankings,
            fingerprint,
            marked: _,
            unmarked: _,
            filled: _,
            due: _,
        } = self;
        into.value(fingerprint);
        for (known, _) in rankings {
            into.value(known);
        }
        for (host, source) in sources {
            into.value(host);
            let Source {
                incarnation,
                live,
                since,
                mark,
                complete,
                said,
                silent,
                heard: _,
                told: _,
                prompts,
                given_up,
            } = source;
            into.value(&(incarnation, live, mark, complete, said));
            into.value(&(silent, given_up));
            // Time counts for hosts that are gone, and for those that are waited for.
            if !live {
                into.time(*since);
            }
            if source.is_waited_for(*fingerprint) && source.deadline().is_some() {
                into.value(prompts);
                let prompt_at = source.prompt_at().map(jlb_protocol::Time::as_nanos);
                into.deadline(prompt_at);
                into.time(source.patience());
            }
        }
    }
}
