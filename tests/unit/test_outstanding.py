"""What is on its way to be counted, against a model that keeps every event by itself."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from models.outstanding import Outstanding, came_back, complete_until, sent_away

START = datetime(2022, 3, 20, tzinfo=UTC)
WAYS = ("case-reports/0", "case-reports/1", "contact-listings/0")


class Exact:
    """Every event that is outstanding, by its way and offset; what leaves first is back first."""

    def __init__(self) -> None:
        self.outstanding: dict[str, list[tuple[int, datetime]]] = {way: [] for way in WAYS}

    def since(self) -> datetime | None:
        return min((at for of in self.outstanding.values() for _, at in of), default=None)


@given(st.lists(st.tuples(st.sampled_from(WAYS), st.booleans()), max_size=60))
def test_a_code_is_never_said_to_be_complete_for_longer_than_it_is(
    steps: list[tuple[str, bool]],
) -> None:
    exact, outstanding = Exact(), tuple[Outstanding, ...]()
    returned = list[tuple[str, int, datetime]]()
    for offset, (way, leaves) in enumerate(steps):
        at = START + timedelta(seconds=offset)
        if leaves:
            exact.outstanding[way].append((offset, at))
            outstanding = sent_away(outstanding, way, offset, at)
        elif exact.outstanding[way]:
            back, since = exact.outstanding[way].pop(0)
            outstanding = came_back(outstanding, way, back, since)
            returned.append((way, back, since))
        for way_again, offset_again, _ in returned:  # it is read again, or was held and goes on
            assert came_back(outstanding, way_again, offset_again, at) == outstanding
        told, so = complete_until(outstanding), exact.since()
        assert (told is None) == (so is None)
        assert told is None or so is None or told <= so
        assert len(outstanding) <= len(WAYS), "it does not grow with how many are outstanding"
    for way, others in exact.outstanding.items():
        for offset, at in others:
            outstanding = came_back(outstanding, way, offset, at)
    assert outstanding == ()


def test_who_always_has_something_away_is_not_old_for_ever() -> None:
    outstanding = tuple[Outstanding, ...]()
    for offset in range(100):
        at = START + timedelta(seconds=offset)
        outstanding = sent_away(outstanding, WAYS[0], offset, at)
        if offset:
            outstanding = came_back(outstanding, WAYS[0], offset - 1, at - timedelta(seconds=1))
    assert complete_until(outstanding) == START + timedelta(seconds=98)


def test_a_topic_that_was_made_again_begins_at_its_first_offset() -> None:
    outstanding = sent_away((), WAYS[0], 900, START)
    outstanding = sent_away(outstanding, WAYS[0], 3, START + timedelta(hours=1))
    assert complete_until(outstanding) == START
    assert came_back(outstanding, WAYS[0], 3, START + timedelta(hours=1)) == ()
