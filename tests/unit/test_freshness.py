"""How fresh a read model says that it is."""

import pytest

from app.projection.state import Position, oldest

NOW = 1_700_000_000.0


def test_a_position_is_as_fresh_as_the_older_of_log_and_worker() -> None:
    assert Position(7, NOW, NOW - 3).known_until == NOW - 3
    assert Position(7, NOW - 5, NOW).known_until == NOW - 5


def test_all_are_as_fresh_as_the_oldest_and_none_is_if_one_is_unknown() -> None:
    assert oldest([Position(1, NOW, NOW), Position(1, NOW - 9, NOW)]) == NOW - 9
    assert oldest([Position(1, NOW, NOW), Position(1)]) is None


@pytest.mark.xfail(
    reason="A group that has committed nothing counts as having applied everything, so a new one "
    "with a backlog before it says that it is fresh. Mended with freshness.",
    strict=True,
)
def test_of_a_worker_that_has_committed_nothing_nothing_is_known() -> None:
    assert Position(7, NOW, None).known_until is None
