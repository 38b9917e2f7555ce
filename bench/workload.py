"""The events of the real fold: a slice of what bears on a code, in order of arrival.

The slice is what the Java peer knows (docs/decisions/0014-java-slice.md): who somebody is, results
of nucleic acid tests, and corrections of both. Everybody lives through a story of one event a
step; a step takes six days, so that reasons that ended leave the code between two events of a
person. Late events, events of clocks that run ahead, copies, corrections of every kind and records
that must be refused are among them. The same arguments yield the same bytes and the same arrivals.
What is valid is spelt as the entrances spell it, since nobody else writes to an input.

All lie in one topic, so that each person's events have one order, and with it each side tells the
same chain of changes. A record's timestamp is when it arrived (the topic keeps its producer's), so
the time in which a side folds does not matter to what it must tell.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import blake2b
from math import gcd
from random import Random
from typing import Any

import msgspec
from msgspec import Struct

from app.topics.catalogue import CATALOGUE, named, partition_of
from app.topics.codec import Refusal, decode, encode
from bench import counting
from bench.records import PARTITIONS, Record, person_key
from models.codes import HealthCode, StatusChange
from models.events import EVENT_TYPES
from models.person import Person, fold, unknown

TOPIC = "bench-events"

INPUT = msgspec.structs.replace(
    CATALOGUE.topics[named("identities")],
    name=TOPIC,
    partitions=PARTITIONS,
    events=(
        "yuekang.identity.verified.v1",
        "yuekang.identity.retracted.v1",
        "yuekang.nat-result.reported.v1",
        "yuekang.nat-result.retracted.v1",
    ),
)
"""As the catalogue would have it, of the slice's types."""

STEPS = 6
"""Events of a person, unless asked for otherwise; more are negative results."""

STEP = timedelta(days=6)

BEGIN = datetime(2022, 3, 1, tzinfo=UTC)

COPIES_SHARE = 0.02
LATE_SHARE = 0.03
LATE_DAYS_MAX = 10
AHEAD_SHARE = 0.02
AHEAD_MINUTES_MAX = 9
"""Less than a publisher's clock may run ahead."""
ORDINARY_SHARE = 0.8
"""Verified, and tested negative ever after. The others share the stories below evenly."""

Json = dict[str, Any]


class Turn(Struct, frozen=True):
    """One step of one person: everything that its event is made of."""

    number: int
    """Of this event among all, growing with its arrival."""
    person: str
    file: str
    step: int
    arrival: datetime
    random: Random
    happened: datetime
    """Before the arrival, by minutes mostly, by days where it comes late; or after it, by a clock
    that runs ahead."""

    def id(self, step: int) -> str:
        """Return the id of this person's event of a step."""
        return f"{self.file}-{step}"

    def event(self, type_: str, source: str, data: Json, **attributes: Any) -> Json:
        """Return an event."""
        made = {
            "specversion": "1.0",
            "id": self.id(self.step),
            "source": source,
            "type": type_,
            "time": text(self.happened),
            "partitionkey": self.person,
            "sequence": str(self.number),
            "datacontenttype": "application/json",
            "data": data,
        }
        return {**made, **attributes}


def text(at: datetime) -> str:
    """Write an instant as laboratories do, in the time of Asia/Shanghai."""
    return (at + timedelta(hours=8)).strftime("%Y-%m-%dT%H:%M:%S+08:00")


# What agencies say


def verified(turn: Turn, city: str = "440100") -> Json:
    data = {
        "verified_at": text(turn.happened),
        "document_type": "resident-identity-card",
        "city": city,
    }
    return turn.event("yuekang.identity.verified.v1", "/identity-providers/gd", data)


def nat(
    turn: Turn, result: str, laboratory: int | None = None, status: str = "final", **kw: Any
) -> Json:
    number = turn.random.randrange(40) if laboratory is None else laboratory
    took = timedelta(minutes=turn.random.randrange(180, 480))
    data = {
        "sampled_at": text(turn.happened - took),
        "reported_at": text(turn.happened),
        "result": result,
        "institution": counting.INSTITUTIONS[number],
        "status": status,
    }
    source = f"/laboratories/440100-{number:03d}"
    return turn.event("yuekang.nat-result.reported.v1", source, data, **kw)


def negative(turn: Turn, **kw: Any) -> Json:
    return nat(turn, "negative", **kw)


