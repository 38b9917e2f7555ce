"""What Redis must hold, of what the workers told."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiokafka import TopicPartition
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.projection.codes import CHANGES, CHANGES_KEPT, CODE, COUNTS, HELD_IN, stored
from app.projection.state import read_state
from app.projection.trends import MINUTE
from models.codes import Colour, StatusChanged
from oracle.found import Differences
from support.changes import public

_encode_public = msgspec.json.Encoder().encode


class ReadModel:
    """Codes, counts, changes and minutes, as they follow from what was told."""

    def __init__(self, redis_url: str) -> None:
        self._redis: Redis = Redis.from_url(redis_url, socket_timeout=10)
        self._codes: dict[bytes, bytes] = {}
        self._touched: set[bytes] = set()
        self._changing: set[bytes] = set()
        self._changes: Counter[bytes] = Counter()
        self._changes_count = 0
        self._minutes: Counter[tuple[int, str]] = Counter()

    async def close(self) -> None:
        """Let go of Redis."""
        await self._redis.aclose()

    def take_code(self, key: bytes, value: bytes, number: int) -> None:
        """Note a code that was told."""
        self._codes[key] = stored(value, number)
        self._changing.add(key)

    def take_change(self, change: StatusChanged) -> None:
        """Note a change that was told."""
        told = public(change.data)
        self._changes[_encode_public(told)] += 1
        self._changes_count += 1
        turned = told.after.colour if told.after.colour != told.before.colour else "same"
        self._minutes[int(told.at.timestamp() // 60), str(turned)] += 1

    def turn(self) -> None:
        """Begin to note again which codes change."""
        self._touched, self._changing = self._changing, set()

    async def behind(self, ends: Mapping[TopicPartition, int]) -> str:
        """Say what of the log Redis has not got yet; nothing if it has all."""
        try:
            state = await read_state(self._redis)
        except (RedisError, OSError) as error:
            return f"Redis: {error}"
        if state is None or not state.built:
            return "there is no read model yet"
        for topic, positions in state.positions.items():
            for number, position in enumerate(positions):
                end = ends[TopicPartition(topic, number)]
                if position.offset < end:
                    return f"{topic}[{number}]: {position.offset} of {end}"
        return ""

    async def compare(self, found: Differences, whole: bool) -> None:
        """Compare the read model: codes (`whole`: of all people, else of those whose code
        changed since the `turn` before the last), counts, changes, minutes."""
        keys = list(self._codes) if whole else list(self._touched | self._changing)
        for begin in range(0, len(keys), 500):
            part = keys[begin : begin + 500]
            values: Any = await self._redis.mget([CODE + k.decode() for k in part])
            for key, value in zip(part, values, strict=True):
                if value != self._codes[key]:
                    found.add("redis codes", f"{key!r}: {_heads(value, self._codes[key])}")
        if whole:
            there = 0
            async for _ in self._redis.scan_iter(match=f"{CODE}*", count=2_000):
                there += 1
            if there != len(self._codes):
                found.add("redis codes", f"{there} codes, not {len(self._codes)}")
        counted: Any = await self._redis.hgetall(COUNTS)
        of_people = {k.decode(): int(n) for k, n in counted.items()}
        counts = {k: n for k, n in of_people.items() if not k.startswith(HELD_IN)}
        if counts != self._counts():
            found.add("redis counts", f"{counts}, not {self._counts()}")
        await self._compare_changes(found)

    async def _compare_changes(self, found: Differences) -> None:
        state = await read_state(self._redis)
        if state is None or state.changes != self._changes_count:
            number = None if state is None else state.changes
            found.add("redis changes", f"number {number}, not {self._changes_count}")
        entries: Any = await self._redis.xrange(CHANGES)
        numbers = [int(number.split(b"-")[0]) for number, _ in entries]
        kept = min(CHANGES_KEPT, self._changes_count)
        if numbers != list(range(self._changes_count - kept + 1, self._changes_count + 1)):
            found.add("redis changes", f"{len(numbers)} numbered otherwise than 1 to the end")
        there = Counter(fields[b"c"] for _, fields in entries)
        if there - self._changes or (kept == self._changes_count and there != self._changes):
            found.add("redis changes", "not the changes that were told")
        now = int(datetime.now(UTC).timestamp() // 60)
        turns = {"same", *(colour.value for colour in Colour)}
        for minute in range(now - 50, now + 1):
            expected = {field: n for (at, field), n in self._minutes.items() if at == minute}
            raw: Any = await self._redis.hgetall(f"{MINUTE}{minute}")
            # By colour alone; what trends_of adds to that, its unit tests look at.
            there_now = {k.decode(): int(n) for k, n in raw.items() if k.decode() in turns}
            if there_now != expected:
                found.add("redis minutes", f"{minute}: {there_now}, not {expected}")

    def _counts(self) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for code in self._codes.values():
            _, _, colour, reasons, city = code[: code.index(b"\n")].decode().split()
            counts[colour] += 1
            if city != "-":
                counts[f"city:{city}:{colour}"] += 1
            if colour == "red":
                counts.update(f"reason:{rank}" for rank in reasons if rank.isdigit())
        return dict(counts)


def _heads(value: bytes | None, expected: bytes) -> str:
    heads = [None if v is None else v.split(b"\n", 1)[0] for v in (value, expected)]
    return f"{heads[0]!r}, not {heads[1]!r}"
