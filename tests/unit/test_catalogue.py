"""topics.yaml against the code, and what is said of a catalogue that contradicts itself."""

import json
import os
import subprocess
import sys
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from app.audit.entries import AUDIT
from app.letters.marks import RESENT
from app.process.settings import Settings, variable_of
from app.topics.catalogue import (
    CATALOGUE,
    DAY_MS,
    DEAD_LETTERS,
    HEALTH_CODES,
    OF_OPERATORS,
    ON_HOLD,
    OPENINGS,
    PARKED,
    PATH,
    SOURCE_REGISTER,
    SOURCE_RELEASES,
    STATUS_CHANGES,
    SUBMISSIONS,
    Catalogue,
    CatalogueError,
    input_topics,
    partition_of,
)
from app.topics.clock import CLOCK_CHECKS
from app.topics.codec import Refusal, from_mapping
from app.topology import TableApp, create_app, create_lists_app, create_submissions_app
from models import lists
from models.codes import STATUS_CHANGED
from models.events import (
    EVENT_TYPES,
    ProvincialCodeData,
    ProvincialColour,
    RetractionData,
    RetractionReason,
)
from models.operators import SOURCE_RELEASED
from support.macs import MAC_KEY

Json = dict[str, Any]

LETTERS = (DEAD_LETTERS, PARKED, ON_HOLD)

RETRACTION = RetractionData(RetractionReason.DUPLICATE)


def written(change: Json, tmp_path: Path) -> Path:
    """A catalogue that differs in the dotted paths of `change`; None takes one out."""
    catalogue = deepcopy(yaml.safe_load(PATH.read_text()))
    for path, value in change.items():
        *parents, last = path.split(".")
        node = catalogue
        for name in parents:
            node = node[name]
        if value is None:
            del node[last]
        else:
            node[last] = value
    file = tmp_path / "topics.yaml"
    file.write_text(yaml.safe_dump(catalogue))
    return file


# Against the code


def test_every_event_type_is_in_one_topic_and_no_other_is() -> None:
    listed = [type_ for topic in CATALOGUE.topics.values() for type_ in topic.events]
    assert sorted(listed) == sorted([*EVENT_TYPES, STATUS_CHANGED, *OF_OPERATORS])


def test_a_retraction_goes_where_what_it_takes_back_goes() -> None:
    for type_ in EVENT_TYPES:
        if type_.endswith(".retracted.v1"):
            noun = type_.split(".")[1]
            family = {t for t in EVENT_TYPES if t.split(".")[1] == noun}
            assert family == set(CATALOGUE.topic_of(type_).events), type_


def test_the_topics_that_agents_read_and_write_are_in_it() -> None:
    assert {topic.name for topic in input_topics()} | {SOURCE_REGISTER} == {
        *(topic.name for topic in CATALOGUE.topics.values() if topic.authority != "yuekang"),
        OPENINGS,
    }
    written = {ON_HOLD, HEALTH_CODES, STATUS_CHANGES, DEAD_LETTERS, PARKED, RESENT, SOURCE_RELEASES}
    assert written <= CATALOGUE.topics.keys()


def test_what_says_that_a_letter_was_sent_again_outlives_the_letter() -> None:
    kept = {name: CATALOGUE.topics[name].retention_days or 0 for name in LETTERS}
    days = CATALOGUE.topics[RESENT].retention_days
    assert days is not None
    assert days >= 2 * max(kept.values())


async def test_every_table_that_topics_fold_into_is_held_with_its_changelog(
    tmp_path: Path,
) -> None:
    settings = Settings(data_dir=str(tmp_path), mac_key=MAC_KEY)
    makers = create_app, create_submissions_app, create_lists_app
    apps: list[TableApp] = [make(settings, "cluster") for make in makers]
    for topic in input_topics():
        folded_by = [app for app in apps if topic in app.topics_read()]
        assert len(folded_by) == (len(apps) if topic.name == SOURCE_RELEASES else 1), topic.name
    for app in apps:
        assert app.tables_of(CATALOGUE.topics[SOURCE_RELEASES]) == app.held_tables
        for table in app.held_tables:
            assert any(t.folds_into == table.settings.name for t in app.topics_read())
            assert CATALOGUE.topics[table.settings.changelog].cleanup == "compact"


