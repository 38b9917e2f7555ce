"""The entrance over HTTP, as a process on a real Kafka: what goes in, and what is refused how."""

import asyncio
import contextlib
import gzip
import json
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.gateway.body import Bodies
from app.gateway.messages import BATCH, BATCH_EVENTS_MAX, DATA, DOCUMENTS_MAX, ONE
from app.gateway.routes import (
    GatewayOptions,
    create_gateway,
)
from app.gateway.signatures import RequestSigner
from app.process.kafka import Brokers
from app.process.ports import free_port
from app.topics.catalogue import CATALOGUE
from app.topics.records import Record
from app.topics.writer import Writer
from app.web.problems import KINDS, Refused
from models.events import Event
from support.asgi import transport_to
from support.brokers import Kafka
from support.gateways import (
    CARD,
    LABORATORY,
    NO_REDIS,
    NUMBER,
    OTHER_PERSON,
    PERSON,
    PHONE,
    PHONE_KEY,
    PHONE_NUMBER,
    PROVINCE,
    PROVINCE_KEY,
    SECRET,
    TELECOM,
    Json,
    assert_named,
    command,
    environment,
    event,
    gateway_document,
    result,
    running_gateway,
    visit,
    visited,
)
from support.macs import KEYS
from support.tokens import OTHER_TOKENS, TOKENS, TRUST

CUT_OFF_BYTES_MAX = 100_000_000
"""More than the gateway's bound and all buffers on the way."""


def options(brokers: Brokers) -> GatewayOptions:
    return GatewayOptions(
        brokers=brokers,
        rows_redis_url=NO_REDIS,
        person_key_secret=SECRET,
        person_key_version=1,
        trust=TRUST,
        mac_keys=KEYS,
    )


@pytest.fixture(scope="module")
def url(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_gateway(kafka, tmp_path_factory.mktemp("gateway")) as address:
        yield address


@pytest.fixture(scope="module")
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=20) as client:
        yield client


def post(
    http: httpx.Client,
    body: bytes,
    content_type: str = ONE,
    source: str = LABORATORY,
    path: str = "/v1/events",
    **headers: str,
) -> httpx.Response:
    response = http.post(
        path,
        content=body,
        headers={
            "content-type": content_type,
            "authorization": f"Bearer {TOKENS.token_for(source)}",
            **headers,
        },
    )
    assert NUMBER not in response.text, "an answer repeats a document number"
    return response


def post_event(http: httpx.Client, submitted: Any, **kw: Any) -> httpx.Response:
    return post(http, msgspec.json.encode(submitted), **kw)


def post_batch(http: httpx.Client, events: list[Any], **kw: Any) -> httpx.Response:
    raw = [e if isinstance(e, bytes) else msgspec.json.encode(e) for e in events]
    return post(http, b"[" + b",".join(raw) + b"]", BATCH, **kw)


