"""What a source may write in several ways is one event, at both entrances and in both modes."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.gateway.admission import Admitted, as_refused, one_content_each
from app.topics.attributes import OWN, in_one_way, likely, media_type
from app.topics.catalogue import CATALOGUE
from app.topics.codec import Code, Refusal, decode, encode
from app.topics.records import Headers
from app.web.problems import Problem, Refused
from support import builders
from support.entrances import (
    ADMISSION,
    LABORATORY,
    MODES,
    NOW,
    RESULT,
    Json,
    admitted,
    from_http,
    from_kafka,
    in_headers,
    read_in,
    written,
)

PLAIN = from_kafka(orjson.dumps(written()), ())
STRUCTURED = ("content-type", b"application/cloudevents+json")
CARD = {"type": "resident-identity-card", "number": "11010519491231002X"}

in_every_mode = pytest.mark.parametrize("mode", MODES)


def refused_in(mode: str, event: Json, content_type: bytes | None = None) -> Refused:
    """Return how an event is refused, as HTTP would tell it."""
    with pytest.raises((Refusal, Refused)) as caught:
        read_in(mode, event, content_type)
    assert isinstance(caught.value, Refusal | Refused)
    return as_refused(caught.value)


def fields(refusal: Refusal | Refused) -> list[str]:
    """The fields that a refusal names."""
    return [each.field for each in as_refused(refusal).errors]


# Media types


JSON_IN_UTF_8 = [
    "application/json",
    "Application/JSON",
    "APPLICATION/JSON; CHARSET=UTF-8",
    "application/json;charset=utf-8",
    'application/json; charset="utf-8"',
    "application/json; charset=utf8",
    "application/json ; charset=utf-8",
    "application/json; profile=x; charset=utf-8",
    'application/json; profile="a; charset=gbk"',
    "application/json;",
]
ANOTHER = [
    "application/json; charset=gb18030",
    "application/json; charset=us-ascii",
    "text/plain",
    "application/xml; charset=utf-8",
    "application/jsonp",
    "json",
    "",
]


@in_every_mode
@pytest.mark.parametrize("spelt", JSON_IN_UTF_8)
def test_json_in_utf_8_is_json_however_it_is_spelt(mode: str, spelt: str) -> None:
    assert read_in(mode, written(datacontenttype=spelt)) == PLAIN


@in_every_mode
@pytest.mark.parametrize("spelt", ANOTHER)
def test_another_content_is_refused(mode: str, spelt: str) -> None:
    if "binary" in mode and not spelt:
        return  # no type at all is another case
    refused_in(mode, written(datacontenttype=spelt))


@pytest.mark.parametrize(
    "spelt",
    [
        "application/cloudevents+json",
        "Application/CloudEvents+JSON",
        "application/cloudevents+json; charset=utf-8",
        'application/cloudevents+json;charset="UTF-8"',
        " application/cloudevents+json",
    ],
)
@pytest.mark.parametrize("mode", ["http structured", "kafka structured"])
def test_structured_mode_is_known_however_it_is_spelt(mode: str, spelt: str) -> None:
    assert read_in(mode, written(), spelt.encode()) == PLAIN


@given(st.text(max_size=40) | st.from_regex(r"application/json(;[ -~]{0,20}){0,3}", fullmatch=True))
def test_any_content_type_is_read(text: str) -> None:
    kind, _ = media_type(text)
    assert kind == kind.lower()


def test_binary_mode_over_http_without_a_content_type_is_json() -> None:
    headers = in_headers(written(), "ce-")
    body = orjson.dumps(RESULT)
    assert from_http(body, headers) == PLAIN
    assert from_http(body, [*headers, ("content-type", b"")]) == PLAIN
    assert from_http(body, [*headers, ("ce-datacontenttype", b"application/json")]) == PLAIN
    with pytest.raises(Refused) as caught:
        from_http(orjson.dumps(written()), [])
    assert caught.value.code == "unsupported-media-type"


# What is not set


@in_every_mode
@pytest.mark.parametrize("name", ["supersedes", "datacontenttype", "subject", "traceparent"])
def test_an_attribute_that_is_null_is_not_set(mode: str, name: str) -> None:
    assert read_in(mode, written(**{name: None})) == PLAIN


@pytest.mark.parametrize("mode", ["http structured", "kafka structured", "kafka binary"])
@pytest.mark.parametrize("name", ["id", "source", "time", "partitionkey", "sequence"])
def test_a_required_attribute_that_is_null_is_missing(mode: str, name: str) -> None:
    refusal = refused_in(mode, written(**{name: None}))
    assert ("it is missing" in str(refusal)) or "whom" in str(refusal)


def test_a_person_key_that_is_null_stands_beside_a_document() -> None:
    event = written(partitionkey=None, data={**RESULT, "document": CARD})
    sent = from_http(orjson.dumps(event), [STRUCTURED])
    assert sent.partitionkey.startswith("p1-")


def test_a_content_type_header_without_a_value_says_nothing() -> None:
    no_value: Headers = [("content-type", None), *in_headers(written(), "ce_")]
    assert from_kafka(orjson.dumps(RESULT), no_value) == PLAIN


# Sequences


@in_every_mode
@pytest.mark.parametrize("zeros", [1, 3, 17, 40])
def test_zeros_before_a_sequence_say_nothing(mode: str, zeros: int) -> None:
    assert read_in(mode, written(sequence="0" * zeros + "7")) == PLAIN


@given(st.integers(0, 10**18 - 1), st.integers(0, 20), st.integers(0, 20))
def test_a_padded_event_is_the_same_event(number: int, before: int, again: int) -> None:
    one, other = (
        in_one_way(written(sequence="0" * zeros + str(number))) for zeros in (before, again)
    )
    assert one == other
    assert one["sequence"] == str(number)


@given(st.lists(st.integers(0, 10**18 - 1), min_size=2, max_size=5), st.integers(0, 20))
def test_padded_sequences_are_in_the_order_of_their_numbers(numbers: list[int], width: int) -> None:
    events = [
        from_kafka(orjson.dumps(written(sequence=str(number).zfill(width))), ())
        for number in numbers
    ]
    assert [event.order[0] for event in sorted(events, key=lambda e: e.order)] == sorted(numbers)


@pytest.mark.parametrize("sequence", ["", "-1", "+1", "0x1", "00x", "1.0", " 1", "0" + "9" * 19])
def test_what_is_no_number_is_refused(sequence: str) -> None:
    assert fields(refused_in("kafka structured", written(sequence=sequence))) == ["sequence"]


# The same said twice


CONTENT_TYPE = ("content-type", b"application/json; charset=UTF-8")


def once_more(prefix: str) -> dict[str, list[tuple[str, bytes]]]:
    return {
        "an-attribute": [(f"{prefix}id", b"e1")],
        "three-times": [(f"{prefix}id", b"e1"), (f"{prefix}id", b"e1")],
        "an-extension": [(f"{prefix}x", b"1"), (f"{prefix}x", b"1")],
        "the-content-type": [("Content-Type", b"application/json")],
        "as-an-attribute": [(f"{prefix}datacontenttype", b"application/json")],
    }


@pytest.mark.parametrize("case", once_more(""))
def test_equal_headers_are_one(case: str) -> None:
    body = orjson.dumps(RESULT)
    http = [CONTENT_TYPE, *in_headers(written(), "ce-"), *once_more("ce-")[case]]
    assert from_http(body, http) == PLAIN
    kafka = [CONTENT_TYPE, *in_headers(written(), "ce_"), *once_more("ce_")[case]]
    assert from_kafka(body, kafka) == PLAIN


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("id", b"e2", "id"),
        ("x", b"2", "x"),
        ("datacontenttype", b"text/xml", "datacontenttype|Content-Type"),
    ],
)
def test_different_values_are_refused_and_named(name: str, value: bytes, said: str) -> None:
    body, sent = orjson.dumps(RESULT), written(x="1")
    with pytest.raises(Refused, match=rf"({said}) has two different values") as at_gateway:
        from_http(body, [CONTENT_TYPE, *in_headers(sent, "ce-"), (f"ce-{name}", value)])
    assert at_gateway.value.code == "malformed-header"
    with pytest.raises(Refusal, match=rf"({said}) two different values") as at_worker:
        from_kafka(body, [CONTENT_TYPE, *in_headers(sent, "ce_"), (f"ce_{name}", value)])
    assert at_worker.value.code is Code.NOT_A_CLOUDEVENT


def test_two_content_types_of_a_body_are_refused() -> None:
    body = orjson.dumps(written())
    assert from_http(body, [STRUCTURED, STRUCTURED]) == PLAIN
    with pytest.raises(Refused, match="Content-Type has two different values"):
        from_http(body, [STRUCTURED, ("content-type", b"application/json")])


# What is passed over


EXTENSIONS: Json = {
    "subject": "negative",
    "dataschema": "https://example.com/nat.json",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "a=1",
    "sequencetype": "Integer",
    "knativearrivaltime": "2022-03-01T06:00:00Z",
    "sourceid": "7",
    "x1": "y",
    "dataref": "https://example.com/1",
    "averyverylongnameofanextension": "z",
}


@in_every_mode
@pytest.mark.parametrize("name", EXTENSIONS)
def test_an_extension_is_passed_over_and_kept_nowhere(mode: str, name: str) -> None:
    event = read_in(mode, written(**{name: EXTENSIONS[name]}))
    assert event == PLAIN
    assert encode(event) == encode(PLAIN)


@given(st.from_regex(r"[a-z0-9]{1,12}", fullmatch=True).filter(lambda name: name not in OWN))
def test_any_extension_is_passed_over_or_told(name: str) -> None:
    said = orjson.dumps(written(**{name: 1}))
    if name == "document" or likely(name) == "supersedes":
        with pytest.raises(Refusal):
            from_kafka(said, ())
    else:
        assert from_kafka(said, ()) == PLAIN


@pytest.mark.parametrize("value", [1, True, {"a": [1]}, ["x"]], ids=str)
def test_what_an_extension_holds_is_not_looked_at(value: Any) -> None:
    assert read_in("http structured", written(x=value)) == PLAIN
    assert read_in("kafka structured", written(x=value)) == PLAIN


@pytest.mark.parametrize(
    "name", ["Supersedes", "SUPERSEDES", "super_sedes", "supercedes", "supersede", "superseded"]
)
@pytest.mark.parametrize("mode", ["http structured", "kafka structured", "kafka binary"])
def test_a_correction_that_is_misspelt_is_told(mode: str, name: str) -> None:
    refusal = refused_in(mode, written(**{name: "e0"}))
    assert fields(refusal) == [name]
    assert "supersedes may be meant" in str(refusal)


@pytest.mark.parametrize("name", ["Subject", "trace-parent", "x_y", "检", "a b", ""])
def test_what_no_attribute_may_be_called_is_refused(name: str) -> None:
    assert "there is no such field" in str(refused_in("kafka structured", written(**{name: "x"})))


@in_every_mode
def test_data_is_a_closed_list(mode: str) -> None:
    assert fields(refused_in(mode, written(data={**RESULT, "subject": "x"}))) == ["data.subject"]


@in_every_mode
def test_an_extension_with_a_document_number_is_refused(mode: str) -> None:
    refusal = refused_in(mode, written(subject=CARD["number"]))
    assert refusal.code == Code.DOCUMENT_NUMBER
    assert CARD["number"] not in str(refusal)


PHONE = "13800138000"

in_both = pytest.mark.parametrize("mode", ["http structured", "kafka structured"])


def refused_of_telecom(mode: str, more: Json) -> str:
    """Say how a telecom's event with `more` is refused; nothing if it is taken."""
    source = "/telecoms/gd-1"
    visit = {"city": "440100", "visit": "reached", "seen_at": "2022-03-01T08:00:00+08:00"}
    event = written(source=source, type="yuekang.telecom-visit.reported.v1", data=visit) | more
    try:
        if mode == "http structured":
            admitted(orjson.dumps(event), [STRUCTURED], source)
        else:
            topic = CATALOGUE.topics["telecom-visits"]
            decode(orjson.dumps(event), builders.PERSON.encode(), (), topic, NOW)
    except Refusal as refusal:
        return str(refusal)
    return ""


