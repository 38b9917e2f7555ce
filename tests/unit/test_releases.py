"""When new public figures are told: once a quarter of an hour at most, after five changes."""

from datetime import datetime

from app.view.figures import CITIES_SHOWN, GROUP, published
from app.view.reading import Counts
from app.view.releases import FigureRelease, next_release
from models.codes import Colour
from models.policy import ZONE

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=ZONE)
QUARTER = 1_000


def counts(changes: int, red: int = 0, epoch: str = "e1") -> Counts:
    return Counts(NOON, {Colour.RED: red}, {}, {}, [], epoch, changes)


def first(changes: int) -> FigureRelease:
    return next_release(None, counts(changes), CITIES_SHOWN, QUARTER)


def test_the_first_release_tells_what_is_counted() -> None:
    told = first(7)
    assert told.figures == published(counts(7), CITIES_SHOWN)
    assert (told.quarter, told.epoch, told.changes) == (QUARTER, "e1", 7)


def test_a_release_after_few_changes_is_the_one_before() -> None:
    before = first(7)
    after = next_release(before, counts(7 + GROUP - 1, red=900), CITIES_SHOWN, QUARTER + 1)
    assert after.figures == before.figures
    assert after.quarter == QUARTER + 1


def test_changes_of_several_quarters_add_up() -> None:
    told = first(7)
    for quarter in range(1, GROUP):
        told = next_release(told, counts(7 + quarter, red=900), CITIES_SHOWN, QUARTER + quarter)
        assert told.figures == first(7).figures
    enough = counts(7 + GROUP, red=900)
    told = next_release(told, enough, CITIES_SHOWN, QUARTER + GROUP)
    assert told.figures == published(enough, CITIES_SHOWN)
    assert told.changes == 7 + GROUP


def test_changes_of_a_model_that_was_built_again_are_not_compared() -> None:
    again = counts(8, red=900, epoch="e2")
    told = next_release(first(7), again, CITIES_SHOWN, QUARTER + 1)
    assert told.figures == published(again, CITIES_SHOWN)
