"""What the benchmark folds: the same every time, and something for every rule of the slice."""

import re

import msgspec
import pytest

from bench import counting, workload
from bench.records import Record
from models.notices import Objection

PEOPLE = 1_500


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return list(workload.events(PEOPLE, 1))


@pytest.fixture(scope="module")
def expected(records: list[Record]) -> workload.Expected:
    return workload.expected(iter(records))


def test_the_same_seed_yields_the_same_records(records: list[Record]) -> None:
    assert list(workload.events(PEOPLE, 1)) == records
    assert list(workload.events(PEOPLE, 2)) != records


def test_arrivals_never_go_back(records: list[Record]) -> None:
    stamps = [record.timestamp_ms or 0 for record in records]
    assert stamps == sorted(stamps)


def test_every_type_of_the_slice_occurs_and_no_other(records: list[Record]) -> None:
    found = re.findall(rb'"type":"([^"]*)"', b"".join(record.value or b"" for record in records))
    assert {type_.decode() for type_ in found} == set(workload.INPUT.events)


def test_everybody_has_a_code_or_is_never_verified(expected: workload.Expected) -> None:
    assert len(expected.codes) > PEOPLE * 0.98


def test_changes_by_time_are_among_what_is_told(expected: workload.Expected) -> None:
    changes = [change for chain in expected.changes.values() for change in chain]
    assert {change.cause.type is None for change in changes} == {True, False}


def test_every_objection_of_the_slice_occurs(expected: workload.Expected) -> None:
    reasons = {refused.reason for refused in expected.refused}
    not_of_the_slice = {
        str(Objection.CLOSES_NOTHING),
        str(Objection.CORRECTION_OF_OTHER_KIND),
        str(Objection.HELD),
        str(Objection.IMPOSSIBLE_DATE),
        str(Objection.NO_EFFECT),
        str(Objection.ROW_FULL),
    }
    assert {str(o) for o in Objection} - not_of_the_slice <= reasons


def test_each_way_to_break_an_event_is_refused() -> None:
    event = next(
        found
        for record in workload.events(10, 1)
        if (found := msgspec.json.decode(record.value or b"{}"))
        .get("type", "")
        .endswith("nat-result.reported.v1")
    )
    stamp = int(workload.BEGIN.timestamp() * 1000) + 40 * 24 * 3_600_000
    broken = [
        Record(workload.TOPIC, event["partitionkey"].encode(), change(event), stamp)
        for change in workload.BREAKAGES
    ]
    found = workload.expected(iter(broken))
    assert len(found.refused) == len(workload.BREAKAGES)


def test_counting_yields_what_its_fold_expects() -> None:
    rows = counting.expected(1_000, 50, 1)
    assert sum(row.count for row in rows.values()) == 1_000
    assert len(rows) == 50
    assert any(row.red for row in rows.values())
