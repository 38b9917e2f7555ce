"""A gateway and a view as they are run, whose secrets are in files, without Kafka and Redis."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from app.process.ports import free_ports
from support.brokers import NOBODY
from support.gateways import PLAIN, SECRET, command
from support.macs import ENVIRONMENT
from support.tokens import IDENTITY_PROVIDER_TOKEN, PORTAL_TOKEN, TOKENS
from support.views import CREDENTIAL_KEY, someone

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


@contextmanager
def running_servers(directory: Path) -> Iterator[Servers]:
    """Run both, and end them."""
    servers = Servers(directory)
    try:
        servers.wait(servers.lives)
        yield servers
    finally:
        for process in servers.processes:
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(15) for process in servers.processes]
    assert codes == [0, 0], servers.log.read_text()