@pytest.mark.parametrize(
    ("name", "value"),
    [("subject", PHONE), ("subject", f"tel:+86{PHONE}"), ("x", {"a": [PHONE]}), (PHONE, "x")],
)
@in_both
def test_a_telecoms_extension_is_no_phone_number(mode: str, name: str, value: Any) -> None:
    refusal = refused_of_telecom(mode, {name: value})
    assert refusal.startswith(Code.DOCUMENT_NUMBER)
    assert PHONE not in refusal


UUID = f"3f2b8c10-1d2e-4f5a-9b6c-{PHONE}a"
TRACE = f"00-0af{PHONE}cd43dd8448eb211c80-00f{PHONE}b7-01"


@pytest.mark.parametrize(
    ("name", "value"),
    [("id", UUID), ("supersedes", UUID), ("x", UUID), ("traceparent", TRACE)],
)
@in_both
def test_a_phones_digits_within_a_uuid_are_no_phone_number(
    mode: str, name: str, value: str
) -> None:
    assert not refused_of_telecom(mode, {name: value})


# Data that is not there


@in_every_mode
@pytest.mark.parametrize("data", [None, "negative", 5, [], True], ids=str)
def test_data_that_is_no_object_is_named(mode: str, data: Any) -> None:
    """And not the person, who would be in it."""
    event = written(data=data)
    for each in (event, {n: v for n, v in event.items() if n != "partitionkey"}):
        refusal = refused_in(mode, each)
        assert fields(refusal) == ["data"]
        assert "data: it is" in str(refusal)


