"""What is looked at in Chromium, and how: sizes, accessibility, the colours of the screen."""

import io
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Page, ViewportSize

from models.codes import EventRef
from support.stage import Spot, Stage
from support.views import someone

PHONE: ViewportSize = {"width": 390, "height": 844}
NARROW: ViewportSize = {"width": 320, "height": 640}
DESK: ViewportSize = {"width": 1440, "height": 900}

AXE = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}

SMALL_TARGETS = """
[...document.querySelectorAll("a, button, select, input:not([type=hidden])")]
    .filter(e => e.checkVisibility() && !e.closest("p, td, .skip"))
    .map(e => [e.outerHTML.slice(0, 90), e.getBoundingClientRect().height])
    .filter(([, height]) => height < 24)
"""
"""2.5.8 of WCAG 2.2; links within a sentence or a table are exempt."""

NOTICE = EventRef("/quarantine-commands/4401", "n-1")
"""The release notice of the person who has something of everything."""

OWN = [
    "/me",
    "/me/nat-results",
    "/me/certificates",
    "/me/declarations",
    "/me/everything",
    "/me/negative",
    "/me/code-changes",
    "/me/devices",
]

EVERY = [
    # For anybody
    "/",
    "/offline",
    "/no-such-page",
    "/counts",
    "/contact",
    "/privacy",
    "/accessibility",
    "/login/failed/denied",
    "/logged-out",
    # The code
    "red",
    "green",
    "none",
    "stale",
    "failed",
    # Health information
    *OWN,
    "/me-empty",
    "/me-failed",
    "notice",
    "/check",
    "check-unknown",
    # Declarations
    "declare",
    "declare-form",
    "declare-unit",
    "declare-faults",
    "declare-sent",
    "declare-sent-advised",
    # The travel card
    "travel-phone",
    "travel-phone-faults",
    "travel-away",
    "travel-code",
    # For a guard
    "/gate",
    # For the duty officer
    "/duty/login",
    "/dashboard",
    "dashboard-failed",
    "/dashboard?wall",
    "/duty/playbooks",
    # For agencies
    "/api",
    "/api/events",
    "/api/events/yuekang.nat-result.reported.v1",
    "/agency",
]
"""Every page, by its address or by a name for its state."""

Where = Callable[[str], Spot]
"""Where to find each."""

Colour = tuple[int, int, int]


def assert_accessible(page: Page) -> None:
    found = Axe().run(page, options=AXE).response["violations"]
    assert not found, [(v["id"], [n["html"][:160] for n in v["nodes"]]) for v in found]


def colours(picture: bytes) -> list[tuple[int, Colour]]:
    """How many pixels a picture has of each colour."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    counted: Any = image.getcolors(1 << 24)  # pixels of RGB, and fewer colours than would give None
    found: list[tuple[int, Colour]] = counted
    return found


def is_grey(page: Page) -> bool:
    """Say whether not one pixel of the screen has a hue."""
    return all(max(c) - min(c) <= 8 for _, c in colours(page.screenshot()))


def word(page: Page) -> str:
    """The large word."""
    return page.locator("h1 .first").inner_text()


def _declared(**fields: str) -> dict[str, str]:
    return {
        "id": str(uuid4()),
        "city": "440100",
        "celsius": "36.5",
        "contact": "no",
        "travelled": "no",
        **fields,
    }


def forms(stage: Stage) -> dict[str, Spot]:
    """The forms of a resident, empty and with faults."""
    person = someone()
    form, travel = "/declare/personal", "/travel-card"
    phone = {"phone": "13800138000"}
    return {
        "declare": Spot(stage, "/declare", person),
        "declare-form": Spot(stage, form, person),
        "declare-unit": Spot(stage, "/declare/student-or-staff", person),
        "declare-faults": Spot(stage, form, person, (form, {"celsius": "30", "city": "440100"})),
        "declare-sent": Spot(stage, form, person, (form, _declared())),
        "declare-sent-advised": Spot(
            stage, form, person, (form, _declared(celsius="39.5", symptoms="breathlessness"))
        ),
        "travel-phone": Spot(stage, travel, person),
        "travel-phone-faults": Spot(stage, travel, person, (f"{travel}/code", {"phone": "1"})),
        "travel-away": Spot(stage, travel, person, (f"{travel}/code", phone)),
        "travel-code": Spot(stage, travel, person, (travel, {**phone, "code": "12"})),
    }
