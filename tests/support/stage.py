"""What the browser looks at: the view as it is run, over Redis as the projection wrote it."""

import asyncio
import os
import threading
import time
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
from aiokafka import AIOKafkaProducer
from playwright.sync_api import Page, Response

from app.development.stack.processes import HttpProcess
from app.login.duty import DASHBOARD, LOGIN_PAGE
from app.process.ports import free_port
from app.web.site import static_file
from models.codes import HealthCode, StatusChange, changed
from support.brokers import Kafka
from support.gateways import PLAIN, command
from support.redis_users import as_user
from support.tokens import OF_THE_VIEW, OPERATOR_HEADERS, bearer
from support.views import CREDENTIAL_KEY, DISPLAY_KEY, SESSION_KEY, duty_cookie, resident_cookie

SHOWN_SECONDS_MAX = 10.0

DUTY_PAGES = (DASHBOARD, "/duty/")
"""How the addresses begin that only an officer on duty may open."""


class Service(HttpProcess):
    """`yuekang projection`, `rows` or `view`, with its own port and Redis databases."""

    def __init__(
        self, name: str, kafka: Kafka, redis_url: str, directory: Path, **more: str
    ) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        environment = {
            **kafka.environment_of(name),
            "YUEKANG_REDIS_URL": as_user(name, redis_url),
            "YUEKANG_DATA_DIR": str(directory),
            "YUEKANG_PROJECTION_STATUS_PORT": str(port),
            "YUEKANG_ROWS_STATUS_PORT": str(port),
            "YUEKANG_VIEW_PORT": str(port),
            "YUEKANG_ENVIRONMENT": "development",
            **OF_THE_VIEW,
            "YUEKANG_DISPLAY_KEY": DISPLAY_KEY.hex(),
            "YUEKANG_CREDENTIAL_KEY": CREDENTIAL_KEY.hex(),
            "YUEKANG_SESSION_KEY": SESSION_KEY.hex(),
            **more,
        }
        super().__init__(name, command(name), directory, environment, self.url)

    def answers(self) -> bool:
        """Say whether it serves at all; a view without Redis is never ready."""
        try:
            return httpx.get(f"{self.url}/livez", timeout=2.0, verify=PLAIN).is_success
        except httpx.TransportError:
            return False


@contextmanager
def running(service: Service, *, ready: bool = True) -> Iterator[Service]:
    """Run a service for as long as it is looked at."""
    if not ready:
        # Of this one service, not of its class.
        service.ready = service.answers  # type: ignore[method-assign]
    with service.running():
        yield service


class Log:
    """Writes to Kafka from a thread: a browser driven in step keeps a loop of its own in ours."""

    def __init__(self, kafka: Kafka) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._producer = self.run(self._started(kafka))

    async def _started(self, kafka: Kafka) -> AIOKafkaProducer:
        producer = kafka.producer()
        await producer.start()
        return producer

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Return what `work` returns."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    def append(self, topic: str, records: Iterable[tuple[str, Any]]) -> None:
        """Append a value for each person, and wait until the broker has all of them."""
        self.run(self._append(topic, records))

    async def _append(self, topic: str, records: Iterable[tuple[str, Any]]) -> None:
        sent = [
            await self._producer.send(topic, msgspec.json.encode(value), person.encode())
            for person, value in records
        ]
        await asyncio.gather(*sent)

    def close(self) -> None:
        """Leave nothing behind."""
        self.run(self._producer.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


SEND = """([address, fields]) => {
    const form = document.createElement("form");
    form.method = "post";
    form.action = address;
    for (const [name, value] of Object.entries(fields)) {
        const input = form.appendChild(document.createElement("input"));
        input.name = name;
        input.value = value;
    }
    document.body.append(form);
    form.submit();
}"""
"""Sends a form as no page of ours has it: past what the browser checks."""


class Spot(NamedTuple):
    """A page to be looked at, and as whom."""

    stage: "Stage"
    address: str = "/code"
    person: str | None = None
    posted: tuple[str, dict[str, str]] | None = None
    """The page is the answer to a form that is sent from it: where to, and what is filled in."""

    def open(self, page: Page, query: str = "") -> Response | None:
        """Open it."""
        answer = self.stage.open(page, self.person, self.address + query)
        if self.posted is None:
            return answer
        address, fields = self.posted
        with page.expect_navigation() as sent:
            page.evaluate(SEND, [address + query, fields])
        return sent.value


class Stage:
    """Pages to open, and what is told meanwhile."""

    def __init__(self, url: str, log: Log) -> None:
        self.url = url
        self._log = log

    def open(self, page: Page, person: str | None, address: str = "/code") -> Response | None:
        """Open a page, as a person who is logged in or as nobody; the duty officer's as theirs."""
        cookies = [] if person is None else [resident_cookie(person)]
        if address.startswith(DUTY_PAGES) and not address.startswith(LOGIN_PAGE):
            cookies.append(duty_cookie())
        # The protocol takes a secure cookie for https alone; the browser sends it to loopback too.
        url = self.url.replace("http:", "https:")
        for cookie in cookies:
            value = cookie.value or ""
            page.context.add_cookies(
                [{"name": cookie.key, "value": value, "url": url, "secure": True}]
            )
        return page.goto(self.url + address)

    def open_empty(self, page: Page, script: str) -> None:
        """Open a page of the site that has a script, and nothing else; its headers forbid none."""
        page.route("**/empty", lambda route: route.fulfill(content_type="text/html", body=""))
        page.goto(f"{self.url}/empty")
        page.add_script_tag(path=static_file(script))

    def append(self, *codes: HealthCode) -> None:
        """Append codes to the log."""
        self._log.append("health-codes", ((code.person, code) for code in codes))

    def put(self, *codes: HealthCode) -> str:
        """Append codes to the log; return the last one's person when the view shows it."""
        self.append(*codes)
        last = codes[-1]
        until = time.monotonic() + SHOWN_SECONDS_MAX
        while time.monotonic() < until:
            answer = httpx.get(
                f"{self.url}/v1/people/{last.person}/code", headers=OPERATOR_HEADERS, verify=PLAIN
            )
            if answer.is_success and answer.json()["version"] == last.version:
                return last.person
            time.sleep(0.05)
        raise AssertionError(f"version {last.version} was not shown: {answer.text}")

    def tell(self, *changes: StatusChange) -> None:
        """Append changes to the log."""
        self._log.append("status-changes", ((c.person, changed(c)) for c in changes))

    def scan(self, token: str) -> httpx.Response:
        """Ask, as a terminal, for what a QR stands for."""
        return httpx.post(
            f"{self.url}/v1/scans",
            json={"id": os.urandom(8).hex(), "token": token, "place": "东门"},
            headers=bearer("/terminals/440100-001"),
            verify=PLAIN,
        )
