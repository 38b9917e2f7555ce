"""What became of what each source sent, in Redis beside the rows.

    yk:letters:<source>:<partition>   the newest letters of a source (SourceLetter, JSON), by their
                                      offset on dead-letters
    yk:source:<source>                of that source: `cut:<partition>`, the newest offset that was
                                      left out for room; `last:<topic>:<partition>`, the newest
                                      record there that was wrong by itself
    yk:sources                        the sources that have letters, by the newest (ms since 1970)
    yk:cut                            as `cut:<partition>`, of sources that were left out for room
    yk:parked:<source>                <topic>:<partition>, and the offset of the record at which the
                                      source was parked there
    yk:parked-in:<topic>:<partition>  the sources that are parked there

`yuekang rows` writes them with the rows (app.projection.rows, rows.lua). Letters come from
dead-letters; who is parked comes from the tallies (models.parking) in the tables' changelogs.

A source's letters are in one order in each partition and in no order over all. So a cursor is a
place in each partition, and stays right when Redis is emptied and filled again.
"""

import hashlib
import heapq
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from operator import attrgetter
from typing import Any

import msgspec
import orjson
from msgspec import Struct
from redis.asyncio import Redis

from app.process.consumer import LogRecord
from app.projection.state import STATE, State, decode_state, oldest
from app.topics.catalogue import CATALOGUE, DEAD_LETTERS
from app.topics.codec import Code
from app.topics.letters import Letter, letter_in
from app.topics.numbers import carries_personal_number
from models.events import SOURCE, SOURCE_LENGTH_MAX
from models.notices import Objection

LETTERS, OF_SOURCE, CUT, PARKED_OF = "yk:letters:", "yk:source:", "yk:cut", "yk:parked:"
TOLD_SOURCES, PARKED_IN = "yk:sources", "yk:parked-in:"

LETTERS_MAX = 100
"""Letters of one source in one partition of dead-letters; a further one takes the oldest's place.
So many wrong records in a row park it there."""

SOURCES_MAX = 1_000
"""Sources that have letters; a further one takes the place of the one told of longest ago. With
`LETTERS_MAX` and four partitions these are 400,000 letters: 146 MB at 365 bytes each, 350 MB if
each has the longest of details (decision 18)."""

DETAIL_LENGTH_MAX = 500
"""Characters of a letter's detail; the operator sees the rest."""

PARTITIONS = CATALOGUE.topics[DEAD_LETTERS].partitions
RETENTION = timedelta(days=CATALOGUE.topics[DEAD_LETTERS].retention_days or 0)

_WRONG_BESIDE_OTHERS = frozenset(Objection)


class SourceLetter(Struct, frozen=True):
    """A dead letter as its source sees it.

    `topic`, `partition` and `offset` say which record brought it about; the last two are None if
    time did. `refused` is false if the event stands and has no effect. `id` and `type` are the
    event's, where they can be read. Where the event carries somebody's number, it is `sealed`:
    nothing but its place and `reason` is shown.
    """

    at: datetime
    topic: str
    partition: int | None
    offset: int | None
    id: str | None
    type: str | None
    reason: str
    detail: str | None
    refused: bool
    sealed: bool


class ParkedIn(Struct, frozen=True):
    """Where a source is parked: all that it sends to this partition is put aside.

    `offset` is of the record after which that began, `since` its letter's time and `reason` that
    letter's; both are null if that letter is no longer kept.
    """

    topic: str
    partition: int
    offset: int
    since: datetime | None
    reason: str | None


class Cursor(Struct, frozen=True):
    """A place among the letters of a source: of the log `log`, those before `offsets`."""

    log: str
    offsets: tuple[int, ...]

    def __str__(self) -> str:
        return "-".join([self.log, *map(str, self.offsets)])

    def at(self, partition: int, offset: int) -> "Cursor":
        """Return the place that is at `offset` in one partition, and otherwise the same."""
        moved = (*self.offsets[:partition], offset, *self.offsets[partition + 1 :])
        return Cursor(self.log, moved)


CURSOR = re.compile(rf"^[0-9a-f]{{8}}(-[0-9]{{1,15}}){{{PARTITIONS}}}$")


class CursorInvalid(Exception):
    """A text is no cursor, or one of another log."""


class RefusalsUnknown(Exception):
    """There is nothing to read: it was never projected, or is being built again."""


# Writing