def positive(turn: Turn, **kw: Any) -> Json:
    return nat(turn, "positive", **kw)


def inconclusive(turn: Turn) -> Json:
    return nat(turn, "inconclusive")


def preliminary(turn: Turn) -> Json:
    return nat(turn, "positive", status="preliminary")


def retracted(turn: Turn, noun: str, source: str, step: int, **kw: Any) -> Json:
    return turn.event(
        f"yuekang.{noun}.retracted.v1",
        source,
        {"reason": "entered-in-error"},
        supersedes=turn.id(step),
        **kw,
    )


def result_retracted(turn: Turn, step: int) -> Json:
    return retracted(turn, "nat-result", LABORATORY, step)


def identity_retracted(turn: Turn, step: int) -> Json:
    return retracted(turn, "identity", "/identity-providers/gd", step)


LABORATORY = "/laboratories/440100-007"

Step = Callable[[Turn], Json]

STORIES: tuple[tuple[Step, ...], ...] = (
    # a positive and two negatives, with another positive between, with what counts for nothing
    (verified, positive, negative, negative, negative, negative),
    (verified, positive, negative, positive, negative, negative),
    (verified, positive, preliminary, inconclusive, negative, negative),
    # never verified, or late, elsewhere, or in error
    (negative, positive, negative, negative, negative, inconclusive),
    (
        positive,
        negative,
        verified,
        lambda t: verified(t, "440300"),
        lambda t: identity_retracted(t, 2),
        lambda t: identity_retracted(t, 3),
    ),
    # corrections: a result taken back, replaced, before it arrives, of what never arrives
    (
        verified,
        lambda t: positive(t, laboratory=7),
        lambda t: result_retracted(t, 1),
        lambda t: positive(t, laboratory=7),
        lambda t: negative(t, laboratory=7, supersedes=t.id(3)),
        negative,
    ),
    (
        verified,
        lambda t: result_retracted(t, 2),
        lambda t: positive(t, laboratory=7, sequence="1"),
        lambda t: result_retracted(t, 9),
        negative,
        preliminary,
    ),
    # a negative that had lifted a red, taken back; a retraction taken back
    (
        verified,
        positive,
        negative,
        lambda t: negative(t, laboratory=7),
        lambda t: result_retracted(t, 3),
        negative,
    ),
    (
        verified,
        lambda t: positive(t, laboratory=7),
        lambda t: result_retracted(t, 1),
        lambda t: result_retracted(t, 2),
        negative,
        negative,
    ),
    # corrections of no effect: of another's event, of a later one
    (
        verified,
        lambda t: positive(t, laboratory=7),
        lambda t: negative(t, laboratory=8, supersedes=t.id(1)),
        lambda t: negative(t, laboratory=7, sequence="2", supersedes=t.id(1)),
        negative,
        negative,
    ),
    # another content under a known identity
    (
        verified,
        lambda t: negative(t, laboratory=7),
        lambda t: positive(t, laboratory=7, id=t.id(1)),
        negative,
        negative,
        negative,
    ),
)

ORDINARY: tuple[Step, ...] = (verified, *[negative] * (STEPS - 1))


# What must be refused


def _json(change: Callable[[Json], Json]) -> Callable[[Json], bytes]:
    return lambda event: msgspec.json.encode(change(event))


def _data(**fields: Any) -> Callable[[Json], bytes]:
    return _json(lambda event: {**event, "data": {**event["data"], **fields}})


def _bytes(change: Callable[[bytes], bytes]) -> Callable[[Json], bytes]:
    return lambda event: change(msgspec.json.encode(event))


def _without(name: str) -> Callable[[Json], bytes]:
    return _json(lambda event: {key: value for key, value in event.items() if key != name})


BREAKAGES: tuple[Callable[[Json], bytes], ...] = (
    _bytes(lambda raw: b"positive, 3 swabs, see fax"),
    _bytes(lambda raw: raw[:40]),
    _without("data"),
    _data(result="probably"),
    _data(ct=31),
    _data(sampled_at="yesterday"),
)
"""Ways to break a laboratory's result that decoding alone finds, on every side."""

BROKEN_EVERY = 400
"""One record of so many is refused."""


