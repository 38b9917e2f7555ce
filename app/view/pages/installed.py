"""What turns the code page into an app on a phone: the manifest, the page without a network, and
the script that keeps that page."""

from typing import Any

import msgspec
from litestar import Response

from app.web.language import Language
from app.web.language import gettext as _
from app.web.site import HEADERS, OWN_PAGES, page, static, static_file

PAPER = "#f4f5f7"
"""The same as in static/tokens.css: the frame of the app has the colour of no code."""


def manifest(language: Language) -> Response[bytes]:
    """The web app manifest (W3C) in the reader's language."""
    name = _("粤康码").of(language)
    content = {
        "id": "/code",
        "name": name,
        "short_name": name,
        "lang": language.tag,
        "start_url": f"/code?lang={language.code}",
        "scope": "/",
        "display": "standalone",
        "background_color": PAPER,
        "theme_color": PAPER,
        "icons": [
            {"src": static("icon.svg"), "sizes": "any", "type": "image/svg+xml"},
            {"src": static("icon-512.png"), "sizes": "512x512", "type": "image/png"},
        ],
        "shortcuts": [
            {"name": title.of(language), "url": f"{address}?lang={language.code}"}
            for address, title in OWN_PAGES.items()
        ],
    }
    return _sent(msgspec.json.encode(content), "application/manifest+json")


def worker_script() -> Response[bytes]:
    """The script that keeps the page without a network. It lies at the root to serve all pages."""
    return _sent(static_file("service-worker.js").read_bytes(), "text/javascript")


def offline_page(language: Language) -> Response[str]:
    """The page without a network: what this device was last told, marked as old, without colour."""
    return page("offline.html", language, {})


def _sent(content: bytes, media_type: str) -> Response[Any]:
    return Response(
        content, media_type=media_type, headers={**HEADERS, "cache-control": "no-cache"}
    )