class ToldBatch(Struct):
    """What one batch tells sources: letters, and who is parked, by topic and partition."""

    letters: list[tuple[str, int, int, int, str, str, str]] = []
    parked: dict[tuple[str, int], dict[str, int]] = {}

    def take(self, record: LogRecord) -> bool:
        """Take a dead letter; return False if nobody can ask for it: its source is no known one."""
        letter = letter_in(record)
        source = letter.source
        if source is None or not may_ask(source):
            return False
        seen = seen_by_source(letter)
        place, last = "", ""
        if letter.refused and seen.offset is not None and seen.reason not in _WRONG_BESIDE_OTHERS:
            place = f"{seen.topic}:{seen.partition}"
            last = f"{seen.offset} {record.timestamp} {seen.reason}"
        self.letters.append(
            (
                source,
                record.partition,
                record.offset,
                record.timestamp,
                msgspec.json.encode(seen).decode(),
                place,
                last,
            )
        )
        return True

    def __bool__(self) -> bool:
        """Say whether there is anything to write."""
        return bool(self.letters or self.parked)

    def packed(self) -> bytes:
        """Return the batch as rows.lua takes it."""
        return msgspec.msgpack.encode(
            (
                self.letters,
                [
                    (f"{topic}:{partition}", list(parked.items()))
                    for (topic, partition), parked in self.parked.items()
                ],
                (LETTERS_MAX, SOURCES_MAX, PARTITIONS, int(RETENTION.total_seconds() * 1_000)),
            )
        )


def may_ask(source: str) -> bool:
    """Say whether there can be a token of `source`, and an authority in topics.yaml that it has."""
    well_formed = len(source) <= SOURCE_LENGTH_MAX and SOURCE.fullmatch(source) is not None
    return well_formed and CATALOGUE.authority_of(source) is not None


def seen_by_source(letter: Letter) -> SourceLetter:
    """Return what the source of `letter` may see of it."""
    names_a_person = letter.reason == Code.DOCUMENT_NUMBER
    id_, type_ = (None, None) if names_a_person else (letter.id, letter.type)
    came_from = letter.came_from
    topic = came_from.topic if came_from else _topic_of(type_)
    detail = letter.detail
    if len(detail) > DETAIL_LENGTH_MAX:
        detail = f"{detail[: DETAIL_LENGTH_MAX - 1]}…"
    hidden = names_a_person or carries_personal_number(orjson.dumps(detail))
    return SourceLetter(
        at=letter.at,
        topic=topic,
        partition=came_from.partition if came_from else None,
        offset=came_from.offset if came_from else None,
        id=id_,
        type=type_,
        reason=letter.reason,
        detail=None if hidden else detail,
        refused=letter.refused,
        sealed=names_a_person,
    )


def _topic_of(type_: str | None) -> str:
    return "" if type_ is None else CATALOGUE.topic_of(type_).name


# Reading


class RefusalsPage(Struct, frozen=True):
    """Letters with the place after each, newest first.

    `newest` is the place after all that is here, `older` that before the last of the page, None if
    no more follow. `missed` says that more would follow, were there room to keep them. `as_of`: all
    that was sent until then is judged, and told here.
    """

    letters: list[tuple[SourceLetter, Cursor]]
    newest: Cursor
    older: Cursor | None
    missed: bool
    parked: list[ParkedIn]
    as_of: datetime


class _Kept(Struct):
    """What Redis has of one source: for each partition its letters by offset, in some order."""

    state: State
    of_source: dict[bytes, bytes]
    cut: dict[bytes, bytes]
    parked: dict[bytes, bytes]
    partitions: list[list[tuple[SourceLetter, int]]]

    @property
    def log(self) -> str:
        return hashlib.sha256(self.state.log.encode()).hexdigest()[:8]

    def left_out(self, number: int) -> int:
        """Return the newest offset in a partition that may have been left out for room, or -1."""
        return max(int(of.get(b"cut:%d" % number, -1)) for of in (self.of_source, self.cut))

    def missed(self, after: Cursor | None) -> bool:
        """Say whether letters after this place may have been left out for room."""
        offsets = (0,) * PARTITIONS if after is None else after.offsets
        return any(self.left_out(number) >= offset for number, offset in enumerate(offsets))

    def as_of(self) -> datetime:
        every = [p for positions in self.state.positions.values() for p in positions]
        until = oldest(every)
        if until is None:
            raise RefusalsUnknown
        return datetime.fromtimestamp(until, UTC)

    def parked_in(self) -> list[ParkedIn]:
        return sorted(self._parked(), key=attrgetter("topic", "partition"))

    def _parked(self) -> Iterator[ParkedIn]:
        for place, raw in self.parked.items():
            topic, _, partition = place.decode().rpartition(":")
            since, reason = None, None
            last = self.of_source.get(b"last:" + place, b"").decode().split(" ")
            # No later record of a parked source goes to dead-letters from there.
            if last[0] == raw.decode():
                since, reason = datetime.fromtimestamp(int(last[1]) / 1_000, UTC), last[2]
            yield ParkedIn(topic, int(partition), int(raw), since, reason)


