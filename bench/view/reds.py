"""How long it takes until a phone that shows a green shows a red: by the status list alone, and by
asking the view for its display, as before.

Phones are browsers as in bench.view.phones, with clocks of their own, in real time. Each shows a
green; then a province reports each person red, at an instant of its own within `SPREAD_SECONDS`,
and the page notes when it has become red. From the report to there it is the whole way: Kafka, the
worker, the projections, the list or the display, the page itself.

Before, a phone had no list to go by; a phone that is given no credential asks for its display every
five seconds still.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from random import Random
from typing import Any

from msgspec import Struct
from playwright.async_api import Browser, BrowserContext, Page

from app.development.stack.processes import StackError
from app.development.stack.stack import Say
from app.login.sessions import COOKIE
from app.operator.latency.report import percentiles
from bench.records import Record
from bench.view import people
from bench.view.stage import Stage

PHONES = 100
AT_ONCE = 20
SPREAD_SECONDS = 10.0
BEGIN_SECONDS = 2.0
RED_SECONDS_MAX = 60.0
OPEN_MS_MAX = 60_000
LATER_MAX = 1.2
"""How many times as long as before counts as the same time: a poll's instant is chance."""

NOTES_RED = """
document.addEventListener("DOMContentLoaded", () => {
    const note = () => {
        if (document.body.dataset.state === "red") window.redAt ??= Date.now();
    };
    new MutationObserver(note).observe(document.body, { attributeFilter: ["data-state"] });
});
"""


class Way(StrEnum):
    """How a phone learns of it."""

    LIST = "by the status list"
    DISPLAY = "by its display, as before"


class Reds(Struct, frozen=True):
    """So many phones that turned red in one way, and after how many seconds."""

    way: str
    phones: int
    median_s: float
    p99_s: float
    longest_s: float
    displays: int
    """How often a phone asked for its display meanwhile."""


async def log_in(context: BrowserContext, url: str, cookie: str) -> None:
    """Give a browser the cookie of a session. (The protocol takes a secure one for https alone.)"""
    await context.add_cookies(
        [{"name": COOKIE, "value": cookie, "url": url.replace("http:", "https:"),
          "secure": True, "httpOnly": True, "sameSite": "Lax"}]
    )  # fmt: skip


async def measure(
    browser: Browser, on: Stage, cookies: Sequence[str], phones: int, say: Say
) -> list[Reds]:
    """Turn as many phones red in each way, of people who were green."""
    green = [number for number in range(on.count) if people.colour(number) == "green"]
    count = min(phones, PHONES, len(green) // len(Way))
    took: dict[Way, list[float]] = {way: [] for way in Way}
    displays = dict.fromkeys(Way, 0)
    random = Random(1)
    for first in range(0, count, AT_ONCE):  # in turns: the machine is the same for both
        for turn, way in enumerate(Way):
            numbers = green[turn * count :][first : min(first + AT_ONCE, count)]
            seconds, asked = await _batch(browser, on, way, numbers, cookies, random)
            took[way] += seconds
            displays[way] += asked
    found = []
    for way in Way:
        of = percentiles(took[way])
        assert of is not None
        in_seconds = (of.p50_ms / 1_000, of.p99_ms / 1_000, of.max_ms / 1_000)
        found.append(Reds(way.value, count, *in_seconds, displays[way]))
        say(_told(found[-1]))
    return found


async def _batch(
    browser: Browser,
    on: Stage,
    way: Way,
    numbers: Sequence[int],
    cookies: Sequence[str],
    random: Random,
) -> tuple[list[float], int]:
    """Return how long each of some phones took, and how often they asked for a display before."""
    contexts = [await browser.new_context(locale="zh-CN", service_workers="block") for _ in numbers]
    asked = 0
    try:
        pages = await asyncio.gather(
            *(
                _opened(context, on, way, cookies[number])
                for context, number in zip(contexts, numbers, strict=True)
            )
        )
        await asyncio.sleep(BEGIN_SECONDS)
        counting = True

        def count(request: Any) -> None:
            nonlocal asked
            asked += counting and request.url.endswith("/v1/me/display")

        for context in contexts:
            context.on("request", count)
        waits = sorted(random.uniform(0, SPREAD_SECONDS) for _ in numbers)
        sent: list[float] = []
        await people.publish(on.settings.brokers, _reds(numbers, waits, sent))
        red_at = [await _red(page) for page in pages]
        counting = False
        return [at - since for at, since in zip(red_at, sent, strict=True)], asked
    finally:
        for context in contexts:
            await context.close()


async def _opened(context: BrowserContext, on: Stage, way: Way, cookie: str) -> Page:
    url = on.settings.view_url
    await log_in(context, url, cookie)
    await context.add_init_script(NOTES_RED)
    page = await context.new_page()
    if way is Way.DISPLAY:
        await page.route("**/v1/me/credential", lambda route: route.abort())
    await page.goto(f"{url}/code", timeout=OPEN_MS_MAX)
    if way is Way.LIST:
        async with asyncio.timeout(OPEN_MS_MAX / 1_000):
            while await page.evaluate("localStorage.getItem('credential')") is None:  # noqa: ASYNC110  (a page has no event)
                await asyncio.sleep(0.05)
    return page


async def _reds(
    numbers: Sequence[int], waits: Sequence[float], sent: list[float]
) -> AsyncIterator[Record]:
    """Yield a report of each person when it is due; note when it was (s since 1970)."""
    begun = datetime.now(UTC).timestamp()
    for number, wait in zip(numbers, waits, strict=True):
        await asyncio.sleep(begun + wait - datetime.now(UTC).timestamp())
        at = datetime.now(UTC)
        sent.append(at.timestamp())
        yield people.red(number, at)


async def _red(page: Page) -> float:
    """Return when a page has become red (s since 1970)."""
    try:
        async with asyncio.timeout(RED_SECONDS_MAX):
            while (at := await page.evaluate("window.redAt ?? null")) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise StackError(f"A phone is not red after {RED_SECONDS_MAX:.0f} s.") from None
    return float(at) / 1_000


# The report


def _told(reds: Reds) -> str:
    return (
        f"{reds.phones} phones red {reds.way} after {reds.median_s:.2f} s (median), "
        f"{reds.p99_s:.2f} (p99), {reds.longest_s:.2f} (longest); {reds.displays:,} displays asked"
    )


def goals(found: Sequence[Reds]) -> Iterator[str]:
    """Yield the line of the goal."""
    if not found:
        return
    now, before = ({each.way: each for each in found}[way.value] for way in (Way.LIST, Way.DISPLAY))
    good = now.median_s <= LATER_MAX * before.median_s and now.p99_s <= LATER_MAX * before.p99_s
    yield (
        f"| A red on a phone by its list alone, in real time | as before: {before.median_s:.1f} s "
        f"(median), {before.p99_s:.1f} (p99) | {now.median_s:.1f} s, {now.p99_s:.1f} "
        f"| {'met' if good else '**missed**'} |"
    )


def lines(found: Sequence[Reds]) -> Iterator[str]:
    """Yield the lines of the page."""
    if not found:
        return
    yield from ("", "| A green turns red | Phones | median | p99 | longest | Displays asked |",
                "|---|---|---|---|---|---|")  # fmt: skip
    for each in found:
        yield (
            f"| {each.way} | {each.phones} | {each.median_s:.2f} s | {each.p99_s:.2f} s "
            f"| {each.longest_s:.2f} s | {each.displays:,} |"
        )
