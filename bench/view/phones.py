"""A thousand phones that show their codes for ten minutes, an hour of work: what each asks, and
whether a terminal without a network believes what it shows.

Each phone is a browser of its own (a context of Chromium) with the product's page and scripts; only
its clock is the bench's. It opens its code once, which gives it a credential. From then on every
request is counted by its address, and every `LOOK_SECONDS` a terminal verifies what the phone shows
(static/offline_check.js). The terminal fetched the status lists when the phones began, and has had
no network since.

There are three situations: the page is open and has a network; the page is open and its network
goes; the page is opened without one (static/offline.js). The last two have `ALONE_MAX` phones.

The ten minutes pass in some seconds, so a list would look as old as the clock was put forward. What
it says of its age (`x-as-of`) is put forward by as much, within the browser, and no answer is given
up for a time-out that passed in an instant; nothing else is changed. How long a red takes is
measured in real time (bench.view.reds).
"""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct
from playwright.async_api import Browser, BrowserContext, Page, Request, Response, async_playwright

from app.development.stack.processes import StackError
from app.development.stack.stack import Say
from bench.view import people, reds, stage
from bench.view.reds import Reds, log_in
from bench.view.stage import Stage

PHONES = 1_000
ALONE_MAX = 100
AT_ONCE = 25
MINUTES = 10
STEP_SECONDS = 5
"""As often as a page asks at most; between two steps its answers come."""
LOOK_SECONDS = 20
"""As often as a phone signs another second (static/wallet.js)."""
ANSWER_SECONDS = 0.03
END_SECONDS = 0.5
"""How long after its answer a request is said to be finished, and its size can be asked."""
OPEN_MS_MAX = 60_000
PEOPLE_MIN = 1_000
CHROMIUM = "/usr/bin/chromium-headless-shell"
LISTS = re.compile(r"/v1/s(/[0-9a-f]{6})?|/v1/credential-keys")
"""What anybody may keep and hand on: the lists, which they are, and who signed them."""


AS_OLD_AS_THEY_ARE = """{
    const get = Headers.prototype.get;
    Headers.prototype.get = function (name) {
        const value = get.call(this, name);
        if (name !== "x-as-of" || value === null) return value;
        return String(Number(value) + Date.now() - Date.parse(get.call(this, "date")));
    };
    AbortSignal.timeout = () => new AbortController().signal;
}"""
"""For a page whose clock is put forward: status lists come with it and look no older for that, and
no answer is given up that takes none of the real time."""


class Situation(StrEnum):
    """What a phone's ten minutes are like."""

    NETWORK = "open, with a network"
    LOST = "open, the network goes"
    OFFLINE = "opened without a network"


class Ten(Struct, frozen=True):
    """Ten minutes of all phones in one situation.

    `asked` are the requests after the page was open that reached the view, by address, and `lists`
    how many of them were for status lists, `not_modified` how many of these were answered by 304,
    `list_bytes` what all of these took, both ways, without TLS; `lost` are those that found no
    network. `shown` is how often a phone showed something, `believed` how often a terminal without
    a network took it for its holder's colour, `others` what it said else.
    """

    situation: str
    phones: int
    opening: dict[str, int]
    asked: dict[str, int]
    lost: dict[str, int]
    lists: int
    shown: int
    believed: int
    others: dict[str, int]
    not_modified: int = 0
    list_bytes: int = 0

    @property
    def not_lists(self) -> int:
        """How many requests were for something else than the lists."""
        return sum(self.asked.values()) - self.lists


class Shown(Struct, frozen=True):
    """All situations."""

    phones: int
    minutes: int
    tens: list[Ten]
    reds: list[Reds] = []


def measure(directory: Path, phones: int, say: Say) -> Shown:
    """Simulate so many phones in each situation, against a stack of its own."""
    if not Path(CHROMIUM).exists():
        raise StackError(
            f"There is no {CHROMIUM}. As root: apt-get install chromium-headless-shell"
        )
    with stage.running(directory, max(phones, PEOPLE_MIN), say) as on:
        return asyncio.run(_measured(on, phones, say))


def _cookies(on: Stage) -> list[str]:
    """Log everybody in, and return their cookies. One that nobody uses is good for half an hour."""
    cookies = on.folder / "cookies.txt"
    people.write_cookies(on.settings, cookies, on.count, timedelta(0))
    return cookies.read_text().split()


