"""What opens a route to the logged-in person, and to nobody else.

`Guard.protect(handler, …)` makes a router of handlers that take a parameter `session: LoggedIn`.
Without a session no handler runs: a page leads to the login, and the API answers 401. A request
that changes something must come from a page of ours. No cache may keep an answer.
"""

from collections.abc import Awaitable, Callable
from http.cookies import SimpleCookie
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from litestar import Router
from litestar.connection import ASGIConnection
from litestar.datastructures import MutableScopeHeaders
from litestar.di import NamedDependency, Provide
from litestar.handlers import BaseRouteHandler
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from app.login.ended import Ended
from app.login.sessions import COOKIE, Away, NoSession, Session, Sessions
from app.web.problems import Refused, retry_later
from app.web.requests import AnyConnection, AnyRequest

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
API = "/v1/"

RESIDENT_MAX = RateLimitItemPerMinute(600)
"""Requests of one resident to one process, over all of their addresses. A page asks twice a minute
and after each touch. The counters are in memory: two numbers for each resident of the last two
minutes."""

FRESH = {"fresh": True}
"""For a handler's `opt`: it needs a session whose person the provider saw a short while ago."""


LoggedIn = NamedDependency[Session]
"""How a handler asks for the session: `session: LoggedIn`."""


class NotLoggedIn(Exception):
    """A page was asked for without a session. `return_to` is that page; None after a form."""

    def __init__(self, return_to: str | None) -> None:
        super().__init__("nobody is logged in")
        self.return_to = return_to


class NotFresh(NotLoggedIn):
    """A page was asked for, and its reader was seen too long ago for it."""


class SessionsAway(Exception):
    """A page was asked for while nobody can tell whether its session was ended."""


class Guard:
    """Lets requests with a session through. `view_url` is where browsers find us."""

    def __init__(self, sessions: Sessions, ended: Ended, view_url: str) -> None:
        self.sessions = sessions
        self._ended = ended
        self._windows = SlidingWindowCounterRateLimiter(MemoryStorage())
        self.same_origin = same_origin(origin_of(view_url))

    def session_of(self, cookie: str | None) -> Session:
        """Return the session in a cookie; raise `NoSession`, or `Away` if it is unknown."""
        session = self.sessions.read(cookie)
        if self._ended.is_over(session):
            raise NoSession
        return session

    async def spend(self, session: Session) -> None:
        """Count a request of a resident; raise `Refused` (429) if it is one too many."""
        if not await self._windows.hit(RESIDENT_MAX, session.person):
            raise retry_later(
                "resident-too-often",
                f"One may ask {RESIDENT_MAX.amount} times a minute; wait a little.",
                RESIDENT_MAX.get_expiry(),
            )

    def protect(self, *handlers: Any, path: str = "/", **options: Any) -> Router:
        """Return a router that gives each handler its `session`; `options` are Litestar's."""
        return Router(
            path,
            route_handlers=handlers,
            guards=[self.same_origin],
            middleware=[lambda app: _protected(self, app)],
            dependencies={"session": Provide(_session, sync_to_thread=False)},
            security=[{"session": []}],
            **options,
        )


def same_origin(ours: str) -> Callable[[AnyConnection, BaseRouteHandler], Awaitable[None]]:
    """Return a guard for Litestar: it refuses a change that a page of ours did not send.

    Browsers say where a request comes from: in Sec-Fetch-Site or, before 2023, in Origin. No page
    can change either. A client that sends neither is not a browser, and has no business with a
    session. (The guard is a function, not a method: Litestar copies anything else.)
    """

    async def guard(connection: AnyConnection, _: BaseRouteHandler) -> None:
        if _method(connection) in SAFE_METHODS:
            return
        site = connection.headers.get("sec-fetch-site")
        origin = connection.headers.get("origin")
        if not (origin == ours if site is None else site == "same-origin"):
            raise Refused(
                "cross-site",
                "Send it from a page of this site; a client that is no browser sends its Origin.",
            )

    return guard


def _session(request: AnyRequest) -> Session:
    session: Session = request.scope["state"][_STATE]
    return session


_STATE = "yuekang_session"