@pytest.mark.parametrize("mode", ["http structured", "kafka structured"])
def test_data_in_base64_is_told_to_be_missing(mode: str) -> None:
    event = written(data_base64="eyJhIjoxfQ==")
    assert fields(refused_in(mode, event)) == ["data_base64"]
    del event["data"], event["partitionkey"]
    refusal = refused_in(mode, event)
    assert fields(refusal) == ["data"]
    assert "data_base64 is not read" in str(refusal)


# The document and its type


IDENTITY = {"verified_at": "2022-03-01T08:00:00+08:00", "city": "440100"}
PROVIDER = "/identity-providers/yss"


def identity(document_type: Any, document: Json = CARD) -> bytes:
    return orjson.dumps(
        {
            **written(type="yuekang.identity.verified.v1", source=PROVIDER, partitionkey=None),
            "data": {**IDENTITY, "document_type": document_type, "document": document},
        }
    )


def test_an_identity_names_the_type_of_its_own_document() -> None:
    admitted(identity("resident-identity-card"), [STRUCTURED], PROVIDER)
    permit = {"type": "mainland-travel-permit", "number": "H12345678"}
    admitted(identity("mainland-travel-permit", permit), [STRUCTURED], PROVIDER)
    for said, document in (("mainland-travel-permit", CARD), ("resident-identity-card", permit)):
        with pytest.raises(Refused) as caught:
            admitted(identity(said, document), [STRUCTURED], PROVIDER)
        [error] = caught.value.errors
        assert (caught.value.problem().status, error.field) == (422, "data.document_type")