async def test_nothing_that_bears_on_no_code_is_read_beside_what_does(tmp_path: Path) -> None:
    """A flood of the one must not stand before the other: they are processes of their own."""
    app = create_app(Settings(data_dir=str(tmp_path), mac_key=MAC_KEY), "cluster")
    listed = {CATALOGUE.topic_of(str(kind.__struct_config__.tag)) for kind in lists.OF}
    assert not listed & set(app.topics_read())


def test_every_topic_has_the_same_number_of_partitions_except_the_audit_log() -> None:
    """Its lines have one order."""
    others = {t.partitions for t in CATALOGUE.topics.values() if t.name != AUDIT}
    assert others == {CATALOGUE.partitions}
    assert CATALOGUE.topics[AUDIT].partitions == 1


def test_what_folds_is_stamped_by_the_log_and_kept_for_a_time() -> None:
    assert CATALOGUE.topics[CLOCK_CHECKS].settings["message.timestamp.type"] == "LogAppendTime"
    for topic in input_topics():
        assert topic.settings["message.timestamp.type"] == "LogAppendTime"
        kept = int(topic.settings["retention.ms"])
        assert topic.bounded or kept == (topic.retention_days or 0) * DAY_MS


def test_a_submission_is_gone_within_a_day_at_a_broker_that_looks_once_an_hour() -> None:
    topic = CATALOGUE.topics[SUBMISSIONS]
    kept, written_to = (int(topic.settings[f"{name}.ms"]) for name in ("retention", "segment"))
    assert kept + written_to + 60 * 60 * 1000 <= DAY_MS
    assert kept >= 20 * 60 * 60 * 1000, "a worker that is away has most of a day to come back"
    assert [t.name for t in CATALOGUE.topics.values() if t.bounded] == [SUBMISSIONS]


def test_a_submission_may_be_any_event_of_a_source_and_nothing_else() -> None:
    topic = CATALOGUE.topics[SUBMISSIONS]
    assert all(topic.takes(type_) for type_ in EVENT_TYPES)
    for type_ in (STATUS_CHANGED, *OF_OPERATORS):
        event = {"specversion": "1.0", "type": type_, "data": {}}
        with pytest.raises(Refusal, match="unknown-type"):
            from_mapping(event, datetime.now(UTC), topic)


def test_the_broker_takes_every_value_that_the_catalogue_allows() -> None:
    for topic in CATALOGUE.topics.values():
        assert int(topic.settings["max.message.bytes"]) >= topic.value_bytes_max


def test_a_prefix_stands_before_every_name_on_the_broker(tmp_path: Path) -> None:
    program = """
import asyncio, json, sys
from app.audit.entries import AUDIT
from app.audit.entries import AUDIT
from app.letters.marks import RESENT
from app.letters.resend import TRANSACTIONAL_ID
from app.process.settings import Settings, variable_of
from app.projection.freshness import GROUPS
from app.projection.commands import CODES, ROWS
from app.topics.catalogue import *
from app.topics.clock import CLOCK_CHECKS
from app.topics.catalogue import input_topics
from app.topology import create_app, create_lists_app, create_submissions_app

async def names():
    settings = Settings(data_dir=sys.argv[1], mac_key=bytes(32))
    makers = create_app, create_submissions_app, create_lists_app
    apps = [make(settings, "c") for make in makers]
    tables = [table.settings for app in apps for table in app.held_tables]
    return {
        "known": [
            *(HEALTH_CODES, STATUS_CHANGES, DEAD_LETTERS, PARKED, SOURCE_RELEASES, RESENT),
            *(ON_HOLD, CLOCK_CHECKS, AUDIT, SOURCE_REGISTER),
        ],
        "read": [topic.name for app in apps for topic in app.topics_read()],
        "followed": [*CODES.topics, *ROWS.topics],
        "changelogs": [table.changelog for table in tables],
        "groups": [*(group.name for group in GROUPS), *(app.conf.id for app in apps)],
        "fences": [TRANSACTIONAL_ID, *(table.application for table in tables)],
        "stores": [table.directory.name for table in tables],
    }

print(json.dumps(asyncio.run(names())))
"""
    plain, prefixed = (
        json.loads(
            subprocess.check_output(
                [sys.executable, "-c", program, str(tmp_path)],
                env={**os.environ, variable_of("topic_prefix"): prefix},
            )
        )
        for prefix in ("", "staging-")
    )
    assert prefixed == {
        kind: [f"staging-{name}" for name in names] for kind, names in plain.items()
    }
    assert set(plain["known"] + plain["read"] + plain["changelogs"]) == CATALOGUE.topics.keys()
    staging = Catalogue.load(prefix="staging-")
    assert list(staging.topics) == [topic.name for topic in staging.topics.values()]
    assert list(staging.topics) == [f"staging-{name}" for name in CATALOGUE.topics]


