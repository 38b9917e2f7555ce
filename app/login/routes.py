"""The addresses of the login, and what they share."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Annotated, Any, cast

import httpx
import structlog
from litestar import MediaType, Response, Router, get, post
from litestar.params import PathParameter
from litestar.response import Redirect
from msgspec import Struct
from redis.asyncio import Redis

from app.login.again import FORGET, LOGGED_OUT, again_page, device_routes
from app.login.claims import NoDocument, identity_of
from app.login.devices import Devices
from app.login.ended import Ended, OnEnd, nothing_more
from app.login.failures import STATUSES, Failed, Why
from app.login.guards import (
    HOME,
    Guard,
    LoggedIn,
    NotFresh,
    NotLoggedIn,
    SessionsAway,
    own_path,
    with_return,
)
from app.login.names import ending_of, mask
from app.login.oidc import LOGIN, LoginState, RelyingParty
from app.login.options import LoginOptions
from app.login.pages import notice
from app.login.registration import Registration
from app.login.seal import Broken, Seal
from app.login.sessions import (
    COOKIE,
    DEVICE_COOKIE,
    IDLE,
    Away,
    NoSession,
    Session,
    Sessions,
    host_cookie,
)
from app.process import metrics
from app.process.clock import Clock
from app.web.refusals import refusals
from app.web.requests import AnyRequest
from app.web.site import language_of
from models.events import DocumentType
from models.policy import ZONE

LOGIN_COOKIE_PREFIX = "__Host-login-"
"""How the cookie of a login under way is named; some letters of the login's state follow."""

LOGINS_AT_ONCE_MAX = 4
"""Logins that one browser may have under way; one more, and the oldest is forgotten."""

STATE_LETTERS = 8
"""How many of a state's random letters tell the logins of one browser apart."""
CALLBACK = "/login/callback"

HINT_LENGTH_MAX = 32

NO_STORE = {"cache-control": "no-store", "referrer-policy": "no-referrer"}

log = structlog.get_logger()


class SessionAnswer(Struct, frozen=True):
    """Who is logged in. `adult` is null if the birthday is unknown."""

    name: str
    document_type: DocumentType
    adult: bool | None
    issued_at: datetime
    expires_at: datetime
    idle_seconds_max: int


