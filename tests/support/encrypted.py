"""Kafka and Redis that talk TLS alone, and the processes as they go to them.

Kafka has a listener at which a client is known by its certificate, and one for passwords. Each
process but `lists-worker` goes to the first. A third listener shows the certificate of another
address, and takes anybody. Redis asks all for one certificate, and each for its password.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from app.access.redis_users import USERS
from app.access.rights import PROCESSES
from app.development.secrets import ADMINISTRATOR
from app.development.stack.broker import Broker
from app.development.stack.processes import HttpProcess
from app.development.stack.redis_server import RedisServer
from app.process.kafka import Brokers
from app.process.ports import free_port, free_ports
from support.brokers import PASSWORD
from support.certificates import HERE, Authority, Pair
from support.gateways import SECRET, command
from support.macs import ENVIRONMENT
from support.tokens import MAKING, OF_THE_VIEW
from support.views import CREDENTIAL_KEY, DISPLAY_KEY, SESSION_KEY
from support.workers import DEAD_LETTER_KEY

ELSEWHERE = "127.0.0.9"
BY_PASSWORD = "lists-worker"
AUDIT_KEY = bytes(range(90, 122))

PORTS = {
    "worker": "YUEKANG_WORKER_STATUS_PORT",
    "submissions-worker": "YUEKANG_SUBMISSIONS_STATUS_PORT",
    "lists-worker": "YUEKANG_LISTS_STATUS_PORT",
    "projection": "YUEKANG_PROJECTION_STATUS_PORT",
    "replica": "YUEKANG_REPLICA_STATUS_PORT",
    "rows": "YUEKANG_ROWS_STATUS_PORT",
    "audit-log": "YUEKANG_AUDIT_STATUS_PORT",
    "gateway": "YUEKANG_GATEWAY_PORT",
    "view": "YUEKANG_VIEW_PORT",
}


def principal_of(process: str) -> str:
    """By which name the broker knows a process."""
    return f"User:{process}" if process == BY_PASSWORD else f"User:CN={process},O=yuekang"


PRINCIPALS = [
    word
    for process in PROCESSES
    if process != BY_PASSWORD
    for word in ("--principal", f"{process}={principal_of(process)}")
]
"""What `yuekang acls` is told: who is known by which name."""


class EncryptedBroker(Broker):
    """Has three more listeners, and tells its log who was let do what."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        super().__init__(directory, free_port(), free_port(), PASSWORD)
        self.ports = dict(zip(("CERTIFICATES", "PASSWORDS", "OTHER"), free_ports(3), strict=True))
        self._pairs = dict.fromkeys(self.ports, authority.pair("broker", [HERE]))
        self._pairs["OTHER"] = authority.pair("broker", [ELSEWHERE])
        self._authority = authority
        self._command.insert(1, "-Dauthorizer.level=debug")

    def at(self, listener: str) -> str:
        """Where a listener is."""
        return f"{HERE}:{self.ports[listener]}"

    def _configuration(self) -> str:
        own = dict(line.split("=", 1) for line in _settings(super()._configuration()))
        addresses = "".join(f",{name}://{HERE}:{port}" for name, port in self.ports.items())
        own["listeners"] += addresses
        own["advertised.listeners"] += addresses
        own["listener.security.protocol.map"] += ",CERTIFICATES:SSL,PASSWORDS:SASL_SSL,OTHER:SSL"
        own["super.users"] += f";{principal_of(ADMINISTRATOR)}"
        for name, pair in self._pairs.items():
            ssl = f"listener.name.{name.lower()}.ssl"
            own[f"{ssl}.keystore.type"] = own[f"{ssl}.truststore.type"] = "PEM"
            own[f"{ssl}.keystore.certificate.chain"] = _one_line(pair.certificate)
            own[f"{ssl}.keystore.key"] = _one_line(pair.key)
            own[f"{ssl}.truststore.certificates"] = _one_line(self._authority.certificate)
        own["listener.name.certificates.ssl.client.auth"] = "required"
        passwords, sasl = "listener.name.passwords", "scram-sha-512.sasl.jaas.config"
        own[f"{passwords}.sasl.enabled.mechanisms"] = "SCRAM-SHA-512"
        own[f"{passwords}.{sasl}"] = own[f"listener.name.broker.{sasl}"]
        return "".join(f"{name}={text}\n" for name, text in own.items())


