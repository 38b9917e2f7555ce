"""Pictures of every page and state, for docs: `pytest tests/e2e/screenshots.py`.

Not collected with the tests. A picture is `docs/screenshots/<name>.png` on a phone and
`<name>-desk.png` on a desk.
"""

import io
import random
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect

from app.view.pages import names
from models.codes import Cause, Colour, HealthCode, Status, StatusChange, reference_of
from models.information import Section
from support import people
from support.browsing import DESK, NOTICE, PHONE, forms
from support.stage import Spot, Stage
from support.terminals import begin, drawn, take, token_of
from support.views import now, someone

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
PALETTE = 128
"""Colours of a picture: the eye misses none, and the file has a third of the size."""

PEOPLE = 1_500
LIVE = 12
"""Changes that come while the dashboard is open."""


def test_pictures(
    stage: Stage, informed: str, stale: tuple[Stage, str], failing: Stage, browser: Browser
) -> None:
    codes = list(city())
    reds = [code for code in codes if code.intervals]
    stage.tell(*changes(reds, minutes=59))
    many = people.red(someone(), people.close_contact(), people.abroad())
    spots: dict[str, Spot] = {
        # For anybody
        "home": Spot(stage, "/"),
        "no-such-address": Spot(stage, "/no-such-page"),
        "login-failed": Spot(stage, "/login/failed/denied"),
        "logged-out": Spot(stage, "/logged-out"),
        # The code
        "red": Spot(stage, person=stage.put(*codes, many)),
        "green": Spot(stage, person=stage.put(people.green(someone()))),
        "no-code": Spot(stage, person=someone()),
        "stale": Spot(stale[0], person=stale[1]),
        "failed": Spot(failing, person=someone()),
        # Health information
        "information": Spot(stage, "/me", informed),
        **{section: Spot(stage, f"/me/{section}", informed) for section in Section},
        "everything": Spot(stage, "/me/everything", informed),
        "code-changes": Spot(stage, "/me/code-changes", informed),
        # What is shown to others
        "notice": Spot(stage, f"/me/notices/{reference_of(NOTICE)}", informed),
        "negative": Spot(stage, "/me/negative", informed),
        "check": Spot(stage, "/check"),
        # Declarations and the travel card
        **forms(stage),
        # For a guard
        "gate": Spot(stage, "/gate"),
        # For the duty officer
        "dashboard-failed": Spot(failing, "/dashboard"),
        # For agencies
        "api": Spot(stage, "/api"),
        "events": Spot(stage, "/api/events"),
    }
    for suffix, size in (("", PHONE), ("-desk", DESK)):
        with browser.new_context(viewport=size, locale="zh-CN") as context:
            for name, spot in spots.items():
                page = context.new_page()
                spot.open(page)
                keep(f"{name}{suffix}", page)
            keep(f"dashboard{suffix}", live_dashboard(stage, context, reds))
            for state in ("red", "green"):
                keep(f"gate-{state}{suffix}", scanned(context, stage, spots[state].person))
            keep(f"gate-expired{suffix}", scanned(context, stage, someone(), seconds=61))
            keep(f"gate-forged{suffix}", scanned(context, stage, None))
            # Last: the clock of the context is put forward.
            keep(f"lost{suffix}", lost(context, spots["green"]))
            keep(f"offline{suffix}", offline(context, spots["green"]))
        with browser.new_context(viewport=size, locale="en-GB") as context:
            page = context.new_page()
            spots["red"].open(page)
            keep(f"red-en{suffix}", page)


def live_dashboard(stage: Stage, context: BrowserContext, reds: list[HealthCode]) -> Page:
    page = context.new_page()
    stage.open(page, None, "/dashboard")
    expect(page.locator("#connection")).to_contain_text("实时")
    rows = page.locator("#changes tbody tr")
    at_first = rows.count()
    stage.tell(*changes(reds[:LIVE], minutes=0))
    expect(rows).to_have_count(at_first + LIVE)
    return page


def scanned(context: BrowserContext, stage: Stage, person: str | None, seconds: int = 0) -> Page:
    """What a terminal says of a person's code that was shown so long ago, or of no code at all."""
    page = context.new_page()
    begin(stage, page)
    at = now() - timedelta(seconds=seconds)
    take(page, drawn("https://example.org/" if person is None else token_of(person, lambda: at)))
    page.locator("#shown").wait_for()
    return page


def lost(context: BrowserContext, spot: Spot) -> Page:
    page = context.new_page()
    page.clock.install()
    spot.open(page)
    context.set_offline(True)
    page.clock.run_for(26_000)
    expect(page.locator("h1 .first")).to_have_text("亮码失败")
    return page


def offline(context: BrowserContext, spot: Spot) -> Page:
    """What the service worker answers with; the browser was told a code before."""
    context.set_offline(False)
    page = context.new_page()
    spot.open(page)
    page.goto(f"{spot.stage.url}/offline")
    page.locator("[data-last]").wait_for()
    return page


def city() -> Iterable[HealthCode]:
    """People of Guangdong; most of them live in the first few cities."""
    draw = random.Random(1)
    cities = list(names.CITIES)
    soon = now() + timedelta(days=3)
    for _ in range(PEOPLE):
        home = cities[min(int(draw.expovariate(0.3)), len(cities) - 1)]
        if draw.random() < 0.8:
            yield people.green(someone(), city=home)
        else:
            intervals = (people.close_contact(), people.abroad(), people.quarantined_until(soon))
            (interval,) = draw.choices(intervals, (4, 1, 2))
            yield people.red(someone(), interval, city=home)


def changes(reds: list[HealthCode], minutes: float) -> Iterable[StatusChange]:
    """How these turned red, or nearly so many green, in the minutes before now."""
    draw = random.Random(2)
    green = Status(Colour.GREEN)
    for code in reds:
        opened_by = code.intervals[0].opened_by
        red = Status(Colour.RED, code.reasons)
        turns = (green, red) if draw.random() < 0.6 else (red, green)
        at = now() - timedelta(minutes=draw.triangular(0, minutes, minutes / 3))
        cause = Cause(opened_by.source, opened_by.id)
        yield StatusChange(code.person, 2, 1, at, *turns, cause, code.city)


def keep(name: str, page: Page) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(PALETTE, dither=Image.Dither.NONE).save(FOLDER / f"{name}.png", optimize=True)