def events(people: int, seed: int, steps: int = STEPS) -> Iterator[Record]:
    """Yield everything in order of arrival."""
    for step in range(steps):
        for place in range(people):
            yield from happening(place, step, people, seed)


def happening(
    place: int, step: int, people: int, seed: int, *, broken: bool = True
) -> Iterator[Record]:
    """Yield the event of whoever has a place in a step, and what comes with it: its copy, and a
    `broken` record, which must be refused."""
    number = step * people + place + 1
    who = place * _stride(people) % people
    arrival = BEGIN + step * STEP + STEP * place / people
    turn = _turn(number, who, step, arrival, seed)
    event = _story(who, people, seed)(step)(turn)
    key = turn.person.encode()
    stamp = round(arrival.timestamp() * 1000)
    record = Record(TOPIC, key, _as_the_entrances_write(event), stamp)
    yield record
    if turn.random.random() < COPIES_SHARE:
        yield record
    if broken and number % BROKEN_EVERY == 0:
        breakage = BREAKAGES[number // BROKEN_EVERY % len(BREAKAGES)]
        swab = {**negative(turn), "id": f"{turn.file}-x{step}"}
        yield Record(TOPIC, key, breakage(swab), stamp, swab["source"])


@cache
def _stride(people: int) -> int:
    """Return by how much the number of whoever comes next is greater: people come up in another
    order than they are numbered, each once in a step."""
    return next(
        n for n in range(max(1, people * 618 // 1000), 2 * people + 2) if gcd(n, people) == 1
    )


def _as_the_entrances_write(event: Json) -> bytes:
    return encode(msgspec.convert(event, EVENT_TYPES[event["type"]]))


def _turn(number: int, who: int, step: int, arrival: datetime, seed: int) -> Turn:
    digest = blake2b(b"%d/%d" % (seed, who), digest_size=20).digest()
    random = Random(number * 1_000_003 + seed)
    before = timedelta(minutes=1 + 120 * random.random())
    chance = random.random()
    if chance < LATE_SHARE:
        before += timedelta(days=LATE_DAYS_MAX * random.random())
    elif chance < LATE_SHARE + AHEAD_SHARE:
        before = -timedelta(minutes=AHEAD_MINUTES_MAX * random.random())
    return Turn(
        # Small sequences are left to corrections that are out of turn.
        number=number + 100,
        person=person_key(digest),
        file=f"{who:07d}",
        step=step,
        arrival=arrival,
        random=random,
        happened=(arrival - before).replace(microsecond=0),
    )


def _story(who: int, people: int, seed: int) -> Callable[[int], Step]:
    draw = (who * 0x9E3779B1 + seed * 7_919) % 1_000_003 / 1_000_003
    if draw < ORDINARY_SHARE:
        story = ORDINARY
    else:
        story = STORIES[int((draw - ORDINARY_SHARE) / (1 - ORDINARY_SHARE) * len(STORIES))]
    return lambda step: story[step] if step < len(story) else negative


# What every side must end with


class Refused(Struct, frozen=True, order=True):
    """A dead letter by its meaning: where it stood, why, and whether the event was left out."""

    partition: int
    offset: int
    reason: str
    refused: bool


class Expected(Struct):
    """Everything that a side has to tell."""

    codes: dict[str, HealthCode]
    changes: dict[str, list[StatusChange]]
    refused: list[Refused]


def expected(records: Iterator[Record]) -> Expected:
    """Fold everything through `models`, with nothing of agents or engine."""
    rows: dict[str, Person] = {}
    found = Expected({}, {}, [])
    offsets = [0] * PARTITIONS
    for record in records:
        assert record.timestamp_ms is not None
        partition = partition_of(record.key, PARTITIONS)
        offset, offsets[partition] = offsets[partition], offsets[partition] + 1
        at = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
        try:
            event: Any = decode(record.value, record.key, (), INPUT, at)
        except Refusal as refusal:
            found.refused.append(Refused(partition, offset, str(refusal.code), True))
            continue
        person = event.partitionkey
        outcome = fold(rows.get(person) or unknown(person, at), event, at)
        rows[person] = outcome.person
        if outcome.changes:
            found.changes.setdefault(person, []).extend(outcome.changes)
        found.refused += (
            Refused(partition, offset, str(notice.objection), notice.refused)
            for notice in outcome.notices
        )
    found.codes = {person: row.code for person, row in rows.items() if row.code.version}
    return found
