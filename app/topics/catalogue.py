"""topics.yaml, read and checked: which topics there are, who may publish what to them, and what
they must be on the broker."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from struct import unpack
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from app.process.settings import text_of, variable_of
from models.codes import STATUS_CHANGED
from models.events import EVENT_TYPES, KEYED_BY_PHONE, ProvincialCodeData
from models.operators import OPENINGS_APPROVED, PARTITION_RELEASED, SOURCE_RELEASED
from models.register import SOURCE_CLOSED, SOURCE_OPENED, SOURCE_REGISTERED, TOKEN_TAKEN_BACK

PATH = Path(__file__).parents[2] / "topics.yaml"

OF_OPERATORS = frozenset(
    {
        *(SOURCE_RELEASED, PARTITION_RELEASED, OPENINGS_APPROVED),
        *(SOURCE_REGISTERED, SOURCE_CLOSED, SOURCE_OPENED, TOKEN_TAKEN_BACK),
    }
)
"""The types of the events that operators write."""

DAY_MS = 24 * 60 * 60 * 1000
HOUR_MS = 60 * 60 * 1000
COMPACTION_LAG_MS = 7 * DAY_MS
"""A tombstone or a newer row removes the older one from disk within this time."""

SEGMENT_MS = HOUR_MS
"""How long a segment of a bounded topic is written to. The broker drops a segment as a whole, once
its newest record is as old as retention.ms; so its oldest lies there for both together."""

DROPPING_MS = HOUR_MS
"""What a broker may take beyond that: it looks every five minutes (log.retention.check.interval.ms)
and takes a file off the disk a minute later (file.delete.delay.ms)."""

BATCH_BYTES_MAX = 1024 * 1024
"""Least max.message.bytes: what the broker takes as one batch of records."""

EVERY_TABLE = "every"
"""What a topic folds into if every partition of it has every record."""

EVERY_AUTHORITY = "every"
"""The authority of a topic that takes the events of all inputs, each from who may publish it."""

TOPIC_PREFIX = text_of(variable_of("topic_prefix"))
"""What every name on the broker begins with: a topic's, a group's, a fence's. The name of a store's
folder begins with it too. Stacks with prefixes of their own share a broker and see nothing of one
another."""


def named(name: str) -> str:
    """Return what a topic of topics.yaml is called on the broker."""
    return TOPIC_PREFIX + name


HEALTH_CODES = named("health-codes")
STATUS_CHANGES = named("status-changes")
DEAD_LETTERS = named("dead-letters")
PARKED = named("parked")
SUBMISSIONS = named("submissions")
OPENINGS = named("openings")
ON_HOLD = named("held")
SOURCE_RELEASES = named("source-releases")
SOURCE_REGISTER = named("sources")
"""Topics that the code knows by name; it takes the inputs from topics.yaml."""

APPLICATION, LISTS_APPLICATION = "yuekang", "yuekang-lists"
SUBMISSIONS_APPLICATION = "yuekang-submissions"
"""The worker that codes come from, the worker for what bears on no code, and the one for what
agencies write to Kafka themselves."""

PORTAL = "/portal"
"""The source of events and requests for keys that the pages send for residents."""

PROVINCE_SOURCES = "/provinces/"
"""How the source of another province begins; it ends with its code."""

IDENTITY_PROVIDERS = "/identity-providers/"
"""How the source of a login begins; it ends with the provider's name."""

Positive = Annotated[int, Meta(ge=1)]
Cleanup = Literal["delete", "compact"]
DataClass = Literal["internal", "personal", "sensitive-personal"]
KeyOf = Literal["document", "phone"]
"""Of what a person key is asked for: a phone has one too (models.phones)."""


class CatalogueError(Exception):
    """topics.yaml contradicts itself or the code."""


class _Entry(Struct, frozen=True, forbid_unknown_fields=True):
    """One topic as the file has it."""

    holds: str
    key: Literal["person", "source", "subject", "none"]
    authority: str
    cleanup: Cleanup
    data_class: DataClass
    events: tuple[str, ...] = ()
    folds_into: Literal["people", "scans", "submissions", "quotas", "lists", "every"] | None = None
    stamped_by_log: bool = False
    bounded: bool = False
    partitions: Positive | None = None
    retention_days: Positive | None = None
    value_bytes_max: Positive | None = None


