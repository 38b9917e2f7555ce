"""What is measured of a correction: when it arrived, and when its green can be read."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from app.projection import corrections
from app.projection.codes import CodeBatch, CodeWriter, stored
from app.projection.commands import CODES
from app.projection.corrections import MeasuredCodeWriter, is_measured, quantiles
from app.projection.state import Position, State, StateGate
from models.codes import Cause, Colour, HealthCode, Reason, Status, StatusChange

PERSON = "p1-" + "a" * 32
RED, GREEN = Status(Colour.RED, (Reason.CONFIRMED_OR_POSITIVE,)), Status(Colour.GREEN)
NAME = "yuekang_projection_correction_seconds"


def code(version: int, colour: Colour = Colour.GREEN, person: str = PERSON) -> HealthCode:
    return HealthCode(person, version, datetime.now(UTC), colour)


def change(
    version: int = 3,
    before: Status = RED,
    after: Status = GREEN,
    corrects: str | None = "e1",
    ago_s: float = 2.0,
    person: str = PERSON,
) -> StatusChange:
    at = datetime.now(UTC) - timedelta(seconds=ago_s)
    cause = Cause("/laboratories/1", "e2", "yuekang.nat-result.retracted.v1", corrects)
    return StatusChange(person, version, version - 1, at, before, after, cause)


class Seen:
    """What the histogram got since this was made."""

    def __init__(self) -> None:
        self._before = self._now()

    def _now(self) -> tuple[float, float]:
        count, total = (REGISTRY.get_sample_value(NAME + end) for end in ("_count", "_sum"))
        return count or 0.0, total or 0.0

    @property
    def count(self) -> int:
        return int(self._now()[0] - self._before[0])

    @property
    def seconds(self) -> float:
        return self._now()[1] - self._before[1]


class Model:
    """The read model, and what is written to it."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._writer = MeasuredCodeWriter(CodeWriter(redis, StateGate(redis, "test/1", "test")))
        positions: dict[str, tuple[Position, ...]] = {
            topic: (Position(0),) * 4 for topic in CODES.topics
        }
        self._state = self._writer.gate.new_state("server", positions)

    async def begin(self) -> None:
        """Be a model that was built long ago."""
        await self._redis.flushdb()
        await self._writer.gate.load()
        assert await self._writer.gate.begin_again(self._state)
        await self.write()
        await self.restart()

    async def restart(self) -> State | None:
        """Let another writer go on."""
        self._writer = MeasuredCodeWriter(
            CodeWriter(self._redis, StateGate(self._redis, "test/1", "test"))
        )
        return await self._writer.gate.load()

    async def write(self, *items: HealthCode | StatusChange | str, built: bool = True) -> None:
        """Write codes, changes and deletions in one batch, as the projection makes it."""
        batch = CodeBatch()
        for item in items:
            match item:
                case HealthCode():
                    batch.codes.append((item.person, stored(msgspec.json.encode(item), 0)))
                case StatusChange() if is_measured(item):
                    batch.corrections.append(item)
                case str():
                    batch.codes.append((item, None))
        self._state = msgspec.structs.replace(self._state, at=time.time(), built=built)
        assert await self._writer.apply(batch, self._state)


@pytest.fixture
async def model(redis_url: str) -> AsyncIterator[Model]:
    async with Redis.from_url(redis_url.removesuffix("/0") + "/7") as redis:
        found = Model(redis)
        await found.begin()
        yield found


async def test_a_correction_is_measured_until_its_green_can_be_read(model: Model) -> None:
    seen = Seen()
    await model.write(code(2, Colour.RED), change())
    assert seen.count == 0, "the code is still on its way"
    await model.write(code(3))
    await model.write(code(4))
    assert seen.count == 1
    assert 2.0 <= seen.seconds < 10
    recent = REGISTRY.get_sample_value(
        "yuekang_projection_correction_recent_seconds", {"quantile": "0.95"}
    )
    assert recent == pytest.approx(seen.seconds, abs=1e-6)


@pytest.mark.parametrize(
    "other",
    [
        change(corrects=None),
        change(before=GREEN, after=RED),
        change(after=Status(Colour.RED, (Reason.CLOSE_CONTACT,))),
        change(after=Status(Colour.NONE)),
    ],
    ids=["no-correction", "to-red", "still-red", "no-code"],
)
def test_nothing_else_is_measured(other: StatusChange) -> None:
    assert is_measured(change())
    assert not is_measured(other)


async def test_a_green_that_was_never_to_be_seen_is_not_measured(model: Model) -> None:
    """The next event of the same chunk turned it red again, or the person was forgotten."""
    seen = Seen()
    await model.write(code(4, Colour.RED), change())
    await model.write(code(5))
    await model.write(PERSON, change(6))
    await model.write(code(6))
    assert seen.count == 0


async def test_a_model_that_is_built_anew_measures_what_came_since(model: Model) -> None:
    seen = Seen()
    await model.write(built=False)
    await model.restart()
    await model.write(code(3), change(ago_s=60), built=False)
    assert seen.count == 0
    await model.write(code(4), change(4, ago_s=0), built=False)
    assert seen.count == 1


async def test_what_is_waited_for_is_bounded(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corrections, "WAITING_MAX", 3)
    seen, people = Seen(), [f"p1-{number:032}" for number in range(4)]
    before = [code(2, Colour.RED, person) for person in people]
    await model.write(*before, *(change(person=person) for person in people))
    await model.write(*(code(3, person=person) for person in people))
    assert seen.count == 3


def test_quantiles_are_of_what_was_measured() -> None:
    assert quantiles([3.0]) == [(0.5, 3.0), (0.95, 3.0)]
    assert quantiles(map(float, range(100, 0, -1))) == [(0.5, 50.0), (0.95, 95.0)]
