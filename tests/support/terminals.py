"""The terminal of a guard as tests use it: set up, handed photos, or with a camera."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import segno
from PIL import Image
from playwright.sync_api import Browser, Page

from app.process.clock import Clock
from app.view.displays import Displays
from models.codes import HealthCode
from support.browsing import PHONE
from support.stage import Stage
from support.tokens import TOKENS
from support.views import DISPLAY_KEY, now

TERMINAL = TOKENS.token_for("/terminals/440100-001")
SIZE = (1280, 720)
"""Of a frame: what a cheap tablet's camera gives."""


def begin(stage: Stage, page: Page, place: str = "东门", query: str = "") -> None:
    """Open the terminal and set it up, as a guard does on the first day. A camera that sees a code
    already may have read it by now."""
    page.goto(f"{stage.url}/gate{query}")
    if page.locator("#token").is_visible():
        page.locator("#token").fill(TERMINAL)
    page.locator("#place").fill(place)
    page.locator("#begin [type=submit]").click()
    page.locator("#looking, #shown").filter(visible=True).wait_for()


def shown_by(stage: Stage, browser: Browser, code: HealthCode) -> Image.Image:
    """What a resident's phone shows."""
    with browser.new_context(viewport=PHONE, locale="zh-CN", service_workers="block") as context:
        page = context.new_page()
        stage.open(page, stage.put(code))
        page.locator("[data-qr] svg").wait_for()
        return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def drawn(text: str) -> Image.Image:
    """A QR on its own."""
    out = io.BytesIO()
    segno.make(text, error="m", micro=False).save(out, kind="png", scale=6, border=4)
    return Image.open(out).convert("RGB")


def photo(picture: Image.Image) -> Any:
    """A picture as a file that is handed to the page."""
    out = io.BytesIO()
    picture.save(out, "PNG")
    return {"name": "photo.png", "mimeType": "image/png", "buffer": out.getvalue()}


@contextmanager
def camera(browser: Browser, film: Path, picture: Image.Image, **context: Any) -> Iterator[Page]:
    """Yield a page whose camera sees `picture`, held before a grey wall.

    A film is pictures one after another (Motion JPEG), and begins again at its end.
    """
    frame = Image.new("RGB", SIZE, (128, 128, 128))
    scale = min(SIZE[0] / picture.width, SIZE[1] / picture.height)
    held = picture.resize((round(picture.width * scale), round(picture.height * scale)))
    frame.paste(held, ((SIZE[0] - held.width) // 2, (SIZE[1] - held.height) // 2))
    out = io.BytesIO()
    frame.save(out, "JPEG", quality=85)
    film.write_bytes(out.getvalue() * 10)
    with (
        browser.browser_type.launch(
            executable_path="/usr/bin/chromium-headless-shell",
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-video-capture={film}",
            ],
        ) as own,
        own.new_context(
            viewport=PHONE, locale="zh-CN", permissions=["camera"], **context
        ) as opened,
    ):
        page = opened.new_page()
        yield page


def take(page: Page, picture: Image.Image) -> None:
    """Hand the page a photo."""
    page.locator("#still").set_input_files(photo(picture))


def token_of(person: str, clock: Clock = now) -> str:
    """What the QR of a person holds, made now by `clock`."""
    return Displays(DISPLAY_KEY, clock).token(person, "样*甲", "1234")
