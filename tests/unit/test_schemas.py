"""The published schemas: they say what the code takes, and take what was ever published.

`tests/fixtures` is frozen: a file in it is added with a new type or version, never changed.
"""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from jsonschema import Draft202012Validator, FormatChecker
from typer.testing import CliRunner

from app.topics.catalogue import CATALOGUE, SOURCE_RELEASES, SUBMISSIONS
from app.topics.codec import Refusal, decode, encode, from_mapping
from app.topics.commands import DIRECTORY, files
from app.topics.commands import schemas as command
from app.topics.schemas import HEALTH_CODE, asyncapi, example, expectation, json_schemas
from models.codes import NO_CODE, STATUS_CHANGED, Cause, HealthCode, StatusChange, StatusChanged
from models.codes import changed as told
from models.events import EVENT_TYPES, Event
from models.operators import (
    OPENINGS_APPROVED,
    PARTITION_RELEASED,
    SOURCE_RELEASED,
    OpeningsApproved,
    PartitionReleased,
    SourceReleased,
)
from models.register import (
    SOURCE_CLOSED,
    SOURCE_OPENED,
    SOURCE_REGISTERED,
    TOKEN_TAKEN_BACK,
    SourceClosed,
    SourceOpened,
    SourceRegistered,
    TokenTakenBack,
)
from support import builders, strategies

FIXTURES = Path(__file__).parents[1] / "fixtures"
ROOT = Path(__file__).parents[2]
PUBLISHED = sorted((FIXTURES / "events").glob("*/*.json"))
OUTPUTS: dict[str, Any] = {
    STATUS_CHANGED: StatusChanged,
    SOURCE_RELEASED: SourceReleased,
    PARTITION_RELEASED: PartitionReleased,
    SOURCE_REGISTERED: SourceRegistered,
    SOURCE_CLOSED: SourceClosed,
    SOURCE_OPENED: SourceOpened,
    TOKEN_TAKEN_BACK: TokenTakenBack,
    OPENINGS_APPROVED: OpeningsApproved,
    HEALTH_CODE: HealthCode,
}
NOW = datetime(2026, 1, 1, tzinfo=UTC)

Json = dict[str, Any]

formats = FormatChecker(formats=())


