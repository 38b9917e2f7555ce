"""A proof can be made by us alone, says what it is about, and stands no longer than its record."""

import asyncio
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from app.view.information import Information
from app.view.limits import REFUSE_SECONDS
from app.view.proofs import CHECKS_MAX, PREFIX, Checked, ProofKind, Proofs, Standing
from app.view.reading import Unavailable
from models.codes import EventRef, ref
from models.events import QuarantineKind
from models.information import standing_notices
from models.person import Person
from support import builders as b
from support.pages import SESSION
from support.rows import row_of

KEY = bytes(range(32))
NOW = b.day(20, 12)
PERSON = SESSION.person


class Rows:
    """Stands for the rows: of one person."""

    def __init__(self, *events: Any, as_of: datetime = NOW) -> None:
        self._row = row_of(PERSON, *((event, NOW) for event in events))
        self._as_of = as_of

    async def row(self, person: str) -> tuple[Person, datetime]:
        assert person == PERSON
        return self._row, self._as_of


def of(**kw: Any) -> dict[str, Any]:
    return {"person": PERSON, **kw}


ORDER = b.ordered("centralised", b.day(1), b.day(15), **of())
MOVED = b.transferred("home", b.day(8), b.day(15), **of())
NOTICE = b.released(b.day(15), **of())
NEGATIVE = b.negative(b.day(19), **of())


def proofs(*events: Any, key: bytes = KEY) -> Proofs:
    return Proofs(key, cast(Information, Rows(*events)))


def code(kind: ProofKind, event: EventRef) -> str:
    return proofs(ORDER).code(kind, SESSION, event, NOW)


def checked(text: str, *events: Any, at: datetime = NOW) -> Checked:
    rows = cast(Information, Rows(*events, as_of=at))
    return asyncio.run(Proofs(KEY, rows).check(text, at))


RELEASE = code(ProofKind.RELEASE, ref(NOTICE))
RECENT = code(ProofKind.NEGATIVE, ref(NEGATIVE))


def test_a_notice_that_stands_is_told_with_whom_and_when() -> None:
    found = checked(RELEASE, ORDER, NOTICE)
    assert found.standing is Standing.STANDS
    assert found.proof is not None
    assert (found.proof.name, found.proof.ending) == (SESSION.name, SESSION.ending)
    assert found.notice is not None
    assert (found.notice.started_at, found.notice.released_at) == (b.day(1), b.day(15))


def test_a_notice_that_was_taken_back_stands_no_longer() -> None:
    back = b.retracted(NOTICE, b.day(16), **of())
    found = checked(RELEASE, ORDER, NOTICE, back)
    assert (found.standing, found.notice) == (Standing.TAKEN_BACK, None)
    assert checked(RELEASE, ORDER).standing is Standing.TAKEN_BACK


def test_a_negative_stands_for_48_hours_and_while_nothing_newer_says_otherwise() -> None:
    assert checked(RECENT, NEGATIVE).standing is Standing.STANDS
    late = checked(RECENT, NEGATIVE, at=b.day(21))
    assert late.standing is Standing.EXPIRED
    assert late.until == b.day(21)
    newer = b.positive(b.day(19, 9), **of())
    assert checked(RECENT, NEGATIVE, newer).standing is Standing.TAKEN_BACK
    assert checked(RECENT, NEGATIVE, b.negative(b.day(20), **of())).standing is Standing.STANDS
    back = b.retracted(NEGATIVE, b.day(20), **of())
    assert checked(RECENT, NEGATIVE, back).standing is Standing.TAKEN_BACK


@pytest.mark.parametrize("lag_s", [REFUSE_SECONDS, REFUSE_SECONDS + 1])
async def test_what_is_known_too_long_ago_says_nothing(lag_s: float) -> None:
    """A notice may have been taken back since, as a code may have turned red."""
    rows = cast(Information, Rows(ORDER, NOTICE, as_of=NOW - timedelta(seconds=lag_s)))
    check = Proofs(KEY, rows).check(RELEASE, NOW)
    if lag_s > REFUSE_SECONDS:
        with pytest.raises(Unavailable):
            await check
    else:
        assert (await check).standing is Standing.STANDS


@pytest.mark.parametrize("text", [RELEASE, RECENT])
def test_each_changed_character_is_noticed(text: str) -> None:
    for place, sign in enumerate(text):
        changed = text[:place] + ("A" if sign != "A" else "B") + text[place + 1 :]
        found = proofs(ORDER).read(changed)
        # The last sign of base64 has bits that say nothing.
        assert found is None or (place == len(text) - 1 and found == proofs(ORDER).read(text))


def test_no_other_key_and_no_other_use_makes_a_proof() -> None:
    other = proofs(ORDER, key=bytes(32)).code(ProofKind.RELEASE, SESSION, ref(NOTICE), NOW)
    for text in (other, "", PREFIX, "x", RELEASE.removeprefix(PREFIX), RELEASE * 20):
        assert checked(text, ORDER, NOTICE) == Checked(Standing.UNKNOWN)
    assert checked(f"  {RELEASE[:40]}\n{RELEASE[40:]} ", ORDER, NOTICE).standing is Standing.STANDS


def test_a_code_names_nobody_to_a_log() -> None:
    assert SESSION.name not in repr(proofs(ORDER).read(RELEASE))


def test_a_notice_knows_the_order_that_it_ends() -> None:
    row = row_of(PERSON, *((event, NOW) for event in (ORDER, MOVED, NOTICE)))
    [notice] = standing_notices(row)
    assert (notice.kind, notice.started_at) == (QuarantineKind.HOME, b.day(1))
    alone = row_of(PERSON, (NOTICE, NOW))
    [notice] = standing_notices(alone)
    assert (notice.kind, notice.started_at) == (None, None)


async def test_an_address_may_check_so_often_and_another_still_may() -> None:
    some = proofs(ORDER)
    for _ in range(CHECKS_MAX.amount):
        assert await some.may_check("203.0.113.7")
    assert not await some.may_check("203.0.113.7")
    assert await some.may_check("203.0.113.8")


def test_expiry_is_counted_from_the_swab() -> None:
    at = b.day(21) - timedelta(seconds=1)
    assert checked(RECENT, NEGATIVE, at=at).standing is Standing.STANDS
