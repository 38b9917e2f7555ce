"""The phone that someone showed to be theirs, kept in the browser for as long as their session.

So a travel card can be shown again, loaded again and read in the other language, without another
message. The cookie holds the phone's key and not its number, sealed. It is of one session: whoever
logs out, or comes after, has nothing of it.
"""

from datetime import datetime

from litestar.datastructures import Cookie
from msgspec import Struct

from app.login.seal import Broken, Seal, Secrets
from app.login.sessions import PHONE_COOKIE, Session, Whole, host_cookie
from app.process.clock import Clock
from app.web.requests import AnyRequest


class KeptPhone(Struct, frozen=True, array_like=True):
    """A phone by its key, and its masked number; good for one session, until it ends."""

    session: str
    person: str
    phone_key: str
    masked: str
    until: Whole

    def is_of(self, session: Session, at: datetime) -> bool:
        """Say whether it was kept in this session, and is good at `at`."""
        return (self.session, self.person) == (session.id, session.person) and at < self.until

    def __repr__(self) -> str:
        return "KeptPhone()"


class KeptPhones:
    """Writes and reads the cookie. `key` is the secret of sessions; `now` gives the instant."""

    def __init__(self, key: Secrets, now: Clock) -> None:
        self._seal = Seal(key, b"yuekang phone", KeptPhone)
        self._now = now

    def keep(self, session: Session, phone_key: str, masked: str) -> Cookie:
        """Return the cookie that keeps a phone which the session's person showed to be theirs."""
        kept = KeptPhone(session.id, session.person, phone_key, masked, session.expires_at)
        return host_cookie(PHONE_COOKIE, self._seal.close(kept), kept.until - self._now())

    def of(self, request: AnyRequest, session: Session) -> KeptPhone | None:
        """Return the phone that this session keeps, if it does."""
        try:
            kept = self._seal.open(request.cookies.get(PHONE_COOKIE, ""))
        except Broken:
            return None
        return kept if kept.is_of(session, self._now()) else None
