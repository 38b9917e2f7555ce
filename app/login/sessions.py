"""A session: who is logged in, sealed into a cookie.

Nothing is stored for a session, so it outlives every process, and the loss of Redis
(docs/decisions/0010-sessions.md). Only its end before its time is told (app.login.ended).
"""

import secrets
from datetime import date, datetime, timedelta
from typing import Annotated

from litestar.datastructures import Cookie
from msgspec import Meta, Struct
from msgspec.structs import replace

from app.login.seal import Broken, Seal, Secrets
from app.process.clock import Clock
from models.events import DocumentType

SESSION_LIFE = timedelta(hours=12)
"""From a login until the next one is due, however much the session is used: a working day."""

IDLE = timedelta(minutes=30)
"""A session is over after so long without a request, as on a phone that was left behind. Because
of `RENEW` below it is between 25 and 30 minutes."""

RENEW = timedelta(minutes=5)
"""A cookie is written again when it is older than this, not with every answer."""

ID_BYTES = 16
"""128 bits, twice what OWASP asks for. The id opens nothing by itself: the seal is the secret."""

COOKIE = "__Host-session"
"""The prefix binds the cookie to this host, to every path, and to TLS (RFC 6265bis, 4.1.3.2)."""

PHONE_COOKIE = "__Host-phone"
"""A phone that was shown to be one's own (app/travel); a logout takes it back too."""

DEVICE_COOKIE = "__Host-device"
"""One's own phone (app.login.devices); a logout takes it back too."""

SEEN_FOR = timedelta(minutes=30)
"""How long after a face scan health information is shown; then it is asked for again."""

FAMILY = "session:device:"
"""Prefix of the keys of people's own phones (app.login.devices)."""

Whole = Annotated[datetime, Meta(tz=True)]


class Session(Struct, frozen=True, array_like=True):
    """A person who is logged in. It has the name only masked, and no document number.

    `adult_from` is their first day as an adult, in Asia/Shanghai; None if unknown. `used_at` is
    when the cookie was last written. `ending` is the end of the document number, by which a guard
    tells two of one name apart. `seen_at` is when the provider last saw the person, by face or
    password. `family` is the own phone that the session is of, empty if it is of none: it ends with
    that phone. A cookie of before these three has none of them.
    """

    person: str
    name: str
    adult_from: date | None
    document_type: DocumentType
    id: str
    issued_at: Whole
    used_at: Whole
    expires_at: Whole
    ending: str = ""
    seen_at: Whole | None = None
    family: str = ""

    def is_adult(self, on: date) -> bool | None:
        """Say whether the person is an adult on a day in Asia/Shanghai; None if unknown."""
        return None if self.adult_from is None else self.adult_from <= on

    @property
    def good_until(self) -> datetime:
        """From this instant on the session is over, unless its cookie is written again."""
        return min(self.expires_at, self.used_at + IDLE)

    @property
    def due_at(self) -> datetime:
        """From this instant on its cookie is written again with an answer."""
        return self.used_at + RENEW

    def is_fresh(self, at: datetime) -> bool:
        """Say whether the provider saw the person a short while before `at`."""
        return at - (self.seen_at or self.issued_at) < SEEN_FOR

    def __repr__(self) -> str:
        # A log that shows it by mistake must not name anyone.
        return f"Session({self.issued_at:%Y-%m-%dT%H:%M})"


_SET_COOKIE = COOKIE + "=%s; HttpOnly; Max-Age=%d; Path=/; SameSite=lax; Secure"


class NoSession(Exception):
    """A request has no good session: it has none, or one that expired, was ended, or is forged."""


class Away(Exception):
    """Redis does not answer, so it is not known which sessions ended, and none can be ended."""


class Sessions:
    """Makes sessions and their cookies, and reads them. `now` gives the instant, with its zone."""

    def __init__(self, key: Secrets, now: Clock) -> None:
        self._seal = Seal(key, b"yuekang session", Session)
        self._now = now

    def begin(
        self,
        person: str,
        name: str,
        adult_from: date | None,
        document_type: DocumentType,
        ending: str,
        seen_at: datetime | None = None,
        family: str = "",
    ) -> Session:
        """Return a session of `person`; `name` is masked already.

        `seen_at` is when the provider saw them, None for now. `family` is the phone it is of.
        """
        at = self._now()
        return Session(
            person,
            name,
            adult_from,
            document_type,
            secrets.token_hex(ID_BYTES),
            issued_at=at,
            used_at=at,
            expires_at=at + SESSION_LIFE,
            ending=ending,
            seen_at=seen_at or at,
            family=family,
        )

    def read(self, cookie: str | None) -> Session:
        """Return the session in a cookie's value; raise `NoSession`, also if it has expired."""
        session = self.opened(cookie)
        if self._now() >= session.good_until:
            raise NoSession
        return session

    def opened(self, cookie: str | None) -> Session:
        """Return the session in a cookie's value, even one that has expired; raise `NoSession`."""
        try:
            return self._seal.open(cookie or "")
        except Broken:
            raise NoSession from None

    def renewed(self, session: Session) -> Session | None:
        """Return the session as used now, or None while that is not due."""
        at = self._now()
        return replace(session, used_at=at) if at >= session.due_at else None

    def is_fresh(self, session: Session) -> bool:
        """Say whether the provider saw the person of a session a short while ago."""
        return session.is_fresh(self._now())

    def cookie(self, session: Session) -> Cookie:
        """Return the cookie; the browser forgets it when the session expires."""
        left = min(session.expires_at - self._now(), IDLE)
        return host_cookie(COOKIE, self._seal.close(session), left)

    def set_cookie(self, session: Session) -> str:
        """Return the value of Set-Cookie, as `cookie` has it; a tenth of its cost."""
        left = min(session.expires_at - self._now(), IDLE)
        return _SET_COOKIE % (self._seal.close(session), max(0, int(left.total_seconds())))

    @staticmethod
    def no_cookies() -> list[Cookie]:
        """Return the cookies that make the browser forget the session, and what hangs on it."""
        return [
            host_cookie(name, "", timedelta(0)) for name in (COOKIE, PHONE_COOKIE, DEVICE_COOKIE)
        ]


def host_cookie(name: str, value: str, left: timedelta) -> Cookie:
    """Return a cookie as OWASP's session management cheat sheet has it, however it is served.

    It is the same over plain HTTP on a loopback address, where Chromium and Firefox take it too.
    """
    return Cookie(
        key=name,
        value=value,
        path="/",
        max_age=max(0, int(left.total_seconds())),
        secure=True,
        httponly=True,
        samesite="lax",  # strict would hide it from the request that comes back from the provider
    )
