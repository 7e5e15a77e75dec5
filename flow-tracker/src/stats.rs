//! What a tracker counts, in one place; the metrics are made from it.

use jlb_protocol::Ledger;

/// Counters since the start, and gauges of now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// The books.
    pub ledger: Ledger,

    /// Gauge: records.
    pub flows: u64,
    /// Gauge: records that are offered, refused or accepted, but not established (R3).
    pub untrusted: u64,
    /// Gauge: searches that were rejected at least once or are direct hunts, some recently ended ones included.
    pub searches: u64,
    /// Gauge: flows whose owner is being asked for.
    pub who_has: u64,
    /// Gauge: flows that wait for a host to report room (R6).
    pub waiting: u64,
    /// Gauge: live hosts that have told this tracker all of the flows that it ranks for (R10).
    pub hosts_marked: u64,
    /// Gauge: live hosts that have not, or not since the view changed.
    pub hosts_unmarked: u64,
    /// Gauge: bytes that the tables have allocated.
    pub table_bytes: u64,

    /// Searches begun: first Offers of an attempt.
    pub searches_begun: u64,
    /// Offers made as primary, repeats included.
    pub offers: u64,
    /// Opens of an attempt whose Offer or Refuse was sent before, and is sent again.
    pub opens_repeated: u64,
    /// Opens passed on to the tracker that is primary in this one's view.
    pub opens_passed_on: u64,
    /// Opens answered with NotActing, since this tracker is not filled yet (R10, R11).
    pub not_acting: u64,
    /// Offers whose host the secondary changed to the one that its record binds (R1).
    pub offers_rewritten: u64,
    /// Offers to a host that had rejected the attempt, answered in its place by the secondary.
    pub offers_rejected_in_place: u64,
    /// Offers taken as Opens, because this tracker's view makes it primary (R1).
    pub offers_taken_as_opens: u64,
    /// Accepts that became or confirmed a record.
    pub accepts: u64,
    /// Accepts that replaced another host in the record (R1).
    pub accepts_overriding: u64,
    /// Rejects that matched the record.
    pub rejects: u64,
    /// Releases sent to hosts that lost a conflict.
    pub releases: u64,

    /// Direct hunts begun: Offers that hosts may pass on (R6).
    pub hunts: u64,
    /// Accepts of a host that an Offer was passed on to.
    pub hunts_taken: u64,
    /// Offers to hosts of a hunt that are asked one by one, since no answer came of it.
    pub hunts_fallen_back: u64,
    /// Offers to overflow hosts, since the others took no more (R6).
    pub overflow_offers: u64,
    /// Offers to a host that is the last and must accept (R6).
    pub last_offers: u64,
    /// Attempts put into the surge queue, those that came back to it included (R6).
    pub queued: u64,
    /// Attempts that the surge queue offered to a host.
    pub released: u64,
    /// Attempts refused because the surge queue had no room for them.
    pub queue_full: u64,
    /// Attempts refused because they had waited for too long.
    pub queue_expired: u64,

    /// Attempts refused because every host said no or the steps were spent (R6).
    pub refused_exhausted: u64,
    /// Attempts refused because the service has no host in the view.
    pub refused_no_host: u64,
    /// Attempts refused because untrusted records, flows or searches had no room (R3, R14).
    pub refused_quota: u64,
    /// Mid-flow packets refused because every live host said that it does not have the flow (R4).
    pub refused_unknown: u64,

    /// Mid-flow packets whose owner was asked for.
    pub who_has_asked: u64,
    /// New flows for which hosts were asked first, since they might not have told this tracker of
    /// all of theirs (R10).
    pub who_has_first: u64,
    /// Owners found by asking.
    pub who_has_found: u64,
    /// Flows for which not every host answered in time.
    pub who_has_unanswered: u64,

    /// Statements of hosts that became or confirmed a record.
    pub statements: u64,
    /// Statements of another host than the record's, of an older life, or of no record (R9).
    pub statements_stale: u64,
    /// Statements for which there was no room.
    pub statements_turned_away: u64,
    /// State messages received before, and acknowledged again.
    pub states_repeated: u64,
    /// Load reports for services or pools that this tracker's configuration does not have.
    pub loads_unknown: u64,
    /// Hosts asked for their mark after they had said nothing for a while (R10).
    pub fill_prompts: u64,
    /// Digests of buckets that were equal to the records (R9).
    pub digests_equal: u64,
    /// Digests of buckets that were not.
    pub digests_differing: u64,
    /// Digest messages that were late, or could not be compared since the view had changed.
    pub digests_passed_over: u64,
    /// Full lists of a bucket that hosts were asked for (R9).
    pub lists_asked: u64,
    /// Full lists of a bucket that came.
    pub lists_ended: u64,
    /// Records that ended because their host's full list did not have them (R9).
    pub records_unlisted: u64,
    /// Records that ended because nobody refreshed them.
    pub records_expired: u64,
    /// Records that ended because their host stated the flow closed.
    pub records_closed: u64,
}