# jsonschema has no types.
@formats.checks("date-time", raises=ValueError)  # type: ignore[untyped-decorator]
def _is_instant(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def refusals(schema: Json, instance: Any) -> list[str]:
    """What `schema` has against `instance`."""
    validator = Draft202012Validator(schema, format_checker=formats)
    return [error.message for error in validator.iter_errors(instance)]


def published() -> Iterator[tuple[str, Json]]:
    for path in PUBLISHED:
        yield path.parent.name, json.loads(path.read_bytes())


def frozen(name: str) -> Json:
    schema: Json = json.loads((FIXTURES / "schemas" / f"{name}.json").read_bytes())
    return schema


def broken_by(current: dict[str, Json]) -> list[str]:
    """The published types whose fixtures or whose schema `current` would no longer keep."""
    return sorted(
        {
            name
            for name, instance in published()
            if name not in current or refusals(current[name], instance)
        }
    )


# What was published


def test_every_type_has_published_fixtures_and_a_frozen_schema() -> None:
    """A new type needs them: write tests/fixtures/events/TYPE/*.json, and freeze its schema."""
    names = [name for name, _ in published()]
    assert all(names.count(name) >= 2 for name in json_schemas())
    assert {path.stem for path in (FIXTURES / "schemas").glob("*.json")} == set(json_schemas())


def test_no_published_type_is_removed_and_no_published_fixture_refused() -> None:
    assert broken_by(dict(json_schemas())) == []


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_published_fixture_is_still_decoded(path: Path) -> None:
    name, raw = path.parent.name, path.read_bytes()
    assert refusals(frozen(name), json.loads(raw)) == [], "the fixture itself was changed"
    if name in OUTPUTS:
        msgspec.json.decode(raw, type=OUTPUTS[name])
        return
    key = json.loads(raw)["partitionkey"].encode()
    event = decode(raw, key, (), CATALOGUE.topic_of(name), NOW)
    again = json.loads(encode(event))
    assert refusals(json_schemas()[name], again) == [], "what we write is what we describe"


def _required(schema: Json) -> None:
    schema["properties"]["batch"] = {"type": "string"}
    schema["required"].append("batch")


def _narrower(schema: Json) -> None:
    schema["$defs"]["Result"]["enum"].remove("inconclusive")


def _renamed(schema: Json) -> None:
    data = schema["$defs"]["NatResultData"]["properties"]
    data["taken_at"] = data.pop("sampled_at")


def _shorter(schema: Json) -> None:
    schema["properties"]["id"]["pattern"] = "^[!-~]{1,32}$"


def _other_type(schema: Json) -> None:
    schema["properties"]["sequence"] = {"type": "integer"}


@pytest.mark.parametrize("change", [_required, _narrower, _renamed, _shorter, _other_type])
def test_a_change_that_breaks_what_was_published_is_caught(change: Callable[[Json], None]) -> None:
    name = "yuekang.nat-result.reported.v1"
    current = deepcopy(dict(json_schemas()))
    change(current[name])
    assert broken_by(current) == [name]


def test_a_removed_type_is_caught() -> None:
    name = "yuekang.scan.recorded.v1"
    assert broken_by({n: s for n, s in json_schemas().items() if n != name}) == [name]


# What the schemas say


def test_each_schema_is_one_of_its_dialect() -> None:
    for name, schema in json_schemas().items():
        Draft202012Validator.check_schema(schema)
        assert schema["title"] == name
        assert schema["$id"] == f"urn:yuekang:{name}"


@given(strategies.status_events(strategies.STEPS_MAX))
def test_schema_and_code_take_the_same_events(event: Event) -> None:
    sent = json.loads(encode(event))
    assert refusals(json_schemas()[sent["type"]], sent) == []


BREAKS: list[Json] = [
    {"id": ""},
    {"id": 7},
    {"id": None},
    {"sequence": "1.0"},
    {"sequence": 1},
    {"time": "yesterday"},
    {"time": "2022-03-01T08:00:00"},
    {"specversion": "0.3"},
    {"partitionkey": "p1-short"},
    {"source": "laboratories"},
    {"Subject": "x"},
    {"datacontenttype": "text/xml"},
    {"data": {}},
    {"data": "negative"},
]


@pytest.mark.parametrize("changed", BREAKS)
def test_what_the_code_refuses_for_its_form_the_schema_refuses(changed: Json) -> None:
    name = "yuekang.nat-result.reported.v1"
    broken = {**example(name), **changed}
    with pytest.raises(Refusal):
        from_mapping(broken, NOW)
    assert refusals(json_schemas()[name], broken)


def test_what_is_told_is_a_cloudevent_as_described() -> None:
    change = StatusChange(builders.PERSON, 1, 0, NOW, NO_CODE, NO_CODE, Cause())
    sent = json.loads(msgspec.json.encode(told(change)))
    assert refusals(json_schemas()[STATUS_CHANGED], sent) == []
    assert sent.keys() >= {"specversion", "type", "source", "id"}


@pytest.mark.parametrize("name", sorted(json_schemas()))
def test_an_example_is_an_event_as_described(name: str) -> None:
    assert refusals(json_schemas()[name], example(name)) == []
    if name in EVENT_TYPES:
        from_mapping(example(name), NOW)
    else:
        msgspec.convert(example(name), OUTPUTS[name])


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("data.result", "one of inconclusive, negative, positive"),
        ("data.sampled_at", "RFC 3339"),
        ("supersedes", "printable ASCII"),
        ("data", "sampled_at"),
        ("data.nothing", None),
        ("nothing.at.all", None),
    ],
)
def test_what_a_field_must_be_is_said(path: str, says: str | None) -> None:
    told_ = expectation("yuekang.nat-result.reported.v1", path)
    assert told_ is None if says is None else says in (told_ or "")


