"""What is on its way to be counted, against a model that keeps every event by itself."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from models.outstanding import BATCHES_MAX, Outstanding, came_back, complete_until, sent_away

START = datetime(2022, 3, 20, tzinfo=UTC)
WAYS = ("case-reports/0", "case-reports/1", "contact-listings/0")


class Exact:
    """Every event that is outstanding, by its way and offset; what leaves first is back first."""

    def __init__(self) -> None:
        self.outstanding: dict[str, list[tuple[int, datetime]]] = {way: [] for way in WAYS}

    def since(self) -> datetime | None:
        return min((at for of in self.outstanding.values() for _, at in of), default=None)


@given(st.lists(st.tuples(st.sampled_from(WAYS), st.booleans(), st.integers(0, 30)), max_size=60))
def test_a_code_is_never_said_to_be_complete_for_longer_than_it_is(
    steps: list[tuple[str, bool, int]],
) -> None:
    """An event may leave long after it arrived, behind others that arrived after it."""
    exact, outstanding = Exact(), tuple[Outstanding, ...]()
    returned = list[tuple[str, int]]()
    for offset, (way, leaves, waited) in enumerate(steps):
        at = START + timedelta(seconds=offset - waited)
        if leaves:
            exact.outstanding[way].append((offset, at))
            outstanding = sent_away(outstanding, way, offset, at)
        elif exact.outstanding[way]:
            back, _ = exact.outstanding[way].pop(0)
            outstanding = came_back(outstanding, way, back)
            returned.append((way, back))
        for way_again, offset_again in returned:  # it is read again, or was held and goes on
            assert came_back(outstanding, way_again, offset_again) == outstanding
        told, so = complete_until(outstanding), exact.since()
        assert (told is None) == (so is None)
        assert told is None or so is None or told <= so
        most = BATCHES_MAX * len(WAYS)
        assert len(outstanding) <= most, "it does not grow with how many are outstanding"
    for way, others in exact.outstanding.items():
        for offset, _ in others:
            outstanding = came_back(outstanding, way, offset)
    assert outstanding == ()


@given(st.integers(1, 20))
def test_who_always_has_something_away_is_old_by_two_rounds_at_most(away: int) -> None:
    """`away` of a person's events are always away, one a second."""
    outstanding = tuple[Outstanding, ...]()
    for offset in range(100):
        at = START + timedelta(seconds=offset)
        outstanding = sent_away(outstanding, WAYS[0], offset, at)
        if offset >= away:
            outstanding = came_back(outstanding, WAYS[0], offset - away)
        until = complete_until(outstanding)
        assert until is None or until > at - timedelta(seconds=2 * away)


def test_a_topic_that_was_made_again_begins_at_its_first_place() -> None:
    for offsets in ([900], [900, 901], [5, 800, 900]):
        outstanding = tuple[Outstanding, ...]()
        for offset in offsets:
            outstanding = sent_away(outstanding, WAYS[0], offset, START)
        outstanding = sent_away(outstanding, WAYS[0], 6, START + timedelta(hours=1))
        assert complete_until(outstanding) == START
        assert came_back(outstanding, WAYS[0], 6) == ()


def test_what_is_lost_on_its_way_is_waited_for_until_the_next_is_back() -> None:
    outstanding = sent_away(sent_away((), WAYS[0], 1, START), WAYS[0], 2, START)
    assert came_back(outstanding, WAYS[0], 2) == ()