def problem(response: httpx.Response, status: int, code: str) -> Json:
    """Assert that the answer is this problem, whole; return it."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    body: Json = response.json()
    assert (response.status_code, body["status"], body["code"]) == (status, status, code), body
    assert body["type"] == f"/problems/{code}"
    assert body["title"] == KINDS[code].title
    assert body["detail"].endswith(".")
    assert len(body["detail"]) > 10
    assert_named(response)
    return body


async def record_at(kafka: Kafka, place: Json) -> Any:
    """Read what lies on Kafka where an answer says that it lies."""
    consumer = AIOKafkaConsumer(**kafka.brokers.client, isolation_level="read_committed")
    await consumer.start()
    try:
        partition = TopicPartition(place["topic"], place["partition"])
        consumer.assign([partition])
        consumer.seek(partition, place["offset"])
        async with asyncio.timeout(10):
            return await consumer.getone()
    finally:
        await consumer.stop()


# What goes in


async def test_an_event_with_a_document_is_on_kafka_with_the_person_key_alone(
    http: httpx.Client, kafka: Kafka
) -> None:
    sent = event()
    answer = post_event(http, sent)
    assert answer.status_code == 202
    assert (answer.json()["id"], answer.json()["source"]) == (sent["id"], LABORATORY)
    record = await record_at(kafka, answer.json())
    assert record.key == PERSON.encode()
    assert dict(record.headers)["content-type"] == b"application/cloudevents+json"
    stored = msgspec.json.decode(record.value, type=Event)
    assert stored.partitionkey == PERSON
    assert NUMBER.encode() not in record.value
    assert b"document" not in record.value


async def test_an_event_with_a_person_key_is_taken_as_it_is(
    http: httpx.Client, kafka: Kafka
) -> None:
    answer = post_event(http, event(partitionkey=OTHER_PERSON, data=result()))
    record = await record_at(kafka, answer.json())
    assert record.key == OTHER_PERSON.encode()


async def test_binary_mode_is_the_same_event(http: httpx.Client, kafka: Kafka) -> None:
    sent = event()
    headers = {f"ce-{name}": value for name, value in sent.items() if name != "data"}
    answer = post(
        http, msgspec.json.encode(sent["data"]), "application/json; charset=UTF-8", **headers
    )
    assert answer.status_code == 202, answer.text
    stored = msgspec.json.decode((await record_at(kafka, answer.json())).value, type=Event)
    assert (stored.id, stored.partitionkey) == (sent["id"], PERSON)


def test_a_header_in_binary_mode_is_percent_decoded(http: httpx.Client) -> None:
    sent = event()
    headers = {f"ce-{name}": value for name, value in sent.items() if name != "data"}
    headers["ce-source"] = "%2Flaboratories%2F440100-001"
    assert post(http, msgspec.json.encode(sent["data"]), DATA, **headers).status_code == 202


def test_gzip_is_read(http: httpx.Client) -> None:
    body = gzip.compress(msgspec.json.encode(event()))
    assert post(http, body, **{"content-encoding": "gzip"}).status_code == 202


def test_the_same_event_again_is_taken_again(http: httpx.Client) -> None:
    sent = event()
    first, second = post_event(http, sent), post_event(http, sent)
    assert first.status_code == second.status_code == 202
    assert first.json()["partition"] == second.json()["partition"]


def test_events_of_a_person_keep_their_order_in_a_batch(http: httpx.Client) -> None:
    answers = post_batch(http, [event() for _ in range(50)])
    assert answers.status_code == 202
    offsets = [answer["offset"] for answer in answers.json()["results"]]
    assert offsets == sorted(offsets)


async def test_one_bad_event_in_the_middle_harms_no_other(http: httpx.Client, kafka: Kafka) -> None:
    first, last = event(), event()
    bad: list[Any] = [
        event(id=None),
        event(data=result(document={**CARD, "number": "110105194912310021"})),
        b'{"a":1,"a":2}',
        event(source="/laboratories/2"),
        None,
    ]
    answers = post_batch(http, [first, *bad, last])
    assert answers.status_code == 207
    results = answers.json()["results"]
    assert [r["status"] for r in results] == [202, 422, 422, 400, 403, 400, 202]
    assert [r["code"] for r in results[1:-1]] == [
        "invalid",
        "document",
        "duplicate-key",
        "wrong-source",
        "not-a-cloudevent",
    ]
    for sent, answer in ((first, results[0]), (last, results[-1])):
        stored = msgspec.json.decode((await record_at(kafka, answer)).value)
        assert stored["id"] == sent["id"]


def test_one_id_with_two_contents_in_a_batch_is_a_conflict(http: httpx.Client) -> None:
    first = event()
    second = {**first, "data": result(document=CARD, result="positive")}
    answer = post_batch(http, [first, second, first])
    assert answer.status_code == 207
    taken, refused, again = answer.json()["results"]
    assert [taken["status"], refused["status"], again["status"]] == [202, 409, 202]
    assert (refused["code"], refused["id"]) == ("conflict", first["id"])


def test_an_empty_batch_is_taken(http: httpx.Client) -> None:
    answers = post_batch(http, [])
    assert (answers.status_code, answers.json()) == (202, {"results": []})


# What is refused, and how


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"positive, 3 swabs, see fax", 400, "not-json"),
        (b"", 400, "not-json"),
        (b'{"specversion":"1.0"', 400, "not-json"),
        (b'{"specversion":NaN}', 400, "not-json"),
        (b'{"specversion":Infinity}', 400, "not-json"),
        (b'{"specversion":-Infinity}', 400, "not-json"),
        (b'{"hello":"world"}', 400, "not-a-cloudevent"),
        (b"[]", 400, "not-a-cloudevent"),
        (b"null", 400, "not-a-cloudevent"),
        (b'{"specversion":"\xff"}', 400, "not-utf-8"),
        (b'{"specversion":"1.0","specversion":"1.0"}', 400, "duplicate-key"),
        (b"[" * 10_000 + b"]" * 10_000, 400, "too-deep"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400, "too-deep"),
        (b"[" * 300 + b"]" * 300, 400, "too-deep"),
    ],
)
def test_what_is_no_cloudevent_is_refused(
    http: httpx.Client, body: bytes, status: int, code: str
) -> None:
    problem(post(http, body), status, code)


def test_a_nul_is_refused(http: httpx.Client) -> None:
    raw = msgspec.json.encode(event(data=result(institution="A", document=CARD)))
    problem(post(http, raw.replace(b'"A"', b'"\\u0000"')), 400, "nul")


NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"id": None}, "id"),
        ({"id": ""}, "id"),
        ({"id": 7}, "id"),
        ({"id": "x" * 65}, "id"),
        ({"time": None}, "time"),
        ({"time": "2022-03-01T14:00:00"}, "time"),
        ({"time": "yesterday"}, "time"),
        ({"time": (NOW + timedelta(days=9)).isoformat()}, "time"),
        ({"sequence": None}, "sequence"),
        ({"sequence": "-1"}, "sequence"),
        ({"sequence": 1}, "sequence"),
        ({"datacontenttype": "text/plain"}, "datacontenttype"),
        ({"Subject": "somebody"}, "Subject"),
        ({"data": result(document=CARD, phone="somebody's")}, "data.phone"),
        ({"supersedes": ""}, "supersedes"),
        ({"partitionkey": "", "data": result()}, "partitionkey"),
        ({"partitionkey": "p1-short", "data": result()}, "partitionkey"),
        ({"data": None, "partitionkey": OTHER_PERSON}, "data"),
        ({"data": "negative", "partitionkey": OTHER_PERSON}, "data"),
        ({"data": result(document=CARD, result="probably")}, "data.result"),
        ({"data": result(document=CARD, result=None)}, "data.result"),
        ({"data": result(document=CARD, institution=7)}, "data.institution"),
        ({"data": result(document=CARD, institution="")}, "data.institution"),
        ({"data": result(document=CARD, name="somebody")}, "data.name"),
        ({"data": result(document=CARD, sampled_at="2022-03-01T15:00:00+08:00")}, "sampled"),
        ({"data": result(document=CARD, sampled_at="2019-03-01T15:00:00+08:00")}, "sampled"),
        ({"data": result(document=CARD, reported_at="2999-03-01T15:00:00+08:00")}, "reported"),
    ],
)
def test_a_field_that_is_wrong_is_named(http: httpx.Client, changed: Json, field: str) -> None:
    body = problem(post_event(http, event(**changed)), 422, "invalid")
    named = " ".join(error["field"] for error in body.get("errors", ())) or body["detail"]
    assert field in named, body


def test_an_event_that_corrects_itself_is_refused(http: httpx.Client) -> None:
    body = problem(post_event(http, event(id="self", supersedes="self")), 422, "invalid")
    assert body["errors"][0]["field"] == "supersedes"


@pytest.mark.parametrize(
    ("type_", "status", "code"),
    [
        ("yuekang.antibody.reported.v1", 422, "unknown-type"),
        ("yuekang.nat-result.reported.v9", 422, "unknown-type"),
        ("", 422, "unknown-type"),
        (7, 400, "not-a-cloudevent"),
        (None, 400, "not-a-cloudevent"),
    ],
)
def test_an_unknown_type_or_version_is_refused(
    http: httpx.Client, type_: Any, status: int, code: str
) -> None:
    problem(post_event(http, event(type=type_)), status, code)


@pytest.mark.parametrize(
    ("document_", "field", "says"),
    [
        ({**CARD, "number": "110105194912310021"}, "number", "mistyped"),
        ({**CARD, "number": "110105194913310021"}, "number", "birthday"),
        ({**CARD, "number": "11010519491231002x"}, "number", "Write X"),
        ({**CARD, "number": "440100900101001"}, "number", "18 characters"),
        ({"type": "mainland-travel-permit", "number": "K12345678"}, "number", "H or M"),
        ({"type": "passport", "number": "E1"}, "type", "resident-identity-card"),
        ({"type": "passport"}, "", "type"),
        ({**CARD, "name": "somebody"}, "", "type"),
        (NUMBER, "", "type"),
        ({"type": 1, "number": 2}, "", "type"),
    ],
)
def test_a_document_that_cannot_exist_is_refused_with_what_is_right(
    http: httpx.Client, document_: Any, field: str, says: str
) -> None:
    body = problem(post_event(http, event(data=result(document=document_))), 422, "document")
    [error] = body["errors"]
    assert error["field"] == f"data.document.{field}".rstrip(".")
    assert says in f"{error['detail']} {error['expected']}"


def test_an_event_about_nobody_and_one_that_says_it_twice_are_refused(
    http: httpx.Client,
) -> None:
    problem(post_event(http, event(data=result())), 422, "person")
    problem(post_event(http, event(partitionkey=OTHER_PERSON)), 422, "person")


def test_a_document_number_anywhere_else_is_refused(http: httpx.Client) -> None:
    cases: dict[str, Json] = {
        "document.number": {"document": CARD, "partitionkey": OTHER_PERSON, "data": result()},
        "data.number": {"data": {**result(document=CARD), "number": NUMBER}},
        "id": {"id": NUMBER},
        "data.institution": {"data": result(document=CARD, institution=f"Laboratory of {NUMBER}")},
        "data": {"data": result(document=CARD, **{NUMBER: 1})},
    }
    for field, changed in cases.items():
        body = problem(post_event(http, event(**changed)), 422, "document-number")
        assert [error["field"] for error in body["errors"]] == [field], body


async def test_an_event_in_escapes_is_the_same_event(http: httpx.Client, kafka: Kafka) -> None:
    """json.dumps writes Chinese in escapes; that hides no document number, and is no fault."""
    sent = event(data=result(document=CARD, institution="广州第一检测所"))
    answer = post(http, json.dumps(sent).encode())
    assert answer.status_code == 202, answer.text
    stored = msgspec.json.decode((await record_at(kafka, answer.json())).value, type=Event)
    assert stored.data.institution == "广州第一检测所"
    assert stored.partitionkey == PERSON
    hidden = "".join(f"\\u00{ord(digit):x}" for digit in NUMBER)
    raw = msgspec.json.encode(event(id="hidden")).replace(b"hidden", hidden.encode())
    problem(post(http, raw), 422, "document-number")


def test_a_value_that_is_too_large_is_refused(http: httpx.Client) -> None:
    two_megabytes = event(data=result(document=CARD, institution="x" * 2_000_000))
    body = problem(post_event(http, two_megabytes), 413, "too-large")
    assert len(body["detail"]) < 1_000
    five_megabytes = event(data=result(document=CARD, institution="x" * 5_000_000))
    problem(post_event(http, five_megabytes), 413, "body-too-large")


def test_a_source_without_authority_is_refused(http: httpx.Client) -> None:
    terminal = "/terminals/440100-0001"
    problem(post_event(http, event(source=terminal), source=terminal), 403, "no-authority")
    problem(post_signed(http, told_by_a_province("45")), 403, "no-authority")


def told_by_a_province(province: str) -> bytes:
    """What the province `PROVINCE` says of a code of `province`."""
    data = {
        "province": province,
        "colour": "red",
        "reported_at": "2022-03-01T14:00:00+08:00",
        "document": CARD,
    }
    told = event(source=PROVINCE, type="yuekang.provincial-code.reported.v1", data=data)
    return msgspec.json.encode(told)


def post_signed(
    http: httpx.Client, body: bytes, key: bytes = PROVINCE_KEY, instead: bytes | None = None
) -> httpx.Response:
    headers = {"content-type": ONE, "authorization": f"Bearer {TOKENS.token_for(PROVINCE)}"}
    address = f"{str(http.base_url).rstrip('/')}/v1/events"
    signed = RequestSigner(key).signed("POST", address, headers, body)
    return http.post("/v1/events", content=instead or body, headers=signed)


def test_a_province_signs_and_its_token_alone_is_worth_nothing(http: httpx.Client) -> None:
    body, other = told_by_a_province("43"), told_by_a_province("43")
    assert post_signed(http, body).status_code == 202
    assert post_signed(http, body).status_code == 202, "the same again is the same event"
    problem(post(http, body, source=PROVINCE), 401, "unsigned")
    problem(post_signed(http, body, key=bytes(32)), 401, "unsigned")
    problem(post_signed(http, body, instead=other), 400, "wrong-digest")
    problem(post(http, body, source="/provinces/44"), 401, "unsigned")
    headers = {"authorization": f"Bearer {TOKENS.token_for(PROVINCE)}"}
    problem(http.get("/v1/sources/me/refusals", headers=headers), 401, "unsigned")


def test_a_token_speaks_for_its_own_source_alone(http: httpx.Client) -> None:
    body = problem(post_event(http, event(source="/cdc/440100")), 403, "wrong-source")
    assert body["errors"][0]["expected"] == LABORATORY


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Basic dTpw",
        "Bearer " + OTHER_TOKENS.token_for(LABORATORY),
        "Bearer " + "x" * 5_000,
        "Bearer é",
    ],
)
@pytest.mark.parametrize("path", ["/v1/events", "/v1/person-keys"])
def test_without_a_valid_token_nothing_is_looked_at(
    http: httpx.Client, authorization: str | None, path: str
) -> None:
    headers = {} if authorization is None else {b"authorization": authorization.encode("latin-1")}
    answer = http.post(path, content=b"nonsense", headers=headers)
    problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/json", "application/cloudevents+xml", f"{ONE}; charset=gbk"],
)
def test_another_content_type_is_told_what_is_taken(http: httpx.Client, content_type: str) -> None:
    problem(post(http, msgspec.json.encode(event()), content_type), 415, "unsupported-media-type")


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd"])
def test_another_encoding_is_told_what_is_taken(http: httpx.Client, encoding: str) -> None:
    answer = post(http, b"x", **{"content-encoding": encoding})
    problem(answer, 415, "unsupported-encoding")
    assert answer.headers["accept-encoding"] == "gzip"


def test_a_gzip_bomb_is_refused_before_it_bursts(http: httpx.Client) -> None:
    bomb = gzip.compress(b"[" * 100_000_000)
    assert len(bomb) < 100_000
    problem(post(http, bomb, BATCH, **{"content-encoding": "gzip"}), 413, "body-too-large")


@pytest.mark.parametrize(
    "body",
    [b"", b"no gzip", gzip.compress(b"{}")[:-3], gzip.compress(b"") * 2],
    ids=["empty", "not-gzip", "cut-short", "two-members"],  # gzip holds the second it was made
)
def test_what_is_no_whole_gzip_is_refused(http: httpx.Client, body: bytes) -> None:
    problem(post(http, body, **{"content-encoding": "gzip"}), 400, "malformed-encoding")


def test_an_announced_large_body_is_refused_unread(http: httpx.Client) -> None:
    with socket.create_connection((http.base_url.host, http.base_url.port or 0), 5) as s:
        s.sendall(_head("Content-Length: 99999999"))
        assert s.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_body_without_end_is_cut_off(http: httpx.Client) -> None:
    sent = 0
    with socket.create_connection((http.base_url.host, http.base_url.port or 0), 5) as s:
        s.sendall(_head("Transfer-Encoding: chunked"))
        chunk = b"10000\r\n" + b"[" * 0x10000 + b"\r\n"
        with contextlib.suppress(OSError):
            while sent < CUT_OFF_BYTES_MAX:
                s.sendall(chunk)
                sent += len(chunk)
    assert sent < CUT_OFF_BYTES_MAX
    assert http.get("/livez").status_code == 200


def _head(*lines: str) -> bytes:
    token = TOKENS.token_for(LABORATORY)
    head = ["POST /v1/events HTTP/1.1", "Host: gateway", f"Authorization: Bearer {token}"]
    return "\r\n".join([*head, f"Content-Type: {ONE}", *lines, "", ""]).encode()


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b'{"a":NaN}', "not-json"),
        (b"see fax", "not-json"),
        (b"", "not-json"),
        (b'{"a":"\x00"}', "nul"),
        (b'{"a":"\xff"}', "not-utf-8"),
        (b"[" * 10_000 + b"]" * 10_000, "too-deep"),
        (b'{"a":1,"a":2}', "duplicate-key"),
        (b'{"a":"\\ud800 ],["}', None),
        (b'{"\\ud800":1,"b":"\\"]"}', None),
    ],
)
def test_what_is_not_even_json_in_the_middle_harms_no_other(
    http: httpx.Client, bad: bytes, code: str | None
) -> None:
    answers = post_batch(http, [event(), bad, event()])
    assert answers.status_code == 207, answers.text
    first, middle, last = answers.json()["results"]
    assert (first["status"], last["status"]) == (202, 202)
    assert 400 <= middle["status"] < 500
    assert code is None or middle["code"] == code


def test_a_batch_that_is_no_array_or_not_json_takes_nothing(http: httpx.Client) -> None:
    problem(post(http, b'{"a":1}', BATCH), 400, "not-a-cloudevent")
    problem(post(http, b"[1,", BATCH), 400, "not-json")
    for body in (b"", b"[1", b"[1] 2", b"x [1]", b'["', b"]", b"[,}" * 99, b"[" * 4_000_000):
        problem(post(http, body, BATCH), 400, "not-json")
    problem(post(http, b"[,}" * 99_999, BATCH), 413, "too-many")


def test_a_batch_that_is_too_long_is_refused(http: httpx.Client) -> None:
    problem(post_batch(http, [1] * (BATCH_EVENTS_MAX + 1)), 413, "too-many")
    assert post_batch(http, [1] * BATCH_EVENTS_MAX).status_code == 207


def test_binary_mode_refuses_what_it_cannot_read(http: httpx.Client) -> None:
    other = {"ce-datacontenttype": "text/plain"}  # than the Content-Type
    for headers in ({"ce-id": "%ff"}, {"ce-data": "1"}, other):
        problem(post(http, b"{}", DATA, **headers), 400, "malformed-header")
    problem(post(http, b"{}", DATA, **{"ce-id": "1"}), 400, "not-a-cloudevent")


# Person keys


def ask_keys(http: httpx.Client, documents: Any, **kw: Any) -> httpx.Response:
    body = msgspec.json.encode({"documents": documents})
    return post(http, body, DATA, path="/v1/person-keys", **kw)


def test_person_keys_come_in_order_with_a_problem_for_each_that_cannot_exist(
    http: httpx.Client,
) -> None:
    answer = ask_keys(http, [CARD, {**CARD, "number": "1"}, None, CARD])
    assert answer.status_code == 207
    results = answer.json()["results"]
    assert [r.get("person", r.get("code")) for r in results] == [
        PERSON,
        "document",
        "document",
        PERSON,
    ]
    assert results[1]["errors"][0]["field"] == "documents[1].number"
    assert ask_keys(http, [CARD]).status_code == 200


def test_person_keys_refuse_what_is_no_such_request(http: httpx.Client) -> None:
    path = "/v1/person-keys"
    problem(post(http, b"{}", DATA, path=path), 422, "invalid")
    problem(post(http, b"[", DATA, path=path), 400, "not-json")
    problem(post(http, b"{}", ONE, path=path), 415, "unsupported-media-type")
    problem(ask_keys(http, [CARD] * (DOCUMENTS_MAX + 1)), 413, "too-many")


def test_person_keys_are_limited_for_each_source(http: httpx.Client) -> None:
    greedy = "/laboratories/greedy"
    # The window slides, so a few more than a minute's worth go in on a slow machine.
    asked = 0
    while (answer := ask_keys(http, [CARD] * DOCUMENTS_MAX, source=greedy)).status_code == 200:
        asked += DOCUMENTS_MAX
    minute = CATALOGUE.person_keys["laboratory"].minute
    assert minute <= asked <= 2 * minute
    problem(answer, 429, "too-often")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert ask_keys(http, [CARD]).status_code == 200


@pytest.mark.parametrize("source", ["/terminals/sec-1", "/operator", "/yuekang", "/nobody"])
def test_who_writes_about_nobody_by_key_is_given_no_key(http: httpx.Client, source: str) -> None:
    said = problem(ask_keys(http, [CARD], source=source), 403, "no-keys")
    assert source in said["detail"]
    # Not even whether a document can exist, nor whether the request can be read.
    problem(post(http, b"[", DATA, path="/v1/person-keys", source=source), 403, "no-keys")


# Phones


async def test_a_telecom_event_is_on_kafka_with_the_phone_key_alone(
    http: httpx.Client, kafka: Kafka
) -> None:
    for number in (PHONE_NUMBER, f"+86 {PHONE_NUMBER}"):
        sent = visited(data=visit(document={**PHONE, "number": number}))
        answer = post_event(http, sent, source=TELECOM)
        assert answer.status_code == 202, answer.text
        record = await record_at(kafka, answer.json())
        assert record.topic == kafka.named("telecom-visits")
        assert record.key == PHONE_KEY.encode()
        assert PHONE_NUMBER.encode() not in record.value
        assert msgspec.json.decode(record.value, type=Event).data.city == "440100"


def test_a_phone_has_a_key_of_the_same_form(http: httpx.Client) -> None:
    answer = ask_keys(http, [PHONE, CARD, {**PHONE, "number": "12"}], source=TELECOM)
    assert answer.status_code == 207
    phone, card, wrong = answer.json()["results"]
    assert (phone["person"], card["code"]) == (PHONE_KEY, "no-keys"), "it writes about no person"
    assert card["errors"][0]["field"] == "documents[1].type"
    assert (wrong["code"], wrong["errors"][0]["field"]) == ("phone", "documents[2].number")
    assert "13 to 19" in wrong["errors"][0]["expected"]


def test_who_writes_about_people_is_given_no_key_of_a_phone(http: httpx.Client) -> None:
    answer = ask_keys(http, [PHONE, CARD])
    assert answer.status_code == 207
    assert [r.get("person", r.get("code")) for r in answer.json()["results"]] == ["no-keys", PERSON]


def test_a_phone_is_no_document_and_a_document_no_phone(http: httpx.Client) -> None:
    """Nobody is verified, tested or listed by a phone, and no document was ever in a cell."""
    for sent, source in (
        (event(data=result(document=PHONE)), LABORATORY),
        (visited(data=visit(document=CARD)), TELECOM),
        (visited(data=visit()), TELECOM),
    ):
        body = problem(post_event(http, sent, source=source), 422, "person")
        [error] = body["errors"]
        assert error["field"].startswith("data.document")
    verified = event(
        source="/identity-providers/gd",
        type="yuekang.identity.verified.v1",
        data={
            "verified_at": "2022-03-01T08:00:00+08:00",
            "document_type": "mobile-phone-number",
            "city": "440100",
            "document": CARD,
        },
    )
    body = problem(post_event(http, verified, source="/identity-providers/gd"), 422, "invalid")
    assert body["errors"][0]["field"] == "data.document_type"


@pytest.mark.parametrize(
    ("changed", "field", "code"),
    [
        ({"id": f"V-{PHONE_NUMBER}"}, "id", "document-number"),
        ({"supersedes": PHONE_NUMBER}, "supersedes", "document-number"),
        ({"data": visit(document=PHONE, phone=PHONE_NUMBER)}, "data.phone", "document-number"),
        ({"data": visit(document=PHONE, city="440103")}, "data.city", "invalid"),
        ({"data": visit(document=PHONE, city="广州")}, "data.city", "invalid"),
        ({"data": visit(document=PHONE, visit="stayed")}, "data.visit", "invalid"),
        ({"data": visit(document=PHONE, seen_at=None)}, "data.seen_at", "invalid"),
    ],
)
def test_what_a_telecom_may_not_say_is_refused(
    http: httpx.Client, changed: Json, field: str, code: str
) -> None:
    body = problem(post_event(http, visited(**changed), source=TELECOM), 422, code)
    assert body["errors"][0]["field"] == field


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"id": f"{PHONE_NUMBER}-1"}, "id"),
        (
            {"data": result(document=CARD, institution=f"Laboratory 1, {PHONE_NUMBER}")},
            "data.institution",
        ),
    ],
)
def test_a_number_that_may_be_a_phones_is_refused(
    http: httpx.Client, changed: Json, field: str
) -> None:
    """Of a source's own numbers of 11 digits every fourteenth may be one: decision 28."""
    body = problem(post_event(http, event(**changed)), 422, "document-number")
    assert body["errors"][0]["field"] == field


