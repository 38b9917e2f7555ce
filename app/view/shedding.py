"""What is refused when more is asked than can be answered: first what can wait, a colour last.

    drawings and history, then pages, then other JSON, then colours

That it is too much shows in the event loop: a timer that is late by 100 ms says that whoever comes
now waits so long (app.view.rush). Each kind has a bound of its own. A refusal is 亮码失败, with the
time to come again. It is told after `HOLD_SECONDS`: who is refused at once asks again at once, and
refusals would take the time of answers.
"""

import asyncio
import re
from enum import StrEnum

import msgspec
from litestar import Request
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from app.process import metrics
from app.process.clock import Clock
from app.view.limits import RETRY_BUSY_SECONDS
from app.view.pages.code_page import failed_page
from app.view.problems import CAUSE_DETAILS
from app.view.reading import Unavailable
from app.view.rush import Rush
from app.web.headers import headers_of
from app.web.language import Language
from app.web.problems import KINDS, MEDIA_TYPE, TYPE_PREFIX, Problem
from app.web.site import language_of


class Waits(StrEnum):
    """What is asked for, by how long it can wait."""

    DRAWN = "drawn"
    PAGE = "page"
    JSON = "json"
    COLOUR = "colour"


BOUNDS = {Waits.DRAWN: 0.05, Waits.PAGE: 0.1, Waits.JSON: 0.2, Waits.COLOUR: 1.0}
"""From this lateness of the event loop on (s) a kind is refused. All that 4,000 connections can ask
of the hot path at one time takes 0.2 s."""

HOLD_SECONDS = 1.0

NEVER = re.compile(r"/(livez|readyz|metrics|static/.*|v1/changes|login.*|logout.*|problems/.*)")
"""What is never refused here: probes, what a page is made of, what bounds itself, who comes in."""

_KINDS = (
    (Waits.COLOUR, re.compile(r"/v1/(me/(display|code|token)|scans|s|s/.*|credential-keys)")),
    (Waits.DRAWN, re.compile(r"/(me|me/.*|v1/me/(code\.svg|information.*|export)|check|counts)")),
    (Waits.JSON, re.compile(r"/v1/.*")),
)


def kind_of(path: str) -> Waits | None:
    """Return what is asked for at an address; None for what is never refused."""
    if NEVER.fullmatch(path):
        return None
    return next((kind for kind, form in _KINDS if form.fullmatch(path)), Waits.PAGE)


class Shedding:
    """An ASGI application in front of `app`: it refuses in a rush what can wait."""

    def __init__(self, app: ASGIApp, rush: Rush, view_url: str, now: Clock) -> None:
        self._app = app
        self._rush = rush
        self._now = now
        self._headers = headers_of(view_url)
        self._pages: dict[Language, tuple[int, dict[str, str], bytes]] = {}
        detail, kind = CAUSE_DETAILS["busy"], KINDS["code-unavailable"]
        code = "code-unavailable"
        self._problem = msgspec.json.encode(
            Problem(f"{TYPE_PREFIX}{code}", kind.title, kind.status, code, detail)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse if there is a rush, and hand on otherwise."""
        if scope["type"] == ScopeType.HTTP:
            self._rush.asked()
            if self._rush.late_s >= BOUNDS[Waits.DRAWN]:
                kind = kind_of(scope["path"])
                if kind is not None and self._rush.late_s >= BOUNDS[kind]:
                    metrics.VIEW_SHED.labels(kind.value).inc()
                    await asyncio.sleep(HOLD_SECONDS)
                    await self._refuse(scope, send)
                    return
        await self._app(scope, receive, send)

    async def _refuse(self, scope: HTTPScope, send: Send) -> None:
        page = not scope["path"].startswith("/v1/")
        headers, body = self._page(language_of(Request(scope))) if page else self._json()
        named = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 503, "headers": named})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def _json(self) -> tuple[dict[str, str], bytes]:
        return {
            **self._headers,
            "content-type": MEDIA_TYPE,
            "cache-control": "no-store",
            "retry-after": str(RETRY_BUSY_SECONDS),
        }, self._problem

    def _page(self, language: Language) -> tuple[dict[str, str], bytes]:
        """Return the page of 亮码失败, which is the same for everybody within a second."""
        at = self._now()
        second = int(at.timestamp())
        kept = self._pages.get(language)
        if kept is None or kept[0] != second:
            failure = Unavailable("busy", RETRY_BUSY_SECONDS)
            answer = failed_page(failure, language, at, reload=True)
            headers = {
                **self._headers,
                "content-type": "text/html; charset=utf-8",
                **{name.lower(): value for name, value in answer.headers.items()},
            }
            kept = self._pages[language] = second, headers, answer.content.encode()
        return kept[1], kept[2]
