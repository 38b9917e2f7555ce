"""What the oracle knows of records that are deleted, and of the instants at which changes hold."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from app.process.consumer import LogRecord
from models.codes import (
    NO_CODE,
    Cause,
    Colour,
    EventRef,
    HealthCode,
    Interval,
    Reason,
    Status,
    StatusChange,
    changed,
)
from models.person import Person
from oracle.inputs import Backwards, InputQueue
from oracle.instants import told_ahead, wrong_instants
from support.records import record

AT = datetime(2026, 11, 28, 8, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def records(*offsets: int) -> list[LogRecord]:
    return [record(b"v", AT, offset, "scans", b"k") for offset in offsets]


def offsets(found: Sequence[LogRecord]) -> list[int]:
    return [each.offset for each in found]


def no_gaps(*_: object) -> tuple[tuple[int, int], ...]:
    return ()


def test_what_was_deleted_and_passed_over_is_gone_and_the_rest_applied() -> None:
    queue = InputQueue("scans", "scans", 0)
    queue.take(records(*range(10)))
    queue.cut_before(6)
    applied, left, passed_over = queue.apply(7, None, lambda *_: [(2, 5)])
    assert offsets(applied) == [0, 1, 6, 7]
    assert left == []
    assert offsets(passed_over) == [2, 3, 4, 5]
    assert offsets(queue.left) == [8, 9]


def test_what_was_passed_over_and_not_deleted_is_to_be_applied() -> None:
    queue = InputQueue("scans", "scans", 0)
    queue.take(records(*range(6)))
    assert offsets(queue.apply(3, None, lambda *_: [(1, 2)]).records) == [0, 1, 2, 3]
    queue.cut_before(5)
    assert offsets(queue.apply(5, None, lambda *_: [(5, 5)]).records) == [4, 5]


def test_a_topic_that_is_made_again_begins_at_0() -> None:
    queue = InputQueue("scans", "scans", 0)
    queue.take(records(0, 1, 2))
    queue.apply(1, "one", no_gaps)
    queue.made_again("two")
    queue.take(records(0, 1))
    assert offsets(queue.left) == [0, 1], "nobody reads what is left of the old one"
    assert queue.was_read(2, "one")
    assert not queue.was_read(2, "two")
    applied, left, passed_over = queue.apply(-1, "two", no_gaps)
    assert (applied, offsets(left), passed_over) == ([], [2], [])
    assert offsets(queue.apply(1, None, no_gaps).records) == [0, 1]


def test_a_place_that_goes_back_is_a_difference() -> None:
    queue = InputQueue("scans", "scans", 0)
    queue.take(records(0, 1, 2))
    queue.apply(2, None, no_gaps)
    with pytest.raises(Backwards, match="from 2 back to -1"):
        queue.apply(-1, None, no_gaps)


END = AT + 10 * SECOND
RED = Status(Colour.RED, (Reason.HOME_QUARANTINE,))
GREEN = Status(Colour.GREEN, ())
ORDERED = EventRef("/quarantine-commands/1", "q1")
ROW = Person(
    HealthCode(
        "p1-x",
        1,
        AT,
        verified_since=AT - SECOND,
        intervals=(Interval(Reason.HOME_QUARANTINE, AT - SECOND, ORDERED, "v1", END),),
    ),
    AT,
)
BY_TIME = Cause()
BY_EVENT = Cause("/laboratories/1", "r1", "type")


def change(at: datetime, cause: Cause = BY_TIME) -> StatusChange:
    return StatusChange("p1-x", 2, 1, at, RED, GREEN, cause)


@pytest.mark.parametrize(
    ("row", "found", "arrived_at", "wrong"),
    [
        (ROW, change(END), None, ""),
        (ROW, change(END), END + SECOND, ""),
        (ROW, change(END + SECOND), None, "when time changed nothing"),
        (ROW, change(AT - SECOND), None, "and that was judged before"),
        (ROW, change(END), AT, "after the event"),
        (ROW, change(AT + SECOND, BY_EVENT), AT + SECOND, ""),
        (ROW, change(AT, BY_EVENT), AT - SECOND, ""),
        (ROW, change(AT + SECOND, BY_EVENT), AT, "not from"),
        (ROW, change(AT, BY_EVENT), AT + SECOND, "not from"),
        (None, change(AT, BY_EVENT), AT, ""),
        (None, change(AT), AT, "when time changed nothing"),
        (ROW, change(AT, BY_EVENT), None, "when none came"),
    ],
)
def test_a_change_holds_from_when_it_came_about(
    row: Person | None, found: StatusChange, arrived_at: datetime | None, wrong: str
) -> None:
    told = list(wrong_instants(row, [found], arrived_at))
    assert len(told) == bool(wrong)
    assert all(wrong in each for each in told)


@pytest.mark.parametrize(("seconds", "told"), [(-60, 0), (0, 0), (30, 0), (32, 1)])
def test_a_change_is_not_told_ahead_of_its_time(seconds: int, told: int) -> None:
    status = changed(StatusChange("p1-x", 1, 0, AT + seconds * SECOND, NO_CODE, GREEN, BY_EVENT))
    assert len(list(told_ahead(record(b"v", AT, 0, "status-changes", b"k"), status))) == told
