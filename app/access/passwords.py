"""Users of Kafka and their passwords (SCRAM), as a super user sets them.

aiokafka has no such request (0.14), so it is written out here. The password stays on this side: a
broker is told what it checks one with.
"""

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from app.process.kafka import Brokers
from app.topics.admin import asking

SCRAM_SHA_512 = 2
"""Kafka's number of the mechanism."""

ITERATIONS = 4_096
"""The fewest that Kafka takes: these passwords are random, so that no number of guesses finds
one."""

NO_TAGS: dict[int, bytes] = {}


async def set_passwords(brokers: Brokers, passwords: Mapping[str, str]) -> None:
    """Give each user this password; raise a `KafkaError`. Who is connected stays so."""
    async with asking(brokers) as admin:
        answer = await admin._send_request(AlterUserScramCredentials(passwords))
    for user, code, message, _ in answer.results:
        if code:
            raise for_code(code)(f"user {user}: {message or for_code(code).__name__}")


def _upsertion(user: str, password: str) -> tuple[Any, ...]:
    salt = secrets.token_bytes(32)
    salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    return user, SCRAM_SHA_512, ITERATIONS, salt, salted, NO_TAGS


# aiokafka has no types: its classes are Any to mypy.
class AlterUserScramCredentialsResponse_v0(Response):  # type: ignore[misc]
    """What became of each user."""

    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class AlterUserScramCredentialsRequest_v0(RequestStruct):  # type: ignore[misc]
    """Sets passwords, and takes none away."""

    API_KEY = 51
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = AlterUserScramCredentialsResponse_v0
    SCHEMA = Schema(
        (
            "deletions",
            CompactArray(
                ("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields)
            ),
        ),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class AlterUserScramCredentials(Request[AlterUserScramCredentialsRequest_v0]):  # type: ignore[misc]
    """Passwords by user."""

    API_KEY = 51

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self._passwords = passwords

    def build(self, request_struct_class: type[AlterUserScramCredentialsRequest_v0]) -> Any:
        upsertions = [_upsertion(*each) for each in self._passwords.items()]
        return request_struct_class([], upsertions, NO_TAGS)
