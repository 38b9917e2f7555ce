"""What a benchmark keeps of the machine, and of how it was called."""

import pytest

from bench.machine import kept_command, pace_text


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ([], "python -m bench"),
        (["latency", "--rounds", "3"], "python -m bench latency --rounds 3"),
        (["latency", "--out", "/a/folder", "--rounds", "3"], "python -m bench latency --rounds 3"),
        (["--out=/a/folder", "scale"], "python -m bench scale"),
        (["scale", "--out"], "python -m bench scale"),
    ],
)
def test_where_a_report_goes_is_not_kept(arguments: list[str], kept: str) -> None:
    assert kept_command("bench", arguments) == kept


def test_a_part_of_before_has_no_pace() -> None:
    assert pace_text([62.5, 88.4]) == "62, 88"
    assert pace_text([]) == "not measured"
