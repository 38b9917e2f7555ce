"""What the workers and the projection have left, against a replay of what they were given.

Shares no code with agents or engine but the layout of a changelog record. app.topics.codec is asked
what is refused, and app.projection.codes how a code lies in Redis. A fault there shows in neither
replay, and is for tests/unit and tests/integration to find. Two replays through `models/`:

- the exact one goes along the changelog, transaction by transaction. Each tells, by the places it
  writes, which input it stands for; so what row, code, changes and dead letters must follow from
  it, and from all before it, is known to the last field. Each is compared, each once.
- the free one folds the input in its order of arrival, as if nothing had ever failed. It must end
  in the same facts and the same code.

An `Audit` is kept from round to round, and reads only what is new.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import TopicPartition

from app.engine.store import DUE, META
from app.process.consumer import LogRecord
from app.topics.openings import way_of
from models.codes import HealthCode, StatusChange, StatusChanged, changed
from models.facts import Fact
from models.person import (
    FoldOutcome,
    Person,
    advance,
    fold,
    fold_back,
    holds,
    send_away,
    unknown,
    whole,
)
from models.rows import decode_page, decode_row, page_key
from oracle.chains import Chains, unlike, versions
from oracle.found import Differences
from oracle.inputs import Backwards, GapsOf, InputQueue, Place, place_of
from oracle.instants import told_ahead, wrong_instants
from oracle.layout import (
    CHANGELOGS,
    INPUTS,
    NUMBERS,
    Transaction,
    arrived,
    decoded,
    mark_in,
    microseconds,
    places_of,
    tables_of,
    topic_ids_of,
)
from oracle.letters import Letters
from oracle.quotas import Quotas, goes_round
from oracle.reading import Reader, newest_rows, uncommitted
from oracle.readmodel import ReadModel
from oracle.replay import unlike_codes
from oracle.sources import Sources
from oracle.stores import compare_rows, compare_store
from support.held import Held, is_page

Input = tuple[str, int]

ASIDE = ("dead-letters", "parked", "held")
NOT_OF_PEOPLE = ("scans", "source-releases", "openings")
OUTPUTS = ("health-codes", "status-changes", *ASIDE)

_decode_code = msgspec.json.Decoder(HealthCode).decode
_decode_change = msgspec.json.Decoder(StatusChanged).decode


class Audit:
    """Reads everything that is committed, and holds it against the replays."""

    def __init__(self, bootstrap: str, redis_url: str, gaps_of: GapsOf = lambda *_: ()) -> None:
        self._gaps_of = gaps_of
        self._bootstrap = bootstrap
        self.redis = ReadModel(redis_url)
        self._reader = Reader(bootstrap, (*INPUTS, *CHANGELOGS.values(), *OUTPUTS))
        self._read: dict[tuple[str, int], deque[LogRecord]] = defaultdict(deque)
        self._queued = {
            (table, topic, number): InputQueue(table, topic, number)
            for topic in INPUTS
            for table in tables_of(topic)
            for number in NUMBERS
        }
        self._arrived: list[LogRecord] = []
        self.found = Differences()
        self.last: dict[Input, int] = {}
        """The last offset of each input partition that holds a record."""
        self._aside = set[Place]()
        """Records that fold into no row: refused, put aside, forwarded or gone."""
        self._gone = set[Place]()
        self.rows: dict[int, dict[bytes, bytes]] = {number: {} for number in NUMBERS}
        """The changelog's newest rows, as they are stored."""
        self.meta: dict[tuple[str, int], dict[bytes, bytes]] = defaultdict(dict)
        self.changelog_last: dict[tuple[str, int], int] = {}
        self._free: dict[bytes, Held] = {}
        self._turned: dict[bytes, tuple[Fact, ...]] = {}
        self.pages = 0
        self._touched: set[bytes] = set()
        self._chains = Chains()
        self._expected: dict[str, dict[bytes, deque[Any]]] = {
            topic: defaultdict(deque) for topic in ("health-codes", "status-changes")
        }
        self._actual: dict[str, dict[bytes, deque[Any]]] = {
            topic: defaultdict(deque) for topic in ("health-codes", "status-changes")
        }
        self.letters = Letters()
        self._sources = Sources(self.letters)
        self._quotas = Quotas(self.letters)
        self.records = 0
        self.told = 0
        self.by_time = 0
        """Transactions that time brought about."""
        self.gone = 0
        """Records that were deleted before they were applied."""
        self.passed_over: list[Place] = []
        """Those that were passed over in a log that goes on; a worker must say so."""

    async def close(self) -> None:
        """Let go of Kafka and Redis."""
        await self._reader.drop()
        await self.redis.close()

    # Reading

    async def read(self) -> None:
        """Read what was committed until now; raise `KafkaError` where that cannot be had."""
        await self._reader.read_on(self._take)
        self._replay()

    def _take(self, tp: TopicPartition, records: Sequence[LogRecord]) -> None:
        if tp.topic in INPUTS:
            for table in tables_of(tp.topic):
                self._queued[table, tp.topic, tp.partition].take(records)
            self._arrived.extend(records)
            self.last[tp.topic, tp.partition] = records[-1].offset
            self.records += len(records)
            for record in records:
                self.letters.take_input(record)
        elif tp.topic in ASIDE:
            for record in records:
                self.letters.take(record)
        elif tp.topic in OUTPUTS:
            for record in records:
                self._take_told(tp, record)
        else:
            self._read[tp.topic, tp.partition].extend(records)

    def _take_told(self, tp: TopicPartition, record: LogRecord) -> None:
        key, value = record.key, record.value or b""
        assert key is not None
        if tp.topic == "health-codes":
            self._actual[tp.topic][key].append(_decode_code(value))
            self.redis.take_code(key, value, tp.partition)
            return
        self.told += 1
        change = _decode_change(value)
        for what in told_ahead(record, change):
            self.found.add("instants", what)
        self._actual[tp.topic][key].append(change)
        self._chains.take(key, change, self.found)
        self.redis.take_change(change)

    # What is lost on purpose

    async def made_again(self, topic: str, topic_id: str) -> None:
        """An input was deleted, when all of it had been read here, and made again with this id."""
        await self._reader.begin_again(topic)
        for number in NUMBERS:
            self.last.pop((topic, number), None)
            for queue in self._queues(topic, number):
                queue.made_again(topic_id)

    def cut_before(self, topic: str, number: int, offset: int) -> None:
        """Records of an input before `offset` were deleted, when they had been read here."""
        for queue in self._queues(topic, number):
            queue.cut_before(offset)

    def unapplied_of(self, topic: str) -> dict[int, list[int]]:
        """Return the offsets of an input that are not applied yet, by partition."""
        return {
            number: sorted({r.offset for queue in self._queues(topic, number) for r in queue.left})
            for number in NUMBERS
        }

    def _queues(self, topic: str, number: int) -> list[InputQueue]:
        return [self._queued[table, topic, number] for table in tables_of(topic)]

    def _note_gone(self, records: Iterable[LogRecord]) -> None:
        for record in records:
            self.gone += 1
            self._gone.add(place_of(record))
            self._aside.add(place_of(record))

    # The exact replay

    def _replay(self) -> None:
        for table, changelog in CHANGELOGS.items():
            for number in NUMBERS:
                for transaction in self._transactions(table, changelog, number):
                    self._apply(transaction)

    def _transactions(self, table: str, changelog: str, number: int) -> Iterator[Transaction]:
        """Yield the transactions that were read whole, and whose input was read."""
        queue = self._read[changelog, number]
        position = self._reader.positions[TopicPartition(changelog, number)]
        while queue:
            records = [queue[0]]
            for record in islice(queue, 1, None):
                if record.offset != records[-1].offset + 1:
                    break
                records.append(record)
            if len(records) == len(queue) and position <= records[-1].offset + 1:
                return  # its end is not read yet
            transaction = Transaction(table, number, records)
            ids = topic_ids_of(transaction)
            if not all(
                self._queued[table, topic, number].was_read(offset, ids.get(topic))
                for topic, offset in places_of(transaction)
            ):
                return  # its input is not read yet
            for _ in records:
                queue.popleft()
            yield transaction

    def _apply(self, transaction: Transaction) -> None:
        number = transaction.number
        rows = {r.key: r.value for r in transaction.records if not (r.key or b"").startswith(META)}
        places = list(places_of(transaction))
        paged = [key for key in rows if transaction.table == "people" and is_page(key or b"")]
        pages = {key: rows.pop(key) for key in paged}
        work: dict[bytes, Person] = {}
        before: dict[bytes, Person | None] = {}
        self._turned = {}
        if places:
            ids = topic_ids_of(transaction)
            for topic, reached in places:
                for record in self._input_until(
                    transaction.table, topic, number, reached, ids.get(topic)
                ):
                    self._fold(transaction.table, record, work, before)
        else:
            self.by_time += 1
            for key, value in rows.items():
                self._advance(number, key or b"", value, work, before)
        if transaction.table == "quotas":
            self._quotas.compare(number, rows, transaction.records, self.found)
            rows = {}
        self._compare_pages(number, pages)
        for key, row in rows.items():
            self._compare(number, key or b"", row, work.pop(key or b"", None), before)
        for key, person in work.items():
            if person != before[key]:
                self.found.add("rows", f"{key!r}: a change that is not in its transaction")
        for record in transaction.records:
            if (record.key or b"").startswith(META):
                self._take_meta(transaction.table, number, record.key or b"", record.value)
        meta = self.meta[transaction.table, number]
        self._sources.compare(transaction.table, number, meta, self.found)
        self.changelog_last[transaction.table, number] = transaction.records[-1].offset

    def _compare_pages(self, number: int, pages: Mapping[bytes | None, bytes | None]) -> None:
        """Compare the pages of histories in a transaction with the replay's."""
        for key in pages.keys() | self._turned.keys():
            value = pages.get(key) or b""
            found = decode_page(value[DUE.size :]) if value else None
            if found != self._turned.get(key or b""):
                self.found.add("pages", f"{key!r}: not what left the row")
            self.rows[number][key or b""] = value
            self.pages += 1
        self._turned = {}

    def _page(self, number: int, person: str, page: int) -> tuple[Fact, ...]:
        key = page_key(person, page)
        if key in self._turned:
            return self._turned[key]
        return decode_page(self.rows[number][key][DUE.size :])

    def _take_meta(self, table: str, number: int, key: bytes, value: bytes | None) -> None:
        if value is None:
            self.meta[table, number].pop(key, None)
        else:
            self.meta[table, number][key] = value

    def _input_until(
        self, table: str, topic: str, number: int, reached: int, topic_id: str | None
    ) -> list[LogRecord]:
        queue = self._queued[table, topic, number]
        try:
            applied, left, passed_over = queue.apply(reached, topic_id, self._gaps_of)
        except Backwards as error:
            self.found.add("places", f"{topic}[{number}]: {error}")
            return []
        self._note_gone([*left, *passed_over])
        self.passed_over += map(place_of, passed_over)
        return applied

    def _fold(
        self,
        table: str,
        record: LogRecord,
        work: dict[bytes, Person],
        before: dict[bytes, Person | None],
    ) -> None:
        if record.topic == "source-releases":
            self._sources.release(table, record)
            return
        if record.topic == "openings":
            self._quotas.take(record)
            return
        place = record.topic, record.partition, record.offset
        event: Any = None
        mark = mark_in(record)
        if mark is not None and record.value is None:
            self._aside.add(place_of(record))  # it is held: nothing to fold
        else:
            event, refusal = decoded(record)
            if not self._sources.goes_on(record, event, refusal, self.found):
                self._aside.add(place_of(record))
                return
            if record.topic == "scans":
                return
        key, arrived_at = record.key or b"", arrived(record)
        known = self._row(record.partition, key, work, before)
        row = known or unknown(key.decode(), arrived_at)
        pages = partial(self._page, record.partition, key.decode())
        if mark is not None and mark.offset is not None:
            place = record.topic, record.partition, mark.offset
            outcome = fold_back(row, mark.way, mark.offset, event, arrived_at, pages)
        elif mark is None and goes_round(record, event) and not holds(row, event):
            self._quotas.sent(record)
            way = way_of(record, event.source)
            outcome = FoldOutcome(send_away(row, way, record.offset, arrived_at))
        else:
            outcome = fold(row, event, arrived_at, pages)
        for page, facts in outcome.pages.items():
            self._turned[page_key(key.decode(), page)] = facts
        self.letters.expect_notices(outcome.notices, place)
        self._expect_changes(key, known, outcome.changes, arrived_at)
        told = outcome.changes or outcome.notices
        if told or (outcome.person.facts, outcome.person.outstanding) != (
            row.facts,
            row.outstanding,
        ):
            work[key] = outcome.person  # else it came twice, and what nobody was told may stay

    def _advance(
        self,
        number: int,
        key: bytes,
        value: bytes | None,
        work: dict[bytes, Person],
        before: dict[bytes, Person | None],
    ) -> None:
        row = self._row(number, key, work, before)
        if row is None or value is None:
            self.found.add("rows", f"{key!r}: time changed a row that is not there")
            return
        outcome = advance(row, decode_row(value[DUE.size :]).judged_at)
        self.letters.expect_notices(outcome.notices, None)
        self._expect_changes(key, row, outcome.changes, None)
        work[key] = outcome.person

    def _expect_changes(
        self,
        key: bytes,
        row: Person | None,
        changes: Sequence[StatusChange],
        arrived_at: datetime | None,
    ) -> None:
        for what in wrong_instants(row, changes, arrived_at):
            self.found.add("instants", f"{key!r}: {what}")
        self._expected["status-changes"][key].extend(changed(c) for c in changes)

    def _row(
        self,
        number: int,
        key: bytes,
        work: dict[bytes, Person],
        before: dict[bytes, Person | None],
    ) -> Person | None:
        if key in work:
            return work[key]
        if key not in before:
            raw = self.rows[number].get(key)
            before[key] = None if raw is None else decode_row(raw[DUE.size :])
        return before[key]

    def _compare(
        self,
        number: int,
        key: bytes,
        value: bytes | None,
        expected: Person | None,
        before: Mapping[bytes, Person | None],
    ) -> None:
        """Compare a row of the changelog with the replay's, and go on from the changelog's."""
        self._touched.add(key)
        if value is None:
            self.found.add("rows", f"{key!r}: deleted")
            self.rows[number].pop(key, None)
            return
        [due] = DUE.unpack_from(value)
        row = decode_row(value[DUE.size :])
        if expected is None:
            self.found.add("rows", f"{key!r}: written without a cause")
        elif row != expected:
            self.found.add("rows", f"{key!r}: {unlike(row, expected)}")
        if due != microseconds(row.due_at):
            self.found.add("due", f"{key!r}: due at {due}, not {microseconds(row.due_at)}")
        old = before.get(key)
        if row.code.version != (old.code.version if old else 0):
            self._expected["health-codes"][key].append(row.code)
        self.rows[number][key] = value

    # What must be, once all is applied

    def unapplied(self) -> int:
        """Return how many input records no transaction stands for yet, in each table they go to."""
        return sum(len(queue.left) for queue in self._queued.values())

    def due(self, until: datetime) -> int:
        """Return how many rows are due at `until` and not judged since."""
        at = microseconds(until)
        return sum(
            0 < DUE.unpack_from(row)[0] <= at
            for rows in self.rows.values()
            for row in rows.values()
        )

    async def uncommitted(self) -> list[str]:
        """Name the input partitions whose end the group has not committed."""
        return await uncommitted(self._bootstrap, self.last)

    def compare(self, poison: Mapping[Place, str]) -> None:
        """Compare all that was told since the last time with the replays.

        `poison` is what whoever sent it knows to be refused, and why.
        """
        for topic, expected in self._expected.items():
            actual = self._actual[topic]
            for key in expected.keys() | actual.keys():
                if (due := list(expected[key])) != (was := list(actual[key])):
                    self.found.add(topic, f"{key!r}: {versions(due)}, not {versions(was)}")
            expected.clear()
            actual.clear()
        for queue in self._queued.values():
            self._note_gone(queue.forget())
        self.letters.compare(self.found, poison, self._gone)
        for (changelog, number), unread in self._read.items():
            if unread:
                self.found.add(
                    "places", f"{changelog}[{number}]: {len(unread)} records unaccounted"
                )
        self.redis.turn()
        self._compare_free()

    def quiet(self) -> bool:
        """Say whether what was told is all that must be; a moment ago it may not have been."""
        return (
            all(self._expected[topic] == self._actual[topic] for topic in self._expected)
            and self.letters.all_found()
        )

    def _compare_free(self) -> None:
        """Fold what arrived in its order of arrival, and compare where it ends."""
        for record in sorted(self._arrived, key=lambda r: (r.timestamp, r.topic, r.offset)):
            if record.topic in NOT_OF_PEOPLE or place_of(record) in self._aside:
                continue
            event, refusal = decoded(record)
            if refusal is not None or goes_round(record, event):
                continue
            key, arrived_at = event.partitionkey.encode(), arrived(record)
            free = self._free.setdefault(key, Held(event.partitionkey, arrived_at))
            free.fold(event, arrived_at)
            self._touched.add(key)
        self._arrived = []
        self._aside.clear()
        self._gone.clear()
        for key in self._touched:
            self._compare_end(key)
        self._touched = set()

    def _compare_end(self, key: bytes) -> None:
        number = next((number for number, rows in self.rows.items() if key in rows), None)
        if number is not None and key not in self._free:
            row = decode_row(self.rows[number][key][DUE.size :])
            if not row.facts:
                return  # all that was said of them is held
        if number is None or key not in self._free:
            self.found.add("replay", f"{key!r}: {'missing' if number is None else 'invented'}")
            return
        row, free = decode_row(self.rows[number][key][DUE.size :]), self._free[key].row
        held = whole(row, partial(self._page, number, row.code.person))
        to = max(row.judged_at, free.judged_at)
        one, other = advance(row, to).person, advance(free, to).person
        replayed = self._free[key].whole()
        if held.events != replayed.events:
            self.found.add("replay", f"{key!r}: the facts differ")
        elif said := unlike_codes(
            msgspec.structs.replace(held, code=one.code, judged_at=one.judged_at),
            msgspec.structs.replace(replayed, code=other.code, judged_at=other.judged_at),
        ):
            self.found.add("replay", f"{key!r}: {said}")
        self._chains.compare(key, row.code, self.found)

    async def redis_behind(self) -> str:
        """Say what of the log Redis has not got yet; nothing if it has all."""
        return await self.redis.behind(self._reader.positions)

    async def compare_fresh(self) -> None:
        """Compare the newest rows with what a reader finds who begins at the changelog's start."""
        changelog = CHANGELOGS["people"]
        places = [TopicPartition(changelog, number) for number in NUMBERS]
        ends = {tp: self._reader.positions[tp] for tp in places}
        for tp, fresh in (await newest_rows(self._bootstrap, ends)).items():
            kept = {**self.rows[tp.partition], **self.meta["people", tp.partition]}
            compare_rows(self.found, "changelog", f"people[{tp.partition}]", kept, fresh)

    def compare_store(self, directory: Path, table: str, number: int) -> None:
        """Compare a store, which its worker may hold open, with the changelog's newest rows."""
        rows = {"people": self.rows, "quotas": self._quotas.rows}.get(table, {}).get(number, {})
        last = self.changelog_last.get((table, number), -1)
        where = f"{table}[{number}]"
        path = directory / table / str(number)
        compare_store(self.found, where, path, rows, self.meta[table, number], last)