def _protected(guard: Guard, next_app: ASGIApp) -> ASGIApp:
    """Return an application that calls `next_app` with a session, and never without one.

    It runs once the route is known and before the route's parameters are read.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        connection: AnyConnection = ASGIConnection(scope)
        try:
            session = guard.session_of(connection.cookies.get(COOKIE))
        except NoSession:
            raise _no_session(connection) from None
        except Away:
            raise sessions_away(connection) from None
        await guard.spend(session)
        if scope["route_handler"].opt.get("fresh") and not guard.sessions.is_fresh(session):
            raise _not_fresh(connection)
        renewed = guard.sessions.renewed(session)
        scope["state"][_STATE] = renewed or session

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableScopeHeaders.from_message(message)
                headers["cache-control"] = "no-store"
                # A route that ends the session has the last word on its cookie.
                if renewed and not _sets_cookie(headers):
                    headers.add("set-cookie", guard.sessions.set_cookie(renewed))
            await send(message)

        await next_app(scope, receive, send_on)

    return app


def _sets_cookie(headers: MutableScopeHeaders) -> bool:
    return any(COOKIE in SimpleCookie(value) for value in headers.getall("set-cookie", []))


def _no_session(connection: AnyConnection) -> Exception:
    if not is_page(connection):
        return Refused(
            "no-session",
            "Log in at /login, and ask again.",
            headers={"WWW-Authenticate": f"Cookie form-action=/login, cookie-name={COOKIE}"},
        )
    return NotLoggedIn(_here(connection))


def _not_fresh(connection: AnyConnection) -> Exception:
    if not is_page(connection):
        return Refused("login-again", "Log in by face or password again at /login, and ask again.")
    return NotFresh(_here(connection))


def _here(connection: AnyConnection) -> str | None:
    """Return the page that is asked for; None for a form, which is not sent twice."""
    here: str = connection.scope["path"]
    if query := connection.scope["query_string"].decode("latin-1"):
        here += f"?{query}"
    return here if _method(connection) in SAFE_METHODS else None


def sessions_away(connection: AnyConnection) -> "SessionsAway | Refused":
    """Return what whoever asks is told where nobody can tell whether their session was ended."""
    # A page's script may ask for the page too: this answer does not redirect it anywhere.
    wants_page = "text/html" in connection.headers.get("accept", "")
    if is_page(connection) or (wants_page and not connection.scope["path"].startswith(API)):
        return SessionsAway()
    return Refused(
        "sessions-away",
        "It is not known whether this session was ended, so nothing is shown. Ask again.",
        headers={"Retry-After": "2"},
    )


def _method(connection: AnyConnection) -> str:
    return cast(HTTPScope, connection.scope)["method"]


def is_page(connection: AnyConnection) -> bool:
    """Say whether a person waits for a page, rather than a program for an answer."""
    if connection.scope["path"].startswith(API):
        return False
    # A script's request cannot be redirected to another site; it needs an answer.
    if connection.headers.get("sec-fetch-mode", "navigate") != "navigate":
        return False
    accept = connection.headers.get("accept", "*/*")
    return "text/html" in accept or "*/*" in accept


def origin_of(url: str) -> str:
    """Return scheme, host and port of an address, as a browser writes them in Origin."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    usual = parts.port in (None, {"http": 80, "https": 443}.get(parts.scheme))
    return f"{parts.scheme}://{host}" + ("" if usual else f":{parts.port}")


HOME = "/code"
"""Where a login leads if it did not begin at another page."""

PATH_LENGTH_MAX = 512

OWN = ("login", "logout", "logged-out")
"""How the login's own addresses begin."""


def own_path(asked: str | None) -> str:
    """Return the path to go back to if it is one of ours, else `HOME`.

    A browser reads two slashes, a backslash, and tabs or line ends between them as the beginning of
    another site's address, so only what is plainly a path is taken. A path into the login itself is
    refused: it would lead in a circle.
    """
    if not asked or len(asked) > PATH_LENGTH_MAX or not asked.isascii() or not asked.isprintable():
        return HOME
    if not asked.startswith("/") or asked.startswith("//") or "\\" in asked or " " in asked:
        return HOME
    try:
        parts = urlsplit(asked)
    except ValueError:
        return HOME
    if parts.scheme or parts.netloc or parts.path.split("/")[1] in OWN:
        return HOME
    return asked


def with_return(path: str, return_to: str) -> str:
    """Return `path` with the page to go back to; `HOME` is left out."""
    return path if return_to == HOME else f"{path}?{urlencode({'return_to': return_to})}"
