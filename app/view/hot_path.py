"""The hot path: what phones ask by the thousand each second, answered before the framework.

    GET /v1/me/display   the code, its reasons, a token and their age, in one answer
    GET /code            the page of a red or green code
    GET /v1/s/{chunk}    a status list that was read a moment ago (app.credentials.statuses)

It waits for nobody; all it needs is in memory or in the replica on this machine. Where nobody
writes that, it asks Redis for the codes of one turn together. A list is the same for everybody. For
the others:

1. The session is opened from its cookie (app.login.sessions). Which sessions ended is known
   (app.login.ended).
2. The code is read from the replica, with how far that is (app.projection.replica, app.view.codes).
3. It is judged at this instant (models.codes).
4. A token is sealed (app.view.displays).
5. The answer is encoded (app.view.showing), or its page filled in (app.web.blanks).
6. The display is put into the recorder's queue (app.view.recorder).

Only the plain case is answered here. Whatever is not (no session, no code, somebody who asks too
often, a question with parameters) goes on to the framework. That no code can be shown is as plain:
at a peak it is said to all at once (app.view.refusing). The framework's answer is the
specification, and tests hold both to the same.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache, partial

import msgspec
from isal import igzip
from litestar.types import HTTPScope, Send
from msgspec import Struct

from app.credentials.statuses import LIST_TYPE, STATUS_LISTS
from app.login.guards import HOME
from app.login.sessions import COOKIE, Away, NoSession, Session, Sessions
from app.view.codes import note_failure, note_read
from app.view.me import DISPLAY, EPOCH_HEADER
from app.view.pages.code_page import COLOURED, RELOAD_S, coloured, sheet_of
from app.view.reading import Read, Unavailable
from app.view.services import Services
from app.view.showing import BEFORE, STATES, display_answer, record_failed, record_shown
from app.web.blanks import filled_in
from app.web.headers import headers_of
from app.web.language import LANGUAGES, Language, negotiate
from app.web.problems import log_failure
from app.web.raw import RawHeaders, as_bytes, send_whole
from app.web.site import LANGUAGE_COOKIE, VARY, page_headers
from models.codes import Colour
from models.policy import ZONE

SELDOM_SECONDS = 2.0
SELDOM_MAX = 2
"""Whoever asks more than twice in two seconds is answered by the framework, whose limiter counts
them. A phone asks once in five seconds."""

COUNTED_MAX = 100_000
"""People counted within those two seconds; some 12 MB. If there are more, counting begins again."""

PHONES_MAX = 150_000
"""Phones that are remembered, those that asked last; some 170 MB. A phone asks every five seconds,
so 125,000 of them make a peak's 25,000 requests a second. To open a session takes 5 us, and 14
where the processor has done other work meanwhile, as it has between two requests."""

REASONS_MAX = 4
"""The page of somebody with more open reasons is rendered by the framework. Hardly anybody else's
has the same form, so it would be rendered here as well, and its pieces kept in vain."""

GZIP_LEVEL = 1
"""A green page of 6.2 KB becomes 2.6 KB in 18 us; a red one of 8 KB 3.4 KB. zlib, at its level 1,
takes 47 us for a green one."""

PACKED = {"content-encoding": "gzip", "vary": f"{VARY}, accept-encoding"}
"""Headers of a page that is packed."""

Answer = tuple[int, RawHeaders, bytes]
Asked = dict[bytes, bytes]

_BEFORE, _EPOCH = BEFORE.encode(), EPOCH_HEADER.encode()
_SESSION, _LANGUAGE = f"{COOKIE}=".encode(), f"{LANGUAGE_COOKIE}=".encode()
_RELEVANT = {b"cookie", _BEFORE, b"accept-language", b"accept-encoding", b"if-none-match"}
_encode = msgspec.json.Encoder().encode


class _Phone(Struct, frozen=True):
    """A session, until when it is good, and from when on its cookie is written again."""

    session: Session
    good_until: datetime
    due_at: datetime


class HotPath:
    """Answers plain questions, for one event loop."""

    def __init__(self, view: Services) -> None:
        self._view = view
        self._handlers: Mapping[str, Callable[[Asked], Awaitable[Answer | None]]] = {
            DISPLAY: self._display,
            HOME: self._page,
        }
        every = self._every = headers_of(view.view_url)
        self._json = as_bytes(
            {**every, "content-type": "application/json", "cache-control": "no-store"}
        )
        html = {**every, "content-type": "text/html; charset=utf-8"}
        self._html = {
            (language, gzipped): as_bytes({**html, **page_headers(language), **more})
            for language in LANGUAGES
            for gzipped, more in ((False, {}), (True, PACKED))
        }
        self._phone = lru_cache(PHONES_MAX)(partial(_phone, view.login.sessions))
        self._times: dict[str, int] = {}
        self._counted_since = 0.0

    async def answers(self, scope: HTTPScope, send: Send) -> bool:
        """Answer a plain question; False, and nothing was sent, if it is another one, or a bug
        keeps it from being answered here. Raises `Unavailable`, or `Away` where nobody can tell
        whether the session was ended: then no code can be shown, and nothing was sent."""
        try:
            found = await self._answer(scope)
        except (Unavailable, Away):
            raise
        except Exception as failure:
            log_failure("hot_path_failed", scope["method"], failure)
            return False
        if found is None:
            return False
        status, headers, body = found
        if status != 304:  # there it would be the length of what is not sent
            headers.append((b"content-length", b"%d" % len(body)))
        await send_whole(send, status, headers, body)
        return True

    async def _answer(self, scope: HTTPScope) -> Answer | None:
        path = scope["path"]
        answer = self._handlers.get(path)
        is_list = answer is None and path.startswith(STATUS_LISTS)
        if not (answer or is_list) or scope["method"] != "GET" or scope["query_string"]:
            return None
        asked = _relevant(scope["headers"])
        if asked is None:
            return None
        if answer is None:
            return self._status_list(path.removeprefix(STATUS_LISTS), asked)
        return await answer(asked)

    def _status_list(self, chunk: str, asked: Asked) -> Answer | None:
        found = self._view.statuses.kept(chunk)
        if found is None:
            return None
        headers = {**self._every, **found.headers()}
        if found.is_known(asked.get(b"if-none-match", b"").decode("latin-1")):
            return 304, as_bytes(headers), b""
        return 200, as_bytes({**headers, "content-type": LIST_TYPE}), found.content

    async def _display(self, asked: Asked) -> Answer | None:
        before = _before(asked)
        if before is not None and before not in STATES:
            return None
        found = await self._read(asked, before)
        if found is None:
            return None
        phone, read = found
        answer = display_answer(self._view, phone.session, read)
        self._shown(phone, read, answer.code.colour, before)
        epoch = _EPOCH, self._view.holdings.epoch.encode()
        return 200, [*self._json, epoch, *self._renewed(phone, read)], _encode(answer)

    async def _page(self, asked: Asked) -> Answer | None:
        before = _before(asked)
        found = await self._read(asked, before)
        if found is None:
            return None
        phone, read = found
        says = sheet_of(self._view, read)
        if says.colour is Colour.NONE or len(says.reasons) > REASONS_MAX:
            return None
        language = _language(asked)
        context = coloured(self._view, phone.session, read, says, RELOAD_S)
        page = filled_in(COLOURED, language, context)
        self._shown(phone, read, says.colour, before)
        if gzipped := b"gzip" in asked.get(b"accept-encoding", b""):
            page = igzip.compress(page, GZIP_LEVEL, mtime=0)
        return 200, [*self._html[language, gzipped], *self._renewed(phone, read)], page

    async def _read(self, asked: Asked, before: str | None) -> tuple[_Phone, Read] | None:
        """Return whose code is asked for, and the code if there is one; raise `Unavailable` or
        `Away`."""
        try:
            phone = self._phone(_cookie(asked, _SESSION))
        except NoSession:
            return None
        at, session = self._view.now(), phone.session
        if at >= phone.good_until or self._view.login.ended.is_over(session):
            return None
        if not self._asks_seldom(session.person):
            return None
        try:
            read = await self._view.codes.find(session.person, at)
        except Unavailable as failure:
            note_failure(failure)
            record_failed(self._view, session, failure, before)
            raise
        return None if read.code is None else (phone, read)

    def _asks_seldom(self, person: str) -> bool:
        now = time.monotonic()
        if now - self._counted_since > SELDOM_SECONDS or len(self._times) >= COUNTED_MAX:
            self._times, self._counted_since = {}, now
        times = self._times[person] = self._times.get(person, 0) + 1
        return times <= SELDOM_MAX

    def _shown(self, phone: _Phone, read: Read, colour: Colour, before: str | None) -> None:
        note_read(read)
        record_shown(self._view, phone.session, read.at, colour, before)

    def _renewed(self, phone: _Phone, read: Read) -> RawHeaders:
        if read.at < phone.due_at:
            return []
        sessions = self._view.login.sessions
        renewed = sessions.renewed(phone.session)
        return [] if renewed is None else [(b"set-cookie", sessions.set_cookie(renewed).encode())]


def _phone(sessions: Sessions, cookie: bytes | None) -> _Phone:
    """Return what a session's cookie says; raise `NoSession`. It knows nothing of time."""
    session = sessions.opened((cookie or b"").decode("latin-1"))
    return _Phone(session, _here(session.good_until), _here(session.due_at))


def _here(instant: datetime) -> datetime:
    """Return an instant in the zone in which the clock is read; others compare slowly."""
    return instant.astimezone(ZONE)


def _cookie(asked: Asked, start: bytes) -> bytes | None:
    """Return the value of a cookie that begins with `start`; None unless there is one such."""
    before, found, after = asked.get(b"cookie", b"").partition(start)
    if not found or start in after or (before and not before.endswith(b"; ")):
        return None
    return after.partition(b"; ")[0]


def _language(asked: Asked) -> Language:
    prefers = asked.get(b"accept-language", b"").decode("latin-1")
    return negotiate(None, prefers, (_cookie(asked, _LANGUAGE) or b"").decode("latin-1"))


def _before(asked: Asked) -> str | None:
    before = asked.get(_BEFORE)
    return None if before is None else before.decode("latin-1")


def _relevant(headers: Iterable[tuple[bytes, bytes]]) -> Asked | None:
    """Return the headers that bear on an answer; None if one of them comes twice."""
    found: Asked = {}
    for name, value in headers:
        if name in _RELEVANT:
            if name in found:
                return None
            found[name] = value
    return found
