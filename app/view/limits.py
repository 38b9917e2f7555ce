"""How old an answer may be, how much is taken, how long is waited: own decisions, all in one place.

None of them bears on what a code is; that is policy (models.policy).
"""

STALE_SECONDS = 5.0
"""An answer by older data says that it is old. Five times what the projection promises at p99, and
as long as it may be silent before it counts as not ready."""

REFUSE_SECONDS = 300.0
"""By data older than this no colour is shown: someone found positive five minutes ago would pass
as green. Long enough for a broker or a worker to be started again."""

STORE_SECONDS_MAX = 1.0
"""Redis answers within this time or counts as away: a guard does not wait longer."""

RETRY_STORE_SECONDS = 2
RETRY_STALE_SECONDS = 10
RETRY_BUSY_SECONDS = 1

READS_WAITING_MAX = 20_000
"""Reads that wait for Redis at one time: what a process answers within a second."""

READS_AT_ONCE_MAX = 512
"""Codes in one read of Redis, which does nothing else meanwhile: some 100 µs."""

HISTORY_AT_ONCE_MAX = 64
"""Reads of health information at one time; one more is refused as busy. Codes come first."""

HISTORY_STALE_SECONDS = 60.0
"""Health information by older data says that it is old; what bears on no code may lag."""

DISPLAY_SECONDS = 120
"""How long a display token is good: for a queue at a gate, too short to be passed on for long.
The page draws a new one every minute."""

CLOCK_SECONDS = 5
"""How far the clocks of terminals may be apart from this one."""

SCAN_LATE_SECONDS = 24 * 60 * 60
"""A scan may be recorded so much later; then without a colour in the answer."""

RECORD_SECONDS_MAX = 0.8
"""After so long without Kafka's word a scan is answered as not recorded: the guard wants the
colour within a second."""

VIEW_BODY_BYTES_MAX = 4_096
"""Of a scan."""

RECONCILIATION_MAX = 10_000
"""People in one list of whose data are to be pushed, those who wait longest: some 800 KB."""

EXPLANATIONS_AT_ONCE_MAX = 4
"""Of one process; more are told to come again. An explanation takes milliseconds, of the fullest of
rows seconds, and takes them from the codes."""

CLIENTS_MAX = 200
"""Clients of /v1/changes in one process."""

CLIENTS_OF_ADDRESS_MAX = 50
"""Of them from one address: a wall of dashboards, and no more than a quarter for anybody."""

RING = 2_000
"""Newest changes in memory, for all clients: 4 s at 500 changes/s. Who is further behind reads
from Redis, until that no longer has them either."""

HEARTBEAT_SECONDS = 15.0
"""A client that gets nothing for so long gets a comment, so that neither it nor a proxy between
takes the silence for an end."""

RECONNECT_MS = 3_000
"""What a client is told to wait before it connects again."""
