"""What is measured of a correction: when it arrived, and when its green can be read."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from prometheus_client import REGISTRY

from app.corrections import WAITING_MAX, Corrections, quantiles
from app.readmodel import stored
from models.codes import Cause, Colour, HealthCode, Reason, Status, StatusChange

PERSON = "p1-" + "a" * 32
RED, GREEN = Status(Colour.RED, (Reason.CONFIRMED_OR_POSITIVE,)), Status(Colour.GREEN)
NAME = "yuekang_projection_correction_seconds"


class Codes(dict[str, HealthCode]):
    """Stands for Redis."""

    async def codes(self, people: Sequence[str]) -> Sequence[bytes | None]:
        found = map(self.get, people)
        return [code and stored(msgspec.json.encode(code), 0) for code in found]


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


async def test_a_correction_is_measured_until_its_green_can_be_read() -> None:
    corrections, codes, seen = Corrections(), Codes(), Seen()
    codes[PERSON] = code(2, Colour.RED)
    corrections.note(change())
    await corrections.measure(codes)
    assert seen.count == 0, "the code is still on its way"
    codes[PERSON] = code(3)
    await corrections.measure(codes)
    await corrections.measure(codes)
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
async def test_nothing_else_is_measured(other: StatusChange) -> None:
    corrections, codes, seen = Corrections(), Codes({PERSON: code(3)}), Seen()
    corrections.note(other)
    await corrections.measure(codes)
    assert seen.count == 0


async def test_a_green_that_was_never_to_be_seen_is_not_measured() -> None:
    """The next event of the same chunk turned it red again, or the person was forgotten."""
    corrections, codes, seen = Corrections(), Codes(), Seen()
    corrections.note(change())
    codes[PERSON] = code(4, Colour.RED)
    await corrections.measure(codes)
    codes[PERSON] = code(5)
    await corrections.measure(codes)
    corrections.note(change())
    codes.clear()
    await corrections.measure(codes)
    codes[PERSON] = code(6)
    await corrections.measure(codes)
    assert seen.count == 0


async def test_what_a_newer_change_has_overtaken_is_not_waited_for() -> None:
    corrections, codes, seen = Corrections(), Codes({PERSON: code(2, Colour.RED)}), Seen()
    corrections.note(change(3))
    corrections.note(change(4, GREEN, RED, None))
    codes[PERSON] = code(6)
    await corrections.measure(codes)
    assert seen.count == 0


async def test_a_model_that_is_built_anew_measures_what_came_since() -> None:
    corrections, codes, seen = Corrections(), Codes({PERSON: code(3)}), Seen()
    corrections.begin(time.time() - 1)
    corrections.note(change(ago_s=60))
    await corrections.measure(codes)
    assert seen.count == 0
    corrections.note(change(ago_s=0.1))
    await corrections.measure(codes)
    assert seen.count == 1


async def test_what_is_waited_for_is_bounded() -> None:
    corrections, codes, seen = Corrections(), Codes(), Seen()
    people = [f"p1-{number:032}" for number in range(WAITING_MAX + 1)]
    for person in people:
        corrections.note(change(person=person))
    codes.update({person: code(3, person=person) for person in people})
    await corrections.measure(codes)
    assert seen.count == WAITING_MAX


def test_quantiles_are_of_what_was_measured() -> None:
    assert quantiles([3.0]) == [(0.5, 3.0), (0.95, 3.0)]
    assert quantiles(map(float, range(100, 0, -1))) == [(0.5, 50.0), (0.95, 95.0)]