# The AsyncAPI document


def test_every_reference_in_the_asyncapi_document_leads_somewhere() -> None:
    document = asyncapi()

    def references(node: Any) -> Iterator[str]:
        match node:
            case {"$ref": str(reference)}:
                yield reference
            case dict():
                for member in node.values():
                    yield from references(member)
            case list():
                for item in node:
                    yield from references(item)

    found = set(references({k: v for k, v in document.items() if k != "examples"}))
    assert len(found) > len(EVENT_TYPES)
    for reference in found:
        node: Any = document
        for name in reference.removeprefix("#/").split("/"):
            node = node[name]


def test_the_asyncapi_document_has_what_version_3_wants() -> None:
    """No PyPI package carries its JSON Schema; so what it requires is asserted here."""
    document = asyncapi()
    assert document["asyncapi"] == "3.0.0"
    assert document["info"].keys() >= {"title", "version"}
    for name, operation in document["operations"].items():
        assert operation["action"] in ("send", "receive"), name
        assert operation["channel"]["$ref"].removeprefix("#/channels/") in document["channels"]
    for name, channel in document["channels"].items():
        binding = channel["bindings"]["kafka"]
        assert binding["topic"] == channel["address"] == name
        assert binding["partitions"] == CATALOGUE.topics[name].partitions
        assert set(binding["topicConfiguration"]["cleanup.policy"]) <= {"delete", "compact"}
        for key, message in channel["messages"].items():
            assert message == {"$ref": f"#/components/messages/{key}"}
    for name, message in document["components"]["messages"].items():
        assert message.keys() <= MESSAGE_OBJECT
        assert message["examples"] == [{"payload": example(name)}]


MESSAGE_OBJECT = {
    "headers",
    "payload",
    "correlationId",
    "contentType",
    "name",
    "title",
    "summary",
    "description",
    "tags",
    "externalDocs",
    "bindings",
    "examples",
    "traits",
}
"""The fields of a message, https://www.asyncapi.com/docs/reference/specification/v3.0.0."""


def test_others_send_to_submissions_and_to_no_input_of_theirs() -> None:
    operations = asyncapi()["operations"]
    for topic in CATALOGUE.topics.values():
        sent, received = f"publish-{topic.name}" in operations, f"follow-{topic.name}" in operations
        public = bool(topic.events) or topic.name == "health-codes"
        assert sent == (topic.name in {SUBMISSIONS, SOURCE_RELEASES})
        assert received == (public and not topic.folds_into)


def test_a_submission_is_any_event_that_a_source_may_publish() -> None:
    channel = asyncapi()["channels"][SUBMISSIONS]
    assert channel["messages"].keys() == EVENT_TYPES.keys()


# The files


def test_the_files_in_docs_are_what_the_code_gives() -> None:
    found = {path.name: path.read_bytes() for path in (ROOT / DIRECTORY).glob("*.json")}
    assert found == files(), "run `yuekang schemas write`"


def test_write_makes_the_files_and_check_says_what_differs(tmp_path: Path) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(command, [*arguments, "--directory", str(tmp_path)])

    assert run("check").exit_code == 1
    assert run("write").exit_code == 0
    assert run("check").exit_code == 0
    (tmp_path / "asyncapi.json").write_text("{}")
    (tmp_path / "yuekang.antibody.reported.v1.json").write_text("{}")
    (tmp_path / "yuekang.scan.recorded.v1.json").unlink()
    wrong = run("check", "--json")
    assert wrong.exit_code == 1
    said = [line.removeprefix(f"{tmp_path}/") for line in json.loads(wrong.output)["differences"]]
    assert said == [
        "asyncapi.json: it is out of date. Run `yuekang schemas write`.",
        "yuekang.antibody.reported.v1.json: there is no such type. Run `yuekang schemas write`.",
        "yuekang.scan.recorded.v1.json: it is missing. Run `yuekang schemas write`.",
    ]
    run("write")
    assert json.loads(run("check", "--json").output) == {"differences": []}