class KeyLimit(Struct, frozen=True, forbid_unknown_fields=True):
    """Of what a source of an authority may ask for person keys, and how many."""

    of: KeyOf
    minute: Positive
    day: Positive


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    generation: Positive
    partitions: Positive
    replication_factor: Positive
    value_bytes_max: Positive
    authorities: dict[str, tuple[str, ...]]
    person_keys: dict[str, KeyLimit]
    topics: dict[str, _Entry]


class Topic(Struct, frozen=True):
    """One topic. Sizes in bytes; `retention_days` None: for ever (compacted)."""

    name: str
    holds: str
    partitions: int
    replication_factor: int
    key: str
    authority: str
    events: tuple[str, ...]
    folds_into: str | None
    stamped_by_log: bool
    bounded: bool
    retention_days: int | None
    cleanup: Cleanup
    data_class: DataClass
    value_bytes_max: int

    @property
    def settings(self) -> dict[str, str]:
        """The topic's settings on the broker."""
        settings = {
            "cleanup.policy": self.cleanup,
            "max.message.bytes": str(max(BATCH_BYTES_MAX, self.value_bytes_max)),
            "min.insync.replicas": str(max(1, self.replication_factor - 1)),
        }
        if self.retention_days is not None:
            kept_ms = self.retention_days * DAY_MS
            if self.bounded:
                kept_ms -= SEGMENT_MS + DROPPING_MS
                settings["segment.ms"] = str(SEGMENT_MS)
            settings["retention.ms"] = str(kept_ms)
        if self.cleanup == "compact":
            settings["max.compaction.lag.ms"] = str(COMPACTION_LAG_MS)
        if self.folds_into is not None or self.stamped_by_log:
            # An event counts as arrived when the log has it, whatever its producer's clock says.
            settings["message.timestamp.type"] = "LogAppendTime"
        return settings

    @property
    def takes_every_event(self) -> bool:
        """Whether it takes the events of all inputs."""
        return self.authority == EVERY_AUTHORITY

    def takes(self, type_: str) -> bool:
        """Say whether events of a known type may lie in it."""
        return self.takes_every_event or type_ in self.events


