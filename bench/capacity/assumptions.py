"""What is supposed of a province, its day and its machines; each with its source."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import msgspec

from app.topics.schemas import EXAMPLES
from bench.records import Record, headers_of

OWN = "own assumption"
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Supposed:
    """One assumption: a number, what it is of, and where it is from."""

    value: float
    of: str
    source: str
    form: str = ",g"


@dataclass(frozen=True, slots=True)
class Assumptions:
    """All of them. Shares are of 1, sizes in bytes."""

    people: Supposed = Supposed(
        126e6, "people", "census of 2020 (126,012,510), rounded; as in topics.yaml", ",.0f"
    )
    displays_day: Supposed = Supposed(266e6, "displays a day", "the task (issue 20)", ",.0f")
    displays_peak: Supposed = Supposed(
        25e3, "displays a second at the peak",
        "the task: 1.5 million users a minute, at which the real system fell", ",.0f",
    )  # fmt: skip
    page_share: Supposed = Supposed(
        0.1, "of the displays are a page that is opened; the others are JSON", OWN, ".0%"
    )
    red_share: Supposed = Supposed(
        0.03, "of the people are red: it is in what a display costs, not in the arithmetic",
        f"{OWN}; the people of `make bench-view` are so", ".0%",
    )  # fmt: skip
    scan_share: Supposed = Supposed(0.1, "of the displays are scanned by a terminal", OWN, ".0%")
    facts_day: Supposed = Supposed(
        0.5, "events that bear on a code, a person and day: a test every second day",
        f"{OWN}; the life of `make bench PARTS=lifetime`",
    )  # fmt: skip
    facts_busy_day: Supposed = Supposed(
        1.0, "the same on the busiest day: everybody is tested", OWN
    )
    busy_hour_share: Supposed = Supposed(0.2, "of a day's events arrive in its busiest hour", OWN,
                                         ".0%")  # fmt: skip
    change_share: Supposed = Supposed(
        0.1, "of these events change a code", f"{OWN}; as in `make bench PARTS=latency`", ".0%"
    )
    open_share: Supposed = Supposed(
        0.5, "of these changes open a reason, the others lift one", OWN, ".0%"
    )
    round_records: Supposed = Supposed(
        2, "records more of what opens one: it goes round to be counted, and is folded when it is "
        "back", "[decision 35](decisions/0035-quotas.md)", ".0f",
    )  # fmt: skip
    lists_day: Supposed = Supposed(
        0.1, "events of the other lists, a person and day (temperatures, declarations, ...)", OWN
    )
    lists_bytes: Supposed = Supposed(
        3_000, "bytes of a person's lists in Redis: two rows of 1 to 2 KB",
        "[decision 11](decisions/0011-lists.md); that there are two: " + OWN, ",.0f",
    )  # fmt: skip
    credential_bytes: Supposed = Supposed(
        310, "bytes of a credential in Redis; each person has one",
        "[operations.md](operations.md); that it is one: " + OWN, ",.0f",
    )  # fmt: skip
    logouts_share: Supposed = Supposed(
        0.05, "of the people log out within twelve hours", OWN, ".0%"
    )
    logout_bytes: Supposed = Supposed(
        110, "bytes of a logout in each view until twelve hours are over",
        "[decision 10](decisions/0010-sessions.md)", ",.0f",
    )  # fmt: skip
    partition_mib: Supposed = Supposed(
        256, "MiB of a worker for each partition that it holds",
        "[operations.md](operations.md): 1 GiB for four", ",.0f",
    )  # fmt: skip
    copies: Supposed = Supposed(
        3, "copies of each record on the brokers", "topics.yaml, as it says for production"
    )
    compacted_times: Supposed = Supposed(
        2, "times its newest rows is what a compacted topic comes to",
        "[Kafka](https://kafka.apache.org/documentation/#topicconfigs_min.cleanable.dirty.ratio): "
        "half of it may be old before it is compacted",
    )  # fmt: skip
    use_max: Supposed = Supposed(
        0.5, "of a core, of a disk and of a network is planned for the peak; the other half is for "
        "a machine that is away", OWN, ".0%",
    )  # fmt: skip
    memory_use_max: Supposed = Supposed(0.7, "of a machine's memory is planned", OWN, ".0%")
    partitions_times: Supposed = Supposed(
        2, "partitions for each worker, since their number is fixed within a generation", OWN
    )
    recover_seconds: Supposed = Supposed(
        60, "seconds in which a worker without its store has to be ready", OWN
    )
    broker_partitions: Supposed = Supposed(
        4_000, "replicas of partitions that a broker holds", OWN, ",.0f"
    )
    wire_bytes: Supposed = Supposed(
        1_500, "bytes on the wire for each request beside the body: headers both ways, cookie, TLS",
        OWN, ",.0f",
    )  # fmt: skip
    machine_cores: Supposed = Supposed(16, "cores of a machine, each as one that was measured", OWN)
    machine_memory: Supposed = Supposed(128, "GiB of memory of a machine", OWN)
    machine_disk: Supposed = Supposed(8, "TB of disk of a machine (NVMe)", OWN)
    machine_network: Supposed = Supposed(10, "Gbit/s of network of a machine", OWN)

    def all(self) -> Iterator[Supposed]:
        """Yield them in their order."""
        for field in fields(self):
            yield getattr(self, field.name)


def record_bytes(type_: str) -> int:
    """Return the bytes of a record on the log before it is compressed: the example of an event of
    this type, its key and its MAC."""
    value = msgspec.json.format((EXAMPLES / f"{type_}.json").read_bytes(), indent=-1)
    event = msgspec.json.decode(value)
    key = str(event["partitionkey"]).encode()
    record = Record("any", key, value)
    headers = sum(len(name) + len(header) for name, header in headers_of(record))
    return len(value) + len(key) + headers
