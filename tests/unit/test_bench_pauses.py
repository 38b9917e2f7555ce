"""How long a partition stood still, by its commits and by who was seen to hold it."""

import pytest

from bench.pauses import Pause, Seen, longest_pause


@pytest.mark.parametrize(
    ("commits", "longest"),
    [
        ([9.9, 10.0, 10.5, 12.0, 19.9], 7.9),
        ([8.0, 11.0, 12.0, 19.9, 20.5], 7.9),
        ([3.0, 13.0, 14.0, 19.0], 10.0),
        ([9.9, 10.1, 11.0], 9.0),
        ([9.5], 10.5),
        ([], 10.0),
        ([19.0, 19.5, 40.0], 9.0),
    ],
    ids=["within", "the same", "begun before", "not over", "one alone", "none", "begun without"],
)
def test_the_longest_time_without_a_commit_touches_the_act(
    commits: list[float], longest: float
) -> None:
    assert longest_pause(commits, 10.0, 20.0) == pytest.approx(longest)


def test_a_partition_stays_with_the_one_process_that_holds_it_all_the_time() -> None:
    seen = Seen(4)
    seen.commits = [[9.0, 11.0, 20.0], [9.0, 20.0], [9.0, 20.0], [9.0]]
    seen.holders = [
        *((at, 0, 101) for at in (5.0, 9.5, 12.0, 19.0)),
        (9.5, 1, 102),  # ends as the act begins
        (19.0, 1, 101),
        (5.0, 2, 103),  # had it long before
        (9.5, 2, 102),
        (12.0, 2, 102),
        (19.0, 2, 102),
        (9.5, 3, 102),  # is killed, and nobody takes it
    ]
    found = seen.pauses(10.0, 20.0)
    assert found == [Pause(0, 9.0, 1), Pause(1, 11.0, 2), Pause(2, 11.0, 1), Pause(3, 11.0, 2)]
    assert [pause.stayed for pause in found] == [True, False, True, False]
