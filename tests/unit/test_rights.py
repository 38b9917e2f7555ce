"""Who may do what on Kafka: as topics.yaml and the graph have it, and no more."""

import json
from collections.abc import Iterable

import msgspec
import pytest
from typer.testing import CliRunner

from app.access.acls import Acl, acl_of, differing
from app.access.commands import acls, kafka_acls_line
from app.access.rights import (
    CLUSTER_NAME,
    PROCESSES,
    Operation,
    Resource,
    Right,
    events_topics,
    publisher_rights,
    rights_of,
)
from app.topics.catalogue import (
    CATALOGUE,
    OPENINGS,
    SOURCE_RELEASES,
    SUBMISSIONS,
    input_topics,
)
from app.topics.clock import CLOCK_CHECKS

READ, WRITE = Operation.READ, Operation.WRITE
WORKERS = {"worker", "submissions-worker", "lists-worker"}


def who(operation: Operation, topic: str) -> set[str]:
    """The processes that may do it."""
    right = Right(Resource.TOPIC, topic, operation)
    return {process for process in PROCESSES if right in rights_of(process)}


def test_nobody_but_the_worker_writes_codes_changes_and_their_changelogs() -> None:
    for name in ("health-codes", "status-changes", "yuekang-people-changelog"):
        assert who(WRITE, name) == {"worker"}
    assert who(WRITE, "yuekang-lists-changelog") == {"lists-worker"}
    for name in ("dead-letters", "parked"):
        assert who(WRITE, name) == WORKERS
    assert who(WRITE, "held") == {"worker"}


def test_what_faces_the_internet_reads_the_register_alone_and_writes_four_topics() -> None:
    assert rights_of("view") == [
        *(Right(Resource.TOPIC, name, WRITE) for name in ("audit", "declarations", "displays")),
        Right(Resource.TOPIC, "scans", WRITE),
        Right(Resource.TOPIC, "sources", READ),
    ]
    read = [right.name for right in rights_of("gateway") if right.operation is READ]
    assert read == ["sources"]


def test_the_register_is_written_by_operators_and_read_by_who_lets_sources_in() -> None:
    assert who(WRITE, "sources") == {"operator"}
    assert who(READ, "sources") == {"operator", "gateway", "view"}


def test_the_audit_log_is_read_by_its_keeper_and_by_who_verifies_it() -> None:
    assert who(WRITE, "audit") == {"audit-log", "operator", "view"}
    assert who(READ, "audit") == {"audit-log", "operator"}
    assert {right.name for right in rights_of("audit-log")} == {"audit"}


@pytest.mark.parametrize("topic", CATALOGUE.topics)
def test_each_topic_has_a_writer_and_a_reader(topic: str) -> None:
    """A new topic stands out here until somebody says who goes to it."""
    assert who(WRITE, topic)
    assert who(READ, topic) or topic == CLOCK_CHECKS, "which is read by nobody"


@pytest.mark.parametrize("topic", [t.name for t in input_topics()])
def test_an_input_is_written_by_entrances_and_by_who_puts_it_right(topic: str) -> None:
    if topic == SOURCE_RELEASES:
        assert who(WRITE, topic) == {"operator"}
        return
    if topic == OPENINGS:
        assert who(WRITE, topic) == {"operator", "worker"}, "no source gets round the count"
        assert who(READ, topic) == {"projection", "worker"}
        return
    if topic == SUBMISSIONS:
        assert who(WRITE, topic) == {"operator"}, "of ours; agencies have none of these names"
        assert who(READ, topic) == {"projection", "replica", "rows", "submissions-worker"}
        return
    of_view = {"view"} if topic in {"declarations", "displays", "scans"} else set[str]()
    writers = who(WRITE, topic)
    assert writers - WORKERS == {"gateway", "operator"} | of_view
    (fold,) = who(READ, topic) & WORKERS
    forwards = {fold} if topic != "scans" else set[str]()  # a scan may lie in any partition
    assert writers & WORKERS == {"submissions-worker"} | forwards


def test_nobody_may_change_topics_rights_or_the_cluster() -> None:
    for process in PROCESSES:
        for right in rights_of(process):
            assert right.operation in Operation
            if right.resource is Resource.CLUSTER:
                assert (process, right.operation) == ("operator", Operation.DESCRIBE)


def test_a_fence_and_a_group_belong_to_one_process() -> None:
    fences = [
        (process, right.name)
        for process in PROCESSES
        for right in rights_of(process)
        if right.resource is Resource.TRANSACTIONAL_ID
    ]
    for process, name in fences:
        for other, begins in fences:
            if other != process:
                assert not name.startswith(begins), (process, other)
    groups = [
        right.name
        for process in PROCESSES
        for right in rights_of(process)
        if right.resource is Resource.GROUP and right.operation is READ
    ]
    assert (
        sorted(groups)
        == sorted({*groups})
        == [*("yuekang-g1", "yuekang-lists-g1", "yuekang-submissions-g1")]
    )


def test_a_right_is_told_once_and_not_beside_what_includes_it() -> None:
    for process in PROCESSES:
        rights = rights_of(process)
        assert len(rights) == len({*rights})
        strong = {(r.resource, r.name) for r in rights if r.operation in (READ, WRITE)}
        weak = {(r.resource, r.name) for r in rights if r.operation is Operation.DESCRIBE}
        assert not strong & weak


