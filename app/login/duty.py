"""Who is on duty: an operator's token, once, for a cookie of twelve hours.

`Duty.protect(handler, …)` makes a router for those alone who are on duty: by that cookie, or by the
token itself (`Authorization: Bearer …`), as a program sends it. A page leads to the login, anything
else is answered 401. It takes the role `read`.

The cookie names the operator, the token it was given for and the key of that. It is good no more
once the token or its source is taken back, or the key is not trusted. Nothing else is stored, so a
cookie alone cannot be taken back before its time; whoever logs out deletes it in their browser.
"""

from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

import structlog
from litestar import MediaType, Response, Router, get, post
from litestar.datastructures import Cookie
from litestar.handlers import BaseRouteHandler
from litestar.response import Redirect
from msgspec import Meta, Struct

from app.audit.entries import Act
from app.audit.trail import Trail
from app.login.guards import SAFE_METHODS, is_page, origin_of, own_path, same_origin
from app.login.seal import Broken, Seal, Secrets
from app.login.sessions import host_cookie
from app.process.clock import Clock
from app.web.language import Language, Text
from app.web.language import gettext as _
from app.web.operator import operator_of
from app.web.problems import Refused
from app.web.requests import AnyConnection, AnyRequest
from app.web.site import FORM_HEADERS, language_of, page
from app.web.tokens import TOKEN_LENGTH_MAX, InvalidToken, Role, Tokens

DUTY_COOKIE = "__Host-duty"
DUTY_LIFE = timedelta(hours=12)
"""A shift: from a login until the next one, however much the pages are used. A wall that shows the
dashboard has to be logged in once a shift too."""

DASHBOARD = "/dashboard"
LOGIN_PAGE = "/duty/login"
OFFICER_LENGTH_MAX = 40

log = structlog.get_logger()

Whole = Annotated[datetime, Meta(tz=True)]


class OnDuty(Struct, frozen=True, array_like=True):
    """Who is on duty: as which operator, under which name or post (it may be empty), until when.

    `token_id` is of the token that was shown, `key_id` of the key that made it; empty if the
    authorization server did.
    """

    source: str
    officer: str
    token_id: str
    key_id: str
    until: Whole


class NotOnDuty(Exception):
    """A page was asked for by somebody who is not on duty. `return_to` is that page."""

    def __init__(self, return_to: str) -> None:
        super().__init__("nobody is on duty")
        self.return_to = return_to


class Duty:
    """Lets those on duty through. `view_url` is where browsers find us."""

    def __init__(self, session_key: Secrets, tokens: Tokens, view_url: str, now: Clock) -> None:
        self._seal = Seal(session_key, b"yuekang duty", OnDuty)
        self._tokens = tokens
        self._now = now
        self.same_origin = same_origin(origin_of(view_url))

    async def begin(self, token: str, officer: str) -> OnDuty | None:
        """Return who is on duty from now on with this token; None if it is not an officer's."""
        try:
            access = await self._tokens.access_of(token.strip())
        except InvalidToken:
            return None
        if Role.READ not in access.roles:
            return None
        name = " ".join(officer.split())[:OFFICER_LENGTH_MAX]
        key_id = access.key_id if self._tokens.is_own(access.key_id) else ""
        until = self._now() + DUTY_LIFE
        return OnDuty(access.source, name, access.token_id, key_id, until)

    def cookie(self, officer: OnDuty) -> Cookie:
        """Return the cookie; the browser forgets it when the shift is over."""
        return host_cookie(DUTY_COOKIE, self._seal.close(officer), officer.until - self._now())

    def officer_of(self, connection: AnyConnection) -> OnDuty | None:
        """Return who is on duty by the request's cookie, or None."""
        try:
            officer = self._seal.open(connection.cookies.get(DUTY_COOKIE, ""))
        except Broken:
            return None
        if officer.key_id and not self._tokens.is_own(officer.key_id):
            return None
        try:
            self._tokens.check(officer.source, officer.token_id)
        except InvalidToken:
            return None
        return officer if self._now() < officer.until else None

    async def check(self, connection: AnyConnection) -> None:
        """Raise unless one on duty asks: `NotOnDuty` for a page, else `Refused` (401, 403)."""
        if self.officer_of(connection) is not None:
            return
        if "authorization" not in connection.headers and is_page(connection):
            query = connection.scope["query_string"].decode("latin-1")
            raise NotOnDuty(connection.scope["path"] + (f"?{query}" if query else ""))
        await operator_of(self._tokens, connection, Role.READ)

    async def lets_in(self, connection: AnyConnection) -> bool:
        """Say whether one on duty still asks, as a stream asks that has begun."""
        try:
            await self.check(connection)
        except (NotOnDuty, Refused):
            return False
        return True

    def protect(self, *handlers: Any, **options: Any) -> Router:
        """Return a router of handlers for those on duty alone; `options` are Litestar's.

        A request that changes something must come from a page of ours.
        """
        # A function, not a method: Litestar copies anything else.
        check = self.check

        async def guard(connection: AnyConnection, _: BaseRouteHandler) -> None:
            await check(connection)

        security = [{"operatorToken": list[str]()}, {"duty": list[str]()}]
        settings = {"guards": [self.same_origin, guard], "security": security, **options}
        return Router("/", route_handlers=handlers, **settings)


