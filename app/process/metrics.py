"""Every Prometheus metric of Yuekang, in one place: what is not here is not measured.

Names begin with `yuekang_`; durations are in seconds. A label never holds a person, an event's id
or anything that a client can choose.
"""

from prometheus_client import Counter, Gauge, Histogram

# gateway and view: requests, and the producer that writes events

HTTP_REQUESTS_REFUSED = Counter(
    "yuekang_http_requests_refused_total",
    "Requests refused whole, by the problem's code; 503 and 500 are among them.",
    ["code"],
)
HTTP_CONNECTIONS_CLOSED = Counter(
    "yuekang_http_connections_closed_total",
    "Connections closed since they had sent nothing, or were the quietest of too many.",
)
WRITER_EVENTS_IN_FLIGHT = Gauge(
    "yuekang_writer_events_in_flight",
    "Events that wait for Kafka's word.",
)
WRITER_KAFKA_CONNECTED = Gauge(
    "yuekang_writer_kafka_connected",
    "1 while there is a producer, 0 while Kafka is away.",
)

# gateway: the entrance over HTTP

GATEWAY_EVENTS_ACCEPTED = Counter(
    "yuekang_gateway_events_accepted_total",
    "Events that Kafka confirmed, by topic.",
    ["topic"],
)
GATEWAY_EVENTS_REFUSED = Counter(
    "yuekang_gateway_events_refused_total",
    "Events refused for themselves, alone or in a batch, by the problem's code.",
    ["code"],
)
GATEWAY_REQUEST_SECONDS = Histogram(
    "yuekang_gateway_request_seconds",
    "From the head of a request to its answer, refused or not, by entrance.",
    ["entrance"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20),
)
GATEWAY_PERSON_KEYS = Counter(
    "yuekang_gateway_person_keys_total",
    "Person keys handed out to sources.",
)
GATEWAY_STREAMS = Gauge(
    "yuekang_gateway_streams",
    "Sources' clients that follow what became of what they sent.",
)

# gateway and view: the register of sources

REGISTER_SOURCES = Gauge(
    "yuekang_register_sources",
    "Sources in the register, as this process knows it.",
)
REGISTER_SEEN_SECONDS = Gauge(
    "yuekang_register_seen_seconds",
    "How long ago the broker last said where the register's topic ends.",
)
REGISTER_UNREADABLE = Counter(
    "yuekang_register_unreadable_total",
    "Records of the register's topic that cannot be read; they change nothing.",
)
REGISTER_LEFT_OUT = Counter(
    "yuekang_register_left_out_total",
    "Sources and tokens that the register had no room for.",
)

# worker: the stream processor

