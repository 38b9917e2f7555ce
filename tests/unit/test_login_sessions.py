"""Sessions and what is sealed: what a cookie says, for how long, and that only we can write it."""

import base64
from datetime import date, datetime, timedelta
from http.cookies import SimpleCookie

import pytest
from msgspec import Struct
from msgspec.structs import replace

from app.login.seal import SEALED_LENGTH_MAX, Broken, Seal
from app.login.sessions import (
    COOKIE,
    DEVICE_COOKIE,
    IDLE,
    PHONE_COOKIE,
    RENEW,
    SESSION_LIFE,
    NoSession,
    Session,
    Sessions,
)
from models.events import DocumentType
from support.logins import CARD, SESSION_KEY, Clock, person_of

PERSON = person_of(CARD)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions(SESSION_KEY, clock)


def begun(sessions: Sessions) -> Session:
    kind = DocumentType.RESIDENT_IDENTITY_CARD
    return sessions.begin(PERSON, "陈*明", date(2009, 5, 1), kind, "002X")


def value(sessions: Sessions, session: Session) -> str:
    return str(sessions.cookie(session).value)


def test_a_cookie_says_who_it_is_of(sessions: Sessions) -> None:
    session = begun(sessions)
    assert sessions.read(value(sessions, session)) == session
    assert session.expires_at - session.issued_at == SESSION_LIFE == timedelta(hours=12)


class Former(Struct, frozen=True, array_like=True):
    """A session as cookies had it before it said how the document number ends."""

    person: str
    name: str
    adult_from: date | None
    document_type: DocumentType
    id: str
    issued_at: datetime
    used_at: datetime
    expires_at: datetime


def test_a_session_of_an_older_form_goes_on_without_what_it_lacks(sessions: Sessions) -> None:
    session = begun(sessions)
    former = Former(*(getattr(session, name) for name in Former.__struct_fields__))
    read = sessions.read(Seal(SESSION_KEY, b"yuekang session", Former).close(former))
    assert read == replace(session, ending="", seen_at=None)


def test_a_session_knows_when_the_provider_saw_the_person(sessions: Sessions, clock: Clock) -> None:
    session = begun(sessions)
    clock.ahead = RENEW + timedelta(seconds=1)
    renewed = sessions.renewed(session)
    assert renewed is not None
    assert renewed.seen_at == session.seen_at == session.issued_at < renewed.used_at


def test_a_cookie_is_as_owasp_has_it(sessions: Sessions) -> None:
    header = sessions.cookie(begun(sessions)).to_header(header="")
    [(name, morsel)] = SimpleCookie(header).items()
    assert name == COOKIE == "__Host-session"
    assert (morsel["path"], morsel["domain"], morsel["samesite"]) == ("/", "", "lax")
    assert morsel["secure"]
    assert morsel["httponly"]
    assert IDLE.total_seconds() - 2 <= int(morsel["max-age"]) <= IDLE.total_seconds()
    assert len(header) < 1_000


def test_the_browser_forgets_a_cookie_that_is_taken_back() -> None:
    headers = [cookie.to_header(header="") for cookie in Sessions.no_cookies()]
    assert [header.partition("=")[0] for header in headers] == [
        COOKIE,
        PHONE_COOKIE,
        DEVICE_COOKIE,
    ]
    for header in headers:
        assert "Max-Age=0" in header
        assert all(word in header for word in ("Secure", "HttpOnly", "Path=/"))


def test_nobody_else_can_read_or_guess_anything_of_it(sessions: Sessions) -> None:
    session = begun(sessions)
    one, other = value(sessions, session), value(sessions, session)
    assert one != other, "each has a nonce of its own"
    sealed = base64.urlsafe_b64decode(one + "=" * (-len(one) % 4))
    for plain in (PERSON.encode(), "陈".encode(), session.id.encode()):
        assert plain not in sealed


def test_two_sessions_of_one_person_are_two(sessions: Sessions) -> None:
    assert begun(sessions).id != begun(sessions).id


def test_every_changed_character_breaks_it(sessions: Sessions) -> None:
    good = value(sessions, begun(sessions))
    for at in range(len(good)):
        changed = good[:at] + ("A" if good[at] != "A" else "B") + good[at + 1 :]
        if base64.urlsafe_b64decode(changed + "===") != base64.urlsafe_b64decode(good + "==="):
            with pytest.raises(NoSession):
                sessions.read(changed)


