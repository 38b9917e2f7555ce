"""What each process does on Kafka. From this all ACLs are written.

Topics, groups and transactional ids come from topics.yaml, the graph (`app.topology`), and what
projections follow. `PROCESSES` says in a line each what is done with them.

An agency that writes to Kafka itself is no process of ours: `publisher_rights` lets it write to
submissions and nowhere else. That is a right to write and no proof of who an event is from.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType

from msgspec import Struct

from app.audit.entries import AUDIT
from app.letters.marks import RESENT
from app.letters.resend import TRANSACTIONAL_ID
from app.projection.commands import CODES, CREDENTIALS, REPLICA, ROWS
from app.projection.follow import Model
from app.projection.freshness import GROUPS
from app.topics.catalogue import (
    APPLICATION,
    CATALOGUE,
    DEAD_LETTERS,
    EVERY_TABLE,
    HEALTH_CODES,
    LISTS_APPLICATION,
    ON_HOLD,
    OPENINGS,
    PARKED,
    SOURCE_REGISTER,
    SOURCE_RELEASES,
    STATUS_CHANGES,
    SUBMISSIONS,
    SUBMISSIONS_APPLICATION,
    TOPIC_PREFIX,
    Topic,
    changelog_of,
    group_of,
)
from app.topics.clock import CLOCK_CHECKS
from app.topology import TABLES_OF
from app.view.declarations import DECLARATIONS_TOPIC
from app.view.display_writer import DISPLAYS_TOPIC
from app.view.scans import SCANS_TOPIC
from models.events import EVENT_TYPES

CLUSTER_NAME = "kafka-cluster"
"""What Kafka calls a cluster in ACLs, whatever its id is."""


class Resource(StrEnum):
    """What a right is to."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactional-id"
    CLUSTER = "cluster"


class Operation(StrEnum):
    """What a right lets do. Reading and writing let describe as well."""

    READ = "read"
    WRITE = "write"
    DESCRIBE = "describe"
    DESCRIBE_CONFIGS = "describe-configs"


class Right(Struct, frozen=True, order=True):
    """One thing that is done with a resource; with all whose name begins so, if `prefixed`."""

    resource: Resource
    name: str
    operation: Operation
    prefixed: bool = False


INCLUDING = (Operation.READ, Operation.WRITE)
"""The operations that include describing."""

Rights = Iterable[Right]


def topic(operation: Operation, *names: str) -> Iterator[Right]:
    """Yield the right to an operation on each topic."""
    return (Right(Resource.TOPIC, name, operation) for name in names)


def events_topics() -> tuple[Topic, ...]:
    """Return the topics of the events that sources publish."""
    return tuple(t for t in CATALOGUE.topics.values() if set(t.events) & EVENT_TYPES.keys())


def _inputs(application: str) -> list[str]:
    """Return the topics that a stream processor's group reads."""
    tables = {*TABLES_OF[application], EVERY_TABLE}
    return [t.name for t in CATALOGUE.topics.values() if t.folds_into in tables]


def _checks_topics() -> Iterator[Right]:
    """Whoever compares the broker's topics with topics.yaml looks at all of them."""
    yield from topic(Operation.DESCRIBE, *CATALOGUE.topics)
    yield from topic(Operation.DESCRIBE_CONFIGS, *CATALOGUE.topics)


def _folds(application: str, *outputs: str) -> Iterator[Right]:
    """A stream processor: it reads inputs and changelogs, and writes in transactions. What lies in
    another partition than its own it writes to its input again (a scan may lie in any), and a
    submission in any case."""
    tables, group = TABLES_OF[application], group_of(application)
    inputs = _inputs(application)
    own = [name for name in inputs if name not in (SOURCE_RELEASES, SUBMISSIONS, SCANS_TOPIC)]
    changelogs = [changelog_of(table) for table in tables]
    yield from _checks_topics()
    yield from topic(Operation.READ, *inputs, *changelogs)
    yield from topic(Operation.WRITE, *own, *changelogs, *outputs, CLOCK_CHECKS)
    yield Right(Resource.GROUP, group, Operation.READ)
    for table in tables:
        name = f"{group}-{table}-"  # and the partition (app.engine.partition)
        yield Right(Resource.TRANSACTIONAL_ID, name, Operation.WRITE, prefixed=True)


