"""`yuekang up` as a person runs it: what it serves, what it survives, what it says."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import redis

from app.development.sample.logins import LOGINS
from app.development.secrets import development_secrets
from app.development.stack.broker import LIBS, ROOT, Broker
from app.development.stack.processes import MARK, Process, StackError, left_behind
from app.development.stack.redis_server import RedisServer
from app.process.ports import free_port
from app.topics.codec import encode
from app.web.operator import OPERATOR
from app.web.tokens import Tokens
from models.events import ProvincialCodeData, ProvincialCodeReported, ProvincialColour

YUEKANG = str(Path(sys.executable).with_name("yuekang"))
PROCESSES = (
    "kafka",
    "redis",
    "rows-redis",
    "projection",
    "worker",
    "rows",
    "lists-worker",
    "gateway",
    "view",
    "identity-provider",
)
SECONDS_MAX = 90.0
PEOPLE = 200


class Up:
    """One `yuekang up` after another on the same folder and the same free ports."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ports = [free_port() for _ in range(11)]
        kafka, controller, redis, rows_redis, gateway, view = self.ports[:6]
        worker, projection, lists, rows, provider = self.ports[6:]
        self.rows_redis_url = f"redis://127.0.0.1:{rows_redis}/0"
        self.view = f"http://127.0.0.1:{view}"
        self.status = {
            "view": self.view,
            "gateway": f"http://127.0.0.1:{gateway}",
            "worker": f"http://127.0.0.1:{worker}",
            "projection": f"http://127.0.0.1:{projection}",
            "lists-worker": f"http://127.0.0.1:{lists}",
            "rows": f"http://127.0.0.1:{rows}",
            "identity-provider": f"http://127.0.0.1:{provider}",
        }
        self.environment = {
            **os.environ,
            "YUEKANG_DATA_DIR": str(directory / "data"),
            "YUEKANG_KAFKA": f"127.0.0.1:{kafka}",
            "YUEKANG_KAFKA_CONTROLLER_PORT": str(controller),
            "YUEKANG_REDIS_URL": f"redis://127.0.0.1:{redis}/0",
            "YUEKANG_ROWS_REDIS_URL": self.rows_redis_url,
            "YUEKANG_GATEWAY_PORT": str(gateway),
            "YUEKANG_VIEW_PORT": str(view),
            "YUEKANG_WORKER_STATUS_PORT": str(worker),
            "YUEKANG_PROJECTION_STATUS_PORT": str(projection),
            "YUEKANG_LISTS_STATUS_PORT": str(lists),
            "YUEKANG_ROWS_STATUS_PORT": str(rows),
            "YUEKANG_IDENTITY_PROVIDER_PORT": str(provider),
        }
        self.data = directory / "data"
        self._output = directory / "up.txt"

    def start(self, *options: str) -> None:
        with self._output.open("wb") as out:
            self.process = subprocess.Popen(
                [YUEKANG, "up", *options],
                env=self.environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.wait(lambda: "Ctrl-C ends it." in self.output())

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
            [YUEKANG, "up", *options],
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
                f"{self.view}/v1/people/{person}/code", headers=self.bearer(OPERATOR), timeout=5
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
        key = bytes.fromhex(development_secrets(self.data)["YUEKANG_TOKEN_KEY"])
        return {"authorization": f"Bearer {Tokens(key).token_for(source)}"}

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
        return httpx.get(address, timeout=5, follow_redirects=True).status_code == 200
    except httpx.TransportError:
        return False


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A stack with a small sample. The tests of this file follow one another on it."""
    stack = Up(tmp_path_factory.mktemp("up"))
    stack.start("--people", str(PEOPLE))
    yield stack
    if stack.process.poll() is None:
        stack.end()
    assert left_behind(stack.data) == []


def test_up_prints_addresses_that_answer(up: Up) -> None:
    for what in (*(login.en for login in LOGINS), "the dashboard", "the API of the view"):
        match = re.search(rf"{what} +(http\S+)", up.output())
        assert match, up.output()
        up.wait(lambda address=match[1]: answers(address))  # type: ignore[misc]
    up.wait(up.serves_both_colours)


def test_a_full_redis_of_the_rows_stops_no_code(up: Up) -> None:
    person = up.people()["green"]
    with redis.Redis.from_url(up.rows_redis_url) as rows:
        room = rows.config_get("maxmemory")["maxmemory"]
        rows.config_set("maxmemory", 1)
        try:
            up.report("43", person, ProvincialColour.RED)
            up.wait(lambda: up.colour(person) == "red")
            up.wait(lambda: not answers(f"{up.status['rows']}/readyz"))
            up.report("43", person, ProvincialColour.GREEN)
            up.wait(lambda: up.colour(person) == "green")
        finally:
            rows.config_set("maxmemory", room)
    up.wait(up.all_ready)


def test_secrets_are_their_owners_alone(up: Up) -> None:
    assert stat.S_IMODE((up.data / "secrets.env").stat().st_mode) == 0o600


def test_the_stack_takes_at_most_2_gib(up: Up) -> None:
    resident_kib = 0
    for pid in left_behind(up.data):
        status = Path(f"/proc/{pid}/smaps_rollup").read_text()
        match = re.search(r"^Pss: +(\d+) kB", status, re.MULTILINE)
        resident_kib += int(match[1]) if match else 0
    assert 100 * 1024 < resident_kib < 2 * 1024 * 1024


def test_a_second_up_on_the_same_data_is_refused(up: Up) -> None:
    done = up.another()
    assert done.returncode == 1
    assert f"Another `yuekang up` (pid {up.process.pid}) runs on" in done.stdout
    assert up.all_ready()


def test_taken_ports_are_named_with_who_has_them_and_what_to_set(up: Up, tmp_path: Path) -> None:
    done = up.another(YUEKANG_DATA_DIR=str(tmp_path))
    assert done.returncode == 1
    view, kafka = up.ports[5], up.ports[0]
    assert re.search(rf"Port {kafka} is taken by java \(pid \d+\); Kafka needs it", done.stdout)
    assert re.search(rf"Port {view} is taken by .*set\s+YUEKANG_VIEW_PORT", done.stdout)
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    "names",
    [("projection", "worker", "gateway", "view", "identity-provider"), ("redis",), ("kafka",)],
)
def test_what_is_killed_comes_right_again(up: Up, names: tuple[str, ...]) -> None:
    for name in names:
        killed = up.pids(name)
        assert killed
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
    up.wait(lambda: all(up.output().count(f"{name} is started again") >= 1 for name in names))
    up.wait(lambda: up.all_ready() and up.serves_both_colours())


def test_ctrl_c_ends_everything_and_the_next_start_goes_on(up: Up) -> None:
    secrets = (up.data / "secrets.env").read_bytes()
    assert up.end(signal.SIGINT) == 0, up.output()
    assert left_behind(up.data) == []
    assert not any(listens(port) for port in up.ports)
    up.start("--no-sample")
    up.wait(up.serves_both_colours)
    assert (up.data / "secrets.env").read_bytes() == secrets


def test_killing_up_itself_leaves_nothing_that_the_next_start_cannot_end(up: Up) -> None:
    before = set(left_behind(up.data))
    up.end(signal.SIGKILL)
    up.start("--no-sample")
    up.wait(up.serves_both_colours)
    assert not before & set(left_behind(up.data))


def test_killing_everything_at_once_leaves_a_stack_that_starts(up: Up) -> None:
    for pid in [up.process.pid, *left_behind(up.data)]:
        with suppress(ProcessLookupError):  # one may have ended with another
            os.kill(pid, signal.SIGKILL)
    up.process.wait()
    up.start("--no-sample")
    up.wait(up.serves_both_colours)


def test_sigterm_ends_everything_and_a_part_that_cannot_start_is_told_with_its_log(
    up: Up, tmp_path: Path
) -> None:
    assert up.end(signal.SIGTERM) == 0, up.output()
    assert left_behind(up.data) == []
    fake = tmp_path / "redis-server"
    fake.write_text("#!/bin/sh\necho 'Fatal error, cannot go on'\nexit 1\n")
    fake.chmod(0o755)
    done = up.another(PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 1
    assert "redis ended with exit code 1" in done.stdout
    assert "Fatal error, cannot go on" in done.stdout
    assert left_behind(up.data) == []


def test_a_full_disk_is_told_with_what_is_needed(up: Up, tmp_path: Path) -> None:
    done = up.another("--free-mib-min", str(2**40), YUEKANG_DATA_DIR=str(tmp_path))
    assert done.returncode == 1
    assert re.search(rf"is full: \d+ MiB are free, at least {2**40} are needed", done.stdout)


def test_wrong_settings_are_told_all_at_once(up: Up, tmp_path: Path) -> None:
    done = up.another(
        YUEKANG_DATA_DIR=str(tmp_path), YUEKANG_VIEW_PORT="eighty", YUEKANG_TOKEN_KEY="short"
    )
    assert done.returncode == 2
    assert "YUEKANG_VIEW_PORT" in done.stderr
    assert "YUEKANG_TOKEN_KEY" in done.stderr


def test_a_kafka_elsewhere_is_refused(up: Up, tmp_path: Path) -> None:
    done = up.another(YUEKANG_DATA_DIR=str(tmp_path), YUEKANG_KAFKA="kafka.example:9092")
    assert done.returncode == 1
    assert "YUEKANG_KAFKA is kafka.example:9092" in done.stdout


def test_a_broker_that_does_not_come_up_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    meta = tmp_path / "kafka" / "log" / "meta.properties"
    meta.parent.mkdir(parents=True)
    meta.write_text("version=1\nnode.id=7\ncluster.id=another\n")
    broker = Broker(tmp_path, free_port(), free_port())
    broker.start()
    with pytest.raises(
        StackError, match=r"(?s)kafka ended with exit code 1.*node id 7 doesn't match"
    ):
        broker.wait_ready()


def test_redis_that_does_not_come_up_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        server = RedisServer(tmp_path, holder.getsockname()[1])
        server.start()
        with pytest.raises(StackError, match=r"(?s)redis ended with .*Address already in use"):
            server.wait_ready()


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"no-such-program is not installed\. Run `make setup`"):
        Process("nothing", ["no-such-program"], tmp_path).start()


def test_a_process_that_ignores_its_end_is_killed_with_its_children(tmp_path: Path) -> None:
    process = Process("deaf", ["sh", "-c", "trap '' TERM; sleep 600 & wait; wait"], tmp_path)
    process.stop_seconds_max = 0.5
    process.start()
    until = time.monotonic() + 10
    while len(left_behind(tmp_path)) < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    process.stop()
    assert process.exited() == -signal.SIGKILL
    assert left_behind(tmp_path) == []


def test_a_log_is_bounded_and_none_of_it_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.development.stack.processes.LOG_BYTES_MAX", 1000)
    loop = "while :; do echo 0123456789; sleep 0.001; done"
    process = Process("chatty", ["sh", "-c", loop], tmp_path)
    process.start()
    until = time.monotonic() + 10
    while not process.log.with_suffix(".log.1").exists():
        assert time.monotonic() < until
        time.sleep(0.02)
        process.bound_log()
    time.sleep(0.1)
    process.stop()
    assert set(process.log.read_text().splitlines()) == {"0123456789"}


# what sets a machine up


TOOLS = ("sh", "java", "mvn", "redis-server", "setpriv", "apt-get", "sed", "awk", "df", "id")


def tools(directory: Path, *left_out: str, python: str = "3.11") -> str:
    """A PATH with what docker/install.sh calls, without those left out, and a Python so old."""
    for name in set(TOOLS) - set(left_out):
        (directory / name).symlink_to(os.path.realpath(shutil.which(name) or "/bin/true"))
    old = int(tuple(map(int, python.split("."))) < (3, 11))
    fake = directory / "python3"
    fake.write_text(f'#!/bin/sh\ncase "$2" in *print*) echo {python} ;; *) exit {old} ;; esac\n')
    fake.chmod(0o755)
    return str(directory)


@pytest.fixture
def machine() -> Iterator[Path]:
    """A folder that anyone may read, with the script in it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        shutil.copy(ROOT / "docker" / "install.sh", directory)
        (directory / "bin").mkdir()
        yield directory


def install(machine: Path, *prefix: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, "sh", str(machine / "install.sh")],
        cwd=machine,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


def test_an_old_python_is_told_with_its_version(machine: Path) -> None:
    done = install(machine, PATH=tools(machine / "bin", python="3.9"))
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed, and python3 is 3.9." in done.stderr
    assert "make run PYTHON=python3.11" in done.stderr


def test_without_the_right_to_install_the_exact_command_is_told(machine: Path) -> None:
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]
    prefix = nobody if os.geteuid() == 0 else []
    path = tools(machine / "bin", "mvn", "redis-server")
    done = install(machine, *prefix, PATH=path)
    assert done.returncode == 1
    command = r"sudo apt-get update && sudo apt-get install -y .*\bmaven redis-server\b"
    assert re.search(command, done.stderr), done.stderr


