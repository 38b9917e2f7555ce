"""A page that is filled in is, byte for byte, the page that its template prints."""

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.login.sessions import Session
from app.sources.register import Register
from app.view.limits import NOTICE_SECONDS
from app.view.pages.blanks import _cut, filled_in
from app.view.pages.code_page import COLOURED, RELOAD_S, coloured
from app.view.pages.sheet import sheet
from app.view.reading import Read
from app.view.services import Services
from app.web.language import LANGUAGES, Language
from app.web.site import render
from models.codes import Colour, HealthCode
from models.events import DocumentType, StatusEvent
from models.policy import POLICIES, ZONE
from models.reasons import assess
from support import builders as b
from support.strategies import STEPS_MAX, at_step, worlds

VIEW = cast(
    Services,
    SimpleNamespace(
        register=Register(),
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
) -> dict[str, Any] | None:
    """What stands on the page of whom these events are about; None where it is no colour."""
    intervals = assess([b.verified(b.day(1, 0)), *world]).intervals
    code = HealthCode(b.PERSON, 7, at, verified_since=b.day(1, 0), intervals=intervals)
    read = Read(code, at, at - timedelta(seconds=lag_s), lag_s, stale=False)
    says = sheet(code, at, POLICIES[0].version, VIEW.register)
    if says.colour is Colour.NONE:
        return None
    document = DocumentType.RESIDENT_IDENTITY_CARD
    session = Session(b.PERSON, name, None, document, "id", at, at, at, ending)
    return coloured(VIEW, session, read, says, reload_s)


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.code)
@given(
    worlds(),
    st.integers(0, 40 * 86_400).map(lambda s: at_step(STEPS_MAX) + timedelta(seconds=s)),
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


@pytest.mark.parametrize("case", REDS)
def test_people_of_one_form_share_it(case: str) -> None:
    at = b.day(14, 9)
    asked = _cut.cache_info().misses
    for number, language in enumerate(2 * LANGUAGES):
        for second in range(5):
            found = context(REDS[case], at + timedelta(seconds=second), f"{number}*{second}")
            assert found is not None
            page = filled_in(COLOURED, language, found).decode()
            assert page == render(COLOURED, language, found)
    assert _cut.cache_info().misses - asked <= len(LANGUAGES)


def test_a_template_that_prints_an_instant_is_told_so() -> None:
    found = context([], b.day(14))
    assert found is not None
    with pytest.raises(TypeError, match="prints an instant"):
        filled_in(COLOURED, LANGUAGES[0], found | {"name": datetime(2022, 3, 1, tzinfo=ZONE)})