async def _measured(on: Stage, phones: int, say: Say) -> Shown:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        # First, since the others' people stay as they are.
        tens = await _tens(browser, on, phones, say)
        found = await reds.measure(browser, on, _cookies(on), phones, say)
        await browser.close()
    return Shown(phones, MINUTES, tens, found)


async def _tens(browser: Browser, on: Stage, wanted: int, say: Say) -> list[Ten]:
    tens = []
    for situation in Situation:
        counting = _Counting(situation)
        # Without a network a phone's own browser alone decides, and it is the same in each.
        alone = situation is not Situation.NETWORK
        phones = min(wanted, ALONE_MAX) if alone else wanted
        for first in range(0, phones, AT_ONCE):
            numbers, cookies = range(first, min(first + AT_ONCE, phones)), _cookies(on)
            await _batch(browser, on, situation, {n: cookies[n] for n in numbers}, counting)
            say(f"{numbers.stop:,} of {phones:,} phones {situation.value}")
        tens.append(counting.found(phones))
        say(told(tens[-1]))
    return tens


class _Counting:
    """Counts what phones ask, and what a terminal says of them."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self.opening = Counter[str]()
        self.asked = Counter[str]()
        self.lost = Counter[str]()
        self.not_modified = self.list_bytes = 0
        self.shown = 0
        self.said = Counter[str]()

    def found(self, phones: int) -> Ten:
        """Return what was counted."""
        others = dict(self.said)
        believed = others.pop("believed", 0)
        lists = sum(n for address, n in self.asked.items() if LISTS.fullmatch(address))
        return Ten(self._situation.value, phones, dict(self.opening), dict(self.asked),
                   dict(self.lost), lists, self.shown, believed, others,
                   self.not_modified, self.list_bytes)  # fmt: skip

    async def note_size(self, request: Request) -> None:
        """Count what the answer to a question for a list took."""
        sizes = await request.sizes()
        self.list_bytes += sizes["responseHeadersSize"] + sizes["responseBodySize"]


async def _batch(
    browser: Browser,
    on: Stage,
    situation: Situation,
    cookies: dict[int, str],
    counting: _Counting,
) -> None:
    """Let some phones and a terminal live through ten minutes together."""
    url = on.settings.view_url
    phones = [
        _Phone(await browser.new_context(locale="zh-CN"), url, number, cookie, counting)
        for number, cookie in cookies.items()
    ]
    gate = await browser.new_context(service_workers="block")
    try:
        await asyncio.gather(*(phone.open(situation) for phone in phones))
        if situation is Situation.NETWORK:
            await asyncio.gather(*(phone.shows_itself() for phone in phones))
        terminal = await gate.new_page()
        await terminal.clock.install(time=datetime.now(UTC))
        # Anything of the view's that is no page of a terminal: what runs is offline_check.js.
        await terminal.goto(f"{url}/gate")
        await _until(terminal, "() => typeof verify === 'function'")
        await _has_lists(terminal, await phones[0].shown())
        await gate.set_offline(True)
        for phone in phones:
            phone.begin()
        for second in range(STEP_SECONDS, 60 * MINUTES + 1, STEP_SECONDS):
            await asyncio.gather(*(phone.pass_(STEP_SECONDS) for phone in phones))
            await terminal.clock.run_for(1_000 * STEP_SECONDS)
            await asyncio.sleep(ANSWER_SECONDS)
            if second % LOOK_SECONDS == 0:
                for phone in phones:
                    await phone.look(terminal)
    finally:
        for phone in phones:
            await phone.close()
        await gate.close()


async def _until(page: Page, holds: str) -> None:
    """Return once it holds; raise `StackError` if it takes too long. (Playwright's own wait would
    evaluate text within the page, which the pages' policy forbids.)"""
    async with asyncio.timeout(OPEN_MS_MAX / 1_000):
        while not await page.evaluate(holds):  # noqa: ASYNC110  (a page has no event)
            await asyncio.sleep(ANSWER_SECONDS)


async def _has_lists(terminal: Page, text: str | None) -> None:
    """Return when a terminal believes a phone: it has the lists. It fetches them as it begins."""
    if text is None:
        raise StackError("A phone that has just opened its code shows nothing.")
    said = None
    for _ in range(200):
        said = await terminal.evaluate("text => verify(text)", text)
        if said is not None and said.get("outcome") in ("red", "green"):
            return
        await asyncio.sleep(0.05)
    raise StackError(f"A terminal does not believe a phone that has just begun: {said}")


class _Phone:
    """One phone: a browser of its own, logged in as a person."""

    def __init__(
        self,
        context: BrowserContext,
        url: str,
        number: int,
        cookie: str,
        counting: _Counting,
    ) -> None:
        self.context = context
        self._url = url
        self._number = number
        self._cookie = cookie
        self._counting = counting
        self._reached, self._lost = counting.opening, Counter[str]()
        self._noting: set[asyncio.Task[None]] = set()
        self._under_way: set[Request] = set()
        self._listed = False

    async def open(self, situation: Situation) -> None:
        """Open the code, until the phone has a credential; then the situation begins."""
        self._situation = situation
        await log_in(self.context, self._url, self._cookie)
        self.context.on("request", lambda asked: self._under_way.add(asked))
        self.context.on("response", self._answer)
        self.context.on("requestfinished", self._finished)
        self.context.on("requestfailed", self._failed)
        self._page = await self.context.new_page()
        await self._page.clock.install(time=datetime.now(UTC))
        await self._page.add_init_script(AS_OLD_AS_THEY_ARE)  # after the clock, which has time-outs
        await self._page.goto(f"{self._url}/code", timeout=OPEN_MS_MAX)
        try:
            await _until(self._page, "() => localStorage.getItem('credential') !== null")
        except TimeoutError:
            seen = await self._page.inner_text("body")
            raise StackError(f"A phone was given no credential. It shows: {seen}") from None
        if situation is Situation.OFFLINE:
            await self._page.evaluate("navigator.serviceWorker.ready.then(() => null)")
            await _until(self._page, "() => caches.keys().then(names => names.length > 0)")
        if situation is not Situation.NETWORK:
            await self.context.set_offline(True)
        if situation is Situation.OFFLINE:
            await self._page.goto(f"{self._url}/code", timeout=OPEN_MS_MAX)

    def begin(self) -> None:
        """Count what it asks from now on for its ten minutes."""
        self._reached, self._lost = self._counting.asked, self._counting.lost
        if self._situation is Situation.NETWORK:
            self._lost = self._reached  # what was given up on had reached the view

    def _failed(self, request: Request) -> None:
        if request in self._under_way:
            self._under_way.discard(request)
            self._count(request.url, self._lost)

    def _answer(self, response: Response) -> None:
        # Not once it is finished: the event for that is missing now and then.
        self._under_way.discard(response.request)
        self._count(response.url, self._reached)
        if _is_list(response.request):
            self._listed = True
            self._counting.not_modified += self._is_counted and response.status == 304

    def _finished(self, request: Request) -> None:
        if _is_list(request) and self._is_counted:
            task = asyncio.create_task(self._counting.note_size(request))
            self._noting.add(task)
            task.add_done_callback(self._noting.discard)

    @property
    def _is_counted(self) -> bool:
        return self._reached is self._counting.asked

    async def close(self) -> None:
        """End, once all that it asked is counted."""
        try:
            await self._answered()
            await asyncio.sleep(END_SECONDS)
            await self._answered()
        finally:
            await self.context.close()

    async def _answered(self) -> None:
        """Return once it has the answers to what it asked; raise `StackError` if one never
        comes."""
        try:
            async with asyncio.timeout(OPEN_MS_MAX / 1_000):
                while self._under_way or self._noting:  # noqa: ASYNC110  (events take them away)
                    await asyncio.sleep(ANSWER_SECONDS)
        except TimeoutError:
            urls = [request.url for request in self._under_way]
            raise StackError(
                f"A phone has no answer {OPEN_MS_MAX / 1_000:g} s after it asked: {urls}"
            ) from None

    @staticmethod
    def _count(url: str, counts: Counter[str]) -> None:
        path = urlsplit(url).path
        counts["/static/…" if path.startswith("/static/") else path] += 1

    async def pass_(self, seconds: int) -> None:
        """Let time pass, until it has the answers to what it asked. What comes after another step
        would look older by that."""
        await self._page.clock.run_for(1_000 * seconds)
        await self._answered()

    async def shown(self) -> str | None:
        """Return what its QR holds now; None if it can show nothing by itself."""
        text: Any = await self._page.evaluate(
            """() => {
                const state = document.getElementById("state");
                const coloured = ["red", "green"].includes(state.dataset.state);
                return wallet.show(coloured ? state.dataset : null);
            }"""
        )
        return None if text is None else str(text)

    async def shows_itself(self) -> None:
        """Return once it has asked for its list: it shows its code by itself."""
        async with asyncio.timeout(OPEN_MS_MAX / 1_000):
            while not self._listed:
                await self.pass_(1)
                await asyncio.sleep(ANSWER_SECONDS)

    async def look(self, terminal: Page) -> None:
        """Let a terminal verify what it shows."""
        text = await self.shown()
        if text is None:
            self._counting.said["shows nothing"] += 1
            return
        self._counting.shown += 1
        said = await terminal.evaluate("text => verify(text)", text)
        wanted = people.colour(self._number) or "green"  # nothing changes meanwhile
        outcome = "nothing" if said is None else said["outcome"]
        good = outcome == wanted and said["name"] == people.NAME
        self._counting.said["believed" if good else str(outcome)] += 1


def _is_list(request: Request) -> bool:
    return LISTS.fullmatch(urlsplit(request.url).path) is not None


# The report


def told(ten: Ten) -> str:
    """Say what was found, in a line."""
    return (
        f"{ten.situation}: {ten.not_lists:,} requests of {ten.phones:,} phones except for "
        f"the lists ({ten.asked}; {ten.not_modified:,} of {ten.lists:,} lists were 304, "
        f"{ten.list_bytes:,} bytes; without a network {ten.lost}); "
        f"{ten.believed:,} of {ten.shown:,} believed, else {ten.others}"
    )


def goals(found: Shown) -> Iterator[str]:
    """Yield the lines of the goal."""
    for ten in found.tens:
        asked = "met" if not ten.not_lists else "**missed**"
        yield (
            f"| {ten.phones:,} phones shown for {found.minutes} minutes ({ten.situation}) | 0 "
            f"requests except for the list | {ten.not_lists:,}, "
            f"{ten.not_lists / ten.phones:g} each | {asked} |"
        )
    yield from reds.goals(found.reds)
    shown, believed = sum(t.shown for t in found.tens), sum(t.believed for t in found.tens)
    silent = sum(t.others.get("shows nothing", 0) for t in found.tens)
    good = "met" if believed == shown and not silent else "**missed**"
    yield (
        f"| What they show, verified by a terminal without a network | all | {believed:,} of "
        f"{shown + silent:,} | {good} |"
    )


def lines(found: Shown) -> Iterator[str]:
    """Yield the section of the page."""
    yield from ("", "## Phones that show their codes by themselves", "")
    yield (
        f"{found.phones:,} browsers with the product's pages and scripts, at most {ALONE_MAX} of "
        f"them where the network goes, for {found.minutes} minutes of their clocks. Requests are "
        f"counted from when the page is open; every {LOOK_SECONDS} s a terminal that has had no "
        "network since then verifies what a phone shows. While the clocks run faster, the age that "
        "a list states is moved with them."
    )
    yield from ("", "| | Reached the view, by address | of these for lists | of these 304 "
                "| Bytes of lists a phone | Found no network | Believed | Otherwise |",
                "|---|---|---|---|---|---|---|---|")  # fmt: skip
    for ten in found.tens:
        asked, lost = (
            ", ".join(f"`{address}`: {n:,}" for address, n in sorted(counts.items())) or "none"
            for counts in (ten.asked, ten.lost)
        )
        others = ", ".join(f"{what}: {n:,}" for what, n in ten.others.items())
        yield (
            f"| {ten.situation} | {asked} | {ten.lists:,} | {ten.not_modified:,} "
            f"| {ten.list_bytes / ten.phones:,.0f} | {lost} | {ten.believed:,} of "
            f"{ten.shown:,} | {others or 'nothing'} |"
        )
    yield from reds.lines(found.reds)