class EncryptedRedis(RedisServer):
    """Asks every client for a certificate; its users have their passwords besides."""

    def __init__(self, directory: Path, authority: Authority, passwords: Mapping[str, str]) -> None:
        super().__init__(directory, free_port(), "redis", passwords=passwords)
        home, port = directory / "redis", free_port()
        home.mkdir()
        server, client = (authority.pair(name, [HERE]) for name in ("redis", "client"))
        files = {
            "ca": authority.certificate,
            "certificate": server.certificate,
            "key": server.key,
            "client": client.certificate,
            "client-key": client.key,
        }
        of = {name: str(home / f"{name}.pem") for name in files}
        for name, text in files.items():
            Path(of[name]).write_text(text)
        options = {"tls-cert-file": "certificate", "tls-key-file": "key", "tls-ca-cert-file": "ca"}
        self._command += ["--port", "0", "--tls-port", str(port)]
        self._command += [word for n, file in options.items() for word in (f"--{n}", of[file])]
        self.bare_url = f"rediss://{HERE}:{port}/0"
        self.trusting_url = f"{self.bare_url}?ssl_ca_certs={of['ca']}"
        self.url = f"{self.trusting_url}&ssl_certfile={of['client']}&ssl_keyfile={of['client-key']}"


class Encrypted:
    """The broker, the Redis and the processes, all of `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority, self.other_authority = Authority(), Authority("other authority")
        self.broker = EncryptedBroker(directory, self.authority)
        self._passwords = {user: f"{user}'s" for user in (*USERS, ADMINISTRATOR)}
        self.redis = EncryptedRedis(directory, self.authority, self._passwords)
        self._pairs = {name: self.authority.pair(name) for name in (*PROCESSES, ADMINISTRATOR)}
        self._ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))

    def brokers_of(self, process: str) -> Brokers:
        """The brokers, for a process as it is known by its certificate."""
        return self.known_by(self._pairs[process])

    def known_by(self, own: Pair, listener: str = "CERTIFICATES") -> Brokers:
        """The brokers, for whoever has this certificate."""
        return Brokers(
            self.broker.at(listener),
            "SSL",
            authorities=self.authority.certificate,
            certificate=own.certificate,
            key=own.key,
        )

    def environment_of(self, process: str) -> dict[str, str]:
        """What tells a process all that it has to know."""
        return {
            **os.environ,
            **ENVIRONMENT,
            **MAKING,
            **OF_THE_VIEW,
            **self._known_as(process),
            **{PORTS[name]: str(port) for name, port in self._ports.items()},
            "YUEKANG_ENVIRONMENT": "development",
            "YUEKANG_DATA_DIR": str(self.directory / process),
            "YUEKANG_REPLICA": str(self.directory / "replica"),
            "YUEKANG_REDIS_URL": self.redis.url,
            "YUEKANG_REDIS_USER": process,
            "YUEKANG_REDIS_PASSWORD": self._passwords.get(process, "none"),
            "YUEKANG_PERSON_KEY_SECRET": SECRET.hex(),
            "YUEKANG_AUDIT_KEY": AUDIT_KEY.hex(),
            "YUEKANG_DISPLAY_KEY": DISPLAY_KEY.hex(),
            "YUEKANG_SESSION_KEY": SESSION_KEY.hex(),
            "YUEKANG_CREDENTIAL_KEY": CREDENTIAL_KEY.hex(),
            "YUEKANG_DEAD_LETTER_PUBLIC_KEY": bytes(DEAD_LETTER_KEY.public_key).hex(),
            "YUEKANG_DEAD_LETTER_PRIVATE_KEY": bytes(DEAD_LETTER_KEY).hex(),
        }

    def _known_as(self, process: str) -> dict[str, str]:
        if process == BY_PASSWORD:
            return variables(
                Brokers(
                    self.broker.at("PASSWORDS"),
                    "SASL_SSL",
                    user=process,
                    password=PASSWORD,
                    authorities=self.authority.certificate,
                )
            )
        return variables(self.brokers_of(process))

    def address_of(self, process: str) -> str:
        """Where a process answers."""
        return f"http://{HERE}:{self._ports[process]}"

    def process(self, name: str) -> HttpProcess:
        """A process that is not started yet."""
        environment, address = self.environment_of(name), self.address_of(name)
        return HttpProcess(name, command(name), self.directory, environment, address)


def variables(brokers: Brokers) -> dict[str, str]:
    """The settings of who goes to these brokers in this way."""
    said = {
        "": brokers.servers,
        "_SECURITY": brokers.security,
        "_USER": brokers.user,
        "_PASSWORD": brokers.password,
        "_CA": brokers.authorities,
        "_CERTIFICATE": brokers.certificate,
        "_KEY": brokers.key,
    }
    return {f"YUEKANG_KAFKA{name}": text for name, text in said.items()}


def _settings(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _one_line(pem: str) -> str:
    return pem.replace("\n", "\\n")
