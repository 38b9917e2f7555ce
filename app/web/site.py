"""How every page is made and sent: templates, the addresses of static files, headers."""

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from unicodedata import category

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from litestar import MediaType, Response
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie, MutableScopeHeaders
from litestar.types import Message, Scope
from markdown_it import MarkdownIt
from markupsafe import Markup
from msgspec import Struct

from app.web.language import (
    LOCALES,
    Language,
    Text,
    is_known,
    negotiate,
    ngettext,
    number,
    pgettext,
)
from app.web.language import gettext as _
from app.web.requests import AnyRequest

UNSEEN = frozenset({"Cc", "Cf", "Zl", "Zp"})

APP = Path(__file__).parent.parent
TEMPLATES = sorted(APP.glob("**/templates"))
STATIC = sorted(APP.glob("**/static"))
"""Files that only one room's pages need lie in that room, the rest here. A name occurs once."""

HEADERS = {
    # Nothing is inline or from elsewhere: a page that shows a colour runs no foreign code.
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
        "object-src 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
"""Headers of every page and static file."""

FORM_HEADERS = {
    # So that a form says where it comes from, also in a browser that says it in Origin alone.
    "referrer-policy": "same-origin",
}
"""Headers that replace those above on a page with a form."""


LANGUAGE_COOKIE = "__Host-lang"

LANGUAGE_SECONDS = 365 * 24 * 3600

VARY = "accept-language, cookie"
"""What a page depends on beside its address: who reads it, and in which language."""


OWN_PAGES: dict[str, Text] = {
    "/me": _("我的粤康码信息"),
    "/declare": _("健康申报"),
    "/travel-card": _("行程卡"),
}
"""A resident's own pages beside the code, by address (manual, 三（二） to 三（四）)."""


@pass_context
def _said(context: Context, value: object) -> object:
    """Say a value as `said_in` does, in the page's first language."""
    return said_in(value, context["language"])


def said_in(value: object, language: Language) -> object:
    """Return a value as a template prints it in a language, before it is escaped."""
    said = value.of(language) if isinstance(value, Text) else value
    if isinstance(said, str) and not hasattr(said, "__html__"):
        return without_unseen(said)
    return said


def without_unseen(text: str) -> str:
    """Return `text` without what is not seen and changes what is: controls, marks of direction,
    line and paragraph separators (Unicode's Cc, Cf, Zl, Zp). A name that an agency sent could
    otherwise turn the words beside it around."""
    if text.isprintable():
        return text
    return "".join(one for one in text if one == "\n" or category(one) not in UNSEEN)


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_said,
    trim_blocks=True,
    lstrip_blocks=True,
)


def static_file(name: str) -> Path:
    """Return where a static file lies; raise `StopIteration` for an unknown name."""
    return next(folder / name for folder in STATIC if (folder / name).is_file())