def test_only_telecoms_say_where_a_phone_was(http: httpx.Client) -> None:
    problem(post_event(http, visited(source=LABORATORY)), 403, "no-authority")


# Around it


def test_other_addresses_and_methods_are_problems_too(http: httpx.Client) -> None:
    problem(http.get("/nowhere"), 404, "not-found")
    problem(http.get("/problems/nothing"), 404, "not-found")
    answer = http.get("/v1/events")
    problem(answer, 405, "method-not-allowed")
    assert "POST" in answer.headers["allow"]


def test_every_problem_type_resolves(http: httpx.Client) -> None:
    for code, kind in KINDS.items():
        assert http.get(f"/problems/{code}").json()["title"] == kind.title


def test_the_reference_names_every_address(http: httpx.Client) -> None:
    served = http.get("/openapi.json").json()
    assert served == msgspec.json.decode(msgspec.json.encode(gateway_document()))
    assert set(served["paths"]) == {
        "/v1/events",
        "/v1/person-keys",
        "/v1/sources/me/refusals",
        "/problems/{code}",
    }


def test_metrics_count_and_name_nobody(http: httpx.Client, kafka: Kafka) -> None:
    post_event(http, event())
    answer = http.get("/metrics")
    assert answer.headers["content-type"].count("charset=") == 1
    scraped = answer.text
    topic = kafka.named("laboratory-results")
    assert f'yuekang_gateway_events_accepted_total{{topic="{topic}"}}' in scraped
    assert PERSON not in scraped
    assert LABORATORY not in scraped