def _projects(*models: Model) -> Iterator[Right]:
    """A projection: it reads the topics of its models, and looks how far the groups are that write
    them, in all that these have committed. What stands it looks into, which is reading."""
    groups = {group for model in models for of in model.groups.values() for group in of}
    groups |= {group.upstream for group in groups if group.upstream is not None}
    inputs = {tp.topic for group in groups for tp in group.inputs}
    yield from topic(Operation.READ, *{name for model in models for name in model.topics}, *inputs)
    for application in TABLES_OF:
        group_name = group_of(application)
        if group_name in {group.name for group in groups}:
            yield Right(Resource.GROUP, group_name, Operation.DESCRIBE)
            yield from topic(Operation.DESCRIBE, *_inputs(application))


def _gateway() -> Rights:
    yield from topic(Operation.WRITE, *(t.name for t in events_topics()))
    yield from topic(Operation.READ, SOURCE_REGISTER)
    # It is ready if every input is there.
    inputs = (t.name for t in CATALOGUE.topics.values() if t.folds_into is not None)
    yield from topic(Operation.DESCRIBE, *inputs)


def _view() -> Rights:
    yield from topic(Operation.READ, SOURCE_REGISTER)
    yield from topic(Operation.WRITE, SCANS_TOPIC, DECLARATIONS_TOPIC, DISPLAYS_TOPIC, AUDIT)


def _audit_log() -> Rights:
    """It reads every line, and writes one itself where its key was changed."""
    yield from topic(Operation.READ, AUDIT)
    yield from topic(Operation.WRITE, AUDIT)


def _operator() -> Rights:
    yield from _checks_topics()
    own = (RESENT, SOURCE_RELEASES, SOURCE_REGISTER, AUDIT)
    yield from topic(Operation.READ, DEAD_LETTERS, PARKED, ON_HOLD, *own)
    # What is mended is sent again to where it was refused; `yuekang latency` publishes too.
    again = (t.name for t in events_topics())
    yield from topic(Operation.WRITE, *again, SUBMISSIONS, OPENINGS, *own)
    yield Right(Resource.TRANSACTIONAL_ID, TRANSACTIONAL_ID, Operation.WRITE)
    for group in GROUPS:
        yield Right(Resource.GROUP, group.name, Operation.DESCRIBE)
    yield Right(Resource.CLUSTER, CLUSTER_NAME, Operation.DESCRIBE)  # `yuekang acls check`


PROCESSES: Mapping[str, Callable[[], Rights]] = MappingProxyType(
    {
        "worker": lambda: _folds(
            APPLICATION, HEALTH_CODES, STATUS_CHANGES, DEAD_LETTERS, PARKED, ON_HOLD
        ),
        "submissions-worker": lambda: _folds(
            SUBMISSIONS_APPLICATION, DEAD_LETTERS, PARKED, *(t.name for t in events_topics())
        ),
        "lists-worker": lambda: _folds(LISTS_APPLICATION, DEAD_LETTERS, PARKED),
        "projection": lambda: _projects(CODES),
        "replica": lambda: _projects(REPLICA),
        "rows": lambda: _projects(ROWS, CREDENTIALS),
        "audit-log": _audit_log,
        "gateway": _gateway,
        "view": _view,
        "operator": _operator,
    }
)
"""The processes that go to Kafka; the operator is whoever types commands. The one who makes topics
and writes ACLs is a super user of the broker, and needs none."""


def rights_of(process: str) -> list[Right]:
    """Return what a process does, in order, each once. What a stronger right includes is left
    out."""
    found = set(PROCESSES[process]())
    strong = {(r.resource, r.name) for r in found if r.operation in INCLUDING}
    return sorted(
        right
        for right in found
        if right.operation is not Operation.DESCRIBE or (right.resource, right.name) not in strong
    )


def publisher_rights(authority: str) -> list[Right]:
    """Return what an agency does that writes to Kafka itself; raise `KeyError` for an authority
    that has no topic of events."""
    if authority not in {t.authority for t in events_topics()}:
        raise KeyError(authority)
    return list(topic(Operation.WRITE, SUBMISSIONS))


def principal_of(process: str) -> str:
    """Return by which name Kafka knows a process, unless it is told another."""
    return f"User:{TOPIC_PREFIX}{process}"
