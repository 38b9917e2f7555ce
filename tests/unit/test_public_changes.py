"""A change is read from the log as others than its person may see it, without the rest."""

import msgspec
import pytest

from app.projection.codes import CodeBatch, take_told
from app.topics.catalogue import STATUS_CHANGES
from models.codes import Colour, Reason, Status, StatusChange, changed
from support.changes import public
from support.records import record
from support.views import change, now, someone

NONE = Status(Colour.NONE)
BOTH = Status(Colour.RED, (Reason.CONFIRMED_OR_POSITIVE, Reason.HOME_QUARANTINE))

CHANGES = {
    "by an event": change(someone()),
    "by time": change(someone(), source=None),
    "without a city": change(someone(), city=None),
    "from no code": change(someone(), before=NONE),
    "several reasons": change(someone(), after=BOTH),
    "by a correction": change(someone(), corrects="e0"),
}


def taken(value: bytes) -> CodeBatch:
    batch = CodeBatch()
    take_told(batch, record(value, now(), topic=STATUS_CHANGES, author=None))
    return batch


@pytest.mark.parametrize("told", CHANGES.values(), ids=CHANGES.keys())
def test_what_others_may_see_is_read_and_nothing_else(told: StatusChange) -> None:
    batch = taken(msgspec.json.encode(changed(told)))
    assert batch.changes == [public(told)]
    assert told.person not in str(batch.changes)


@pytest.mark.parametrize("told", CHANGES.values(), ids=CHANGES.keys())
def test_corrections_are_kept_whole(told: StatusChange) -> None:
    batch = taken(msgspec.json.encode(changed(told)))
    assert batch.corrections == ([told] if told.cause.corrects else [])


@pytest.mark.parametrize("value", [b"", b"{}", b"null", b'{"data":{"before":{}}}', b"\xff"])
def test_what_is_no_change_is_refused(value: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        taken(value)


def test_a_correction_that_is_not_its_own_is_refused() -> None:
    told = msgspec.to_builtins(changed(CHANGES["by a correction"]))
    told["id"] = "another:1"
    with pytest.raises(ValueError, match="is not <person>:<version>"):
        taken(msgspec.json.encode(told))
