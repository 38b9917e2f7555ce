"""A Kafka broker of one node (KRaft) from its published jars."""

import asyncio
import logging
import os
import socket
import subprocess
import uuid
from base64 import urlsafe_b64encode
from contextlib import suppress
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from app.development.stack.processes import Process, StackError, program
from app.process.files import write_whole
from app.process.kafka import Brokers, Mechanism

ROOT = Path(__file__).parents[3]
LIBS = ROOT / ".run" / "kafka" / "libs"
LOG4J = ROOT / "docker" / "kafka" / "log4j2.properties"
COMMON = ROOT / "docker" / "kafka" / "server.properties"
CLOSED = ROOT / "docker" / "kafka" / "closed.properties"

MECHANISM: Mechanism = "PLAIN"
"""How the super user is known: by a password that the broker's own file has. All others have SCRAM,
whose passwords are in the cluster's metadata, and the super user puts them there."""

MEMORY = ("-Xms128m", "-Xmx512m", "-XX:MaxDirectMemorySize=128m", "-XX:MaxMetaspaceSize=128m")
"""Enough for a sample day of 10,000 people, with room to spare."""

SUPER_USER = "admin"

FORMAT_SECONDS_MAX = 60.0


class Broker(Process):
    """Broker and controller in one process, which listens on the loopback address alone.

    Its data and configuration are in `<directory>/kafka`. A first start formats the folder. With a
    `password`, which is the super user's, it refuses strangers; else it lets everybody do anything.
    """

    stop_seconds_max = 30.0

    def __init__(
        self, directory: Path, port: int, controller_port: int, password: str | None = None
    ) -> None:
        self._home = directory.resolve() / "kafka"
        self._properties = self._home / "server.properties"
        self._port = port
        self._controller_port = controller_port
        self._password = password
        servers = f"127.0.0.1:{port}"
        self.brokers = Brokers(servers)
        """Where it is; with a password also who may do anything there."""
        if password is not None:
            self.brokers = Brokers(servers, "SASL_PLAINTEXT", MECHANISM, SUPER_USER, password)
        super().__init__("kafka", _java("kafka.Kafka", str(self._properties)), directory)

    def start(self) -> None:
        """Start it; raise `StackError` if Java or a jar is missing, or formatting fails."""
        if not LIBS.is_dir():
            raise StackError(f"Kafka's jars are not in {LIBS}. Run `make setup`.")
        self._home.mkdir(parents=True, exist_ok=True)
        write_whole(self._properties, self._configuration().encode(), mode=0o600)
        if not (self._home / "log" / "meta.properties").exists():
            self._format()
        super().start()

    def ready(self) -> bool:
        """Say whether the broker answers and takes part in its cluster."""
        return self.exited() is None and self._listens() and asyncio.run(self._takes_part())

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1.0):
            return True
        return False

    async def _takes_part(self) -> bool:
        # The client logs each failure to connect as an error; here failures are usual.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        admin = AIOKafkaAdminClient(**self.brokers.client, request_timeout_ms=2000)
        try:
            await admin.start()
            return bool((await admin.describe_cluster())["brokers"])
        except (KafkaError, OSError):
            return False
        finally:
            await admin.close()

    def _cluster_id(self) -> str:
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        return "y" + cluster[1:]  # without the y it might begin with -, and be read as an option

    def _format(self) -> None:
        cluster, config = self._cluster_id(), str(self._properties)
        command = _java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", config)
        done = subprocess.run(
            [program(command[0]), *command[1:]],
            capture_output=True,
            text=True,
            timeout=FORMAT_SECONDS_MAX,
            check=False,
        )
        if done.returncode:
            raise StackError(f"Kafka's folder cannot be formatted:\n{done.stdout}{done.stderr}")

    def _configuration(self) -> str:
        broker, controller = self._port, self._controller_port
        settings: dict[str, object] = {
            "listeners": f"BROKER://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"BROKER://127.0.0.1:{broker}",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "log.dirs": self._home / "log",
        }
        common = COMMON.read_text()
        if self._password is not None:
            common += CLOSED.read_text()
            login = (
                "org.apache.kafka.common.security.plain.PlainLoginModule required "
                f'username="{SUPER_USER}" password="{self._password}" '
                f'user_{SUPER_USER}="{self._password}";'
            )
            for listener in ("broker", "controller"):
                settings[f"listener.name.{listener}.plain.sasl.jaas.config"] = login
        own = "".join(f"{name}={value}\n" for name, value in settings.items())
        return common + own


def _java(main: str, *arguments: str) -> list[str]:
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else "java"
    options = (*MEMORY, "-XX:+ExitOnOutOfMemoryError", f"-Dlog4j2.configurationFile={LOG4J}")
    return [java, *options, "-cp", f"{LIBS}/*", main, *arguments]