# Who may publish what


@pytest.mark.parametrize(
    ("source", "type_", "allowed"),
    [
        ("/laboratories/440100-001", "yuekang.nat-result.reported.v1", True),
        ("/laboratories/440100-001", "yuekang.case.confirmed.v1", False),
        ("/laboratories", "yuekang.nat-result.reported.v1", False),
        ("/laboratories-of/1", "yuekang.nat-result.reported.v1", False),
        ("/cdc/440100", "yuekang.contact.listed.v1", True),
        ("/terminals/1", "yuekang.scan.recorded.v1", True),
        ("/terminals/1", "yuekang.identity.verified.v1", False),
        ("/yuekang", STATUS_CHANGED, True),
        ("/cdc/440100", STATUS_CHANGED, False),
        ("/operators/chen", SOURCE_RELEASED, True),
        ("/operators", SOURCE_RELEASED, False),
        pytest.param("/operator", SOURCE_RELEASED, True, id="before operators had names"),
        ("/cdc/440100", SOURCE_RELEASED, False),
    ],
)
def test_a_source_may_publish_what_its_authority_may(
    source: str, type_: str, allowed: bool
) -> None:
    refused = CATALOGUE.entitled(source, type_, RETRACTION)
    assert (refused is None) is allowed
    assert refused is None or source in refused


def test_every_type_is_for_one_authority_alone() -> None:
    sources = {name: patterns[0].replace("*", "x") for name, patterns in AUTHORITIES.items()}
    for type_ in EVENT_TYPES:
        entitled = [n for n, s in sources.items() if CATALOGUE.entitled(s, type_, None) is None]
        assert entitled == [CATALOGUE.topic_of(type_).authority]


AUTHORITIES = CATALOGUE.authorities


def test_a_province_speaks_for_itself_alone() -> None:
    at = "yuekang.provincial-code.reported.v1"
    data = ProvincialCodeData("43", ProvincialColour.RED, datetime(2022, 3, 1, tzinfo=UTC))
    assert CATALOGUE.entitled("/provinces/43", at, data) is None
    for other in ("/provinces/44", "/provinces/43/x"):
        refused = CATALOGUE.entitled(other, at, data)
        assert refused is not None
        assert "/provinces/43" in refused


def test_only_authorities_that_write_about_people_or_phones_are_given_keys() -> None:
    sources = {name: patterns[0].replace("*", "x") for name, patterns in AUTHORITIES.items()}
    given = {name for name, source in sources.items() if CATALOGUE.key_limit(source) is not None}
    assert given == CATALOGUE.person_keys.keys()
    assert given.isdisjoint({"terminal", "operator", "yuekang"})
    assert CATALOGUE.key_limit("/nobody") is None
    phones = {name for name in given if CATALOGUE.person_keys[name].of == "phone"}
    assert phones == {"telecom", "portal"}


