"""Every event type from every authority, at the gateway and at the worker: taken from one alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import orjson
import pytest

from agents.poison import check_author
from agents.releases import _release_in
from app.gateway.signatures import RequestSigner
from app.sources.changes import change
from app.sources.register import Register
from app.topics.authentic import NotAuthentic
from app.topics.catalogue import CATALOGUE, OF_OPERATORS, SOURCE_REGISTER
from app.topics.codec import Refusal, decode
from app.topics.records import Record
from models.events import EVENT_TYPES
from models.register import ClosedData, key_of
from support import builders
from support.asgi import transport_to
from support.gateways import PROVINCE, PROVINCE_KEY, gateway_that_writes
from support.macs import KEYS, signed
from support.records import record
from support.tokens import OPERATOR, bearer

Json = dict[str, Any]

NOW = builders.day(120)
ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "events"
SOURCES = {
    authority: patterns[0].replace("*", "43")
    for authority, patterns in CATALOGUE.authorities.items()
} | {"operator": OPERATOR}
OTHERS = ("/provinces/44", "/laboratories/440100-002", "/cdc/440305", "/terminals/440100-002")
"""Others of the same authority: they speak for themselves alone."""
ASKING = (*SOURCES.values(), *OTHERS)


def written(type_: str) -> Json:
    """A published event of a type, from whoever may send it."""
    event: Json = orjson.loads((FIXTURES / type_ / "full.json").read_bytes())
    if "province" in event["data"]:
        event["data"]["province"] = "43"
    return {**event, "source": right(type_)}


def example(type_: str) -> Any:
    return orjson.loads((ROOT / "app" / "topics" / "examples" / f"{type_}.json").read_bytes())


def right(type_: str) -> str:
    return SOURCES[CATALOGUE.topic_of(type_).authority]


def is_right(source: str, type_: str) -> bool:
    """Say whether a source may send such an event in its own name."""
    authority = CATALOGUE.authority_of(source)
    of_43 = type_ == "yuekang.provincial-code.reported.v1" and source == "/provinces/44"
    return authority == CATALOGUE.topic_of(type_).authority and not of_43


def each() -> Iterator[tuple[str, bool]]:
    """Each who asks, in their own name and in that of the one who may."""
    for source in ASKING:
        yield source, True
        yield source, False


SIGNER = RequestSigner(PROVINCE_KEY)
TOKENS = {source: bearer(source) for source in ASKING}
ADDRESS = "http://127.0.0.1/v1/events"


@pytest.mark.parametrize("type_", EVENT_TYPES)
async def test_the_gateway_takes_a_type_from_its_authority_alone(type_: str) -> None:
    app, taken = gateway_that_writes(now=lambda: NOW)
    async with httpx.AsyncClient(transport=transport_to(app)) as http:
        for source, in_own_name in each():
            event = written(type_) | ({"source": source} if in_own_name else {})
            body = orjson.dumps(event)
            headers = TOKENS[source] | {"content-type": "application/cloudevents+json"}
            if source == PROVINCE:
                headers = SIGNER.signed("POST", ADDRESS, headers, body)
            answer = await http.post(ADDRESS, content=body, headers=headers)
            expected = is_right(source, type_) if in_own_name else source == right(type_)
            records = taken.take()
            assert bool(records) == expected, (source, answer.text)
            if expected:
                assert answer.status_code == 202
                assert KEYS.author(records[0]) == source
            else:
                code = "no-authority" if in_own_name else "wrong-source"
                assert (answer.status_code, answer.json()["code"]) == (403, code), source


@pytest.mark.parametrize("type_", EVENT_TYPES)
def test_the_worker_takes_a_type_by_the_key_of_its_source_alone(type_: str) -> None:
    topic = CATALOGUE.topic_of(type_)
    for source, in_own_name in each():
        event = written(type_) | ({"source": source} if in_own_name else {})
        found = record(
            orjson.dumps(event), NOW, 0, topic.name, event["partitionkey"].encode(), author=source
        )
        why = ""
        try:
            author = KEYS.author(found)
            read = decode(found.value, found.key, found.headers, topic, NOW)
            check_author(read.source, author)
        except Refusal as refusal:
            why = str(refusal.code)
        expected = is_right(source, type_) if in_own_name else source == right(type_)
        refused = "no-authority" if in_own_name else "not-authentic"
        assert why == ("" if expected else refused), source


@pytest.mark.parametrize("type_", EVENT_TYPES)
def test_no_type_is_taken_from_another_topic(type_: str) -> None:
    for topic in CATALOGUE.topics.values():
        if topic.takes(type_):
            continue
        event = written(type_)
        key = event["partitionkey"].encode()
        own = CATALOGUE.topic_of(type_).name
        moved = signed(Record(own, key, orjson.dumps(event)), right(type_))
        with pytest.raises(NotAuthentic):
            KEYS.author(Record(topic.name, key, moved.value, moved.headers))
        with pytest.raises(Refusal, match="wrong-topic"):
            decode(moved.value, key, moved.headers, topic, NOW)


RELEASES = [
    type_ for type_ in sorted(OF_OPERATORS) if CATALOGUE.topic_of(type_).folds_into is not None
]


@pytest.mark.parametrize("type_", RELEASES)
def test_a_release_is_by_the_operator_whom_it_names(type_: str) -> None:
    topic = CATALOGUE.topic_of(type_).name
    for source in (*ASKING, "/operators/other"):
        for named in {source, OPERATOR}:
            value = orjson.dumps({**example(type_), "source": named})
            found = record(value, NOW, 0, topic, b"/laboratories/x", author=source)
            allowed = CATALOGUE.authority_of(source) == "operator" and named == source
            if allowed:
                assert _release_in(found, KEYS).source == source
            else:
                with pytest.raises(Refusal, match=r"no-authority|not-authentic"):
                    _release_in(found, KEYS)


def test_a_change_of_the_register_is_by_its_own_key() -> None:
    made = change(ClosedData("/laboratories/1", "It was stolen."), OPERATOR)
    plain = Record(SOURCE_REGISTER, key_of(made).encode(), msgspec.json.encode(made))
    for source in ASKING:
        register = Register()
        register.apply(signed(plain, source), KEYS)
        closed = register.refused("/laboratories/1", "") is not None
        assert closed == (source == SOURCES["register"]), source