async def read_newest(
    redis: Redis, source: str, after: str | None, before: str | None, count: int
) -> RefusalsPage:
    """Return the newest `count` letters of `source` between two places, newest first.

    Raise `CursorInvalid`, `RefusalsUnknown`, or redis.RedisError or OSError if Redis is away.
    """
    least, below = _parsed(after), _parsed(before)
    kept = await _read(redis, source, least, below, count, newest_first=True)
    place = newest = below or _end(kept, least)
    found: list[tuple[SourceLetter, Cursor]] = []
    letters = _by_time(kept, newest_first=True)
    for letter, number, offset in islice(letters, count):
        found.append((letter, place))
        place = place.at(number, offset)
    more = next(letters, None) is not None
    return RefusalsPage(
        found,
        newest,
        place if more else None,
        not more and kept.missed(least),
        kept.parked_in(),
        kept.as_of(),
    )


class RefusalsAfter(Struct, frozen=True):
    """Letters with the place after each, oldest first, and the place `begin` before them.

    `missed` says that some before them may have been left out. The other fields are as in
    `RefusalsPage`.
    """

    letters: list[tuple[SourceLetter, Cursor]]
    begin: Cursor
    missed: bool
    parked: list[ParkedIn]
    as_of: datetime


async def read_after(redis: Redis, source: str, after: str | None, count: int) -> RefusalsAfter:
    """Return the oldest `count` letters of `source` after a place; raise as `read_newest` does.

    Without a place none are returned, and `begin` is the place after all that is here.
    """
    least = _parsed(after)
    if least is None:
        kept = await _read(redis, source, None, None, 1, newest_first=True)
        return RefusalsAfter([], _end(kept, None), False, kept.parked_in(), kept.as_of())
    kept = await _read(redis, source, least, None, count, newest_first=False)
    found: list[tuple[SourceLetter, Cursor]] = []
    begin = least
    for partition, letters in enumerate(kept.partitions):
        if not letters and kept.left_out(partition) >= least.offsets[partition]:
            begin = begin.at(partition, kept.left_out(partition) + 1)  # so that it is missed once
    place = begin
    for letter, number, offset in islice(_by_time(kept, newest_first=False), count):
        place = place.at(number, offset + 1)
        found.append((letter, place))
    return RefusalsAfter(found, begin, kept.missed(least), kept.parked_in(), kept.as_of())


def _by_time(kept: _Kept, *, newest_first: bool) -> Iterator[tuple[SourceLetter, int, int]]:
    """Yield letters with their partition and offset, by time; within a partition as they are."""
    runs = (
        [(letter, number, offset) for letter, offset in letters]
        for number, letters in enumerate(kept.partitions)
    )
    return heapq.merge(*runs, key=lambda one: (one[0].at, one[1]), reverse=newest_first)


def _end(kept: _Kept, least: Cursor | None) -> Cursor:
    """Return the place after the newest letters, which were read, or after those left out."""

    def end(number: int) -> int:
        cut = int(kept.of_source.get(b"cut:%d" % number, -1))
        newest = max((offset for _, offset in kept.partitions[number]), default=-1)
        return max(cut + 1, newest + 1, least.offsets[number] if least else 0)

    return Cursor(kept.log, tuple(end(number) for number in range(PARTITIONS)))


async def _read(
    redis: Redis,
    source: str,
    least: Cursor | None,
    below: Cursor | None,
    count: int,
    *,
    newest_first: bool,
) -> _Kept:
    async with redis.pipeline(transaction=True) as pipe:
        pipe.get(STATE)
        pipe.hgetall(OF_SOURCE + source)
        pipe.hgetall(CUT)
        pipe.hgetall(PARKED_OF + source)
        for number in range(PARTITIONS):
            key = f"{LETTERS}{source}:{number}"
            first: Any = "-inf" if least is None else least.offsets[number]
            last: Any = "+inf" if below is None else f"({below.offsets[number]}"
            # One more than is wanted says whether there is more.
            if newest_first:
                pipe.zrevrangebyscore(key, last, first, 0, count + 1, withscores=True)
            else:
                pipe.zrangebyscore(key, first, last, 0, count + 1, withscores=True)
        raw, of_source, cut, parked, *partitions = await pipe.execute()
    state = decode_state(raw)
    if state is None or not state.built:
        raise RefusalsUnknown
    since = datetime.fromtimestamp(state.at, UTC) - RETENTION
    letters = [
        [(letter, int(offset)) for text, offset in found if (letter := _decode(text)).at > since]
        for found in partitions
    ]
    kept = _Kept(state, of_source, cut, parked, letters)
    if any(cursor is not None and cursor.log != kept.log for cursor in (least, below)):
        raise CursorInvalid
    return kept


_decode = msgspec.json.Decoder(SourceLetter).decode


def _parsed(text: str | None) -> Cursor | None:
    if text is None:
        return None
    if not CURSOR.fullmatch(text):
        raise CursorInvalid
    log, *offsets = text.split("-")
    return Cursor(log, tuple(map(int, offsets)))
