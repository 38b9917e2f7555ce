"""亮码失败 without the framework: what phones are told where no code can be shown.

A refusal by the framework costs two to three times as much as a display, and a page of it some
twenty times as much as here. Where Redis is slow or gone, at a peak everybody is refused at once.
Then the event loop would be slow just when it has to hear of what ends that, such as the news of
ended sessions (app.login.ended).

Each is what the framework answers (app.view.problems, app.login.guards); tests hold it to that.
"""

from typing import NamedTuple

import msgspec
from isal import igzip
from litestar import Request
from litestar.types import HTTPScope

from app.login.guards import API, sessions_away
from app.login.sessions import Away
from app.process import metrics
from app.process.clock import Clock
from app.view.hot_path import GZIP_LEVEL, PACKED
from app.view.limits import RETRY_STORE_SECONDS
from app.view.pages.code_page import failed_page
from app.view.problems import code_unavailable
from app.view.reading import Unavailable, UnavailableCause
from app.web.headers import headers_of
from app.web.language import Language
from app.web.problems import MEDIA_TYPE, Refused
from app.web.raw import RawHeaders, as_bytes
from app.web.site import language_of

SESSIONS_AWAY = Unavailable("store", RETRY_STORE_SECONDS)
"""What a page says where nobody can tell whether its session was ended."""


class _Page(NamedTuple):
    second: int
    headers: RawHeaders
    body: bytes
    packed_headers: RawHeaders
    packed: bytes


class Refusing:
    """Makes refusals, for one event loop. All are answered with 503."""

    def __init__(self, view_url: str, now: Clock) -> None:
        self._now = now
        self._every = headers_of(view_url)
        self._problems: dict[str, tuple[RawHeaders, bytes]] = {}  # by their detail, which is fixed
        self._pages: dict[tuple[Language, UnavailableCause], _Page] = {}

    def answer(self, scope: HTTPScope, failure: Unavailable | Away) -> tuple[RawHeaders, bytes]:
        """Return headers and body of the refusal of what was asked for."""
        if isinstance(failure, Away):
            said = sessions_away(Request(scope))
            if isinstance(said, Refused):
                return self._problem(said)
            failure = SESSIONS_AWAY
        if scope["path"].startswith(API):
            return self._problem(code_unavailable(failure))
        return self._page(scope, failure)

    def _problem(self, refused: Refused) -> tuple[RawHeaders, bytes]:
        metrics.HTTP_REQUESTS_REFUSED.labels(refused.code).inc()
        found = self._problems.get(refused.detail)
        if found is None:
            headers = {
                **self._every,
                "content-type": MEDIA_TYPE,
                "cache-control": "no-store",
                **{name.lower(): value for name, value in refused.headers.items()},
            }
            body = msgspec.json.encode(refused.problem())
            found = self._problems[refused.detail] = as_bytes(headers), body
        return found

    def _page(self, scope: HTTPScope, failure: Unavailable) -> tuple[RawHeaders, bytes]:
        """Return the page, which is the same for everybody within a second."""
        at, request = self._now(), Request(scope)  # type: ignore[var-annotated]
        language, second = language_of(request), int(at.timestamp())
        found = self._pages.get((language, failure.cause))
        if found is None or found.second != second:
            answer = failed_page(failure, language, at, reload=True)
            headers = {
                **self._every,
                "content-type": "text/html; charset=utf-8",
                **{name.lower(): value for name, value in answer.headers.items()},
            }
            body = answer.content.encode()
            found = self._pages[language, failure.cause] = _Page(
                second,
                as_bytes(headers),
                body,
                as_bytes({**headers, **PACKED}),
                igzip.compress(body, GZIP_LEVEL, mtime=0),
            )
        if "gzip" in request.headers.get("accept-encoding", ""):
            return found.packed_headers, found.packed
        return found.headers, found.body
