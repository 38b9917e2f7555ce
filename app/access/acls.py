"""Rights as Kafka keeps them: ACLs, read, written, deleted and compared.

aiokafka has the requests and no calls for them. Its own put one ACL into a request, and take a
version for flexible that they do not write so (0.14); hence the three below, of one version each.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.protocol.admin import (
    CreateAclsRequest_v1,
    DeleteAclsRequest_v1,
    DescribeAclsRequest_v1,
)
from aiokafka.protocol.api import Request
from msgspec import Struct

from app.access.rights import CLUSTER_NAME, Right
from app.process.kafka import Brokers
from app.topics.admin import asking

ANY_HOST = "*"
ANY_NAME = "*"
"""What a literal name stands for that is no name: every one."""

SHOWN_SECONDS_MAX = 30.0
"""How long the broker may take to show what was changed; usually milliseconds."""

KINDS = {"topic": 2, "group": 3, "cluster": 4, "transactional-id": 5}
OPERATIONS = {
    "all": 2,
    "read": 3,
    "write": 4,
    "create": 5,
    "delete": 6,
    "alter": 7,
    "describe": 8,
    "cluster-action": 9,
    "describe-configs": 10,
    "alter-configs": 11,
    "idempotent-write": 12,
}


class Pattern(IntEnum):
    """How a name is meant, with Kafka's number."""

    ANY = 1
    LITERAL = 3
    PREFIXED = 4


ANY, DENY, ALLOW = 1, 2, 3
"""Kafka's numbers: any of a kind; who is let and who is not."""


class Acl(Struct, frozen=True, order=True):
    """One line of Kafka's: who may, or may not, do what with which resource. Kinds and operations
    that were invented later are there as their number."""

    principal: str
    resource: str
    name: str
    operation: str
    prefixed: bool = False
    host: str = ANY_HOST
    denies: bool = False

    def __str__(self) -> str:
        """Return it as a sentence has it."""
        verb = "may not" if self.denies else "may"
        names = f"{self.name}…" if self.prefixed else self.name
        where = "" if self.host == ANY_HOST else f" from {self.host}"
        return f"{self.principal} {verb} {self.operation} {self.resource} {names}{where}"

    def covers(self, right: Right) -> bool:
        """Say whether it is about this resource of a right, whatever the operation."""
        if self.resource != right.resource:
            return False
        if self.prefixed:
            return right.name.startswith(self.name)
        if right.prefixed:
            return self.name.startswith(right.name) or self.name == ANY_NAME
        return self.name in (right.name, ANY_NAME)


def acl_of(principal: str, right: Right) -> Acl:
    """Return the ACL that gives `right` to a principal."""
    return Acl(principal, right.resource, right.name, right.operation, right.prefixed)


class Differences(Struct, frozen=True):
    """How the broker's ACLs differ from those that are wanted."""

    missing: Sequence[Acl]
    too_many: Sequence[Acl]


def differing(wanted: Mapping[str, Collection[Right]], found: Iterable[Acl]) -> Differences:
    """Say how; `wanted` has each principal's rights.

    Too many are those of our principals that they do not need, and those by which anybody else
    comes to a resource of ours. The cluster is not ours alone, so of that only our principals'.
    """
    right = {acl_of(who, each) for who, rights in wanted.items() for each in rights}
    ours = {each for rights in wanted.values() for each in rights if each.name != CLUSTER_NAME}
    there = set(found)
    too_many = (
        acl
        for acl in there - right
        if acl.principal in wanted or (not acl.denies and any(acl.covers(each) for each in ours))
    )
    return Differences(sorted(right - there), sorted(too_many))


async def read(brokers: Brokers) -> list[Acl]:
    """Return every ACL of the broker; raise a `KafkaError`."""
    async with asking(brokers) as admin:
        return await _read(admin)


