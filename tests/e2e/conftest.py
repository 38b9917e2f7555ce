"""A real Chromium in front of the real view. All of it ends with this folder's tests."""

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis.asyncio
from playwright.sync_api import Browser, BrowserContext, Page, Response, sync_playwright

from app.process.kafka import Brokers
from app.process.ports import free_port
from app.process.settings import Settings
from app.projection.codes import QUOTAS_CHANGELOG, CodeBatch, CodeWriter, stored
from app.projection.state import Position, StateGate
from app.topics.catalogue import CATALOGUE, HEALTH_CODES, STATUS_CHANGES
from models.codes import HealthCode, reference_of
from models.events import DeclarationKind, ListName
from models.lists import EMPTY, Listing, add, list_of
from support import builders as b
from support import people
from support.brokers import Kafka
from support.browsing import DESK, NARROW, NOTICE, OWN, PHONE, Where, forms
from support.rows import put_rows, row_of
from support.stage import Log, Service, Spot, Stage, running
from support.views import now, someone

UNKEPT: dict[str, Any] = {"service_workers": "block"}
"""Pages come from the view alone, not from what the browser kept; see test_phone.py."""


@pytest.fixture(scope="package")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("view")


@pytest.fixture(scope="package")
def kafka(broker: Brokers, worker_id: str) -> Kafka:
    """The broker with topics that all pages have in common."""
    kafka = Kafka(broker, f"e2e-{worker_id}-")
    asyncio.run(kafka.create_topics())
    return kafka


@pytest.fixture(scope="package")
def log(kafka: Kafka) -> Iterator[Log]:
    log = Log(kafka)
    yield log
    log.close()


@pytest.fixture(scope="package")
def stage(kafka: Kafka, redis_url: str, log: Log, directory: Path) -> Iterator[Stage]:
    """Kafka, the projection, Redis and the view, as they are run."""
    credentials = {"YUEKANG_CREDENTIALS_REDIS_URL": redis_url.replace("/0", "/12")}
    # What people see of their history is put there by hand, so the rows' process writes elsewhere.
    elsewhere = {**credentials, "YUEKANG_ROWS_REDIS_URL": redis_url.replace("/0", "/13")}
    redis_url = redis_url.replace("/0", "/1")  # others empty theirs
    with (
        running(Service("projection", kafka, redis_url, directory)),
        running(Service("rows", kafka, redis_url, directory, **elsewhere), ready=False),
        running(Service("view", kafka, redis_url, directory, **credentials)) as view,
    ):
        yield Stage(view.url, log)


@pytest.fixture(scope="package")
def informed(stage: Stage, kafka: Kafka, log: Log, redis_url: str) -> str:
    """Someone green who has something in every section, and a high national status."""
    person = stage.put(people.green(someone()))
    url = Settings(redis_url=redis_url.replace("/0", "/1")).rows_redis_url
    log.run(_rows_of(url, person, kafka.prefix))
    return person


async def _rows_of(url: str, person: str, prefix: str) -> None:
    at = now() - timedelta(hours=3)
    listed: list[Any] = [
        b.igg("positive", at - timedelta(days=2), person=person),
        b.national_status("high", at, person=person),
        b.temperature(36.5, at, person=person),
        b.display(at, person=person),
        b.display(at + timedelta(hours=1), "store", person=person),
        *(b.declaration(at, kind, person=person) for kind in DeclarationKind),
    ]
    listings: dict[tuple[str, ListName], Listing] = {}
    for event in listed:
        key = person, list_of(event)
        listings[key] = add(listings.get(key, EMPTY), event, now())
    days = [timedelta(days=n) for n in (20, 12, 2, 1)]
    facts = [
        b.verified(at - days[0], person=person),
        b.ordered("centralised", at - days[0], at - days[1], person=person),
        b.released(at - days[1], id="n-1", person=person),
        b.negative(at - days[2], person=person),
        b.negative(at - days[3], person=person),
    ]
    async with redis.asyncio.Redis.from_url(url) as client:
        row = row_of(person, *((fact, now()) for fact in facts))
        await put_rows(client, [row], listings=listings, prefix=prefix)


