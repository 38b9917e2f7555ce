"""`yuekang up` as a person runs it: started, watched, ended, and started again."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx

from app.development.secrets import development_secrets, process_secrets
from app.development.stack.processes import left_behind
from app.process.ports import free_ports
from app.process.settings import Settings
from app.topics.codec import encode
from app.web.issuing import TokenIssuer
from app.web.tokens import OPERATORS, Role
from models.events import ProvincialCodeData, ProvincialCodeReported, ProvincialColour
from support.gateways import PLAIN, command

SECONDS_MAX = 90.0


class Up:
    """One `yuekang up` after another on the same folder and the same free ports."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ports = free_ports(14)
        kafka, controller, redis, rows_redis, gateway, view = self.ports[:6]
        worker, projection, lists, rows, provider, audit, submissions, replica = self.ports[6:]
        self._rows_redis = f"redis://127.0.0.1:{rows_redis}/0"
        self.view = f"http://127.0.0.1:{view}"
        self.status = {
            "view": self.view,
            "gateway": f"http://127.0.0.1:{gateway}",
            "worker": f"http://127.0.0.1:{worker}",
            "projection": f"http://127.0.0.1:{projection}",
            "submissions-worker": f"http://127.0.0.1:{submissions}",
            "lists-worker": f"http://127.0.0.1:{lists}",
            "rows": f"http://127.0.0.1:{rows}",
            "audit-log": f"http://127.0.0.1:{audit}",
            "replica": f"http://127.0.0.1:{replica}",
            "identity-provider": f"http://127.0.0.1:{provider}",
        }
        self.environment = {
            **os.environ,
            "YUEKANG_DATA_DIR": str(directory / "data"),
            "YUEKANG_KAFKA": f"127.0.0.1:{kafka}",
            "YUEKANG_KAFKA_CONTROLLER_PORT": str(controller),
            "YUEKANG_REDIS_URL": f"redis://127.0.0.1:{redis}/0",
            "YUEKANG_ROWS_REDIS_URL": self._rows_redis,
            "YUEKANG_GATEWAY_PORT": str(gateway),
            "YUEKANG_VIEW_PORT": str(view),
            "YUEKANG_WORKER_STATUS_PORT": str(worker),
            "YUEKANG_PROJECTION_STATUS_PORT": str(projection),
            "YUEKANG_SUBMISSIONS_STATUS_PORT": str(submissions),
            "YUEKANG_LISTS_STATUS_PORT": str(lists),
            "YUEKANG_ROWS_STATUS_PORT": str(rows),
            "YUEKANG_AUDIT_STATUS_PORT": str(audit),
            "YUEKANG_REPLICA_STATUS_PORT": str(replica),
            "YUEKANG_IDENTITY_PROVIDER_PORT": str(provider),
        }
        self.data = directory / "data"
        self._output = directory / "up.txt"

    def start(self, *options: str) -> None:
        with self._output.open("wb") as out:
            self.process = subprocess.Popen(
                command("up", *options),
                env=self.environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.wait(lambda: "Ctrl-C ends it." in self.output())

    @property
    def rows_redis_url(self) -> str:
        """Where who may do anything goes to the rows' Redis."""
        environ = {**process_secrets(self.data)["admin"], "YUEKANG_REDIS_URL": self._rows_redis}
        return Settings.from_environment(environ=environ).redis_url

    def output(self) -> str:
        return self._output.read_text()

    def wait(self, done: Callable[[], bool]) -> None:
        until = time.monotonic() + SECONDS_MAX
        while not done():
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < until, self.output()
            time.sleep(0.2)

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(SECONDS_MAX)

    def another(self, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `yuekang up` where it cannot stay up."""
        return subprocess.run(
            command("up", *options),
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )

    def all_ready(self) -> bool:
        return all(answers(f"{address}/readyz") for address in self.status.values())

    def people(self) -> dict[str, str]:
        """A person for each colour, from what the sample says."""
        day = json.loads((self.data / "sample.json").read_text())
        return {"green": day["green"], "red": day["red"]}

    def serves_both_colours(self) -> bool:
        return all(self.colour(who) == colour for colour, who in self.people().items())

    def colour(self, person: str) -> str | None:
        try:
            answer = httpx.get(
                f"{self.view}/v1/people/{person}/code",
                headers=self.bearer(f"{OPERATORS}chen"),
                timeout=5,
                verify=PLAIN,
            )
        except httpx.TransportError:
            return None
        colour: str | None = answer.json().get("colour") if answer.status_code == 200 else None
        return colour

    def report(self, province: str, person: str, colour: ProvincialColour) -> None:
        """Publish what a province says of a person, through the gateway."""
        now, source = datetime.now(UTC), f"/provinces/{province}"
        event = ProvincialCodeReported(
            specversion="1.0",
            id=f"report-{time.time_ns()}",
            source=source,
            time=now,
            partitionkey=person,
            sequence=str(time.time_ns() // 1_000),
            data=ProvincialCodeData(province, colour, now),
        )
        answer = httpx.post(
            f"{self.status['gateway']}/v1/events",
            content=encode(event),
            headers={**self.bearer(source), "content-type": "application/cloudevents+json"},
        )
        assert answer.status_code == 202, answer.text

    def bearer(self, source: str) -> dict[str, str]:
        """What the request of a source carries."""
        key = bytes.fromhex(development_secrets(self.data)["YUEKANG_TOKEN_PRIVATE_KEY"])
        roles = Role if source.startswith(OPERATORS) else ()
        return {"authorization": f"Bearer {TokenIssuer(key).token_for(source, roles)}"}

    def pids(self, name: str) -> list[int]:
        """Processes whose output goes to the log of `name`."""
        log = self.data / "logs" / f"{name}.log"
        return [pid for pid in left_behind(self.data) if _writes_to(pid, log)]


def _writes_to(pid: int, log: Path) -> bool:
    try:
        return os.path.samefile(f"/proc/{pid}/fd/1", log)
    except OSError:
        return False


def answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5, follow_redirects=True, verify=PLAIN).status_code == 200
    except httpx.TransportError:
        return False


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
