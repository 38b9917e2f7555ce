"""All processes of the stack: which they are, their order, and what happens when one ends."""

import asyncio
import re
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from aiokafka.errors import KafkaError

from app.development.secrets import (
    ADMINISTRATOR,
    IDENTITY_PROVIDER,
    KAFKA_PASSWORD,
    KAFKA_USERS,
    KEYS_OF,
    REDIS_PASSWORD,
    REDIS_USERS,
    process_secrets,
)
from app.development.stack.broker import Broker
from app.development.stack.processes import (
    POLL_SECONDS,
    HttpProcess,
    Process,
    StackError,
    end_left_behind,
    said,
)
from app.development.stack.redis_server import MEMORY, RedisServer
from app.process import ports
from app.process.settings import FILE, REDIS_URLS, SECRETS, Settings, variable_of

CONTROLLER = "YUEKANG_KAFKA_CONTROLLER_PORT"
CONTROLLER_PORT = 29093

ROWS_REDIS = "YUEKANG_ROWS_REDIS_URL"
ROWS_REDIS_URL = "redis://127.0.0.1:26380/0"
"""Rows have a server of their own, unless the environment says otherwise. They bear on no colour,
and may fill it."""

REPLICA = "YUEKANG_REPLICA"

RESTARTS_MAX = 5
"""Restarts in a row, after 1, 2, 4, 8 and 16 s. A broker that returns within half a minute does not
end the stack; a bug does."""

HEALTHY_SECONDS = 60.0
"""The restarts of a process that ran this long are counted from zero again."""

COMMANDS = {"view": "development-view"}
"""The processes whose command has another name."""

KNOWN_BY = (
    "kafka_security",
    "kafka_mechanism",
    "kafka_user",
    "kafka_ca",
    "kafka_certificate",
    "redis_user",
)
"""The settings, besides secrets, that say as whom somebody goes to Kafka and Redis."""

WRONG_SETTINGS = 2
"""The exit code that no restart can mend."""

Say = Callable[[str], None]


