"""`yuekang up` where it cannot begin: it says why."""

import re
from pathlib import Path

import pytest

from support.up import Up


@pytest.fixture
def up(tmp_path: Path) -> Up:
    """A stack that was never started."""
    return Up(tmp_path)


def test_a_full_disk_is_told_with_what_is_needed(up: Up) -> None:
    done = up.another("--free-mib-min", str(2**40))
    assert done.returncode == 1
    assert re.search(rf"is full: \d+ MiB are free, at least {2**40} are needed", done.stdout)


def test_wrong_settings_are_told_all_at_once(up: Up) -> None:
    done = up.another(YUEKANG_VIEW_PORT="eighty", YUEKANG_TOKEN_PRIVATE_KEY="short")
    assert done.returncode == 2
    assert "YUEKANG_VIEW_PORT" in done.stderr
    assert "YUEKANG_TOKEN_PRIVATE_KEY" in done.stderr


def test_a_kafka_elsewhere_is_refused(up: Up) -> None:
    done = up.another(YUEKANG_KAFKA="kafka.example:9092")
    assert done.returncode == 1
    assert "YUEKANG_KAFKA is kafka.example:9092" in done.stdout
