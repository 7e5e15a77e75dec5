//! Why a packet or message went no further: the metric's label, the log's field, the test's
//! assertion.

macro_rules! drop_reasons {
    ($($(#[$doc:meta])+ $name:ident = $label:literal,)+) => {
        /// Why a packet or message went no further (R14): each has its own counter.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum DropReason {
            $($(#[$doc])+ $name,)+
        }

        impl DropReason {
            /// Every reason, in the order of their counters.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The value of the metric's `reason` label.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)+
                }
            }
        }
    };
}

drop_reasons! {
    /// The packet ends before its headers do.
    Truncated = "truncated",
    /// Neither an IPv4 nor an IPv6 packet.
    NotIp = "not_ip",
    /// An IP header that contradicts itself.
    BadIpHeader = "bad_ip_header",
    /// A transport header that contradicts itself.
    BadTransportHeader = "bad_transport_header",
    /// A fragment other than the first, or a first one: ports are not known for all of them.
    Fragment = "fragment",
    /// The destination is not a VIP.
    NotVip = "not_vip",
    /// The destination is a VIP, but no service has that protocol and port.
    NoService = "no_service",
    /// An ICMP message that neither quotes a flow nor asks for an echo.
    IcmpIgnored = "icmp_ignored",
    /// The packet is larger than an encapsulated packet may be.
    TooBig = "too_big",
    /// Not a Geneve header of RFC 8926, or one for another protocol than ours.
    BadGeneve = "bad_geneve",
    /// A Geneve option that is unknown and critical, missing, doubled, or of the wrong length.
    BadOption = "bad_option",
    /// A message of another version of the protocol.
    BadVersion = "bad_version",
    /// A message type or field value that this version does not know.
    BadField = "bad_field",
    /// A control body whose length contradicts its contents.
    BadBody = "bad_body",
    /// The message names a sender that the configuration does not have.
    UnknownSender = "unknown_sender",
    /// The message came from another address than its sender's.
    WrongAddress = "wrong_address",
    /// The message is sealed with a key that this node does not have.
    UnknownKey = "unknown_key",
    /// The message was sealed for an earlier life of this node.
    StaleIncarnation = "stale_incarnation",
    /// The tag does not verify.
    BadTag = "bad_tag",
    /// The message was received before.
    Replayed = "replayed",
    /// The message is older than the replay window.
    TooOld = "too_old",
    /// No session with the receiver yet: its incarnation is not known.
    NoSession = "no_session",
    /// A message that this role does not take.
    WrongRole = "wrong_role",
    /// The message's addressee is another node.
    WrongNode = "wrong_node",
    /// The message names a service that this node's configuration does not have.
    UnknownService = "unknown_service",
    /// The client packet inside does not belong to the flow or service that the message names.
    FlowMismatch = "flow_mismatch",
    /// The flow table is full.
    TableFull = "table_full",
    /// The table of flows waiting for an answer is full.
    PendingFull = "pending_full",
    /// The flow already has as many packets waiting as it may.
    FlowQueueFull = "flow_queue_full",
    /// The packets waiting for answers take all the bytes that they may.
    PendingBytesFull = "pending_bytes_full",
    /// No tracker answered in time.
    OpenTimeout = "open_timeout",
    /// A newer attempt of the same flow took this one's place.
    Superseded = "superseded",
    /// A repeat of a packet whose question is still being asked.
    Repeat = "repeat",
    /// The view has no flow tracker, nor a host that an ingress could ask instead (R13).
    NoTracker = "no_tracker",
    /// The flow was refused: no host took it.
    Refused = "refused",
    /// Untrusted records (offered, not yet established) take all the room that they may (R3).
    OfferedQuota = "offered_quota",
    /// As many searches are under way as there may be.
    SearchFull = "search_full",
    /// The service has no host in the view that could be asked.
    NoHost = "no_host",
    /// An Accept that does not match the record.
    StaleAccept = "stale_accept",
    /// A Reject that does not match the record or the entry.
    StaleReject = "stale_reject",
    /// An answer to an attempt that is over.
    StaleAnswer = "stale_answer",
    /// A statement about a flow from another host than the record's, or of an older life (R9).
    StaleState = "stale_state",
    /// A mid-flow packet of a flow that no host is known to have.
    UnknownFlow = "unknown_flow",
    /// The packet's flow is not this host's (R4).
    NotOwner = "not_owner",
    /// The host's own list of flows is not loaded yet (R4).
    NotReady = "not_ready",
    /// The last list of sockets did not show the closing flow: the next one tells whether it is over
    /// (R8).
    Vanishing = "vanishing",
    /// The flow's host drains, and the time that its flows had is over: it is being reset.
    Drained = "drained",
    /// A tracker that is not filled yet leads no search (R10, R11).
    NotFilled = "not_filled",
    /// A SYN that came as data (R7).
    SynAsData = "syn_as_data",
    /// The message was passed on once already.
    PassedOn = "passed_on",
    /// As many owners are being asked for as there may be.
    WhoHasFull = "who_has_full",
    /// The queue of messages to send is full.
    OutboxFull = "outbox_full",
    /// The worker that decides takes no more packets of another worker for now.
    WorkerFull = "worker_full",
    /// The kernel did not take the packet.
    SendFailed = "send_failed",
    /// A message of a later stage of the protocol that this build does not act on.
    NotImplemented = "not_implemented",
}

impl DropReason {
    /// Number of reasons.
    pub const COUNT: usize = Self::ALL.len();
}