class Stack:
    """Kafka, two Redis servers and the processes on one machine. All their data are in `directory`.

    Each Redis has `redis_memory`. `environment` holds the settings of every process; `say` is told
    what a person at the terminal should know. Any method raises `StackError` if the stack cannot go
    on; `stop` must be called all the same.
    """

    def __init__(
        self,
        settings: Settings,
        environment: Mapping[str, str],
        directory: Path,
        say: Say,
        redis_memory: str = MEMORY,
    ) -> None:
        self._say = say
        rows_redis_url = environment.get(ROWS_REDIS) or ROWS_REDIS_URL
        environment = {**environment, ROWS_REDIS: rows_redis_url}
        self.ports = _ports(settings, environment)
        of = {variable: port for _, variable, _, port in self.ports}
        self.directory = directory
        own_secrets = process_secrets(directory)
        administrator = own_secrets[ADMINISTRATOR]
        self._passwords = {
            own_secrets[name][variable_of("kafka_user")]: own_secrets[name][KAFKA_PASSWORD]
            for name in KAFKA_USERS & own_secrets.keys()
        }
        self._passwords[environment[variable_of("kafka_user")]] = environment[KAFKA_PASSWORD]
        self.broker = Broker(
            directory, of["YUEKANG_KAFKA"], of[CONTROLLER], administrator[KAFKA_PASSWORD]
        )
        passwords = {name: own_secrets[name][REDIS_PASSWORD] for name in REDIS_USERS}
        passwords[ADMINISTRATOR] = administrator[REDIS_PASSWORD]
        self.redis = RedisServer(
            directory, of["YUEKANG_REDIS_URL"], "redis", redis_memory, passwords
        )
        self.rows_redis = RedisServer(
            directory, of[ROWS_REDIS], "rows-redis", redis_memory, passwords
        )
        self._servers = (self.broker, self.rows_redis, self.redis)
        replica = environment.get(REPLICA) or str(directory / "replica")
        environment = {**environment, "YUEKANG_DATA_DIR": str(directory), REPLICA: replica}

        def process(name: str, address: str) -> HttpProcess:
            command = [str(Path(sys.executable).with_name("yuekang")), COMMANDS.get(name, name)]
            own = own_environment(environment, name, own_secrets[name])
            return HttpProcess(name, command, directory, own, address)

        status = f"http://{settings.status_host}"
        self.projection = process("projection", f"{status}:{settings.projection_status_port}")
        self.replica = process("replica", f"{status}:{settings.replica_status_port}")
        self.worker = process("worker", f"{status}:{settings.worker_status_port}")
        port = settings.submissions_status_port
        self.submissions_worker = process("submissions-worker", f"{status}:{port}")
        self.lists_worker = process("lists-worker", f"{status}:{settings.lists_status_port}")
        self.rows = process("rows", f"{status}:{settings.rows_status_port}")
        self.audit_log = process("audit-log", f"{status}:{settings.audit_status_port}")
        self.gateway = process("gateway", _local(settings.gateway_host, settings.gateway_port))
        self.view = process("view", _local(settings.view_host, settings.view_port))
        self.services = [
            self.projection,
            self.replica,
            self.worker,
            self.submissions_worker,
            self.rows,
            self.lists_worker,
            self.audit_log,
            self.gateway,
            self.view,
        ]
        if _has_identity_provider(settings):
            self.services.append(process(IDENTITY_PROVIDER, settings.development_issuer))
        # The workers end before the projections, which tell of their work.
        workers = (self.worker, self.submissions_worker, self.lists_worker)
        self._last = (*workers, self.projection, self.replica, self.rows, self.audit_log)
        self._restarts: dict[str, int] = {}
        self._due: dict[str, float] = {}
        self._started: dict[str, float] = {}

    @property
    def processes(self) -> list[Process]:
        """All processes; each comes after those that it needs."""
        return [*self._servers, *self.services]

    def check_ports(self) -> None:
        """Raise `StackError` if ports are taken: which, by whom, and what to do."""
        used: dict[int, str] = {}
        faults = []
        for what, variable, host, port in self.ports:
            if port in used:
                faults.append(f"{variable} and {used[port]} are both {port}. Change one.")
            elif not ports.is_free(host, port):
                by = ports.holder(port) or "a process that cannot be read"
                faults.append(
                    f"Port {port} is taken by {by}; {what} needs it. End that, or set "
                    f"{variable} to another."
                )
            used[port] = variable
        if faults:
            raise StackError("\n".join(faults))

    def start(self, waiting_for: Say) -> None:
        """Start everything and return when all is ready; `waiting_for` is told who is not yet."""
        waiting_for("Kafka, Redis")
        for server in self._servers:
            server.start()
            self._started[server.name] = time.monotonic()
        for server in self._servers:
            server.wait_ready()
        try:
            asyncio.run(self._prepare_kafka())
        except KafkaError as error:
            raise StackError(
                f"Kafka refuses a topic of topics.yaml, a user or a right: {error}\n"
                f"{self.broker.tail()}"
            ) from error
        for service in self.services:
            service.start()
            self._started[service.name] = time.monotonic()
        self._wait_ready(waiting_for)

    async def _prepare_kafka(self) -> None:
        """Make topics, users and their rights, as this release has them."""
        # To load this takes a second; Kafka starts meanwhile (see RedisServer.start).
        from app.development.stack.kafka_access import close_kafka

        await close_kafka(self.broker.brokers, self._passwords)

    def _wait_ready(self, waiting_for: Say) -> None:
        waiting = list(self.services)
        until = time.monotonic() + HttpProcess.ready_seconds_max
        while waiting := [service for service in waiting if not service.ready()]:
            waiting_for(", ".join(service.name for service in waiting))
            if time.monotonic() > until:
                first = waiting[0]
                raise StackError(
                    f"{first.name} was not ready within {first.ready_seconds_max:.0f} s. It said: "
                    f"{first.answer or 'nothing'}\n{first.tail()}"
                )
            self.watch()
            time.sleep(POLL_SECONDS)

    def watch(self) -> None:
        """Look at every process once: bound its log, and start again one that ended."""
        for process in self.processes:
            code = process.exited()
            if code is None:
                process.bound_log()
            elif process.name not in self._due:
                self._put_off(process, code)
            elif time.monotonic() >= self._due[process.name] and self._can_start(process):
                del self._due[process.name]
                process.start()
                self._started[process.name] = time.monotonic()
                self._say(f"{process.name} is started again.")

    def _put_off(self, process: Process, code: int) -> None:
        ran = time.monotonic() - self._started[process.name]
        restarts = 0 if ran > HEALTHY_SECONDS else self._restarts.get(process.name, 0)
        if code == WRONG_SETTINGS or restarts == RESTARTS_MAX:
            times = f" after {restarts} restarts" if restarts else ""
            raise StackError(f"{process.name} ended with {said(code)}{times}.\n{process.tail()}")
        seconds = 2**restarts
        self._restarts[process.name] = restarts + 1
        self._due[process.name] = time.monotonic() + seconds
        self._say(
            f"{process.name} ended with {said(code)}; it starts again in {seconds} s "
            f"({restarts + 1} of {RESTARTS_MAX}). Its log: {process.log}"
        )

    def _can_start(self, process: Process) -> bool:
        # While what it needs is away, it would end again and use up its restarts.
        return process in self._servers or (self.broker.ready() and self.redis.ready())

    def stop(self) -> None:
        """End everything; all accepted events are on the log before the broker ends."""
        # Entrances end first, so that nothing new comes in; then workers, before those who tell of
        # their work.
        self.gateway.signal_stop()
        self.view.signal_stop()
        others = [service for service in self.services if service not in self._last]
        for process in (*others, *self._last, *self._servers):
            process.stop()
        end_left_behind(self.directory)