async def create(brokers: Brokers, acls: Sequence[Acl]) -> None:
    """Write ACLs, and return when the broker shows them; raise a `KafkaError`."""
    if not acls:
        return
    async with asking(brokers) as admin:
        answer = await admin._send_request(CreateAcls([_packed(acl) for acl in acls]))
        for acl, (code, message) in zip(acls, answer.creation_responses, strict=True):
            if code:
                raise for_code(code)(f"{acl}: {message or for_code(code).__name__}")
        await _until(admin, acls, lambda there: there >= set(acls))


async def delete(brokers: Brokers, acls: Sequence[Acl]) -> None:
    """Delete ACLs, and return when the broker shows them no more; raise a `KafkaError`."""
    if not acls:
        return
    async with asking(brokers) as admin:
        answer = await admin._send_request(DeleteAcls([_packed(acl) for acl in acls]))
        for acl, (code, message, *_) in zip(acls, answer.filter_responses, strict=True):
            if code:
                raise for_code(code)(f"{acl}: {message or for_code(code).__name__}")
        await _until(admin, acls, lambda there: not there & set(acls))


async def _read(admin: AIOKafkaAdminClient, principal: str | None = None) -> list[Acl]:
    """Return the ACLs of one principal, or of all."""
    answer = await admin._send_request(DescribeAcls(principal))
    if answer.error_code:
        error = for_code(answer.error_code)
        raise error(answer.error_message or error.__name__)
    kinds = {number: name for name, number in KINDS.items()}
    operations = {number: name for name, number in OPERATIONS.items()}
    return [
        Acl(
            principal,
            kinds.get(kind, str(kind)),
            name,
            operations.get(operation, str(operation)),
            pattern == Pattern.PREFIXED,
            host,
            permission == DENY,
        )
        for kind, name, pattern, acls in answer.resources
        for principal, host, operation, permission in acls
    ]


async def _until(
    admin: AIOKafkaAdminClient, acls: Iterable[Acl], shown: Callable[[set[Acl]], bool]
) -> None:
    """Wait until the broker shows what its controller has taken, which it does a moment later."""
    principals = {acl.principal for acl in acls}
    async with asyncio.timeout(SHOWN_SECONDS_MAX):
        while True:
            if shown({acl for each in principals for acl in await _read(admin, each)}):
                return
            await asyncio.sleep(0.02)


def _packed(acl: Acl) -> tuple[Any, ...]:
    return (
        KINDS[acl.resource] if acl.resource in KINDS else int(acl.resource),
        acl.name,
        Pattern.PREFIXED if acl.prefixed else Pattern.LITERAL,
        acl.principal,
        acl.host,
        OPERATIONS[acl.operation] if acl.operation in OPERATIONS else int(acl.operation),
        DENY if acl.denies else ALLOW,
    )


# aiokafka has no types: its classes are Any to mypy.
class DescribeAcls(Request[DescribeAclsRequest_v1]):  # type: ignore[misc]
    """Asks for all of them, or for those of one principal."""

    API_KEY = DescribeAclsRequest_v1.API_KEY

    def __init__(self, principal: str | None) -> None:
        self._principal = principal

    def build(self, request_struct_class: type[DescribeAclsRequest_v1]) -> Any:
        return request_struct_class(ANY, None, Pattern.ANY, self._principal, None, ANY, ANY)


class CreateAcls(Request[CreateAclsRequest_v1]):  # type: ignore[misc]
    """Writes many at once."""

    API_KEY = CreateAclsRequest_v1.API_KEY

    def __init__(self, packed: list[tuple[Any, ...]]) -> None:
        self._packed = packed

    def build(self, request_struct_class: type[CreateAclsRequest_v1]) -> Any:
        return request_struct_class(self._packed)


class DeleteAcls(Request[DeleteAclsRequest_v1]):  # type: ignore[misc]
    """Deletes many at once, each by all that it says."""

    API_KEY = DeleteAclsRequest_v1.API_KEY

    def __init__(self, packed: list[tuple[Any, ...]]) -> None:
        self._packed = packed

    def build(self, request_struct_class: type[DeleteAclsRequest_v1]) -> Any:
        return request_struct_class(self._packed)
