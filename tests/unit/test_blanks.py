"""A page that is filled in is, byte for byte, the page that its template prints."""

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.login.sessions import Session
from app.sources.changes import change
from app.sources.register import Register
from app.view.limits import NOTICE_SECONDS
from app.view.pages.code_page import COLOURED, RELOAD_S, coloured, sheet_of
from app.view.reading import Read
from app.view.services import Services
from app.web.blanks import _skeleton, filled_in
from app.web.language import LANGUAGES, Language
from app.web.site import render
from models.codes import Colour, HealthCode
from models.events import DocumentType, StatusEvent
from models.reasons import assess
from models.register import OfficialNames, RegisteredSource
from support import builders as b
from support.strategies import CDC, FIRST, worlds

REGISTER = Register()
for source in CDC:
    names = OfficialNames("<一&二>", 'First & "Second"')
    REGISTER.take(
        change(RegisteredSource(source, names, "440300", "020-88888888-12"), "/operators/chen")
    )

VIEW = cast(
    Services,
    SimpleNamespace(
        register=REGISTER,
        displays=SimpleNamespace(token=lambda *holder: "-".join(holder)),
        holdings=SimpleNamespace(epoch="an epoch"),
        credential_keys=SimpleNamespace(tag_of=lambda person: f"tag of {person}"),
    ),
)
NAMES = ("样*甲", "<b>&\"'", "\ue0000:en\ue001", "\ue002", "\u202e甲\n", "{when}")
"""Names as a provider may send them: to be escaped, like a blank, turned around."""


def context(
    world: list[StatusEvent],
    at: datetime,
    name: str = "样*甲",
    ending: str = "123X",
    lag_s: float = 0.4,
    reload_s: int | None = RELOAD_S,
    version: int = 7,
) -> dict[str, Any] | None:
    """What stands on the page of whom these events are about; None where it is no colour."""
    intervals = assess([b.verified(b.day(1, 0)), *world]).intervals
    code = HealthCode(b.PERSON, version, at, verified_since=b.day(1, 0), intervals=intervals)
    read = Read(code, at, at - timedelta(seconds=lag_s), lag_s, stale=False)
    says = sheet_of(VIEW, read)
    if says.colour is Colour.NONE:
        return None
    document = DocumentType.RESIDENT_IDENTITY_CARD
    session = Session(b.PERSON, name, None, document, "id", at, at, at, ending)
    return coloured(VIEW, session, read, says, reload_s)


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.code)
@given(
    worlds(),
    st.integers(0, 80 * 86_400).map(lambda seconds: FIRST + timedelta(seconds=seconds)),
    st.sampled_from(NAMES),
    st.sampled_from(("", "123X")),
    st.sampled_from((0.0, 1.3, NOTICE_SECONDS + 0.1)),
    st.sampled_from((None, RELOAD_S)),
)
def test_a_page_that_is_filled_in_is_the_templates(
    language: Language,
    world: list[StatusEvent],
    at: datetime,
    name: str,
    ending: str,
    lag_s: float,
    reload_s: int | None,
) -> None:
    found = context(world, at, name, ending, lag_s, reload_s)
    if found is not None:
        assert filled_in(COLOURED, language, found).decode() == render(COLOURED, language, found)


REDS = {
    "one reason": [b.positive(b.day(10), b.day(10, 15))],
    "a reason without a date": [b.provincial("red", b.day(10))],
    "two reasons": [b.positive(b.day(10), b.day(10, 15)), b.contact(b.day(12), b.day(12, 20))],
    "an authority is late": [b.ordered("centralised", b.day(1), b.day(10, 20))],
    "it ends by itself": [b.ordered("home", b.day(1), b.day(20))],
}


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.code)
@pytest.mark.parametrize("case", REDS)
def test_people_of_one_form_share_it(case: str, language: Language) -> None:
    rendered = _skeleton.cache_info().misses
    for n in range(5):
        at = b.day(14, 9) + timedelta(seconds=n)
        found = context(REDS[case], at, f"{n}*甲", f"12{n}X", 0.4 + n, version=7 + n)
        assert found is not None
        filled_in(COLOURED, language, found)
    assert _skeleton.cache_info().misses - rendered <= 1


def test_an_instant_in_a_context_is_refused() -> None:
    found = context([], b.day(14))
    assert found is not None
    with pytest.raises(TypeError, match="an instant in words"):
        filled_in(COLOURED, LANGUAGES[0], found | {"changes": b.day(14)})