def own_environment(
    environment: Mapping[str, str], name: str, own_secrets: Mapping[str, str]
) -> dict[str, str]:
    """Return what one process is given of an environment: none of another's secrets, and not as
    whom whoever started the stack goes to Kafka and Redis."""
    withheld = {variable_of(secret) for secret in SECRETS - KEYS_OF[name] - set(REDIS_URLS)}
    withheld |= {variable_of(known) for known in KNOWN_BY}
    withheld |= {variable + FILE for variable in withheld}
    shared = {key: value for key, value in environment.items() if key not in withheld}
    return {**own_secrets, **shared}


def _has_identity_provider(settings: Settings) -> bool:
    """Say whether logins go to the provider for development; only then is it started."""
    return settings.environment == "development" and (
        settings.oidc_issuer == settings.development_issuer
    )


def _local(host: str, port: int) -> str:
    """Return the address at which this machine reaches a server that listens on `host`."""
    return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"


def _ports(settings: Settings, environment: Mapping[str, str]) -> list[tuple[str, str, str, int]]:
    """Return who listens: a name, the variable that says where, host and port."""
    loopback = "127.0.0.1"
    provider = (
        "the identity provider",
        "YUEKANG_IDENTITY_PROVIDER_PORT",
        loopback,
        settings.identity_provider_port,
    )
    return [
        *([provider] if _has_identity_provider(settings) else []),
        ("Kafka", "YUEKANG_KAFKA", loopback, _local_port("YUEKANG_KAFKA", settings.kafka)),
        ("Kafka's controller", CONTROLLER, loopback, _controller_port(environment)),
        (
            "Redis",
            "YUEKANG_REDIS_URL",
            loopback,
            _local_port("YUEKANG_REDIS_URL", settings.redis_url),
        ),
        ("the rows' Redis", ROWS_REDIS, loopback, _local_port(ROWS_REDIS, environment[ROWS_REDIS])),
        ("the gateway", "YUEKANG_GATEWAY_PORT", settings.gateway_host, settings.gateway_port),
        ("the view", "YUEKANG_VIEW_PORT", settings.view_host, settings.view_port),
        (
            "the worker's status",
            "YUEKANG_WORKER_STATUS_PORT",
            settings.status_host,
            settings.worker_status_port,
        ),
        (
            "the projection's status",
            "YUEKANG_PROJECTION_STATUS_PORT",
            settings.status_host,
            settings.projection_status_port,
        ),
        (
            "the submissions worker's status",
            "YUEKANG_SUBMISSIONS_STATUS_PORT",
            settings.status_host,
            settings.submissions_status_port,
        ),
        (
            "the lists worker's status",
            "YUEKANG_LISTS_STATUS_PORT",
            settings.status_host,
            settings.lists_status_port,
        ),
        (
            "the rows' status",
            "YUEKANG_ROWS_STATUS_PORT",
            settings.status_host,
            settings.rows_status_port,
        ),
        (
            "the audit log's status",
            "YUEKANG_AUDIT_STATUS_PORT",
            settings.status_host,
            settings.audit_status_port,
        ),
        (
            "the replica's status",
            "YUEKANG_REPLICA_STATUS_PORT",
            settings.status_host,
            settings.replica_status_port,
        ),
    ]


def _local_port(variable: str, address: str) -> int:
    match = re.fullmatch(r"(?:redis://)?(?:127\.0\.0\.1|localhost):(\d+)(?:/\d*)?", address)
    if match is None:
        raise StackError(
            f"{variable} is {address}; `yuekang up` starts its own, so it must be one port of "
            "127.0.0.1. To use another, start the processes one by one."
        )
    return int(match[1])


def _controller_port(environment: Mapping[str, str]) -> int:
    text = environment.get(CONTROLLER, "") or str(CONTROLLER_PORT)
    with suppress(ValueError):
        if 0 < int(text) < 65536:
            return int(text)
    raise StackError(f"{CONTROLLER} is {text!r}, but must be a port, 1 to 65535.")
