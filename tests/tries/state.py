"""All that a try could have changed, read whole, and how two readings differ."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from app.process.consumer import LogRecord
from app.process.macs import FOLLOWS
from app.projection.codes import CHANGES, CODE, COUNTS
from app.sources.register import Register
from app.topics.authentic import NotAuthentic
from app.topics.catalogue import CATALOGUE, SOURCE_REGISTER, SOURCE_RELEASES, changelog_of
from app.topics.letters import PARKED_PATH
from models.codes import HealthCode
from models.person import Person
from oracle.replay import differences, replay, table
from support.gateways import LABORATORY
from support.macs import KEYS
from support.workers import everything
from tries.stage import CLOSED, ENEMY, Stage

_decode_code = msgspec.json.Decoder(HealthCode).decode

OWN = ("scans", "declarations", "displays")
"""What the view writes for who asks it: a try that is refused writes nothing there."""


@dataclass
class State:
    """What is so."""

    rows: dict[str, Person]
    """Of each person, by the workers' own records on the changelog."""
    codes: dict[str, HealthCode]
    """What the view shows of each."""
    counts: dict[bytes, bytes]
    changes: list[bytes]
    told: int
    """Changes of status that the workers have told."""
    parked: list[str]
    register: tuple[object, ...]
    released: int
    audit: list[bytes | None]
    written: dict[str, int]


async def read_state(stage: Stage) -> State:
    """Read it; nothing is being written."""
    redis: Any = stage.redis
    codes = {}
    async for key in redis.scan_iter(match=f"{CODE}*", count=1000):
        value = (await redis.get(key)).partition(b"\n")[2]
        codes[key.decode().removeprefix(CODE)] = _decode_code(value)
    answer = await stage.http.get(stage.worker.url + PARKED_PATH)
    parked = {each["source"] for each in answer.raise_for_status().json()}
    rows = [r for r in await everything(stage.kafka, changelog_of("people")) if is_ours(stage, r)]
    return State(
        table(_in_order(rows)),
        codes,
        await redis.hgetall(COUNTS),
        [fields[b"c"] for _, fields in await redis.xrange(CHANGES)],
        sum([is_ours(stage, r) for r in await everything(stage.kafka, "status-changes")]),
        sorted(parked - {ENEMY}),
        await _register(stage),
        sum([_is_release(stage, r) for r in await everything(stage.kafka, SOURCE_RELEASES)]),
        [r.value for r in await everything(stage.kafka, "audit")],
        {name: len(await everything(stage.kafka, name)) for name in OWN},
    )


def is_ours(stage: Stage, record: LogRecord) -> bool:
    """Say whether a worker has written a record, which has its topic's plain name."""
    return KEYS.is_ours(replace(record, topic=stage.kafka.named(record.topic)))


def _in_order(rows: Iterable[LogRecord]) -> Iterator[LogRecord]:
    """Yield the rows that were not played again: what a transaction follows never goes back."""
    followed: dict[int, int] = {}
    for row in rows:
        follows = int(dict(row.headers)[FOLLOWS])
        if follows >= followed.get(row.partition, follows):
            followed[row.partition] = follows
            yield row


def _is_release(stage: Stage, record: LogRecord) -> bool:
    named = replace(record, topic=stage.kafka.named(record.topic))
    try:
        return CATALOGUE.authority_of(KEYS.author(named)) == "operator"
    except NotAuthentic:
        return False


async def _register(stage: Stage) -> tuple[object, ...]:
    found = Register()
    for record in await everything(stage.kafka, SOURCE_REGISTER):
        named = replace(record, topic=stage.kafka.named(record.topic))
        if KEYS.is_of_register(named):
            found.apply(named, KEYS)
    asked = (ENEMY, LABORATORY, CLOSED)
    return found.sources(), [found.refused(source, "") for source in asked]


def effects(stage: Stage, before: State, after: State) -> Iterator[str]:
    """Say what is otherwise, and what is not as the honest alone would have it."""
    for what in differences(before.rows, after.rows):
        yield f"a row: {what}"
    expected, _ = replay(stage.honest)
    for what in differences(expected, after.rows):
        yield f"a row, by a replay of the honest: {what}"
    for person in before.codes.keys() | after.codes.keys():
        if before.codes.get(person) != after.codes.get(person):
            yield f"the code of {person}"
    for name in ("counts", "changes", "told", "parked", "register", "released", "audit", "written"):
        one, other = getattr(before, name), getattr(after, name)
        if one != other:
            yield f"{name}: {str(one)[:200]}, then {str(other)[:200]}"