def test_the_sources_of_the_view_have_room_for_the_whole_province_and_no_other_has() -> None:
    for name, limit in CATALOGUE.person_keys.items():
        views = name in ("identity-provider", "portal")
        assert (limit.minute >= 1_500_000) == views, "the peak, all at once"
        assert (limit.day >= 126_000_000) == views, "everybody once"
    cities = ("cdc", "quarantine-command", "entry-desk")
    assert all(CATALOGUE.person_keys[name].day <= 100_000 for name in cities)


def test_an_unknown_type_has_no_topic() -> None:
    with pytest.raises(KeyError):
        CATALOGUE.topic_of("yuekang.antibody.reported.v1")


# Catalogues that contradict themselves


SCAN = "yuekang.scan.recorded.v1"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"topics.scans.authority": "gatekeeper"},
            "scans: authority gatekeeper is not among the authorities.",
        ),
        (
            {"topics.scans.partitions": 1},
            f"scans: what is keyed by person has {CATALOGUE.partitions} partitions.",
        ),
        ({"topics.scans.events": [SCAN, "x.v1"]}, "scans: unknown event types x.v1."),
        ({"topics.scans": None}, f"in no topic: {SCAN}."),
        ({"topics.identities.events": []}, "yuekang.identity.verified.v1"),
        (
            {"topics.dead-letters.events": [SCAN]},
            f"in more than one topic: {SCAN}.",
        ),
        (
            {"topics.scans.retention_days": None},
            "scans: cleanup delete needs retention_days, compact takes none.",
        ),
        (
            {"topics.scans.cleanup": "compact"},
            "scans: cleanup delete needs retention_days, compact takes none.",
        ),
        (
            {"topics.scans.key": "none"},
            "scans: what folds into a table is keyed by person and has events.",
        ),
        (
            {"topics.health-codes.bounded": True},
            "health-codes: what is bounded has retention_days.",
        ),
        ({"authorities.terminal": []}, "authority terminal: its sources"),
        ({"authorities.terminal": ["*"]}, "authority terminal: its sources"),
        (
            {"person_keys.gatekeeper": {"of": "phone", "minute": 1, "day": 1}},
            "person_keys: gatekeeper is not among the authorities.",
        ),
        (
            {"person_keys.operator": {"of": "document", "minute": 1, "day": 1}},
            "person_keys: operator writes about no people, and needs no key of one.",
        ),
        (
            {"person_keys.telecom.of": "document"},
            "person_keys: telecom writes about no people, and needs no key of one.",
        ),
        (
            {"person_keys.cdc.day": 10},
            "person_keys: cdc has more in a minute than in a day.",
        ),
        ({"person_keys.cdc.of": "name"}, "of"),
        ({"partitions": 0}, "$.partitions"),
        ({"generation": None}, "generation"),
        ({"topics.scans.retention_days": 0}, "retention_days"),
        ({"topics.scans.retention": 3}, "unknown field `retention`"),
        ({"topics.scans.data_class": "secret"}, "data_class"),
        ({"topics.scans.key": "place"}, "key"),
    ],
)
def test_what_contradicts_itself_is_named(change: Json, says: str, tmp_path: Path) -> None:
    with pytest.raises(CatalogueError) as caught:
        Catalogue.load(written(change, tmp_path))
    assert says in str(caught.value)


def test_all_contradictions_are_named_at_once(tmp_path: Path) -> None:
    change = {"topics.scans.authority": "gatekeeper", "topics.declarations.key": "none"}
    with pytest.raises(CatalogueError) as caught:
        Catalogue.load(written(change, tmp_path))
    assert len(str(caught.value).splitlines()) == 3


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("topics: [")
    for name in ("missing.yaml", "broken.yaml"):
        with pytest.raises(CatalogueError, match=name):
            Catalogue.load(tmp_path / name)


def test_an_unchanged_copy_is_the_same_catalogue(tmp_path: Path) -> None:
    assert Catalogue.load(written({}, tmp_path)).topics == CATALOGUE.topics


@given(st.binary(max_size=80), st.integers(1, 1_000))
def test_a_key_lies_where_kafkas_default_partitioner_puts_it(key: bytes, partitions: int) -> None:
    numbers = list(range(partitions))
    assert partition_of(key, partitions) == DefaultPartitioner()(key, numbers, numbers)