@pytest.mark.parametrize("authority", CATALOGUE.authorities)
def test_an_agency_that_writes_to_kafka_itself_writes_submissions_alone(authority: str) -> None:
    if authority not in {t.authority for t in events_topics()}:
        with pytest.raises(KeyError):
            publisher_rights(authority)
        return
    assert publisher_rights(authority) == [Right(Resource.TOPIC, SUBMISSIONS, WRITE)]


A, B = "User:worker", "User:view"
CODES = Right(Resource.TOPIC, "health-codes", WRITE)
FENCE = Right(Resource.TRANSACTIONAL_ID, "yuekang-g1-people-", WRITE, prefixed=True)
CLUSTER = Right(Resource.CLUSTER, CLUSTER_NAME, Operation.DESCRIBE)
WANTED = {A: [CODES, FENCE], B: [CLUSTER]}
RIGHT = [acl_of(A, CODES), acl_of(A, FENCE), acl_of(B, CLUSTER)]


def told(found: Iterable[Acl]) -> tuple[list[Acl], list[Acl]]:
    differ = differing(WANTED, found)
    return list(differ.missing), list(differ.too_many)


def test_what_is_as_wanted_does_not_differ() -> None:
    assert told(RIGHT) == ([], [])


@pytest.mark.parametrize("gone", RIGHT, ids=str)
def test_each_right_that_is_missing_is_told(gone: Acl) -> None:
    assert told(acl for acl in RIGHT if acl != gone) == ([gone], [])


@pytest.mark.parametrize(
    "more",
    [
        Acl(A, "topic", "health-codes", "read"),
        Acl(A, "topic", "anything", "write"),
        Acl(B, "cluster", CLUSTER_NAME, "alter"),
        Acl("User:*", "topic", "health-codes", "read"),
        Acl("User:lab", "topic", "health-codes", "write"),
        Acl("User:lab", "topic", "health-", "write", prefixed=True),
        Acl("User:lab", "topic", "*", "all"),
        Acl("User:lab", "transactional-id", "yuekang-", "write", prefixed=True),
        Acl("User:lab", "transactional-id", "yuekang-g1-people-2", "write"),
        Acl(A, "topic", "health-codes", "write", denies=True),
        Acl(A, "topic", "health-codes", "write", host="10.0.0.1"),
        Acl("User:lab", "topic", "health-codes", "15"),
    ],
    ids=str,
)
def test_each_right_that_is_too_much_is_told(more: Acl) -> None:
    assert told([*RIGHT, more]) == ([], [more])


@pytest.mark.parametrize(
    "of_others",
    [
        Acl("User:lab", "topic", "laboratory-results", "write"),
        Acl("User:lab", "topic", "health", "write"),
        Acl("User:lab", "group", "health-codes", "read"),
        Acl("User:admin", "cluster", CLUSTER_NAME, "alter"),
        Acl("User:lab", "topic", "health-codes", "write", denies=True),
        Acl("User:lab", "8", "health-codes", "write"),
    ],
    ids=str,
)
def test_what_is_no_matter_of_ours_is_not_told(of_others: Acl) -> None:
    assert told([*RIGHT, of_others]) == ([], [])


def shown(*options: str) -> str:
    done = CliRunner().invoke(acls, ["show", *options], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.output


def test_all_rights_are_shown_in_each_form() -> None:
    number = sum(len(rights_of(process)) for process in PROCESSES)
    as_json = msgspec.json.decode(shown("--json"), type=list[Acl])
    assert len(as_json) == len({*as_json}) == number
    lines = shown("--kafka-acls").splitlines()
    assert lines == [kafka_acls_line(acl) for acl in as_json]
    table = shown()
    assert "User:lists-worker" in table
    assert "yuekang-g1-people-…" in table


def test_a_line_is_what_kafka_acls_takes() -> None:
    assert [kafka_acls_line(acl) for acl in RIGHT] == [
        "--add --allow-principal 'User:worker' --operation Write --topic 'health-codes'",
        "--add --allow-principal 'User:worker' --operation Write "
        "--transactional-id 'yuekang-g1-people-' --resource-pattern-type prefixed",
        "--add --allow-principal 'User:view' --operation Describe --cluster",
    ]


def test_processes_have_the_names_that_certificates_give_them() -> None:
    named = json.loads(shown("--json", "--principal", "view=User:CN=view,O=yuekang"))
    assert {"User:CN=view,O=yuekang", "User:worker"} <= {acl["principal"] for acl in named}
    assert "User:view" not in {acl["principal"] for acl in named}


def test_agencies_are_given_the_topic_from_which_what_is_refused_is_deleted() -> None:
    given = json.loads(shown("--json", "--publisher", "User:CN=lab=laboratory"))
    own = {acl["name"] for acl in given if acl["principal"] == "User:CN=lab"}
    assert own == {SUBMISSIONS}


@pytest.mark.parametrize(
    "options",
    [
        ("--principal", "nobody=User:x"),
        ("--principal", "view"),
        ("--principal", "view=CN=view"),
        ("--principal", "view=User:worker"),
        ("--publisher", "User:lab=doctor"),
        ("--publisher", "User:lab=yuekang"),
        ("--publisher", "lab=laboratory"),
        ("--publisher", "User:worker=laboratory"),
    ],
)
def test_wrong_names_are_refused(options: tuple[str, ...]) -> None:
    assert CliRunner().invoke(acls, ["show", *options]).exit_code == 2