WORKER_LAG_RECORDS = Gauge(
    "yuekang_worker_lag_records",
    "Records of the partitions held that are in the log and not yet applied, by topic.",
    ["topic"],
)
WORKER_RECORDS = Counter(
    "yuekang_worker_records_total",
    "Input records applied, refused ones too, by topic.",
    ["topic"],
)
WORKER_OUTPUTS = Counter(
    "yuekang_worker_outputs_total",
    "Records written to an output topic, by topic.",
    ["topic"],
)
WORKER_DEAD_LETTERS = Counter(
    "yuekang_worker_dead_letters_total",
    "Dead letters, by reason.",
    ["reason"],
)
WORKER_PARKED = Counter(
    "yuekang_worker_parked_total",
    "Records of parked sources, put aside, by topic.",
    ["topic"],
)
WORKER_SOURCES_PARKED = Gauge(
    "yuekang_worker_sources_parked",
    "Sources parked in the partitions held, by topic; one counts once a partition.",
    ["topic"],
)
WORKER_SOURCES_NOT_PARKED = Counter(
    "yuekang_worker_sources_not_parked_total",
    "Times that a source was to be parked and no more could be, by topic.",
    ["topic"],
)
WORKER_HELD = Counter(
    "yuekang_worker_held_total",
    "Events above the limit of their source that were put on held, by the reason that they open.",
    ["reason"],
)
WORKER_OPENINGS_HELD = Gauge(
    "yuekang_worker_openings_held",
    "Events that are held in the partitions held here, by the reason that they open.",
    ["reason"],
)
WORKER_ROWS_OVERFULL = Counter(
    "yuekang_worker_rows_overfull_total",
    "Times that a row was written with more events than policy has room for.",
)
WORKER_PAGES_LOST = Counter(
    "yuekang_worker_pages_lost_total",
    "Pages of people's histories that were given up before their time, since one had too many.",
)
WORKER_ROWS_STRANGE = Counter(
    "yuekang_worker_rows_strange_total",
    "Records of changelogs that were passed over: no worker has written them, or not there.",
    ["topic"],
)
WORKER_INPUTS_SHORTER = Counter(
    "yuekang_worker_inputs_shorter_total",
    "Times that a partition of an input was found made again, or shorter than what was applied of "
    "it, by topic.",
    ["topic"],
)
WORKER_CHUNK_SECONDS = Histogram(
    "yuekang_worker_chunk_seconds",
    "Commit of one chunk, log and store, by table.",
    ["table"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
WORKER_FENCED = Counter(
    "yuekang_worker_fenced_total",
    "Chunks that were not written since another worker holds their partition, by table.",
    ["table"],
)

WORKER_PARTITIONS_HALTED = Gauge(
    "yuekang_worker_partitions_halted",
    "Partitions that stand still until an operator lets them go on, by table.",
    ["table"],
)
WORKER_RECORDS_GONE = Counter(
    "yuekang_worker_records_gone_total",
    "Offsets that were deleted from an input topic before they were applied, by topic.",
    ["topic"],
)
WORKER_PRODUCERS_REPLACED = Counter(
    "yuekang_worker_producers_replaced_total",
    "Producers replaced because a request of theirs had no answer, by table.",
    ["table"],
)

# projection: from the log to Redis

PROJECTION_RECORDS = Counter(
    "yuekang_projection_records_total",
    "Records applied to the read model, by topic.",
    ["topic"],
)
PROJECTION_LAG_SECONDS = Gauge(
    "yuekang_projection_lag_seconds",
    "Age of the instant up to which a partition is in the read model, when last written.",
    ["topic", "partition"],
)
PROJECTION_HELD_UP_SECONDS = Gauge(
    "yuekang_projection_held_up_seconds",
    "For how long an open transaction of its source has held up a partition of an input.",
    ["topic", "partition"],
)
PROJECTION_WRITE_SECONDS = Histogram(
    "yuekang_projection_write_seconds",
    "One batch into its store: Redis, or the files of a replica.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
PROJECTION_CORRECTION_SECONDS = Histogram(
    "yuekang_projection_correction_seconds",
    "From the arrival of a correction to the green that it turns a red to, in Redis.",
    buckets=(0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60, 300, 3600),
)
PROJECTION_CORRECTION_RECENT_SECONDS = Gauge(
    "yuekang_projection_correction_recent_seconds",
    "The same, of the last 1,000 corrections of this process: the quantiles 0.5 and 0.95.",
    ["quantile"],
)
PROJECTION_SET_ASIDE = Counter(
    "yuekang_projection_records_set_aside_total",
    "Records that were not projected: no worker has written them, or they cannot be read.",
    ["topic"],
)
PROJECTION_VERSIONS_LEAPT = Counter(
    "yuekang_projection_versions_leapt_total",
    "Codes that were not projected, since their version was too far from the one before.",
)
PROJECTION_LETTERS_OF_NOBODY = Counter(
    "yuekang_projection_letters_of_nobody_total",
    "Dead letters that no source can ask for: theirs cannot be read, or is of no authority.",
)
PROJECTION_SOURCES_DROPPED = Counter(
    "yuekang_projection_sources_dropped_total",
    "Sources whose letters were left out, since more sources had letters than are kept.",
)
PROJECTION_REBUILDS = Counter(
    "yuekang_projection_rebuilds_total",
    "Times that the read model was built again from the log.",
)
PROJECTION_TROUBLES = Counter(
    "yuekang_projection_troubles_total",
    "Times that the projection had to begin again from what its store says, by why.",
    ["why"],
)

# audit-log: the tree of who asked about whom

AUDIT_LOG_ENTRIES = Gauge(
    "yuekang_audit_log_entries",
    "Lines in the audit log, over which its newest checkpoint is signed.",
)

# view: codes, their displays and scans

VIEW_READS = Counter(
    "yuekang_view_reads_total",
    "Codes read, by how: fresh or stale, or why there was none to show (亮码失败).",
    ["outcome"],
)
VIEW_READS_AT_ONCE = Histogram(
    "yuekang_view_reads_at_once",
    "Codes in one read of Redis.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
)
VIEW_SHED = Counter(
    "yuekang_view_shed_total",
    "Requests that found no room in time and were refused, by what was asked for.",
    ["kind"],
)
VIEW_SCANS = Counter(
    "yuekang_view_scans_total",
    "Scans answered, by whether Kafka confirmed their record in time.",
    ["outcome"],
)
VIEW_SCAN_OUTCOMES = Counter(
    "yuekang_view_scan_outcomes_total",
    "Scans answered, by what the guard was told: green, red, expired, forged and so on.",
    ["outcome"],
)
VIEW_DISPLAYS = Counter(
    "yuekang_view_displays_total",
    "Displays (亮码), by outcome: recorded as shown or as failed, or lost since too many waited.",
    ["outcome"],
)

# view: travel cards

TRAVEL_CODES = Counter(
    "yuekang_travel_codes_total",
    "Codes for travel cards that were asked for: done, or why not, by the problem's code.",
    ["outcome"],
)
TRAVEL_CARDS = Counter(
    "yuekang_travel_cards_total",
    "Travel cards that were asked for: done, or why not, by the problem's code.",
    ["outcome"],
)

# view: logins

VIEW_LOGINS = Counter(
    "yuekang_view_logins_total",
    "Logins that the provider answered, by outcome: done, or why not (app.login.failures).",
    ["outcome"],
)

VIEW_TOKEN_ENDS = Gauge(
    "yuekang_view_token_ends_timestamp_seconds",
    "When the tokens end with which the view asks the gateway, by their source.",
    ["source"],
)

VIEW_DEVICES = Counter(
    "yuekang_view_devices_total",
    "Own phones, by outcome: made, again, ended, or why one was refused (app.login.devices).",
    ["outcome"],
)

# view: the stream of changes

VIEW_CLIENTS = Gauge(
    "yuekang_view_clients",
    "Clients that follow the changes.",
)
VIEW_GAPS = Counter(
    "yuekang_view_gaps_total",
    "Times that a client was told of changes it missed.",
)
