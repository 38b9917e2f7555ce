"""Which member of its group a worker is: one of its folder, and of what it reads."""

from pathlib import Path

import pytest

from app.engine import membership
from app.engine.membership import JOINS_MAX, JOINS_SECONDS, MEMBER, Joins, instance_id


def started_again(directory: Path, *topics: str) -> str:
    """Return the id that another process would get."""
    membership._own.cache_clear()
    return instance_id(directory, topics)


@pytest.fixture(autouse=True)
def without_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock is held until its process ends."""
    monkeypatch.setattr("fcntl.flock", lambda *_: None)


def test_a_folder_has_one_id_and_another_folder_another(tmp_path: Path) -> None:
    mine = started_again(tmp_path / "a", "one", "two")
    assert started_again(tmp_path / "a", "two", "one") == mine
    assert started_again(tmp_path / "b", "one", "two") != mine


def test_a_worker_that_reads_another_topic_is_another_member(tmp_path: Path) -> None:
    assert started_again(tmp_path, "one") != started_again(tmp_path, "one", "two")


@pytest.mark.parametrize("torn", ["", "0123", "g" * 16, "0" * 17, "\0" * 16])
def test_a_torn_file_is_made_anew(tmp_path: Path, torn: str) -> None:
    (tmp_path / MEMBER).write_text(torn)
    mine = started_again(tmp_path, "one")
    assert started_again(tmp_path, "one") == mine
    assert len((tmp_path / MEMBER).read_text().strip()) == 16


def test_joining_one_generation_again_and_again_is_two_workers(tmp_path: Path) -> None:
    now = [0.0]
    joins = Joins(tmp_path / MEMBER, lambda: now[0])
    for generation in range(2 * JOINS_MAX):
        joins.check(generation)
    for _ in range(2 * JOINS_MAX):
        now[0] += JOINS_SECONDS
        joins.check(2 * JOINS_MAX)
    now[0] += JOINS_SECONDS
    for _ in range(JOINS_MAX - 1):
        joins.check(2 * JOINS_MAX)
    with pytest.raises(RuntimeError, match="another worker has the same id"):
        joins.check(2 * JOINS_MAX)
