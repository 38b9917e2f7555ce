"""Where Kafka is, and how a client shows it who it is.

Every client of Kafka is made with `Brokers.client`, Faust's with `Brokers` itself
(`app.engine.app`). So none can be forgotten when a broker is closed to strangers.
"""

import asyncio
import os
import ssl
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
from msgspec import Struct

from app.process import handshakes

Security: TypeAlias = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism: TypeAlias = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"]

UNAUTHORISED = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
"""What Kafka answers to whom it knows and does not let."""

UNREACHED = (KafkaConnectionError, OSError)
"""What says that there is no connection but not why; a time that is over is among them."""


class Brokers(Struct, frozen=True):
    """Kafka's brokers (`servers` as host:port, separated by commas), and how a client is known.

    By SASL it is known by `user` and `password`, by TLS (SSL, as Kafka says) by `certificate` and
    `key`, or not at all. `authorities` are the certificates that brokers' own are held against;
    without them the system's are. Certificates and keys are PEM.
    """

    servers: str
    security: Security = "PLAINTEXT"
    mechanism: Mechanism = "SCRAM-SHA-512"
    user: str = ""
    password: str = ""
    authorities: str = ""
    certificate: str = ""
    key: str = ""

    def __str__(self) -> str:
        """Return where they are, for messages; no log can hold a password."""
        return self.servers

    __repr__ = __str__

    @property
    def by_password(self) -> bool:
        """Say whether a client is known by user and password."""
        return self.security.startswith("SASL_")

    @property
    def encrypted(self) -> bool:
        """Say whether nobody on the way can read along."""
        return self.security.endswith("SSL")

    @property
    def tls(self) -> ssl.SSLContext | None:
        """What certificates are checked with; None without TLS. Raise `ValueError` where one of
        them cannot be read."""
        if not self.encrypted:
            return None
        return _tls(self.authorities, self.certificate, self.key)

    @property
    def client(self) -> dict[str, Any]:
        """What every client of aiokafka's is made with."""
        known: dict[str, Any] = {"security_protocol": self.security, "ssl_context": self.tls}
        if self.by_password:
            known |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.user,
                "sasl_plain_password": self.password,
            }
        return {"bootstrap_servers": self.servers, **known}

    def trouble(self, error: BaseException) -> str:
        """Say in a sentence or two what is wrong, and what to do.

        Where there is no TLS connection it shakes hands with the brokers again, which may take
        seconds. In an event loop use `told`.
        """
        said = str(error) or type(error).__name__
        if isinstance(error, UNAUTHORISED):
            who = self.user if self.by_password else "this client"
            return (
                f"Kafka at {self.servers} does not let {who} do that ({said}). `yuekang acls "
                "check` says which rights are missing; `yuekang acls apply` gives them."
            )
        if (refused := self.refused(error)) is not None:
            return refused
        also = ""
        if self.by_password:
            also = ", or YUEKANG_KAFKA_USER and its password if the broker's log refuses that user"
        return f"Kafka at {self.servers}: {said}. Start it, or set YUEKANG_KAFKA{also}."

    def refused(self, error: BaseException) -> str | None:
        """Say what was refused in a TLS handshake, if that is why there was no connection; None if
        not, or if nobody answers. It may take seconds."""
        if (tls := self.tls) is not None and isinstance(error, UNREACHED):
            for server in self.servers.split(","):
                if (refusal := handshakes.refusal(server, tls)) is not None:
                    return f"Kafka at {server} {handshakes.told(refusal, self.certificate)}"
        return None

    async def told(self, error: BaseException) -> str:
        """Return what `trouble` says, without holding up the event loop."""
        return await asyncio.to_thread(self.trouble, error)


@lru_cache(maxsize=8)  # reading the authorities takes 20 ms of CPU time
def _tls(authorities: str, certificate: str, key: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=authorities or None)
        if certificate:
            _load_own(context, certificate, key)
    except ssl.SSLError as error:
        raise ValueError(error.reason or str(error)) from None
    return context


def _load_own(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Load a certificate and its key. Python takes them from a file alone; this one is in memory,
    and nobody else's."""
    file = os.memfd_create("kafka-client")
    try:
        os.write(file, f"{certificate}\n{key}\n".encode())
        # A key with a password would ask for it at the terminal.
        context.load_cert_chain(f"/proc/self/fd/{file}", password="")
    finally:
        os.close(file)
