"""What a person costs over a lifetime: the bytes of a row and its history, one event more, a flood.

It folds with `models` alone, on one core, as a worker does: a row is read from its bytes, one event
is folded, and the row is written again. So it says nothing about Kafka or RocksDB.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from statistics import median
from typing import Any
from uuid import UUID

import cramjam
from msgspec import Struct

from bench.records import person_key
from bench.terminal import Terminal
from models import events as e
from models.facts import Fact
from models.person import FoldOutcome, fold, unknown
from models.rows import decode_page, decode_row, encode_page, encode_row

EPOCH = datetime(2022, 3, 1, tzinfo=UTC)
DAYS = 400
ROUNDS = 5
PEOPLE = 126_000_000
"""Of Guangdong."""
ALIKE = 300
"""People of one kind whose rows are compressed together, as a batch of the changelog is."""
MIXTURE = 760
YOUNG = range(8, 24)
"""Events of a lifetime that count as of a young row; the last of it are as many times eight."""

Life = Callable[[str], Iterator[Any]]


class Lifetime(Struct, frozen=True):
    """A person after 400 days. Bytes are those of the row at most and at the end, and of all its
    history; `compressed` is what those of many alike take each, by zstd as the log has them.
    Microseconds of CPU an event: of a young row, and of the last events; medians of the rounds."""

    who: str
    events: int
    row_bytes_max: int
    row_bytes: int
    history_bytes: int
    row_compressed: int
    history_compressed: int
    young_us: float
    old_us: float
    ratio: list[float]


class Mixture(Struct, frozen=True):
    """A row into which 760 events of one kind were folded: what it holds, and one more, in ms."""

    what: str
    facts: int
    bytes: int
    one_more_ms: list[float]


class Found(Struct, frozen=True):
    """All that was measured."""

    lifetimes: list[Lifetime]
    mixtures: list[Mixture]


class Held:
    """A row and its history as bytes, as the table has them."""

    def __init__(self, person: str) -> None:
        self.row = encode_row(unknown(person, EPOCH))
        self.pages: dict[int, bytes] = {}

    def fold(self, event: Any) -> FoldOutcome:
        """Read the row, fold one event and write it."""
        outcome = fold(decode_row(self.row), event, event.time, self._page)
        for number, facts in outcome.pages.items():
            self.pages[number] = encode_page(facts)
        self.row = encode_row(outcome.person)
        return outcome

    def _page(self, number: int) -> tuple[Fact, ...]:
        return decode_page(self.pages[number])


def measure(terminal: Terminal) -> Found:
    """Live each life and fold each mixture, in rounds."""
    lifetimes = []
    for who, life in LIVES.items():
        terminal.say(f"lifetime: {who}")
        lifetimes.append(_lifetime(who, life))
    mixtures = []
    for what in MIXTURES:
        terminal.say(f"mixture: {what}")
        mixtures.append(_mixture(what))
    return Found(lifetimes, mixtures)


def _lifetime(who: str, life: Life) -> Lifetime:
    young, old, largest = list[float](), list[float](), 0
    for number in range(ROUNDS):
        held, costs = Held(_person(number)), list[float]()
        for event in life(_person(number)):
            begun = time.process_time_ns()
            held.fold(event)
            costs.append((time.process_time_ns() - begun) / 1_000)
            largest = max(largest, len(held.row))
        young.append(_mean(costs[YOUNG.start : YOUNG.stop]))
        old.append(_mean(costs[-8 * len(YOUNG) :]))
    rows, histories, count = list[bytes](), list[bytes](), 0
    for number in range(ALIKE):
        held, count = Held(_person(number)), 0
        for event in life(_person(number)):
            held.fold(event)
            count += 1
        rows.append(held.row)
        histories += held.pages.values()
    return Lifetime(
        who=who,
        events=count,
        row_bytes_max=largest,
        row_bytes=sum(map(len, rows)) // ALIKE,
        history_bytes=sum(map(len, histories)) // ALIKE,
        row_compressed=_compressed(rows) // ALIKE,
        history_compressed=_compressed(histories) // ALIKE,
        young_us=round(median(young), 1),
        old_us=round(median(old), 1),
        ratio=[round(o / y, 2) for o, y in zip(old, young, strict=True)],
    )


def filled(what: str) -> tuple[Held, "Maker"]:
    """Return a row into which the events of a mixture were folded, and who makes more of them."""
    held, maker = Held(_person(0)), Maker(_person(0))
    held.fold(maker.verified(EPOCH))
    for number in range(MIXTURE):
        held.fold(MIXTURES[what](maker, EPOCH + timedelta(minutes=10 * (number + 1)), number))
    return held, maker


def _mixture(what: str) -> Mixture:
    held, maker = filled(what)
    costs, row, make = [], held.row, MIXTURES[what]
    for number in range(MIXTURE, MIXTURE + ROUNDS):
        held.row = row
        event = make(maker, EPOCH + timedelta(minutes=10 * (number + 1)), number)
        begun = time.process_time_ns()
        held.fold(event)
        costs.append(round((time.process_time_ns() - begun) / 1e6, 2))
    return Mixture(what, len(decode_row(row).facts), len(row), costs)


class Maker:
    """Makes events about one person, with ids of UUIDs and sequences that count in milliseconds."""

    def __init__(self, person: str) -> None:
        self._person = person
        self._count = 0

    def _make(self, cls: Any, source: str, at: datetime, data: Any) -> Any:
        self._count += 1
        seed = f"{self._person}/{self._count}".encode()
        return cls(
            specversion="1.0",
            id=str(UUID(bytes=blake2b(seed, digest_size=16).digest())),
            source=source,
            time=at,
            partitionkey=self._person,
            sequence=str(int(at.timestamp() * 1_000)),
            data=data,
        )

    def verified(self, at: datetime) -> Any:
        data = e.IdentityData(at, e.DocumentType.RESIDENT_IDENTITY_CARD, "440100")
        return self._make(e.IdentityVerified, "/identity-providers/gd", at, data)

    def result(self, at: datetime, result: e.Result = e.Result.NEGATIVE) -> Any:
        data = e.NatResultData(at - timedelta(hours=6), at, result, "广州市第八人民医院检验科")
        return self._make(e.NatResultReported, "/laboratories/440100-001", at, data)

    def listed(self, at: datetime, number: int) -> Any:
        data = e.ContactListedData(f"L-{number}", at - timedelta(hours=12), at)
        return self._make(e.ContactListed, "/cdc/440100", at, data)

    def released(self, at: datetime, number: int) -> Any:
        data = e.QuarantineReleasedData(f"Q-{number}", f"N-{number}", at)
        return self._make(e.QuarantineReleased, "/quarantine-commands/440100", at, data)

    def province(self, at: datetime, number: int, colour: e.ProvincialColour) -> Any:
        code = ("43", "45")[number % 2]
        data = e.ProvincialCodeData(code, colour, at)
        return self._make(e.ProvincialCodeReported, f"/provinces/{code}", at, data)


def _tested(person: str) -> Iterator[Any]:
    maker = Maker(person)
    yield maker.verified(EPOCH)
    for day in range(1, DAYS, 2):
        yield maker.result(EPOCH + timedelta(days=day))


def _positive_once(person: str) -> Iterator[Any]:
    maker = Maker(person)
    yield maker.verified(EPOCH)
    for day in range(1, DAYS, 2):
        result = e.Result.POSITIVE if day == 9 else e.Result.NEGATIVE
        yield maker.result(EPOCH + timedelta(days=day), result)


def _listed_ten_times(person: str) -> Iterator[Any]:
    maker = Maker(person)
    yield maker.verified(EPOCH)
    for day in range(1, DAYS):
        if day % 40 == 20:
            yield maker.listed(EPOCH + timedelta(days=day, hours=1), day)
        if day % 2:
            yield maker.result(EPOCH + timedelta(days=day))


def _two_provinces(person: str) -> Iterator[Any]:
    maker = Maker(person)
    yield maker.verified(EPOCH)
    for day in range(1, DAYS):
        for number in range(2):
            at = EPOCH + timedelta(days=day, hours=8 * number)
            yield maker.province(at, number, e.ProvincialColour.GREEN)
        if day % 2:
            yield maker.result(EPOCH + timedelta(days=day, hours=20))


LIVES: dict[str, Life] = {
    "tested every second day": _tested,
    "tested so, positive once": _positive_once,
    "tested so, listed ten times": _listed_ten_times,
    "tested so, two provinces a day": _two_provinces,
}

MIXTURES: dict[str, Callable[[Maker, datetime, int], Any]] = {
    "negatives": lambda maker, at, _: maker.result(at),
    "positives": lambda maker, at, _: maker.result(at, e.Result.POSITIVE),
    "contacts 1 : 3 negatives": lambda maker, at, number: (
        maker.result(at) if number % 4 else maker.listed(at, number)
    ),
    "releases of unknown orders": lambda maker, at, number: maker.released(at, number),
    "reds and greens of two provinces": lambda maker, at, number: maker.province(
        at, number, (e.ProvincialColour.RED, e.ProvincialColour.GREEN)[number // 2 % 2]
    ),
}


def _person(number: int) -> str:
    return person_key(blake2b(b"lifetime:%d" % number, digest_size=20).digest())


def _compressed(values: Sequence[bytes]) -> int:
    return len(bytes(cramjam.zstd.compress(b"".join(values))))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