@cache
def static(name: str) -> str:
    """Address of a static file. It changes with the content, so a browser may keep it for ever."""
    digest = hashlib.sha256(static_file(name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


@cache
def _version() -> str:
    """The digest of all templates, files and texts: it changes whenever one of them does."""
    folders = (*TEMPLATES, *STATIC, LOCALES)
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def service_worker(language: Language) -> str:
    """Address of the script that keeps the page without a network, in this language and version."""
    return f"/service-worker.js?lang={language.code}&v={_version()}"


def anchor(*parts: str) -> str:
    """An address within a page, made of letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")


def ms(at: datetime) -> int:
    """Milliseconds since the epoch, rounded up so that a script never acts before the instant."""
    return math.ceil(at.timestamp() * 1000)


_COMMONMARK = MarkdownIt("commonmark", {"html": False})


@lru_cache(maxsize=1024)  # some 110 texts, always the same: uncached, a quarter of a page's time
def _commonmark(text: str) -> Markup:
    """A description in an OpenAPI or AsyncAPI document: both want CommonMark. Rendered inline."""
    return Markup(_COMMONMARK.renderInline(text))  # raw HTML is off: it is escaped


_ENVIRONMENT.globals.update(
    static=static,
    service_worker=service_worker,
    own_pages=OWN_PAGES,
    number=number,
    _=_,
    pgettext=pgettext,
    ngettext=ngettext,
)
_ENVIRONMENT.filters.update(ms=ms, commonmark=_commonmark)


def language_of(request: AnyRequest) -> Language:
    """The language that comes first for this reader."""
    return negotiate(
        request.query_params.get("lang"),
        request.headers.get("accept-language", ""),
        request.cookies.get(LANGUAGE_COOKIE),
    )


async def keep_language(message: Message, scope: Scope) -> None:
    """Let a browser keep the language that its reader chose, for a year.

    For an application's `before_send`. A reader chooses by opening an address with `?lang=`; what
    scripts fetch chooses nothing. The cookie tells nothing about a person, and depends on the
    address alone, so a proxy may keep it with the page.
    """
    if message["type"] != "http.response.start" or b"lang=" not in scope["query_string"]:
        return
    connection: ASGIConnection[Any, Any, Any, Any] = ASGIConnection(scope)
    code = connection.query_params.get("lang", "").lower()
    opened = connection.headers.get("sec-fetch-mode", "navigate") == "navigate"
    if not opened or not is_known(code) or connection.cookies.get(LANGUAGE_COOKIE) == code:
        return
    cookie = Cookie(
        key=LANGUAGE_COOKIE,
        value=code,
        path="/",
        max_age=LANGUAGE_SECONDS,
        secure=True,
        httponly=True,
        samesite="lax",
    )
    MutableScopeHeaders.from_message(message).add("set-cookie", cookie.to_header(header=""))


def render(template: str, language: Language, context: Mapping[str, object]) -> str:
    """Fill a template in: a page, or a picture."""
    return _ENVIRONMENT.get_template(template).render(language=language, **context)


def page_headers(language: Language) -> dict[str, str]:
    """Return the headers of a page about a person or an instant, which no cache stores."""
    return {
        **HEADERS,
        "cache-control": "no-store",
        "content-language": language.tag,
        "vary": VARY,
    }


def page(
    template: str,
    language: Language,
    context: Mapping[str, object],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response[str]:
    """Answer with a page. No cache stores it, since it is about a person or an instant."""
    return Response(
        render(template, language, context),
        status_code=status,
        media_type=MediaType.HTML,
        headers={**page_headers(language), **(headers or {})},
    )


CACHED_PAGES_MAX = 128
"""Pages kept as bytes at once, each in each language. The largest has 200 KB."""

CACHED_SECONDS = 60
"""How long a browser, or a proxy, may show such a page without asking again."""


class CachedPage(Struct, frozen=True):
    """A page as it is sent. The tag is of its bytes, so every process gives it the same."""

    content: bytes
    etag: str


_cached: dict[tuple[str, str, str], CachedPage] = {}


def digest_of(*parts: object) -> str:
    """Return what tells JSON values, as long as they may be, from any others."""
    return hashlib.blake2b(orjson.dumps(parts), digest_size=16).hexdigest()


def cached_page(
    request: AnyRequest,
    template: str,
    digest: str,
    context: Callable[[], Mapping[str, object]],
) -> Response[bytes]:
    """Answer with a page that is the same for all readers of a language.

    It is rendered once for each `digest`, which must differ wherever `context` does: `digest_of`
    what the context is made from, or a constant. A reader who has the page already is told so
    (304). It must be about nobody, and set no cookie, since a proxy may keep it.
    """
    language = language_of(request)
    found = _page_of(template, digest, language, context)
    known = {tag.strip() for tag in request.headers.get("if-none-match", "").split(",")}
    unchanged = not known.isdisjoint({found.etag, "*"})
    return Response(
        b"" if unchanged else found.content,
        status_code=304 if unchanged else 200,
        media_type=MediaType.HTML,
        headers={
            **HEADERS,
            "cache-control": f"public, max-age={CACHED_SECONDS}",
            "content-language": language.tag,
            "etag": found.etag,
            "vary": VARY,
        },
    )


def _page_of(
    template: str, digest: str, language: Language, context: Callable[[], Mapping[str, object]]
) -> CachedPage:
    key = template, language.code, digest
    found = _cached.pop(key, None)
    if found is None:
        content = render(template, language, context()).encode()
        # Weak, since it is the same page whether it is sent compressed or not (RFC 9110, 8.8.1).
        etag = f'W/"{hashlib.blake2b(content, digest_size=16).hexdigest()}"'
        found = CachedPage(content, etag)
    _cached[key] = found  # at the end: the first is the one that was asked for longest ago
    if len(_cached) > CACHED_PAGES_MAX:
        del _cached[next(iter(_cached))]
    return found