class Catalogue:
    """All topics, in the file's order. Their names on the broker begin with `prefix`."""

    def __init__(self, file: _File, prefix: str) -> None:
        self.generation = file.generation
        self.partitions = file.partitions
        self.authorities = file.authorities
        self.person_keys = file.person_keys
        self.topics = {
            prefix + name: Topic(
                name=prefix + name,
                holds=entry.holds,
                partitions=entry.partitions or file.partitions,
                replication_factor=file.replication_factor,
                key=entry.key,
                authority=entry.authority,
                events=entry.events,
                folds_into=entry.folds_into,
                stamped_by_log=entry.stamped_by_log,
                bounded=entry.bounded,
                retention_days=entry.retention_days,
                cleanup=entry.cleanup,
                data_class=entry.data_class,
                value_bytes_max=entry.value_bytes_max or file.value_bytes_max,
            )
            for name, entry in file.topics.items()
        }
        self._topic_of = {type_: topic for topic in self.topics.values() for type_ in topic.events}
        if faults := list(self._faults()):
            raise CatalogueError("\n".join([f"{PATH.name} cannot be used:", *faults]))

    @classmethod
    def load(cls, path: Path = PATH, prefix: str = TOPIC_PREFIX) -> "Catalogue":
        """Read a catalogue; raise `CatalogueError` with every fault in it."""
        try:
            return cls(msgspec.yaml.decode(path.read_bytes(), type=_File), prefix)
        except (OSError, msgspec.DecodeError) as error:
            raise CatalogueError(f"{path} cannot be used: {error}") from None

    def topic_of(self, type_: str) -> Topic:
        """Return the topic of an event type; raise `KeyError` for an unknown one."""
        return self._topic_of[type_]

    def entitled(self, source: str, type_: str, data: Any) -> str | None:
        """Return None if `source` may publish such an event, else a sentence that says why not.

        A province speaks for its own code alone.
        """
        authority = self._topic_of[type_].authority
        patterns = self.authorities[authority]
        if not _matches(source, patterns):
            return (
                f"{source} has no authority for {type_}; that has only {authority} "
                f"({', '.join(patterns)})."
            )
        if isinstance(data, ProvincialCodeData) and source != f"/provinces/{data.province}":
            return (
                f"{source} does not speak for province {data.province}; that does only "
                f"/provinces/{data.province}."
            )
        return None

    def authority_of(self, source: str) -> str | None:
        """Return the authority that `source` speaks for; None if it speaks for none."""
        return next((a for a, of in self.authorities.items() if _matches(source, of)), None)

    def key_limit(self, source: str) -> KeyLimit | None:
        """Return how many person keys `source` may ask for, and of what; None if none."""
        for authority, limit in self.person_keys.items():
            if _matches(source, self.authorities[authority]):
                return limit
        return None

    def _faults(self) -> Iterator[str]:
        known = {*EVENT_TYPES, STATUS_CHANGED, *OF_OPERATORS}
        for authority, patterns in self.authorities.items():
            if not patterns or not all(pattern.startswith("/") for pattern in patterns):
                yield f"authority {authority}: its sources are one or more, and begin with /."
        about_people = {
            topic.authority
            for topic in self.topics.values()
            if topic.key == "person" and not KEYED_BY_PHONE.issuperset(topic.events)
        }
        for authority, limit in self.person_keys.items():
            if authority not in self.authorities:
                yield f"person_keys: {authority} is not among the authorities."
            elif limit.of == "document" and authority not in about_people:
                yield f"person_keys: {authority} writes about no people, and needs no key of one."
            if limit.minute > limit.day:
                yield f"person_keys: {authority} has more in a minute than in a day."
        for topic in self.topics.values():
            if topic.authority not in (*self.authorities, EVERY_AUTHORITY):
                yield f"{topic.name}: authority {topic.authority} is not among the authorities."
            if unknown := set(topic.events) - known:
                yield f"{topic.name}: unknown event types {', '.join(sorted(unknown))}."
            if (topic.cleanup == "delete") != (topic.retention_days is not None):
                yield f"{topic.name}: cleanup delete needs retention_days, compact takes none."
            if topic.bounded and topic.retention_days is None:
                yield f"{topic.name}: what is bounded has retention_days."
            by_person = topic.key == "person" or topic.folds_into == EVERY_TABLE
            if topic.partitions != self.partitions and (topic.key == "person" or topic.folds_into):
                yield f"{topic.name}: what is keyed by person has {self.partitions} partitions."
            on_its_way = topic.key == "source"  # its events lie in the topics that they came by
            has_events = topic.events or topic.takes_every_event
            if topic.folds_into and not on_its_way and not (by_person and has_events):
                yield f"{topic.name}: what folds into a table is keyed by person and has events."
        listed = [type_ for topic in self.topics.values() for type_ in topic.events]
        if twice := {type_ for type_ in listed if listed.count(type_) > 1}:
            yield f"in more than one topic: {', '.join(sorted(twice))}."
        if missing := known - set(listed):
            yield f"in no topic: {', '.join(sorted(missing))}."


@lru_cache(maxsize=65_536)  # sources come again and again; fnmatch alone is 2 µs
def _matches(source: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(source, pattern) for pattern in patterns)


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition to which Kafka's default partitioner (murmur2) sends `key`."""
    return (_murmur2(key) & 0x7FFFFFFF) % partitions


def _murmur2(key: bytes) -> int:
    """Return what aiokafka's does, in less than half of its time, 2.7 us in place of 6.0: four
    bytes are read as one number, and what cannot be longer than 32 bits is not cut."""
    length, whole = len(key), len(key) & ~3
    mixed = 0x9747B28C ^ length
    for word in unpack(f"<{whole // 4}I", key[:whole]):
        word = word * _MIX & _32_BITS
        mixed = (mixed * _MIX ^ (word ^ word >> 24) * _MIX) & _32_BITS
    if whole != length:
        mixed = (mixed ^ int.from_bytes(key[whole:], "little")) * _MIX & _32_BITS
    mixed = (mixed ^ mixed >> 13) * _MIX & _32_BITS
    return mixed ^ mixed >> 15


_MIX, _32_BITS = 0x5BD1E995, 0xFFFFFFFF


CATALOGUE = Catalogue.load()


def input_topics() -> tuple[Topic, ...]:
    """Return the topics that agents of any app read, in the catalogue's order."""
    return tuple(topic for topic in CATALOGUE.topics.values() if topic.folds_into is not None)


def group_of(application: str) -> str:
    """Return the consumer group of a worker."""
    return f"{named(application)}-g{CATALOGUE.generation}"


def changelog_of(table: str) -> str:
    """Return the topic that a table is written to first."""
    return named(f"{APPLICATION}-{table}-changelog")
