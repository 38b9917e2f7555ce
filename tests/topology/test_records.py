"""Header names that are not UTF-8 are read, and so is everything beside them."""

import inspect
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords

from app.engine.records import LenientRecords, install
from support.records import BadName

NAME = "a-header-name"
CODECS = [0, 1, 2, 3, 4]


def batch(codec: int, name: bytes) -> bytes:
    """Three records; the second has a header of this name, as long as NAME."""
    builder = _DefaultRecordBatchBuilderPy(
        2,
        codec,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=10_000,
    )
    for offset in range(3):
        headers = [("ce_id", b"7"), (BadName(NAME, name), b"v")] if offset == 1 else []
        builder.append(offset, timestamp=1, key=b"k", value=b"v%d" % offset, headers=headers)
    return bytes(builder.build())


def read(records: Any) -> list[tuple[int, bytes, list[tuple[str, bytes]]]]:
    found = []
    while records.has_next():
        one = records.next_batch()
        assert one.validate_crc()
        found += [(r.offset, r.value, list(r.headers)) for r in one]
    return found


@pytest.mark.parametrize("codec", CODECS)
def test_a_name_that_is_not_utf_8_is_escaped_and_all_else_is_as_ever(codec: int) -> None:
    bad, good = batch(codec, b"\xff\xfe-name"), batch(codec, b"name")
    with pytest.raises(UnicodeDecodeError):
        read(MemoryRecords(bad))
    found = read(LenientRecords(bad + good))
    headers = [("ce_id", b"7"), (r"\xff\xfe-name", b"v")]
    assert found[:3] == [(0, b"v0", []), (1, b"v1", headers), (2, b"v2", [])]
    assert found[3:] == read(MemoryRecords(good))


def test_the_consumer_reads_so_once_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "MemoryRecords", MemoryRecords)
    install()
    assert fetcher.MemoryRecords is LenientRecords
    source = inspect.getsource(fetcher.Fetcher._proc_fetch_request)
    assert "MemoryRecords(" in source, "where aiokafka looks it up"