@pytest.mark.parametrize(
    "text",
    [None, "", "x", "é", "!", "=" * 8, "A" * 200, "A" * (SEALED_LENGTH_MAX + 1)],
    ids=["none", "empty", "short", "no ascii", "no base64", "padding", "random", "too long"],
)
def test_what_is_no_cookie_of_ours_is_none(sessions: Sessions, text: str | None) -> None:
    with pytest.raises(NoSession):
        sessions.read(text)


def test_a_cookie_of_another_key_is_none(sessions: Sessions, clock: Clock) -> None:
    other = Sessions(bytes(32), clock)
    with pytest.raises(NoSession):
        sessions.read(value(other, begun(other)))


class Thing(Struct, frozen=True):
    text: str


def test_what_was_sealed_for_one_use_cannot_be_opened_in_another() -> None:
    seal, other = Seal(SESSION_KEY, b"one", Thing), Seal(SESSION_KEY, b"other", Thing)
    assert seal.open(seal.close(Thing("x"))) == Thing("x")
    with pytest.raises(Broken):
        other.open(seal.close(Thing("x")))


def test_what_would_not_fit_a_cookie_is_never_sealed() -> None:
    with pytest.raises(ValueError, match="characters"):
        Seal(SESSION_KEY, b"one", Thing).close(Thing("x" * SEALED_LENGTH_MAX))


# Time


def test_unused_it_is_over_after_half_an_hour(sessions: Sessions, clock: Clock) -> None:
    cookie = value(sessions, begun(sessions))
    clock.ahead = IDLE - timedelta(seconds=5)
    sessions.read(cookie)
    clock.ahead = IDLE
    with pytest.raises(NoSession):
        sessions.read(cookie)


def test_used_it_goes_on_for_half_an_hour_more(sessions: Sessions, clock: Clock) -> None:
    session = begun(sessions)
    assert sessions.renewed(session) is None, "not with every answer"
    clock.ahead = RENEW + timedelta(seconds=1)
    renewed = sessions.renewed(session)
    assert renewed is not None
    assert (renewed.id, renewed.expires_at) == (session.id, session.expires_at)
    clock.ahead = IDLE + timedelta(minutes=1)
    assert sessions.read(value(sessions, renewed)) == renewed


def test_however_much_it_is_used_it_is_over_after_twelve_hours(
    sessions: Sessions, clock: Clock
) -> None:
    session = begun(sessions)
    for minutes in range(6, 12 * 60, 6):
        clock.ahead = timedelta(minutes=minutes)
        session = sessions.renewed(sessions.read(value(sessions, session))) or session
    clock.ahead = SESSION_LIFE - timedelta(minutes=1)
    assert 55 <= (sessions.cookie(session).max_age or 0) <= 60, "the browser forgets it then too"
    clock.ahead = SESSION_LIFE
    with pytest.raises(NoSession):
        sessions.read(value(sessions, session))


# What it says


@pytest.mark.parametrize(
    ("on", "adult"),
    [(date(2009, 4, 30), False), (date(2009, 5, 1), True), (date(2010, 1, 1), True)],
)
def test_adult_is_who_has_turned_18(sessions: Sessions, on: date, adult: bool) -> None:
    assert begun(sessions).is_adult(on) is adult


def test_who_has_no_birthday_is_neither_adult_nor_minor(sessions: Sessions) -> None:
    session = sessions.begin(PERSON, "", None, DocumentType.MAINLAND_TRAVEL_PERMIT, "5678")
    assert session.is_adult(date(2022, 3, 1)) is None


def test_a_log_line_with_a_session_names_nobody(sessions: Sessions) -> None:
    shown = repr(begun(sessions))
    assert PERSON not in shown
    assert "陈" not in shown


def test_what_is_set_quickly_is_set_as_the_library_sets_it(sessions: Sessions) -> None:
    session = begun(sessions)
    quick, library = (
        SimpleCookie(header)[COOKIE]
        for header in (
            sessions.set_cookie(session),
            sessions.cookie(session).to_header(header=""),
        )
    )
    assert dict(quick) == dict(library)
    assert sessions.read(quick.value) == sessions.read(library.value) == session