class Login:
    """What the handlers share. Make it in the event loop's process; `start` and `close` it in the
    loop.

    `redis` is the database of sessions, `follower` another client of it (`Ended`). `has_code` says
    whether a person has a code; then a login publishes nothing. `now` gives the instant, with its
    zone. `on_end` is for what has to end with a session.
    """

    def __init__(
        self,
        options: LoginOptions,
        redis: Redis,
        follower: Redis,
        has_code: Callable[[str], Awaitable[bool]],
        now: Clock,
        *,
        on_end: OnEnd = nothing_more,
        to_provider: httpx.AsyncBaseTransport | None = None,
        to_gateway: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.now = now
        self.sessions = Sessions(options.session_key, now)
        self.ended = Ended(redis, follower, on_end)
        self.guard = Guard(self.sessions, self.ended, options.view_url)
        self.devices = Devices(options.session_key, redis, self.ended, now)
        self._view_url = options.view_url.rstrip("/")
        self._states = Seal(options.session_key, b"yuekang login", LoginState)
        self._names = options.claim_names
        self._party = None
        if options.provider is not None:
            redirect_uri = self._view_url + CALLBACK
            self._party = RelyingParty(options.provider, redirect_uri, now, to_provider)
        self._registration = Registration(
            options.gateway_url,
            options.provider_name,
            options.gateway_token,
            has_code,
            to_gateway,
        )

    async def start(self) -> None:
        """Begin to follow which sessions end; wait a moment for the first answer."""
        self.ended.start()
        await self.ended.heard()

    async def close(self) -> None:
        """Close all connections except the one to Redis."""
        await self.ended.stop()
        if self._party:
            await self._party.close()
        await self._registration.close()

    async def begin(self, request: AnyRequest, return_to: str, hint: str) -> Redirect:
        """Send the browser to the provider, with what it has to bring back; raise `Failed`."""
        if self._party is None:
            raise Failed("not-set-up", "there is no YUEKANG_OIDC_ISSUER")
        address, login = await self._party.begin(return_to, language_of(request).tag, hint)
        cookie = host_cookie(cookie_of(login.state), self._states.close(login), LOGIN)
        # Browsers send older cookies first. Too many would exceed what a server takes of headers.
        under_way = [name for name in request.cookies if name.startswith(LOGIN_COOKIE_PREFIX)]
        over = [host_cookie(name, "", timedelta(0)) for name in under_way[: 1 - LOGINS_AT_ONCE_MAX]]
        return Redirect(address, status_code=303, cookies=[cookie, *over], headers=NO_STORE)

    def state_of(self, request: AnyRequest) -> LoginState | None:
        """Return the login that this browser began, if it did."""
        with suppress(Broken):
            state = request.query_params.get("state", "")
            return self._states.open(request.cookies.get(cookie_of(state), ""))
        return None

    async def finish(self, login: LoginState | None, request: AnyRequest) -> Session:
        """Return a session of the person whom the provider names, or raise `Failed`.

        The document number is in memory until this function ends, and no longer; only its ending
        is kept.
        """
        if self._party is None or login is None:
            raise Failed("expired", "this browser began no login")
        names = self._names
        wanted = frozenset({names.number, names.name})
        claims = await self._party.finish(login, dict(request.query_params), wanted)
        at = self.now()
        try:
            identity = identity_of(claims, names, at.astimezone(ZONE).date())
        except NoDocument:
            raise Failed("document", "the provider names none") from None
        person = await self._registration.register(identity, login.state, at)
        family = await self._end_former(request, person)
        document = identity.document
        return self.sessions.begin(
            person,
            mask(identity.name),
            identity.adult_from(at),
            document.type,
            ending_of(document.number),
            family=family,
        )

    async def _end_former(self, request: AnyRequest, person: str) -> str:
        """End the session that this browser had before, so that nobody can find and use it. Return
        the family of the phone if it is the person's own."""
        device = self.devices.read(request.cookies.get(DEVICE_COOKIE))
        try:
            with suppress(NoSession):
                await self.ended.end(self.sessions.read(request.cookies.get(COOKIE)))
            return await self.devices.family_of(device, person)
        except Away:
            raise Failed("sessions", "the former session cannot be ended") from None

    async def log_out(self, request: AnyRequest) -> None:
        """End the session that this browser has, and the own phone that it is; raise `Away`.

        The session of an own phone ends with the phone, so nothing more is stored of it. Else a
        phone that logs in again and again could fill the store with sessions that it ended.
        """
        await self.end_device(request)
        with suppress(NoSession):
            session = self.sessions.read(request.cookies.get(COOKIE))
            if session.family:
                await self._end_phone(session.person, session.family)
            else:
                await self.ended.end(session)

    async def end_device(self, request: AnyRequest, unless_of: str = "") -> bool:
        """End the own phone that this browser is, if it is one, and not of `unless_of`; say so."""
        device = self.devices.read(request.cookies.get(DEVICE_COOKIE))
        if device is None or device.person == unless_of:
            return False
        await self._end_phone(device.person, device.family)
        return True

    async def _end_phone(self, person: str, family: str) -> None:
        """End an own phone that a cookie of ours names: Redis may have lost it, and a copy of the
        cookie would go on."""
        await self.devices.end(person, family)
        await self.ended.end_phone(person, family)

    async def provider_logout(self) -> str | None:
        """Return where the provider's own session ends, if it offers that and answers."""
        with suppress(Failed):
            if self._party:
                return await self._party.logout_address(self._view_url + LOGGED_OUT)
        return None


def cookie_of(state: str) -> str:
    """Return the name of a login's cookie. Each login has its own: two tabs may log in at once."""
    return LOGIN_COOKIE_PREFIX + state[:STATE_LETTERS]


def login_routes(login: Login) -> list[Any]:
    """Return the handlers, for the application's `route_handlers`."""

    @get("/login")
    async def begin(request: AnyRequest) -> Redirect:
        return_to = own_path(request.query_params.get("return_to"))
        hint = request.query_params.get("hint", "")
        if len(hint) > HINT_LENGTH_MAX or not hint.isascii() or not hint.isprintable():
            hint = ""
        try:
            return await login.begin(request, return_to, hint)
        except Failed as failed:
            return _to_failed(failed, return_to)

    @get(CALLBACK)
    async def finish(request: AnyRequest) -> Redirect:
        begun = login.state_of(request)
        return_to = begun.return_to if begun else HOME
        # An answer is worth nothing a second time, whatever comes of it.
        used = [host_cookie(cookie_of(begun.state), "", timedelta(0))] if begun else []
        try:
            session = await login.finish(begun, request)
        except Failed as failed:
            response = _to_failed(failed, return_to)
            response.cookies.extend(used)
            return response
        metrics.VIEW_LOGINS.labels("done").inc()
        cookies = [*used, login.sessions.cookie(session)]
        with suppress(Away):  # then its cookie is taken back, and without it the phone is no one's
            if await login.end_device(request, unless_of=session.person):
                cookies.append(host_cookie(DEVICE_COOKIE, "", timedelta(0)))
        return Redirect(return_to, status_code=303, cookies=cookies, headers=NO_STORE)

    @get("/login/failed/{why:str}", media_type=MediaType.HTML)
    async def failed(
        request: AnyRequest,
        why: Annotated[str, PathParameter(pattern=f"^({'|'.join(STATUSES)})$")],
    ) -> Response[str]:
        kind = cast(Why, why)
        return_to = own_path(request.query_params.get("return_to"))
        return notice(kind, language_of(request), status=STATUSES[kind], return_to=return_to)

    @post("/logout", guards=[login.guard.same_origin])
    async def end(request: AnyRequest) -> Response[str] | Redirect:
        cookies = login.sessions.no_cookies()
        try:
            await login.log_out(request)
        except Away:
            response = notice("logout", language_of(request), status=503)
            response.cookies.extend(cookies)
            response.headers.update(FORGET)
            return response
        # The way leads over a page of ours: a form may not go to another site (form-action).
        headers = {**NO_STORE, **FORGET}
        return Redirect(LOGGED_OUT, status_code=303, cookies=cookies, headers=headers)

    @get(LOGGED_OUT, media_type=MediaType.HTML)
    async def ended(request: AnyRequest) -> Response[str]:
        return notice(
            "logged-out", language_of(request), provider_logout=await login.provider_logout()
        )

    @get(
        "/v1/session",
        operation_id="readSession",
        summary="Say who is logged in, and until when",
        response_description="Who is logged in.",
        responses=refusals("no-session", "sessions-away"),
    )
    async def read(session: LoggedIn) -> SessionAnswer:
        """Asking counts as a use."""
        return SessionAnswer(
            session.name,
            session.document_type,
            session.is_adult(login.now().astimezone(ZONE).date()),
            session.issued_at,
            session.expires_at,
            int(IDLE.total_seconds()),
        )

    pages = Router("/", route_handlers=[begin, finish, failed, end, ended], include_in_schema=False)
    own = device_routes(login.devices, login.sessions, login.guard)
    return [pages, login.guard.protect(read), *own]


def _on_not_logged_in(login: Login) -> Callable[[AnyRequest, NotLoggedIn], Response[Any]]:
    def answer(request: AnyRequest, failure: NotLoggedIn) -> Response[Any]:
        """Lead a page to the login, and back. A form is not sent twice, so its sender is told."""
        if failure.return_to is None:
            return notice("over", language_of(request), status=401)
        return_to = own_path(failure.return_to)
        own = None
        if not isinstance(failure, NotFresh):
            own = again_page(request, login.devices, return_to)
        address = with_return("/login", return_to)
        return own or Redirect(address, status_code=303, headers=NO_STORE)

    return answer


def on_sessions_away(request: AnyRequest, _: SessionsAway) -> Response[str]:
    """Answer that nobody can tell whether the session was ended. The page shows no person."""
    return notice("sessions", language_of(request), status=STATUSES["sessions"])


def exception_handlers(login: Login) -> dict[Any, Any]:
    """Return what is for the application's `exception_handlers`."""
    return {NotLoggedIn: _on_not_logged_in(login), SessionsAway: on_sessions_away}


def _to_failed(failed: Failed, return_to: str) -> Redirect:
    """Lead to the page of a failure. It can be loaded again, and read in either language."""
    metrics.VIEW_LOGINS.labels(failed.why).inc()
    log.warning("login_failed", why=failed.why, detail=failed.detail)
    address = with_return(f"/login/failed/{failed.why}", return_to)
    return Redirect(address, status_code=303, headers=NO_STORE)
