"""How old an answer may be, how much is taken, how long to wait: our own decisions, in one place.

None of them bears on what a code is; that is policy (models.policy).
"""

from limits import RateLimitItemPerDay

DECLARATIONS_MAX = RateLimitItemPerDay(20)
"""Declarations of one resident. The manual asks for one a day of each kind; each is a record for
400 days."""

STREAM_SECONDS_MAX = 30 * 60.0
"""The age of a stream of changes. Its client goes on where it was, if a place is left; so whoever
no longer may follow, and whoever is in the way of others, does not stay for ever."""

STALE_SECONDS = 5.0
"""An answer by data older than this says so. It is five times what the projection promises at p99,
and as long as the projection may be silent before it counts as not ready."""

NOTICE_SECONDS = 60.0
"""From this age of the data on, the page of a code says it, and what to do, and at a gate nobody
passes by them. A busy worker is some seconds behind every day: whoever reads that each time no
longer reads it."""

REFUSE_SECONDS = 300.0
"""No colour is shown by data older than this: someone found positive five minutes ago would pass
as green. It is long enough to start a broker or a worker again."""

STORE_SECONDS_MAX = 1.0
"""If Redis does not answer within this time it counts as away: a guard does not wait longer."""

RETRY_STORE_SECONDS = 2
RETRY_STALE_SECONDS = 10
RETRY_BUSY_SECONDS = 1

READS_WAITING_MAX = 20_000
"""Reads that may wait for Redis at one time: as many as a process answers within a second."""

READS_AT_ONCE_MAX = 512
"""Codes in one read. Redis does nothing else meanwhile, for some 100 µs."""

HISTORY_AT_ONCE_MAX = 64
"""Reads of health information at one time; one more is refused as busy, as codes come first."""

HISTORY_STALE_SECONDS = 60.0
"""Health information by data older than this says so. It bears on no code, so it may lag more."""

DISPLAY_SECONDS = 60
"""How long a display token is good. The page draws a new one every half minute, so a QR stays good
for at least half a minute after it was last seen, and a picture that is sent on is soon too old."""

CLOCK_SECONDS = 5
"""How far a terminal's clock may differ from ours."""

SCAN_LATE_SECONDS = 24 * 60 * 60
"""How much later a scan may be recorded; the answer then has no colour."""

RECORD_SECONDS_MAX = 0.8
"""If Kafka has not confirmed a scan after this long, it is answered as not recorded: the guard
wants the colour within a second."""

VIEW_BODY_BYTES_MAX = 4_096
"""The size of a request's body: room for a scan."""

RECONCILIATION_MAX = 10_000
"""People in one list of those whose data are to be pushed, the longest waiting: some 800 KB."""

EXPLANATIONS_AT_ONCE_MAX = 4
"""Explanations at one time in one process; further ones are told to come again. An explanation
takes milliseconds, for the fullest rows seconds, and takes them from the codes."""

CLIENTS_MAX = 1_000
"""Clients of /v1/changes in one process: each officer of a province. There is no bound for an
address, as a whole office may have one; whoever follows has logged in."""

RING = 2_000
"""Newest changes in memory, for all clients: 4 s at 500 changes/s. A client further behind is
given them from Redis, until Redis no longer has them either."""

HEARTBEAT_SECONDS = 15.0
"""A client that gets nothing for this long gets a comment, so that neither it nor a proxy on the
way takes the silence for an end."""

NEWEST = 50
"""Changes on the dashboard when it opens: more than a screen of them."""

NEWEST_SEARCHED_MAX = 5_000
"""Changes that are searched for what a filter lets through, when the dashboard opens: five reads
of Redis, 20 ms of this process."""

RECONNECT_MS = 3_000
"""How long a client is told to wait before it connects again."""
