"""What RocksDB keeps of a partition, and what becomes of a store that is damaged."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import rocksdict
from rocksdict import DbClosedError

from app.engine.store import AGENDA, APPLIED, DUE, NO_DAMAGE, Store, StoreDamaged, StoreFailed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people" / "0"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = Store(path)
    yield opened
    with suppress(DbClosedError):
        opened.close()


def row(due: int, content: bytes = b"x") -> bytes:
    return DUE.pack(due) + content


def agenda(store: Store) -> list[bytes]:
    keys: Any = store._db.keys()  # bytes alone: the store is opened raw
    return [key for key in list(keys) if key.startswith(AGENDA)]


def test_an_empty_store_has_nothing_of_the_log(store: Store) -> None:
    assert (store.offset, store.applied_offset("in"), store.get(b"a")) == (-1, -1, None)


def test_what_is_written_is_there_when_it_is_opened_again(store: Store, path: Path) -> None:
    store.write([(b"a", row(7)), (b"b", row(0)), (APPLIED + b"in", b"41")], 3)
    store.close()
    again = Store(path)
    assert (again.offset, again.applied_offset("in")) == (3, 41)
    assert again.get_many([b"b", b"none", b"a"]) == [row(0), None, row(7)]
    assert again.due(10, 10) == [b"a"]
    again.close()


def test_rows_are_due_in_order_until_they_are_written_anew(store: Store) -> None:
    store.write([(b"c", row(3)), (b"a", row(1)), (b"never", row(0)), (b"b", row(2))], 0)
    assert store.due(0, 10) == []
    assert store.due(2, 10) == store.due(2, 10) == [b"a", b"b"]
    assert store.due(9, 1) == [b"a"]
    store.write([(b"a", row(5)), (b"b", row(0)), (b"c", None)], 1)
    assert store.due(4, 10) == []
    assert store.due(5, 10) == [b"a"]


def test_an_earlier_instant_counts_also_after_a_look_ahead(store: Store) -> None:
    store.write([(b"a", row(100))], 0)
    assert store.due(50, 10) == []
    store.write([(b"b", row(20))], 1)
    assert store.due(50, 10) == [b"b"]
    assert store.due(30, 10) == [b"b"], "a clock that was set back"


def test_stale_entries_of_the_agenda_are_cleared_away_when_their_time_comes(store: Store) -> None:
    for due in range(1, 1_001):
        store.write([(b"a", row(due))], due)
    assert len(agenda(store)) == 1_000
    assert store.due(500, 10) == []
    assert len(agenda(store)) == 500
    assert store.due(1_000, 10) == [b"a"]
    assert len(agenda(store)) == 1


def test_more_stale_entries_than_one_look_clears_hide_no_row(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.engine.store.STALE_MAX", 7)
    for due in range(1, 31):
        store.write([(b"a", row(due))], due)
    looks = [store.due(40, 10) for _ in range(6)]
    assert looks[-1] == [b"a"]


def test_a_store_in_use_is_refused(store: Store, path: Path) -> None:
    with pytest.raises(RuntimeError, match="in use by another worker"):
        Store(path)


def damage(path: Path) -> None:
    [blocks] = path.glob("*.sst")
    with blocks.open("r+b") as file:
        file.seek(blocks.stat().st_size // 2)
        file.write(b"\xff" * 64)


@pytest.fixture
def damaged(path: Path) -> Path:
    rows = [(b"%05d" % n, row(n + 1, os.urandom(100))) for n in range(5_000)]
    store = Store(path)
    store.write(rows, 3)
    store.close()
    for _ in range(2):  # a store that is opened moves what it logged into a file of blocks
        store = Store(path)
        assert store.get_many([b"00000", b"04999"]) == [rows[0][1], rows[-1][1]]
        store.close()
    damage(path)
    return path


def test_a_row_in_a_damaged_block_ends_the_process_and_the_next_begins_anew(damaged: Path) -> None:
    store = Store(damaged)
    with pytest.raises(StoreDamaged, match="cannot be read"):
        store.get_many([b"%05d" % n for n in range(5_000)])
    store.close()
    again = Store(damaged)
    assert again.offset == -1, "all of it comes from the log"
    assert again.get(b"00000") is None
    again.write([(b"a", row(1))], 0)
    again.close()
    assert Store(damaged).get(b"a") == row(1), "the mark is gone"


def test_a_damaged_block_hides_no_due_row(damaged: Path) -> None:
    """An iterator of RocksDB ends at one as at the last entry."""
    store = Store(damaged)
    with pytest.raises(StoreDamaged):
        store.due(10_000, 10_000)
    store.close()


def test_a_store_that_cannot_be_opened_begins_anew(store: Store, path: Path) -> None:
    store.write([(b"a", row(1))], 3)
    store.close()
    (path / "CURRENT").write_bytes(b"nonsense")
    again = Store(path)
    assert again.offset == -1
    again.close()


def test_a_damaged_store_that_cannot_be_removed_is_never_read(damaged: Path) -> None:
    """It lies on another disk, behind a link: only an operator can say what to remove."""
    damaged.rename(elsewhere := damaged.with_name("elsewhere"))
    damaged.symlink_to(elsewhere)
    store = Store(damaged)
    with pytest.raises(StoreDamaged):
        store.due(10_000, 10_000)
    store.close()
    for _ in range(2):
        with pytest.raises(StoreFailed, match=f"the store in {damaged} is not removed: .*link"):
            Store(damaged)
    damaged.unlink()
    again = Store(damaged)
    assert again.offset == -1
    again.close()


# What is no damage


@pytest.mark.parametrize("reason", NO_DAMAGE)
def test_a_store_that_cannot_be_opened_for_another_reason_is_left_as_it_is(
    path: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    whole = Store(path)
    whole.write([(b"a", row(1))], 3)
    whole.close()

    def refuse(*_: Any, **__: Any) -> None:
        raise Exception(f"IO error: {reason}: While open a file: {path}/MANIFEST-000005")

    with monkeypatch.context() as while_refused:
        while_refused.setattr(rocksdict, "Rdict", refuse)
        with pytest.raises(StoreFailed, match=f"left as it is: .*{reason}") as caught:
            Store(path)
        assert not isinstance(caught.value, StoreDamaged)
    again = Store(path)
    assert (again.offset, again.get(b"a")) == (3, row(1))
    again.close()


def test_a_closed_store_is_not_taken_for_a_damaged_one(store: Store, path: Path) -> None:
    store.write([(b"a", row(1))], 3)
    store.close()
    for use in (lambda: store.offset, lambda: store.write([], 4), lambda: store.due(9, 9)):
        with pytest.raises(StoreFailed) as caught:
            use()
        assert not isinstance(caught.value, StoreDamaged)
    again = Store(path)
    assert again.get(b"a") == row(1)
    again.close()