@pytest.mark.parametrize("said", ["passport", None, 7, ["x"], {}], ids=str)
def test_a_type_that_is_none_is_named_as_before(said: Any) -> None:
    with pytest.raises(Refusal) as caught:
        admitted(identity(said), [STRUCTURED], PROVIDER)
    assert fields(caught.value) == ["data.document_type"]


# One id in one batch


def judged(*events: Json) -> list[Admitted | Problem]:
    return [*one_content_each(ADMISSION.admit(event, LABORATORY) for event in events)]


def status(item: Admitted | Problem) -> int:
    return 202 if isinstance(item, Admitted) else item.status


POSITIVE = {**RESULT, "result": "positive"}


@pytest.mark.parametrize(
    ("events", "statuses"),
    [
        ([{}, {}], [202, 202]),
        ([{}, {"sequence": "007"}, {"x": "1"}, {"supersedes": None}], [202, 202, 202, 202]),
        ([{}, {"data": POSITIVE}], [202, 409]),
        ([{}, {"data": POSITIVE}, {}, {"data": POSITIVE}], [202, 409, 202, 409]),
        ([{}, {"sequence": "8"}], [202, 409]),
        ([{}, {"partitionkey": "p1-" + "a" * 32}], [202, 409]),
        ([{}, {"id": "e2", "data": POSITIVE}], [202, 202]),
    ],
)
def test_an_id_stands_for_one_content_in_a_batch(events: list[Json], statuses: list[int]) -> None:
    results = judged(*(written(**changes) for changes in events))
    assert [status(item) for item in results] == statuses
    problems = [item for item in results if isinstance(item, Problem)]
    assert all((item.code, item.id) == ("conflict", "e1") for item in problems)


def test_an_id_that_was_refused_stands_for_nothing() -> None:
    wrong = Refused("invalid", "It is wrong.").problem("e1")
    second = ADMISSION.admit(written(data=POSITIVE), LABORATORY)
    assert [*one_content_each([wrong, second])] == [wrong, second]


# Keys


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (f'"{builders.PERSON}"', "quoted"),
        (f' "{builders.PERSON}"\n', "quoted"),
        (f'"\\u0070{builders.PERSON[1:]}"', "quoted"),
        (f'{{"payload":"{builders.PERSON}"}}', "a JSON object"),
        (f'{{"partitionkey":"{builders.PERSON}"}}', "a JSON object"),
        ('"p1-' + "a" * 32 + '"', "another person"),
        ("null", "another person"),
        ("", "missing"),
    ],
)
def test_a_key_in_another_form_is_told_which(key: str, said: str) -> None:
    with pytest.raises(Refusal) as caught:
        from_kafka(orjson.dumps(written()), (), key.encode())
    assert caught.value.code is Code.KEY
    assert said in caught.value.detail