class StaleStage(Stage):
    """A view whose projection died a minute before a page is opened.

    What is older than five minutes is not shown at all, and the tests here take longer.
    """

    def __init__(self, url: str, log: Log, projected: Callable[[], object]) -> None:
        super().__init__(url, log)
        self._projected = projected

    def open(self, page: Page, person: str | None, address: str = "/code") -> Response | None:
        """Open a page, a minute after the last that was projected."""
        self._projected()
        return super().open(page, person, address)


@pytest.fixture(scope="package")
def stale(kafka: Kafka, redis_url: str, log: Log, directory: Path) -> Iterator[tuple[Stage, str]]:
    """A view whose projection died a minute ago, and someone who was green then."""
    code = people.green(someone())
    url = redis_url.replace("/0", "/5")

    def projected() -> None:
        log.run(_projected_once(kafka, url, code, time.time() - 60))

    projected()
    with running(Service("view", kafka, url, directory / "stale"), ready=False) as view:
        yield StaleStage(view.url, log, projected), code.person


@pytest.fixture(scope="package")
def failing(kafka: Kafka, log: Log, directory: Path) -> Iterator[Stage]:
    """A view without Redis."""
    url = f"redis://127.0.0.1:{free_port()}/0"
    with running(Service("view", kafka, url, directory / "failing"), ready=False) as view:
        yield Stage(view.url, log)


@pytest.fixture(scope="package")
def where(stage: Stage, informed: str, stale: tuple[Stage, str], failing: Stage) -> Where:
    """Where to find each page and state."""
    red = people.red(someone(), people.close_contact(), people.abroad())
    spots = {
        # The code
        "red": Spot(stage, person=stage.put(red)),
        "green": Spot(stage, person=stage.put(people.green(someone()))),
        "none": Spot(stage, person=someone()),
        "stale": Spot(stale[0], person=stale[1]),
        "failed": Spot(failing, person=someone()),
        # Health information
        "/me-failed": Spot(failing, "/me", someone()),
        "/me-empty": Spot(stage, "/me/border-entries", informed),
        # Declarations and the travel card
        **forms(stage),
        # For the duty officer
        "dashboard-failed": Spot(failing, "/dashboard"),
    }
    notice = reference_of(NOTICE)
    spots["notice"] = Spot(stage, f"/me/notices/{notice}", informed)
    spots["check-unknown"] = Spot(stage, "/check?c=YKPx")
    spots |= {address: Spot(stage, address, informed) for address in OWN}
    return lambda which: spots.get(which) or Spot(stage, which)


async def _projected_once(kafka: Kafka, redis_url: str, code: HealthCode, as_of: float) -> None:
    positions = {
        kafka.named(topic): (Position(1, as_of, as_of),) * CATALOGUE.topics[topic].partitions
        for topic in (HEALTH_CODES, STATUS_CHANGES, QUOTAS_CHANGELOG)
    }
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        writer = CodeWriter(client, StateGate(client, "log", "gone"))
        await writer.gate.load()
        state = writer.gate.new_state("server", positions)
        assert await writer.gate.begin_again(state)
        state = msgspec.structs.replace(state, at=as_of, built=True)
        value = msgspec.json.encode(code)
        assert await writer.apply(CodeBatch([(code.person, stored(value, 0))]), state)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium-headless-shell",
            args=["--no-sandbox", "--disable-gpu"],
        )
        yield browser
        browser.close()


@pytest.fixture
def phone(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(viewport=PHONE, locale="zh-CN", **UNKEPT) as context:
        yield context


@pytest.fixture
def kept(browser: Browser) -> Iterator[BrowserContext]:
    """A phone whose browser keeps what a page asks it to."""
    with browser.new_context(viewport=PHONE, locale="zh-CN") as context:
        yield context


@pytest.fixture
def page(phone: BrowserContext) -> Page:
    """A page whose clock runs, and can be put forward."""
    page = phone.new_page()
    page.clock.install()
    return page


@pytest.fixture
def narrow(browser: Browser) -> Iterator[Page]:
    with browser.new_context(viewport=NARROW, locale="zh-CN", **UNKEPT) as context:
        yield context.new_page()


@pytest.fixture
def desk(browser: Browser) -> Iterator[Page]:
    with browser.new_context(viewport=DESK, locale="zh-CN", **UNKEPT) as context:
        page = context.new_page()
        page.clock.install()
        yield page