def duty_login_routes(duty: Duty, trail: Trail) -> list[Any]:
    """Return the handlers of the login's own pages, for whoever makes a router of pages.

    Who begins a shift is written down; without that nobody does.
    """

    @get(LOGIN_PAGE, media_type=MediaType.HTML)
    async def show_login(request: AnyRequest) -> Response[str]:
        return _login_page(language_of(request), request.query_params.get("return_to", ""))

    @post(LOGIN_PAGE, media_type=MediaType.HTML, guards=[duty.same_origin])
    async def begin(request: AnyRequest) -> Response[str] | Redirect:
        form = await request.form()
        officer, return_to = str(form.get("officer", "")), str(form.get("return_to", ""))
        begun = await duty.begin(str(form.get("token", "")), officer)
        if begun is None:
            log.warning("duty_refused", seldom=True)
            fault = _("令牌不对，或不是值班人员的。")
            return _login_page(language_of(request), return_to, officer, fault)
        try:
            details = {"token": begun.token_id}
            await trail.note(begun.source, Act.DUTY_BEGUN, begun.officer, details=details)
        except Refused:
            fault = _("现在不能登录：审计日志没有应答。请稍后再试。")
            return _login_page(language_of(request), return_to, officer, fault, 503)
        return Redirect(
            duty_path(return_to),
            status_code=303,
            cookies=[duty.cookie(begun)],
            headers={"cache-control": "no-store"},
        )

    @post("/duty/logout", guards=[duty.same_origin])
    async def end() -> Redirect:
        gone = host_cookie(DUTY_COOKIE, "", timedelta(0))
        headers = {"cache-control": "no-store"}
        return Redirect(LOGIN_PAGE, status_code=303, cookies=[gone], headers=headers)

    return [show_login, begin, end]


def duty_path(asked: str) -> str:
    """Return the page of the duty officer's to go back to, or the dashboard."""
    path = own_path(asked)
    ours = path.startswith((DASHBOARD, "/duty/")) and not path.startswith(LOGIN_PAGE)
    return path if ours else DASHBOARD


def on_not_on_duty(request: AnyRequest, failure: NotOnDuty) -> Response[Any]:
    """Lead a page to the login, and back; a form that is not taken leads to the dashboard."""
    return_to = failure.return_to if request.method in SAFE_METHODS else DASHBOARD
    address = f"{LOGIN_PAGE}?{urlencode({'return_to': return_to})}"
    return Redirect(address, status_code=303, headers={"cache-control": "no-store"})


def _login_page(
    language: Language,
    return_to: str,
    officer: str = "",
    fault: Text | None = None,
    status: int = 422,
) -> Response[str]:
    context = {
        "return_to": duty_path(return_to),
        "officer": officer[:OFFICER_LENGTH_MAX],
        "officer_length_max": OFFICER_LENGTH_MAX,
        "token_length_max": TOKEN_LENGTH_MAX,
        "hours": int(DUTY_LIFE.total_seconds()) // 3600,
        "faults": {} if fault is None else {"token": fault},
    }
    if fault is None:
        status = 200
    return page("duty_login.html", language, context, status=status, headers=FORM_HEADERS)
