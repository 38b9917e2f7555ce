"""What the worker must have left, by a pure replay of the input topics through `models/`.

Shares no code with the agents or the engine: it reads the topics whole, folds each person's
events in order of arrival, and compares.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from app.process.consumer import LogRecord
from app.topics.catalogue import CATALOGUE
from app.topics.codec import Refusal, decode
from models.codes import NO_CODE, HealthCode, Status, StatusChanged, judge
from models.history import is_crowded
from models.person import Person, advance, whole
from models.reasons import assess
from models.rows import decode_page, decode_row, page_key
from support.held import Held, is_page


def arrival(record: LogRecord) -> datetime:
    """The instant of the record's append to the log."""
    return datetime.fromtimestamp(record.timestamp / 1000, UTC)


def replay(
    records: Iterable[LogRecord], parked: Container[tuple[str, int, int]] = frozenset()
) -> tuple[dict[str, Person], int]:
    """Fold all input records; return the people, and how many records are refused.

    Those at the places `parked` are neither; each record has one fate.
    """
    people: dict[str, Held] = {}
    refused = 0
    for record in sorted(records, key=lambda r: (r.timestamp, r.topic, r.offset)):
        if (record.topic, record.partition, record.offset) in parked:
            continue
        arrived_at = arrival(record)
        topic = CATALOGUE.topics[record.topic]
        try:
            event: Any = decode(record.value, record.key, record.headers, topic, arrived_at)
        except Refusal:
            refused += 1
            continue
        person = event.partitionkey
        held = people.setdefault(person, Held(person, arrived_at))
        refused += sum(notice.refused for notice in held.fold(event, arrived_at).notices)
    return {person: held.whole() for person, held in people.items()}, refused


def newest(records: Iterable[LogRecord]) -> dict[bytes, bytes]:
    """The rows of a compacted topic as a fresh reader ends up with them."""
    rows: dict[bytes, bytes] = {}
    for record in records:
        assert record.key is not None
        if record.value is None:
            rows.pop(record.key, None)
        else:
            rows[record.key] = record.value
    return rows


def table(changelog: Iterable[LogRecord]) -> dict[str, Person]:
    """The person table as its changelog has it, with all of each history: a due time of 8 bytes,
    then the row or the page."""
    rows = {key: value[8:] for key, value in newest(changelog).items() if key[:1] != b"\x00"}
    people = [decode_row(value) for key, value in rows.items() if not is_page(key)]
    return {
        row.code.person: whole(row, lambda n: decode_page(rows[page_key(row.code.person, n)]))  # noqa: B023
        for row in people
    }


def differences(expected: Mapping[str, Person], found: Mapping[str, Person]) -> list[str]:
    """Say where two person tables differ in facts or in what follows from them.

    The wall clock of the arrival decides what was told when, not what is so: versions and
    instants of judgement are left out.
    """
    wrong = [f"{person}: missing" for person in expected.keys() - found.keys()]
    wrong += [f"{person}: invented" for person in found.keys() - expected.keys()]
    for person in expected.keys() & found.keys():
        to = max(expected[person].judged_at, found[person].judged_at)
        one, other = (advance(p[person], to).person for p in (expected, found))
        if one.events != other.events:
            wrong.append(f"{person}: the facts differ")
        elif unlike := unlike_codes(one, other):
            wrong.append(f"{person}: {unlike}")
    return wrong


def unlike_codes(one: Person, other: Person) -> str:
    """Say how the codes of two whole people with the same facts differ; nothing if they do not, or
    if decision 19 lets them."""
    same = meaning(one.code) == meaning(other.code)
    if may_depend_on_order(one) or may_depend_on_order(other):
        if missing := sorted({*missing_reasons(one), *missing_reasons(other)}):
            return f"the code lacks {missing}"
        same = one.code.verified_since == other.code.verified_since
        same = same and one.code.city == other.code.city
    if same:
        return ""
    return f"the code differs: {meaning(one.code)}, not {meaning(other.code)}"


def may_depend_on_order(person: Person) -> bool:
    """Say whether decision 19 lets the code of a whole person depend on the order of arrival: the
    row has used up its reserve, or so much left it at its bound."""
    all_in_the_row = not person.history.numbers
    overflowed = all_in_the_row or person.history.crowded_out > 0
    return overflowed and is_crowded(len(person.facts), person.judged_at)


def missing_reasons(person: Person) -> list[str]:
    """Return what all events of a whole person give as reasons, and the code does not say."""
    found = assess(person.events)
    code = msgspec.structs.replace(
        person.code, verified_since=found.verified_since, intervals=found.intervals
    )
    given = judge(code, person.judged_at).status.reasons
    said = judge(person.code, person.judged_at).status.reasons
    return [reason.name for reason in given if reason not in said]


def meaning(code: HealthCode) -> tuple[Any, ...]:
    """What a code says, whoever told it when."""
    return code.verified_since, code.city, code.intervals, code.colour, code.reasons


def broken_chains(changes: Iterable[LogRecord], rows: Mapping[str, Person]) -> list[str]:
    """Say where a person's told changes are no unbroken chain from no code to the present."""
    chains: dict[str, list[StatusChanged]] = defaultdict(list)
    for record in changes:
        assert record.value is not None
        event = msgspec.json.decode(record.value, type=StatusChanged)
        assert record.key == event.partitionkey.encode()
        chains[event.partitionkey].append(event)
    wrong = []
    for person, chain in chains.items():
        status, version = NO_CODE, 0
        for link in chain:
            if link.data.before != status or link.data.previous_version != version:
                wrong.append(f"{person}: version {link.data.version} does not follow {version}")
            if link.data.after == link.data.before:
                wrong.append(f"{person}: version {link.data.version} tells no change")
            status, version = link.data.after, link.data.version
        if person not in rows:
            wrong.append(f"{person}: told of, and unknown")
        elif Status(rows[person].code.colour, rows[person].code.reasons) != status:
            wrong.append(f"{person}: the last told is not what the row says was told")
    for person, row in rows.items():
        if person not in chains and Status(row.code.colour, row.code.reasons) != NO_CODE:
            wrong.append(f"{person}: nothing was told")
    return wrong