def test_a_second_gateway_on_the_same_port_says_so(url: str, kafka: Kafka) -> None:
    port = httpx.URL(url).port
    assert port is not None
    second = subprocess.run(
        command("gateway"), env=environment(kafka, port), capture_output=True, text=True, timeout=20
    )
    assert second.returncode == 1
    assert f"127.0.0.1:{port}" in second.stderr
    assert "YUEKANG_GATEWAY_PORT" in second.stderr


# Kafka away, and slow bodies: in this process, where time can be short


class Slow:
    """A request whose body never ends and hardly comes."""

    content_length = None

    def __init__(self) -> None:
        self.headers: Json = {}

    async def receive(self) -> Json:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"[", "more_body": True}


async def test_a_body_that_takes_too_long_is_refused() -> None:
    slow: Any = Slow()
    with pytest.raises(Refused) as caught:
        async with Bodies(seconds_max=0.1).of(slow):
            pass
    assert caught.value.code == "too-slow"


async def test_bodies_over_all_requests_are_bounded() -> None:
    bodies = Bodies(held_bytes_max=10, seconds_max=5)
    slow: Any = Slow()
    with pytest.raises(Refused) as caught:
        async with bodies.of(slow):
            pass
    assert caught.value.code == "busy"
    assert bodies._held_bytes == 0, "what was read is given back"


