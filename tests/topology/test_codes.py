"""What the worker judges: codes, changes, and reasons that end by time."""

from datetime import timedelta

from app.topics.records import binary
from models.codes import Cause, Colour, Reason
from support import builders as b
from topology.driver import Driver


def test_a_published_event_turns_a_code_red(driver: Driver) -> None:
    positive = b.positive(b.day(2))
    driver.send(b.verified())
    driver.send(positive)
    code = driver.code()
    assert (code.colour, code.reasons, code.city) == (
        Colour.RED,
        (Reason.CONFIRMED_OR_POSITIVE,),
        "440100",
    )
    assert code.version == 3
    [interval] = code.intervals
    assert interval.opened_by.id == positive.id
    changes = driver.changes()
    assert [change.after.colour for change in changes] == [Colour.GREEN, Colour.RED]
    assert changes[-1].cause == Cause(
        positive.source, positive.id, "yuekang.nat-result.reported.v1"
    )


def test_a_positive_of_someone_not_verified_gives_no_code(driver: Driver) -> None:
    driver.send(b.positive(b.day(2)))
    code = driver.code()
    assert (code.colour, code.reasons) == (Colour.NONE, (Reason.CONFIRMED_OR_POSITIVE,))


def test_a_correction_equals_never_having_sent(driver: Driver) -> None:
    positive = b.positive(b.day(2))
    driver.send_all([b.verified(), positive])
    assert (driver.code().version, driver.code().colour) == (3, Colour.RED)
    driver.send(b.retracted(positive, b.day(3)))
    code = driver.code()
    assert (code.colour, code.reasons, code.intervals) == (Colour.GREEN, (), ())
    assert code.version == 4


def test_a_correction_may_come_before_what_it_corrects(driver: Driver) -> None:
    positive = b.positive(b.day(2))
    driver.send_all([b.verified(), b.retracted(positive, b.day(3))])
    driver.send_all([positive, b.negative(b.day(9))])
    assert [change.after.colour for change in driver.changes()] == [Colour.GREEN]


def test_binary_mode_is_read(driver: Driver) -> None:
    driver.send(binary(b.verified()))
    assert driver.code().colour is Colour.GREEN


def test_claims_of_no_effect_are_told(driver: Driver) -> None:
    """A correction of another source's event, and a circle: the events stay, the claims do not."""
    positive = b.positive(b.day(2), source="/laboratories/1", sequence=7)
    other = b.negative(b.day(3), source="/laboratories/2", supersedes=positive.id, sequence=8)
    one = b.provincial("green", b.day(2), id="one", supersedes="two", sequence=1)
    two = b.provincial("green", b.day(3), id="two", supersedes="one", sequence=2)
    driver.send(positive)
    driver.send_all([b.verified(), other, one, two])
    letters = driver.outputs("dead-letters")
    assert [letter.key for letter in letters] == [b.PERSON.encode()] * 2
    assert sorted(letter.reason for letter in letters) == [
        "correction-of-later-event",
        "correction-of-other-source",
    ]
    assert driver.code().reasons == (Reason.CONFIRMED_OR_POSITIVE,)


def test_a_reason_ends_at_its_instant_and_that_is_told_once(driver: Driver) -> None:
    end = driver.now + timedelta(seconds=4)
    driver.send(b.verified())
    driver.send(b.ordered("home", b.day(1), end))
    assert driver.code().colour is Colour.RED
    driver.advance(to=end - timedelta(microseconds=1))
    assert driver.code().colour is Colour.RED
    driver.advance(to=end)
    assert (driver.code().version, driver.code().colour) == (4, Colour.GREEN)
    changes = driver.changes()
    assert [c.after.colour for c in changes] == [Colour.GREEN, Colour.RED, Colour.GREEN]
    assert changes[-1].at == end
    assert changes[-1].cause == Cause()
    driver.advance(by=timedelta(seconds=2))
    assert len(driver.changes()) == 3
