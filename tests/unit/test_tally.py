"""Which sources are parked: the limits, what counts towards them, and the bounds of a tally."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.parking import COUNTED_MAX, PARKED_MAX, Tally, Verdict

A, B = "/laboratories/1", "/laboratories/2"
GOOD, BAD = False, True


def counted(records: list[bool], source: str = A) -> tuple[Tally, list[tuple[int, Verdict]]]:
    """Count the records of a source, at offsets from 0; return what came of some of them."""
    tally = Tally()
    verdicts = [tally.add(source, bad, n) for n, bad in enumerate(records)]
    return tally, [(n, v) for n, v in enumerate(verdicts) if v is not Verdict.NOTHING]


@pytest.mark.parametrize(
    ("records", "parked_at"),
    [
        pytest.param([GOOD] * 5_000, None, id="clean"),
        pytest.param([BAD] * 99 + [GOOD] + [BAD] * 99, None, id="99 in a row, twice"),
        pytest.param([BAD] * 100, 99, id="100 in a row"),
        pytest.param([GOOD] * 7 + [BAD] * 200, 106, id="100 in a row after good ones"),
        pytest.param(([BAD] + [GOOD] * 99) * 30, None, id="1% of thousands"),
        pytest.param([BAD] * 11 + [GOOD] * 989, 999, id="above 1% of 1,000"),
        pytest.param([BAD] * 11 + [GOOD] * 988, None, id="above 1% of 999"),
        pytest.param([GOOD] * 900 + [BAD] * 11 + [GOOD] * 989, 1_899, id="counted from the first"),
        pytest.param([BAD] + [GOOD] * 950 + [BAD] * 9 + [GOOD] * 990, None, id="1% of the window"),
        pytest.param([BAD] + [GOOD] * 989 + [BAD] * 100, 999, id="1% passed within a row"),
        pytest.param(
            [BAD] + [GOOD] * 993 + [BAD] * 100, 1_093, id="a row over the end of the window"
        ),
    ],
)
def test_a_source_is_parked_at_its_limit(records: list[bool], parked_at: int | None) -> None:
    tally, verdicts = counted(records)
    assert verdicts == ([] if parked_at is None else [(parked_at, Verdict.PARKED)])
    assert tally.parked == ({} if parked_at is None else {A: parked_at})


def expected(records: list[bool]) -> int | None:
    """Where the source is parked, from the sentence: 100 in a row, or above 1% of 1,000."""
    found = [n for n in range(99, len(records)) if all(records[n - 99 : n + 1])][:1]
    begin = 0
    while True in records[begin:]:
        first = records.index(True, begin)
        window = records[first : first + 1_000]
        if len(window) == 1_000 and sum(window) > 10:
            found.append(first + 999)
            break
        row = next((n for n, bad in enumerate(reversed(window)) if not bad), len(window))
        begin = first + 1_000 - row
    return min(found, default=None)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 700)), max_size=12))
def test_the_limits_are_as_they_are_said(runs: list[tuple[bool, int]]) -> None:
    records = [bad for bad, length in runs for _ in range(min(length, 105) if bad else length)]
    tally, _ = counted(records)
    assert tally.parked.get(A) == expected(records)


@given(
    st.lists(st.tuples(st.sampled_from([A, B, "/cdc/1"]), st.integers(1, 120)), max_size=25),
    st.data(),
)
def test_a_tally_depends_on_the_records_alone(
    runs: list[tuple[str, int]], data: st.DataObject
) -> None:
    """Not on where chunks end: it is written and read again there."""
    whole, parts = Tally(), Tally()
    offset = 0
    for source, length in runs:
        bad = data.draw(st.booleans())
        for _ in range(length):
            assert whole.add(source, bad, offset) is parts.add(source, bad, offset)
            offset += 1
        raw = msgspec.msgpack.encode(parts)
        parts = msgspec.msgpack.decode(raw, type=Tally)
        assert msgspec.msgpack.encode(whole) == raw


@given(st.lists(st.tuples(st.sampled_from([A, B]), st.booleans(), st.integers(1, 130))))
def test_sources_do_not_touch_one_another(runs: list[tuple[str, bool, int]]) -> None:
    records = [(source, bad) for source, bad, length in runs for _ in range(length)]
    tally = Tally()
    for offset, (source, bad) in enumerate(records):
        tally.add(source, bad, offset)
    for source in (A, B):
        own = [(n, bad) for n, (other, bad) in enumerate(records) if other == source]
        at = expected([bad for _, bad in own])
        assert tally.parked.get(source) == (None if at is None else own[at][0])


def test_a_clean_source_leaves_no_trace() -> None:
    assert not counted([GOOD] * 2_000)[0]
    assert not counted([BAD] + [GOOD] * 999)[0], "forgotten at the end of its window"
    assert counted([BAD] + [GOOD] * 998)[0]


def test_a_release_forgets_the_source_and_it_can_be_parked_again() -> None:
    tally, _ = counted([BAD] * 100)
    tally.add(B, BAD, 100)
    tally.release(A)
    tally.release(B)
    tally.release("/never/heard-of")
    assert not tally
    verdicts = [tally.add(A, BAD, n) for n in range(200, 300)]
    assert verdicts.index(Verdict.PARKED) == 99


def test_no_more_than_the_bound_are_counted_and_the_one_heard_of_longest_ago_goes() -> None:
    tally = Tally()
    for number in range(COUNTED_MAX):
        tally.add(f"/laboratories/{number}", BAD, number)
    tally.add("/laboratories/0", GOOD, COUNTED_MAX)  # heard of again
    tally.add("/laboratories/new", BAD, COUNTED_MAX + 1)
    assert len(tally.counting) == COUNTED_MAX
    assert "/laboratories/0" in tally.counting
    assert "/laboratories/1" not in tally.counting


def test_no_more_than_the_bound_are_parked_and_none_of_them_is_forgotten() -> None:
    tally = Tally()
    for number in range(PARKED_MAX):
        for _ in range(100):
            tally.add(f"/laboratories/{number}", BAD, number)
    assert len(tally.parked) == PARKED_MAX
    verdicts = [tally.add(A + "-more", BAD, n) for n in range(100)]
    assert verdicts[-1] is Verdict.NOT_PARKED
    assert len(tally.parked) == PARKED_MAX
    assert A + "-more" not in tally.parked | tally.counting
    tally.release("/laboratories/5")
    verdicts = [tally.add(A + "-more", BAD, n) for n in range(100)]
    assert verdicts[-1] is Verdict.PARKED


def test_the_largest_tally_is_below_256_kilobytes() -> None:
    tally = Tally()
    for number in range(COUNTED_MAX + PARKED_MAX):
        source = f"/{number:095d}"
        for _ in range(100 if number < PARKED_MAX else 50):
            tally.add(source, BAD, 2**40)
    assert (len(tally.counting), len(tally.parked)) == (COUNTED_MAX, PARKED_MAX)
    assert 200_000 < len(msgspec.msgpack.encode(tally)) < 256_000