def test_too_little_disk_for_setting_up_is_told(machine: Path) -> None:
    done = install(machine, PATH=tools(machine / "bin"), FREE_MIB_MIN=str(2**40))
    assert done.returncode == 1
    assert re.search(rf"has \d+ MiB free; setting up needs {2**40}", done.stderr)


def test_a_jar_of_another_content_is_refused(tmp_path: Path) -> None:
    fake = tmp_path / "mvn"
    fake.write_text(
        '#!/bin/sh\nfor word; do case "$word" in -DoutputDirectory=*) to=${word#*=} ;; esac; done\n'
        f'cp "{LIBS}"/*.jar "$to"\necho more >> "$to/kafka_2.13-4.4.0.jar"\n: > "$to/extra.jar"\n'
    )
    fake.chmod(0o755)
    done = subprocess.run(
        [str(ROOT / "docker" / "kafka" / "jars.sh"), str(tmp_path / "libs")],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "kafka_2.13-4.4.0.jar: FAILED" in done.stdout + done.stderr
    assert "extra.jar: not listed" in done.stderr


def test_the_mark_is_what_finds_a_process(tmp_path: Path) -> None:
    marked = {**os.environ, MARK: str(tmp_path)}
    with subprocess.Popen(["sleep", "600"], env=marked) as process:
        assert left_behind(tmp_path) == [process.pid]
        assert left_behind(tmp_path / "other") == []
        process.kill()
