"""`GET /gate`: the terminal of a guard, in a browser. It reads a code, asks, and shows the outcome.

The page is the same for everybody, and holds nothing: a terminal's token is typed in, or read from
a QR, once, and stays in that browser's storage. It asks `POST /v1/scans` as any terminal does. What
it says of each outcome stands in `VERDICTS`, one for each that `app.view.scans` can answer and one
more: nobody could be asked. Then a colour is shown only if the terminal can verify it by itself
(static/offline_check.js), and the scan waits in the device until there is a network
(docs/decisions/0024-gate.md).
"""

from typing import Any, Literal

import msgspec
from litestar import MediaType, Response, get
from msgspec import Struct

from app.credentials.bounds import TEXT_LENGTH_MAX
from app.view.pages.installed import PAPER
from app.view.scans import ScanOutcome
from app.web.language import Language, Text
from app.web.language import gettext as _
from app.web.requests import AnyRequest
from app.web.site import (
    HEADERS,
    cached_page,
    digest_of,
    language_of,
    service_worker,
    static,
    static_file,
)

SCRIPTS = (
    "kept.js",
    "zxing-reader-3.1.6.js",
    "reader.js",
    "camera.js",
    "outcomes.js",
    "queue.js",
    "credential.js",
    "offline_check.js",
    "gate.js",
)
"""In the order in which they need each other."""

WASM = "zxing_reader-3.1.6.wasm"

GATE_HEADERS = {
    # Of all pages this one alone compiles WebAssembly, of this host, and uses the camera.
    "content-security-policy": (
        f"{HEADERS['content-security-policy']}; script-src 'self' 'wasm-unsafe-eval'; "
        "worker-src 'self'"
    ),
    "permissions-policy": "camera=(self), geolocation=(), microphone=()",
}
"""Headers that replace those of other pages."""

UNREACHABLE: Literal["unreachable"] = "unreachable"


class OutcomeWords(Struct, frozen=True):
    """What the screen says of an outcome: a word, and what the guard does.

    `shape` names what says the same without a colour, in templates/macros.html or gate.html.
    """

    outcome: str
    word: Text
    does: Text
    shape: str


VERDICTS = (
    OutcomeWords(
        ScanOutcome.GREEN,
        _("绿码"),
        _("核对姓名与证件，相符放行"),
        "green",
    ),
    OutcomeWords(
        ScanOutcome.RED,
        _("红码"),
        _("不放行，按现场规定处置"),
        "red",
    ),
    OutcomeWords(
        ScanOutcome.EXPIRED,
        _("已过期"),
        _("请对方刷新粤康码再扫；截图和照片无效"),
        "hourglass",
    ),
    OutcomeWords(
        ScanOutcome.FORGED,
        _("无效码"),
        _("不是粤康码，可能是伪造，不放行"),
        "not-found",
    ),
    OutcomeWords(
        ScanOutcome.CLOCK_WRONG,
        _("时间不准"),
        _("请先校准本机时间，再扫一次"),
        "clock",
    ),
    OutcomeWords(
        ScanOutcome.UNKNOWN,
        _("无码"),
        _("此人没有健康码，按现场规定处置"),
        "none",
    ),
    OutcomeWords(
        ScanOutcome.STALE,
        _("数据过旧"),
        _("暂不能据此放行，请一分钟后再扫"),
        "unavailable",
    ),
    OutcomeWords(
        UNREACHABLE,
        _("无法核验"),
        _("连不上服务器，不能据此放行；扫码已存在本机，联网后自动上传"),
        "no-signal",
    ),
)


def gate_routes() -> list[Any]:
    """Return the handlers of the page and of what installs it."""

    @get("/gate", media_type=MediaType.HTML)
    async def show_gate(request: AnyRequest) -> Response[bytes]:
        return gate_page(request)

    @get("/gate/manifest.webmanifest")
    async def show_gate_manifest(request: AnyRequest) -> Response[bytes]:
        return gate_manifest(language_of(request))

    @get("/gate/worker.js")
    async def show_gate_worker() -> Response[bytes]:
        # Its address lies below the page's: without this header it could not serve that.
        return _sent(
            static_file("gate-worker.js").read_bytes(),
            "text/javascript",
            {"service-worker-allowed": "/gate"},
        )

    return [show_gate, show_gate_manifest, show_gate_worker]


def gate_page(request: AnyRequest) -> Response[bytes]:
    """The page, which is the same for all who read its language."""
    language = language_of(request)
    page = cached_page(
        request,
        "gate.html",
        digest_of("gate"),
        lambda: {
            "verdicts": VERDICTS,
            "scripts": SCRIPTS,
            "wasm": WASM,
            "worker": gate_worker(language),
            "token_length_max": TEXT_LENGTH_MAX,
        },
    )
    page.headers.update(GATE_HEADERS)
    return page


def gate_worker(language: Language) -> str:
    """Address of the script that keeps the page without a network, in this language and version."""
    return f"/gate/worker.js?{service_worker(language).partition('?')[2]}"


def gate_manifest(language: Language) -> Response[bytes]:
    """The web app manifest (W3C): the terminal is an app apart from a resident's own."""
    content = {
        "id": "/gate",
        "name": _("粤康码查验终端").of(language),
        "short_name": _("查验终端").of(language),
        "lang": language.tag,
        "start_url": f"/gate?lang={language.code}",
        "scope": "/gate",
        "display": "standalone",
        "background_color": PAPER,
        "theme_color": PAPER,
        "icons": [
            {"src": static("icon.svg"), "sizes": "any", "type": "image/svg+xml"},
            {"src": static("icon-512.png"), "sizes": "512x512", "type": "image/png"},
        ],
    }
    return _sent(msgspec.json.encode(content), "application/manifest+json")


def _sent(
    content: bytes, media_type: str, headers: dict[str, str] | None = None
) -> Response[bytes]:
    return Response(
        content,
        media_type=media_type,
        headers={**HEADERS, "cache-control": "no-cache", **(headers or {})},
    )
