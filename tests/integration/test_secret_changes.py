"""Secrets are changed under processes that serve on: no token or session that was good is refused
(docs/secrets.md)."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from app.login.sessions import Sessions
from app.process.ports import free_ports
from app.view.displays import Displays
from app.web.tokens import Role
from models.events import DocumentType
from support.brokers import NOBODY
from support.gateways import PLAIN, SECRET, command
from support.macs import ENVIRONMENT
from support.tokens import (
    IDENTITY_PROVIDER_TOKEN,
    OPERATOR,
    OTHER_TOKENS,
    PORTAL_TOKEN,
    TOKENS,
)
from support.views import CREDENTIAL_KEY, now, someone

LABORATORY, TERMINAL = "/laboratories/440100-001", "/terminals/440100-001"
FORMER, NEW = bytes(range(70, 102)), bytes(range(71, 103))
SECONDS_MAX = 60.0
VARIABLES = ("TOKEN_PUBLIC_KEYS", "DISPLAY_KEY", "DISPLAY_OTHER_KEY", "SESSION_KEY")


class Servers:
    """A gateway and a view whose secrets are in files. There is no Kafka and no Redis: what is
    asked here is answered before either is."""

    def __init__(self, directory: Path) -> None:
        gateway, view = free_ports(2)
        self.gateway, self.view = f"http://127.0.0.1:{gateway}", f"http://127.0.0.1:{view}"
        self._files = directory
        environment = {
            **os.environ,
            **ENVIRONMENT,
            "YUEKANG_KAFKA": NOBODY,
            "YUEKANG_REDIS_URL": "redis://127.0.0.1:1/0",
            "YUEKANG_GATEWAY_PORT": str(gateway),
            "YUEKANG_VIEW_PORT": str(view),
            "YUEKANG_PERSON_KEY_SECRET": SECRET.hex(),
            "YUEKANG_CREDENTIAL_KEY": CREDENTIAL_KEY.hex(),
            "YUEKANG_PORTAL_TOKEN": PORTAL_TOKEN,
            "YUEKANG_IDENTITY_PROVIDER_TOKEN": IDENTITY_PROVIDER_TOKEN,
            **{f"YUEKANG_{name}_FILE": str(directory / name) for name in VARIABLES},
            "YUEKANG_SESSION_OTHER_KEY_FILE": str(directory / "SESSION_OTHER_KEY"),
        }
        self.write(TOKENS.public.hex(), (FORMER, NEW))
        self.log = directory / "log"
        with self.log.open("wb") as out:
            self.processes = [
                subprocess.Popen(command(name), env=environment, stdout=out, stderr=out)
                for name in ("gateway", "view")
            ]

    def write(self, public_keys: str, keys: tuple[bytes, bytes]) -> None:
        """Write the secrets: of tokens, of displays and of sessions."""
        (self._files / "TOKEN_PUBLIC_KEYS").write_text(public_keys + "\n")
        for name in ("DISPLAY", "SESSION"):
            (self._files / f"{name}_KEY").write_text(keys[0].hex() + "\n")
            (self._files / f"{name}_OTHER_KEY").write_text(keys[1].hex() + "\n")

    def read_again(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGHUP)

    def wait(self, done: Callable[[], bool]) -> None:
        until = time.monotonic() + SECONDS_MAX
        while not done():
            assert all(p.poll() is None for p in self.processes), self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.1)

    def old_workers_are_gone(self, count: int) -> bool:
        return self.log.read_text().count("Stopped old worker") == count

    def lives(self) -> bool:
        try:
            return all(
                httpx.get(f"{at}/livez", verify=PLAIN).status_code == 200
                for at in (self.gateway, self.view)
            )
        except httpx.TransportError:
            return False

    def asks(self, token: str) -> int:
        """What the gateway answers an agency: 401, or what comes after that."""
        return httpx.get(
            f"{self.gateway}/v1/sources/me/refusals", headers=_bearer(token), verify=PLAIN
        ).status_code

    def reads(self, token: str) -> int:
        """What the view answers an operator: 401, or what comes after that."""
        return httpx.get(
            f"{self.view}/v1/people/{someone()}/code", headers=_bearer(token), verify=PLAIN
        ).status_code

    def is_forged(self, display: str, token: str) -> bool:
        """Whether a guard is told that a QR is forged; without Redis any other has no colour."""
        answer = httpx.post(
            f"{self.view}/v1/scans",
            json={"id": "scan-1", "token": display, "place": "东门"},
            headers=_bearer(token),
            verify=PLAIN,
        )
        return answer.status_code == 200 and bool(answer.json()["outcome"] == "forged")

    def is_logged_in(self, cookie: str) -> bool:
        """Whether the session is opened; without Redis the view cannot tell whether it ended."""
        answer = httpx.get(f"{self.view}/v1/me/code", headers={"cookie": cookie}, verify=PLAIN)
        return bool(answer.json()["code"] == "sessions-away")


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    servers = Servers(tmp_path)
    try:
        servers.wait(servers.lives)
        yield servers
    finally:
        for process in servers.processes:
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(15) for process in servers.processes]
    assert codes == [0, 0], servers.log.read_text()


def session_by(key: bytes) -> str:
    sessions = Sessions(key, now)
    kind = DocumentType.RESIDENT_IDENTITY_CARD
    cookie = sessions.cookie(sessions.begin(someone(), "样*甲", None, kind, "1234"))
    return f"{cookie.key}={cookie.value}"


def test_each_secret_is_changed_under_processes_that_serve_on(servers: Servers) -> None:
    former, new = TOKENS.token_for(LABORATORY), OTHER_TOKENS.token_for(LABORATORY)
    officer, next_officer = (made.token_for(OPERATOR, Role) for made in (TOKENS, OTHER_TOKENS))
    gates = [made.token_for(TERMINAL) for made in (TOKENS, OTHER_TOKENS)]
    cookies = session_by(FORMER), session_by(NEW)
    answers: list[int] = []
    cut: list[str] = []
    over = threading.Event()

    def ask() -> None:
        """Each request has a connection of its own. One that waits in the old worker's socket when
        that closes is cut, as long as Linux does not hand it on (net.ipv4.tcp_migrate_req)."""
        while not over.is_set():
            for asked, token in ((servers.asks, former), (servers.reads, officer)):
                try:
                    answers.append(asked(token))
                except (httpx.ReadError, httpx.RemoteProtocolError) as error:
                    cut.append(repr(error))

    assert (servers.asks(former), servers.asks(new)) == (503, 401)
    assert (servers.reads(officer), servers.reads(next_officer)) == (503, 401)
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        # First both are trusted, and the new ones seal.
        both = f"{OTHER_TOKENS.public.hex()},{TOKENS.public.hex()}"
        servers.write(both, (NEW, FORMER))
        servers.read_again()
        servers.wait(lambda: servers.old_workers_are_gone(2))
        assert (servers.asks(new), servers.reads(next_officer)) == (503, 503)
    finally:
        over.set()
        asking.join()
    assert set(answers) == {503}, "no answer was 401"
    assert len(answers) > 50
    assert len(cut) <= 4, cut
    for key, cookie, gate in zip((FORMER, NEW), cookies, gates, strict=True):
        shown = Displays(key, now).token(someone(), "样*甲", "1234")
        assert not servers.is_forged(shown, gate)
        assert servers.is_logged_in(cookie)
    strange = Displays(bytes(32), now).token(someone(), "样*甲", "1234")
    assert servers.is_forged(strange, gates[0])
    assert not servers.is_logged_in(session_by(bytes(32)))
    # What cannot be used changes nothing.
    servers.write("nonsense", (NEW, FORMER))
    servers.read_again()
    servers.wait(lambda: servers.log.read_text().count("All goes on with the settings") == 2)
    assert "YUEKANG_TOKEN_PUBLIC_KEYS" in servers.log.read_text()