@asynccontextmanager
async def kafka_away() -> AsyncIterator[httpx.AsyncClient]:
    """A gateway whose Kafka is not there."""
    app = create_gateway(options(Brokers(f"127.0.0.1:{free_port()}")))
    async with app.lifespan():
        transport = transport_to(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://away") as client:
            yield client


async def test_while_kafka_is_away_the_answer_is_503_with_when_to_try_again() -> None:
    headers = {"content-type": ONE, "authorization": f"Bearer {TOKENS.token_for(LABORATORY)}"}
    async with kafka_away() as away:
        for answer in (
            await away.post("/v1/events", json=event(), headers=headers),
            await away.get("/readyz"),
        ):
            problem(answer, 503, "kafka-away")
            assert int(answer.headers["retry-after"]) >= 1
        assert (await away.get("/livez")).status_code == 200
        refused = await away.post("/v1/events", json=event(id=None), headers=headers)
        problem(refused, 422, "invalid")


async def connected(writer: Writer, but_not: Any = None) -> Any:
    """Wait for the writer to have a producer, another than `but_not`."""
    async with asyncio.timeout(10):
        while writer._producer in (None, but_not):
            await asyncio.sleep(0.02)
    return writer._producer


async def test_a_broker_that_never_answers_is_given_up_in_time(kafka: Kafka) -> None:
    writer = Writer(kafka.brokers, write_seconds_max=0.5, events_in_flight_max=2)
    writer.start()
    try:
        producer = await connected(writer)
        record = Record(kafka.named("laboratory-results"), b"k", b"v")
        never: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        async def send(*_: Any, **__: Any) -> asyncio.Future[Any]:
            return never

        producer.send = send
        first = asyncio.create_task(writer.write([record, record]))
        await asyncio.sleep(0)
        with pytest.raises(Refused) as full:
            await writer.write([record])
        assert full.value.code == "busy"
        with pytest.raises(Refused) as late:
            await first
        assert late.value.code == "kafka-away"
        assert "not known" in late.value.detail
        assert not never.cancelled(), "others may wait for the same"
    finally:
        await writer.stop()


async def test_a_write_that_kafka_refuses_makes_a_new_producer(kafka: Kafka) -> None:
    """The broker refuses a record above its bound; a sequence with a gap takes nothing more."""
    writer = Writer(kafka.brokers)
    writer.start()
    try:
        broken = await connected(writer)
        broken._max_request_size = 9_000_000
        broken._message_accumulator._batch_size = 9_000_000
        with pytest.raises(Refused):
            await writer.write(
                [Record(kafka.named("laboratory-results"), b"k", os.urandom(4_000_000))]
            )
        await connected(writer, but_not=broken)
        [place] = await writer.write([Record(kafka.named("dead-letters"), b"k", b"after the gap")])
        assert place.offset >= 0
    finally:
        await writer.stop()


# Whatever is sent


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=12,
)
attributes = st.dictionaries(
    st.sampled_from([*event(), "partitionkey", "supersedes", "datacontenttype", "data"]),
    json_values | st.sampled_from([CARD, {"document": CARD}, result(document=CARD), PERSON]),
    max_size=4,
)
bodies = st.one_of(
    st.binary(max_size=200),
    st.text(st.sampled_from('[]{},:"\\ud8001eN'), max_size=60).map(str.encode),
    json_values.map(lambda value: repr(value).encode()),
    attributes.map(lambda changed: msgspec.json.encode({**event(), **changed})),
    st.lists(attributes, max_size=3).map(
        lambda many: msgspec.json.encode([{**event(), **changed} for changed in many])
    ),
)
header_values = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    body=bodies,
    content_type=st.sampled_from([ONE, BATCH, DATA, "", "text/plain;", ";;=", "a/b; charset"]),
    path=st.sampled_from(
        ["/v1/events", "/v1/events/", "/v1/person-keys", "/problems/x", "//", "/%ff"]
    ),
    method=st.sampled_from(["POST", "POST", "POST", "PUT", "GET", "DELETE", "HEAD", "OPTIONS"]),
    more=st.dictionaries(
        st.sampled_from(["ce-id", "ce-type", "ce-x", "content-encoding", "accept", "cookie"]),
        header_values,
    ),
)
def test_no_request_ends_in_a_failure_of_the_gateway(
    http: httpx.Client, body: bytes, content_type: str, path: str, method: str, more: dict[str, str]
) -> None:
    headers = {
        "authorization": f"Bearer {TOKENS.token_for(LABORATORY)}",
        "content-type": content_type,
        **more,
    }
    answer = http.request(method, path, content=body, headers=headers)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400 and method != "HEAD":
        told = answer.json()
        assert told["status"] == answer.status_code
        assert told["code"] in KINDS
        assert "Traceback" not in answer.text
