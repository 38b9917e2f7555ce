"""What an event looks like, for those who publish: JSON Schemas and the AsyncAPI document.

Both derive from the classes in models/ and from topics.yaml. What a schema cannot say (that a
sample comes before its report, say) is in `models.checks.faults`.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from app.topics.catalogue import CATALOGUE, HEALTH_CODES, Topic
from models.codes import STATUS_CHANGED, HealthCode, StatusChanged
from models.events import EVENT_TYPES
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

Json = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
OPERATOR = "operator"

BINDING = "0.5.0"
"""Version of AsyncAPI's bindings for Kafka."""

EXAMPLES = Path(__file__).parent / "examples"

EXTENSION = "^[a-z0-9]+$"
EXTENSIONS: Json = {"description": "An extension; it is passed over."}

HEALTH_CODE = "health-code.v1"
"""Name of the schema of the rows on health-codes, which are not CloudEvents."""


CLOUDEVENT = ("specversion", "type", "source", "id")
"""What every CloudEvent must have, even if a class of ours has a default."""

CLASSES: dict[str, Any] = {
    **EVENT_TYPES,
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
"""Name of a schema → its class."""


@cache
def json_schemas() -> Mapping[str, Json]:
    """Return the JSON Schema (2020-12) of each event type, and of the rows on health-codes."""
    return {name: _schema(name, cls) for name, cls in CLASSES.items()}


def _schema(name: str, cls: type[Any]) -> Json:
    definitions = _definitions({name: cls}, "#/$defs/{name}")
    own = definitions.pop(cls.__name__)
    schema = {"$schema": DIALECT, "$id": f"urn:yuekang:{name}", **own}
    return {**schema, "$defs": definitions} if definitions else schema


def _definitions(classes: Mapping[str, type[Any]], references: str) -> Json:
    """Return the schemas of `classes` and of all that they refer to, by class name."""
    _, definitions = msgspec.json.schema_components(classes.values(), ref_template=references)
    for definition in definitions.values():
        if "description" in definition:  # a docstring, with its line breaks
            definition["description"] = " ".join(definition["description"].split())
    for name, cls in classes.items():
        definition = definitions[cls.__name__]
        definition["title"] = name
        if "specversion" in definition["properties"]:
            definition["properties"]["type"] = {"const": name}
            required = {*definition["required"], *CLOUDEVENT}
            definition["required"] = [n for n in definition["properties"] if n in required]
        if cls in EVENT_TYPES.values():
            definition["patternProperties"] = {EXTENSION: EXTENSIONS}
    return definitions


def expectation(type_: str, path: str) -> str | None:
    """Return a sentence that says what the field at the dotted `path` must be; None if no field is
    there."""
    schema = json_schemas()[type_]
    node: Any = schema
    for name in path.split("."):
        node = _resolved(schema, node).get("properties", {}).get(name)
        if node is None:
            return None
    whole = _resolved(schema, node)
    description = node.get("description") or whole.get("description")
    if "enum" in whole:
        return f"Expected: one of {', '.join(str(value) for value in whole['enum'])}."
    return None if description is None else f"Expected: {' '.join(str(description).split())}"


def _resolved(schema: Json, node: Any) -> Json:
    for alternative in node.get("anyOf", ()):
        if alternative.get("type") != "null":
            node = alternative
            break
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return dict(node)


@cache
def asyncapi() -> Json:
    """Return the AsyncAPI 3.0 document of the catalogue; it is made once, and not to be changed."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Yuekang (粤康码): topics and events",
            "version": f"{CATALOGUE.generation}.0.0",
            "description": (
                "Events say that something happened; none sets a colour. An event is CloudEvents "
                "1.0, structured or binary. Its identity is (source, id): sending it again is "
                "always safe. `supersedes` names an earlier event of the same source and kind: the "
                "event stands in its place, and a `...retracted` event takes it back. The record's "
                "key is the event's partitionkey, partitioned by murmur2 (Kafka's default). No "
                "number of a document or a phone may be in a record; the gateway makes person keys."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {topic.name: _channel(topic) for topic in CATALOGUE.topics.values()},
        "operations": {
            name: operation
            for topic in CATALOGUE.topics.values()
            for name, operation in _operations(topic)
        },
        "components": {
            "messages": {name: _message(name) for name in CLASSES},
            "schemas": _definitions(CLASSES, "#/components/schemas/{name}"),
        },
    }


def _operations(topic: Topic) -> Iterator[tuple[str, Json]]:
    """Yield what others than Yuekang do with a topic, by name. Its inputs are no channel of theirs:
    they send to the gateway, or to submissions."""
    channel = {"$ref": f"#/channels/{topic.name}"}
    if topic.takes_every_event:
        said = "Published by sources that write to Kafka themselves (docs/kafka.md)."
        yield f"publish-{topic.name}", {"action": "send", "channel": channel, "summary": said}
    elif topic.authority == OPERATOR and topic.folds_into:
        sources = ", ".join(CATALOGUE.authorities[OPERATOR])
        said = f"Published by sources with the authority {OPERATOR}: {sources}"
        yield f"publish-{topic.name}", {"action": "send", "channel": channel, "summary": said}
    elif _messages(topic) and not topic.folds_into:
        writer = "operators" if topic.authority == OPERATOR else "Yuekang"
        said = f"Written by {writer} alone; read with isolation.level=read_committed."
        yield f"follow-{topic.name}", {"action": "receive", "channel": channel, "summary": said}


def _channel(topic: Topic) -> Json:
    return {
        "address": topic.name,
        "description": topic.holds,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _messages(topic)},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "replicas": topic.replication_factor,
                "topicConfiguration": {
                    "cleanup.policy": [topic.cleanup],
                    **(
                        {"retention.ms": int(topic.settings["retention.ms"])}
                        if topic.retention_days is not None
                        else {}
                    ),
                    "max.message.bytes": int(topic.settings["max.message.bytes"]),
                },
                "bindingVersion": BINDING,
            }
        },
        "x-authority": topic.authority,
        "x-data-class": topic.data_class,
        "x-value-bytes-max": topic.value_bytes_max,
    }


def _messages(topic: Topic) -> tuple[str, ...]:
    if topic.takes_every_event:
        return tuple(
            type_
            for each in CATALOGUE.topics.values()
            for type_ in each.events
            if type_ in EVENT_TYPES
        )
    return (HEALTH_CODE,) if topic.name == HEALTH_CODES else topic.events


_KEY: Json = {"type": "string", "description": "The person key, in UTF-8."}


def _message(name: str) -> Json:
    content_type = "application/json" if name == HEALTH_CODE else "application/cloudevents+json"
    message: Json = {
        "name": name,
        "title": name,
        "contentType": content_type,
        "payload": {"$ref": f"#/components/schemas/{CLASSES[name].__name__}"},
        "bindings": {"kafka": {"key": _KEY, "bindingVersion": BINDING}},
        "examples": [{"payload": example(name)}],
    }
    if "description" in json_schemas()[name]:
        message["summary"] = json_schemas()[name]["description"]
    return message


def example(name: str) -> Any:
    """Return the published example of a schema, as JSON."""
    return msgspec.json.decode((EXAMPLES / f"{name}.json").read_bytes())
