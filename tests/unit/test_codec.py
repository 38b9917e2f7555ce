"""What the codec refuses, each under its code; and that it never fails in any other way."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.topics import codec
from app.topics.catalogue import CATALOGUE
from app.topics.codec import Code, Refusal, decode, encode, from_mapping
from app.topics.numbers import carries_personal_number, fields_with_personal_number
from app.topics.records import Headers
from app.topics.schemas import example
from app.web.problems import KINDS
from models.checks import EARLIEST
from models.events import EVENT_TYPES, Event, IdentityRetracted, type_of
from support import builders, strategies

NOW = builders.day(20)
LATER = builders.day(400)
"""By then what the examples say has happened."""
LABORATORY_RESULTS = CATALOGUE.topics["laboratory-results"]
CARD_NUMBER = "11010519491231002X"
PERMIT_NUMBER = "H12345678"
OTHER_PERSON = "p1-" + "a" * 32
STRUCTURED = ("content-type", b"application/cloudevents+json")

Json = dict[str, Any]
Change = Callable[[Json], Json]


def event() -> Any:
    return builders.negative(builders.day(2), source="/laboratories/1", id="e1", sequence=7)


def whole() -> Json:
    """A laboratory's negative result as JSON."""
    return {**json.loads(encode(event())), "datacontenttype": "application/json"}


def read(
    value: bytes | None, *headers: tuple[str, bytes | None], key: bytes | None = None
) -> Event:
    """Decode a record of laboratory-results; the key is the right one unless given."""
    key = builders.PERSON.encode() if key is None else key
    return decode(value, key, headers, LABORATORY_RESULTS, NOW)


def tried(*record: Any) -> Refusal | None:
    """Decode a record, whatever it is; return the refusal if it is refused."""
    try:
        decode(*record)
    except Refusal as refusal:
        return refusal
    return None


def refused(
    value: bytes | None, *headers: tuple[str, bytes | None], key: bytes | None = None
) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(value, *headers, key=key)
    return caught.value


def binary(attributes: Mapping[str, Any]) -> Headers:
    """The headers of binary mode."""
    rest = {n: v for n, v in attributes.items() if n not in ("data", "datacontenttype")}
    content_type = str(attributes.get("datacontenttype", "application/json")).encode()
    return [("content-type", content_type), *((f"ce_{n}", v.encode()) for n, v in rest.items())]


def without(*path: str) -> Change:
    def change(value: Json) -> Json:
        changed: Json = msgspec.json.decode(msgspec.json.encode(value))
        inner = changed
        for name in path[:-1]:
            inner = inner[name]
        del inner[path[-1]]
        return changed

    return change


def having(**attributes: Any) -> Change:
    return lambda value: {**value, **attributes}


def having_data(**fields: Any) -> Change:
    return lambda value: {**value, "data": {**value["data"], **fields}}


def test_an_event_is_read_in_structured_mode() -> None:
    assert read(encode(event())) == event()
    assert read(encode(event()), STRUCTURED) == event()


def test_an_event_is_read_in_binary_mode() -> None:
    data = orjson.dumps(whole()["data"])
    assert read(data, *binary(whole())) == event()
    for content_type in (b"application/json; charset=UTF-8", b'application/json;charset="utf-8"'):
        attributes = [(n, v) for n, v in binary(whole()) if n.startswith("ce_")]
        assert read(data, ("Content-Type", content_type), *attributes) == event()


def test_attributes_beside_a_structured_event_are_copies() -> None:
    """Kafka protocol binding, 3.3: structured mode may repeat the attributes in headers."""
    copies = [header for header in binary(whole()) if header[0].startswith("ce_")]
    assert read(encode(event()), STRUCTURED, *copies) == event()


@pytest.mark.parametrize(
    "spelt",
    [
        json.dumps(whole(), indent=1),
        json.dumps(dict(reversed(whole().items()))),
        orjson.dumps(whole()).decode().replace('"id":"e1"', '"\\u0069d":"\\u0065\\u0031"'),
        orjson.dumps(whole()).decode().replace("/", "\\/"),
        orjson.dumps(having_data(status="final")(whole())).decode(),
    ],
    ids=["blanks", "order", "escapes", "slashes", "defaults"],
)
def test_an_event_is_the_same_however_it_is_spelt(spelt: str) -> None:
    assert read(spelt.encode()) == event()


@pytest.mark.parametrize("celsius", ["36.6", "36.60", "366e-1", "0.366E+2", "36.6000000000000001"])
def test_a_number_is_the_same_however_it_is_spelt(celsius: str) -> None:
    sent = builders.temperature(36.6, builders.day(2))
    raw = encode(sent).replace(b"36.6", celsius.encode())
    topic = CATALOGUE.topic_of(type_of(sent))
    assert decode(raw, sent.partitionkey.encode(), (), topic, NOW) == sent


def test_a_text_that_only_looks_like_an_escaped_nul_is_read() -> None:
    raw = orjson.dumps(having(id="e1\\u0000")(whole()))
    assert b"\\\\u0000" in raw
    assert read(raw).id == "e1\\u0000"


# An event that is right except for a spot in its JSON


SPOTS: list[tuple[bytes, bytes, Code]] = [
    (b'"id":"e1"', b'"id":"e1","id":"e1"', Code.DUPLICATE_KEY),
    (b'"id":"e1"', b'"id":"e1","\\u0069d":"e1"', Code.DUPLICATE_KEY),
    (b'"data":{', b'"data":{"status":"final","status":"final",', Code.DUPLICATE_KEY),
    (b'"datacontenttype":', b'"datacontenttype":"application/json","datacontenttype":',
     Code.DUPLICATE_KEY),
    (b'"type":', b'"type":"yuekang.scan.recorded.v1","type":', Code.DUPLICATE_KEY),
    (b'"id":"e1"', b'"id":"e1\\u0000"', Code.NUL),
    (b'"id":"e1"', b'"id":"e1","x\\u0000":1', Code.NUL),
    (b'"sequence":"7"', b'"sequence":1e999', Code.NOT_JSON),
    (b'"sequence":"7"', b'"sequence":[[-1e999]]', Code.NOT_JSON),
    (b'"sequence":"7"', b'"sequence":' + b"9" * 400, Code.NOT_JSON),
    (b'"sequence":"7"', b'"sequence":' + b"9" * 5_000, Code.NOT_JSON),
    (b'"sequence":"7"', b'"sequence":' + b"9" * 25, Code.INVALID),
    (b'"sequence":"7"', b'"sequence":' + b"[" * 255 + b"]" * 255, Code.TOO_DEEP),
    (b'"sequence":"7"', b'"sequence":' + b"[" * 200 + b"]" * 200, Code.INVALID),
    (b'"id":"e1"', b'"id":"\\ud800"', Code.NOT_JSON),
    (b'"id":"e1"', b'"id":"\xed\xa0\x80"', Code.NOT_UTF_8),
    (b'"data":{', b'"data":{,', Code.NOT_JSON),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "code"), SPOTS, ids=lambda part: repr(part)[:40])
def test_one_spot_in_an_event_is_refused_as_it_is_anywhere(
    before: bytes, after: bytes, code: Code
) -> None:
    raw = orjson.dumps(whole())
    assert raw.count(before) == 1
    refusal = refused(raw.replace(before, after))
    assert refusal.code is code
    assert refusal.source in ("/laboratories/1", None)


# Bytes that are no event


BYTES: list[tuple[bytes | None, Code]] = [
    (None, Code.TOMBSTONE),
    (b"", Code.NOT_JSON),
    (b"positive, 3 swabs, see fax", Code.NOT_JSON),
    (b'{"specversion":"1.0"', Code.NOT_JSON),
    (b'{"a":NaN}', Code.NOT_JSON),
    (b'{"a":Infinity}', Code.NOT_JSON),
    (b'{"a":-Infinity}', Code.NOT_JSON),
    (b'{"a":1e999}', Code.NOT_JSON),
    (b'{"a":"\\ud800"}', Code.NOT_JSON),
    (b"\xef\xbb\xbf{}", Code.NOT_JSON),
    (b'{"a":"\xff"}', Code.NOT_UTF_8),
    ('{"a":"粤"}'.encode("gb18030"), Code.NOT_UTF_8),
    ('{"a":"b"}'.encode("utf-16"), Code.NOT_UTF_8),
    (b'{"a":"\x00"}', Code.NUL),
    (b"\x00", Code.NUL),
    (b'{"a":"\\u0000"}', Code.NUL),
    (b'{"\\u0000":1}', Code.NUL),
    (b'{"a":1,"a":2}', Code.DUPLICATE_KEY),
    (b'{"a":1,"\\u0061":1}', Code.DUPLICATE_KEY),
    (b'{"a":{"b":[{"c":1,"c":1}]}}', Code.DUPLICATE_KEY),
    (b"[]", Code.NOT_A_CLOUDEVENT),
    (b"null", Code.NOT_A_CLOUDEVENT),
    (b'"event"', Code.NOT_A_CLOUDEVENT),
    (b'{"hello":"world"}', Code.NOT_A_CLOUDEVENT),
    (b'{"specversion":"1.0"}', Code.NOT_A_CLOUDEVENT),
    (b'{"specversion":"0.3","type":"yuekang.scan.recorded.v1"}', Code.NOT_A_CLOUDEVENT),
    (b'{"specversion":1.0,"type":"yuekang.scan.recorded.v1"}', Code.NOT_A_CLOUDEVENT),
    (b'{"specversion":"1.0","type":7}', Code.NOT_A_CLOUDEVENT),
    (b'{"a":"' + b"x" * 2_000_000 + b'"}', Code.TOO_LARGE),
]


@pytest.mark.parametrize(("value", "code"), BYTES, ids=lambda part: repr(part)[:40])
def test_bytes_that_are_no_event_are_refused(value: bytes | None, code: Code) -> None:
    assert refused(value).code is code
    if code in (Code.NOT_JSON, Code.NOT_UTF_8, Code.NUL, Code.DUPLICATE_KEY):
        assert refused(value, *binary(whole())).code is code, "as the data of binary mode"


@pytest.mark.parametrize("depth", [250, 300, 1_000, 1_100, 10_000, 30_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize("inner", [b"1", b'"\\n"'], ids=["plain", "escaped"])
def test_deep_nesting_is_refused(depth: int, opening: bytes, closing: bytes, inner: bytes) -> None:
    topic = CATALOGUE.topics["dead-letters"]  # takes 4 MiB: depth alone is at fault
    with pytest.raises(Refusal) as caught:
        decode(opening * depth + inner + closing * depth, b"k", (), topic, NOW)
    deepest = depth > 254  # what can be written again is read, and is no event
    assert caught.value.code is (Code.TOO_DEEP if deepest else Code.NOT_A_CLOUDEVENT)


def test_a_name_that_is_no_fields_name_is_not_repeated() -> None:
    assert refused(b'{"a":1,"a":2}').detail == "The name a occurs twice in an object."
    assert refused('{"赵":1,"赵":2}'.encode()).detail == "A name occurs twice in an object."


# JSON that is no event of ours


FIELDS: list[tuple[Change, str]] = [
    (without("id"), "id"),
    (having(id=""), "id"),
    (having(id=7), "id"),
    (having(id="x" * 65), "id"),
    (having(id="检"), "id"),
    (without("source"), "source"),
    (having(source="/Laboratories/1"), "source"),
    (having(source="laboratories/1"), "source"),
    (having(source="/" + "l" * 96), "source"),
    (without("time"), "time"),
    (having(time="2022-03-01T14:00:00"), "time"),
    (having(time="yesterday"), "time"),
    (having(time=1646114400), "time"),
    (having(time=(NOW + timedelta(minutes=11)).isoformat()), "time"),
    (having(time=(EARLIEST - timedelta(seconds=1)).isoformat()), "time"),
    (without("sequence"), "sequence"),
    (having(sequence="-1"), "sequence"),
    (having(sequence="1.0"), "sequence"),
    (having(sequence="9" * 19), "sequence"),
    (having(sequence=1), "sequence"),
    (without("partitionkey"), "partitionkey"),
    (having(partitionkey=""), "partitionkey"),
    (having(partitionkey="p1-short"), "partitionkey"),
    (having(datacontenttype="text/xml"), "datacontenttype"),
    (having(supersedes=""), "supersedes"),
    (having(supersedes="e1"), "supersedes"),
    (having(Subject="somebody"), "Subject"),
    (having(super_sedes="e0"), "super_sedes"),
    (without("data"), "data"),
    (having(data=None), "data"),
    (having(data=5), "data"),
    (having(data="negative"), "data"),
    (having(data=["document"]), "data"),
    (without("data", "result"), "data.result"),
    (having_data(result="probably"), "data.result"),
    (having_data(result=None), "data.result"),
    (having_data(status="done"), "data.status"),
    (having_data(institution=7), "data.institution"),
    (having_data(institution=""), "data.institution"),
    (having_data(institution="x" * 101), "data.institution"),
    (having_data(institution="a\nb"), "data.institution"),
    (having_data(name="somebody"), "data.name"),
    (having_data(sampled_at="2022-03-02T08:00:00"), "data.sampled_at"),
    (having_data(sampled_at="2022-02-30T08:00:00Z"), "data.sampled_at"),
    (having_data(sampled_at="0001-01-01T00:00:00+23:59"), "data.sampled_at"),
    (having_data(sampled_at="2022-03-01T23:59:60Z"), "data.sampled_at"),
    (having_data(sampled_at=builders.day(3).isoformat()), "data.sampled_at"),
    (having_data(reported_at="9999-12-31T23:59:59-08:00"), "data.reported_at"),
]


@pytest.mark.parametrize(("change", "field"), FIELDS)
def test_a_field_that_is_wrong_is_named(change: Change, field: str) -> None:
    refusal = refused(orjson.dumps(change(whole())))
    assert refusal.code is Code.INVALID
    assert field in [fault.field for fault in refusal.faults]
    assert f"{field}: " in refusal.detail
    assert refusal.detail.endswith(".")


def all_texts(changed: Json) -> bool:
    """Say whether every attribute can be a header."""
    return all(isinstance(value, str) for name, value in changed.items() if name != "data")


@pytest.mark.parametrize(
    ("change", "field"), [(c, field) for c, field in FIELDS if all_texts(c(whole()))]
)
def test_a_field_that_is_wrong_is_named_in_binary_mode(change: Change, field: str) -> None:
    changed = change(whole())
    value = orjson.dumps(changed.get("data"))
    refusal = refused(value, *binary(changed))
    assert refusal.code is Code.INVALID
    # There is always a value, so what is missing in the one mode is null in the other.
    assert field in [fault.field for fault in refusal.faults]


def test_a_wrong_value_is_answered_with_what_is_right() -> None:
    assert "positive" in refused(orjson.dumps(having_data(result="probably")(whole()))).detail
    assert "RFC 3339" in refused(orjson.dumps(having(time="yesterday")(whole()))).detail
    assert "/laboratories/" in refused(orjson.dumps(having(source="x")(whole()))).detail


@pytest.mark.parametrize(
    ("type_", "says"),
    [
        ("yuekang.antibody.reported.v1", "AsyncAPI"),
        ("yuekang.nat-result.reported.v9", "yuekang.nat-result.reported.v1"),
        ("", "AsyncAPI"),
        ("类型" * 100, "AsyncAPI"),
    ],
)
def test_an_unknown_type_or_version_is_refused(type_: str, says: str) -> None:
    refusal = refused(orjson.dumps(having(type=type_)(whole())))
    assert refusal.code is Code.UNKNOWN_TYPE
    assert says in refusal.detail
    assert refusal.source == "/laboratories/1"


def test_an_event_of_another_topic_is_refused() -> None:
    case = builders.suspected(builders.day(2))
    refusal = refused(encode(case))
    assert refusal.code is Code.WRONG_TOPIC
    assert "case-reports" in refusal.detail


def test_a_source_without_authority_is_refused() -> None:
    refusal = refused(orjson.dumps(having(source="/terminals/440100-0001")(whole())))
    assert refusal.code is Code.NO_AUTHORITY
    assert refusal.source == "/terminals/440100-0001"
    assert "/laboratories/*" in refusal.detail


def test_a_province_speaks_for_its_own_code_alone() -> None:
    other = builders.provincial("red", builders.day(2), province="45", source="/provinces/43")
    with pytest.raises(Refusal) as caught:
        decode(
            encode(other),
            other.partitionkey.encode(),
            (),
            CATALOGUE.topics["provincial-codes"],
            NOW,
        )
    assert caught.value.code is Code.NO_AUTHORITY
    assert "/provinces/45" in caught.value.detail


def test_a_retraction_that_names_nothing_is_refused() -> None:
    whose = event()
    nothing = msgspec.structs.replace(builders.retracted(whose, builders.day(3)), supersedes=None)
    refusal = refused(encode(nothing))
    assert (refusal.code, refusal.faults[0].field) == (Code.INVALID, "supersedes")


@pytest.mark.parametrize("key", [b"", OTHER_PERSON.encode(), b"\xff", b"P1" + b"x" * 34])
def test_a_key_that_is_not_the_events_person_is_refused(key: bytes) -> None:
    refusal = refused(encode(event()), key=key)
    assert (refusal.code, refusal.faults[0].field) == (Code.KEY, "key")


@pytest.mark.parametrize("reason", ["deceased", "left-the-country"])
def test_only_a_retraction_of_an_identity_says_why_someone_left(reason: str) -> None:
    for type_, cls in EVENT_TYPES.items():
        if not type_.endswith(".retracted.v1"):
            continue
        said = {**example(type_), "data": {"reason": reason}}
        if cls is IdentityRetracted:
            assert from_mapping(said, LATER).data == builders.retraction_data(cls, reason)
            continue
        with pytest.raises(Refusal) as caught:
            from_mapping(said, LATER)
        [fault] = caught.value.faults
        assert fault.field == "data.reason"
        assert fault.detail.endswith("Expected: one of duplicate, entered-in-error, wrong-person.")


def test_a_record_without_a_key_is_refused() -> None:
    with pytest.raises(Refusal) as caught:
        decode(encode(event()), None, (), LABORATORY_RESULTS, NOW)
    assert caught.value.code is Code.KEY


def test_headers_that_cannot_be_attributes_are_refused() -> None:
    data, headers = orjson.dumps(whole()["data"]), list(binary(whole()))
    assert refused(data, *headers, ("ce_id", b"e2")).code is Code.NOT_A_CLOUDEVENT
    assert refused(data, *headers, ("ce_data", b"{}")).code is Code.NOT_A_CLOUDEVENT
    assert refused(data, *headers, ("ce_x", b"\xff")).code is Code.NOT_UTF_8
    assert refused(data, ("ce_id", b"e1")).code is Code.NOT_A_CLOUDEVENT


# Document numbers


@pytest.mark.parametrize(
    ("raw", "carries"),
    [
        (f'{{"a":"{CARD_NUMBER}"}}', True),
        (f'{{"a":"{CARD_NUMBER.lower()}"}}', True),
        (f'{{"a":"holder {CARD_NUMBER}, called"}}', True),
        ('{"a":440100199001010007}', True),
        ('{"a":440100199001010004}', False),  # a wrong check digit
        (f'{{"a":"1{CARD_NUMBER}"}}', True),
        (f'{{"a":"{PERMIT_NUMBER}"}}', True),
        (f'{{"a":"{PERMIT_NUMBER}01"}}', True),
        (f'{{"a":"lab {PERMIT_NUMBER}"}}', True),
        (f'{{"{CARD_NUMBER}":1}}', True),
        ('{"sequence":"440100199001010007"}', True),
        ('{"sequence" : "440100199001010007"}', True),
        ('{"sequence":"13800138000"}', False),
        ("", False),
    ],
)
def test_what_counts_as_a_document_number(raw: str, carries: bool) -> None:
    assert carries_personal_number(raw.encode()) is carries


@pytest.mark.parametrize(
    "change",
    [
        having(id=CARD_NUMBER),
        having(sequence=CARD_NUMBER),
        having(document={"type": "resident-identity-card", "number": "1"}),
        having_data(document={}),
        having_data(institution=f"Laboratory of {CARD_NUMBER}"),
        having_data(institution=PERMIT_NUMBER),
        having_data(**{CARD_NUMBER: 1}),
    ],
)
def test_an_event_with_a_document_number_is_refused_and_not_repeated(change: Change) -> None:
    raw = orjson.dumps(change(whole()))
    escaped = raw.replace(CARD_NUMBER.encode(), b"\\u0031" + CARD_NUMBER[1:].encode())
    for value in (raw, escaped, raw[:-1]):  # also where it is no JSON
        if value == raw[:-1] and b"document" in raw:
            continue  # its name alone is found only where it can be read
        refusal = refused(value)
        assert refusal.code is Code.DOCUMENT_NUMBER
        assert refusal.source == "/laboratories/1"
        assert CARD_NUMBER not in str(refusal)


def test_a_document_number_in_key_or_headers_is_refused() -> None:
    number = CARD_NUMBER.encode()
    assert refused(encode(event()), key=number).code is Code.DOCUMENT_NUMBER
    assert refused(encode(event()), ("holder", number)).code is Code.DOCUMENT_NUMBER
    assert refused(encode(event()), (CARD_NUMBER, b"")).code is Code.DOCUMENT_NUMBER
    headers = binary(having(id=PERMIT_NUMBER)(whole()))
    refusal = refused(orjson.dumps({**whole()["data"], "source": "/laboratories/2"}), *headers)
    assert refusal.code is Code.DOCUMENT_NUMBER
    assert refusal.source == "/laboratories/1", "who sent it, not who is named in its data"


def test_the_fields_with_a_document_number_are_named() -> None:
    value = {
        "id": CARD_NUMBER,
        "sequence": "440100199001010007",
        "data": {"a": [1, {"b": PERMIT_NUMBER}], CARD_NUMBER: 1},
        "list": ["", f"of {CARD_NUMBER}"],
    }
    assert list(fields_with_personal_number(value)) == ["id", "sequence", "data", "list[1]"]
    assert list(fields_with_personal_number(CARD_NUMBER)) == ["$"]


# Whatever comes


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
integers = st.integers(-(2**63), 2**63 - 1)
json_values = st.recursive(
    st.none() | st.booleans() | integers | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=15,
)


events = strategies.status_events(strategies.STEPS_MAX)
ARRIVAL = strategies.at_step(strategies.STEPS_MAX)


@given(events)
def test_what_was_encoded_is_decoded_as_it_was(sent: Event) -> None:
    topic = CATALOGUE.topic_of(type_of(sent))
    assert decode(encode(sent), sent.partitionkey.encode(), (), topic, ARRIVAL) == sent


Edit = Callable[[bytes], bytes]


def _edits() -> st.SearchStrategy[Edit]:
    """Drop, replace or double a stretch of bytes."""
    place, length = st.integers(0, 600), st.integers(0, 40)
    replacement = st.sampled_from(
        [b"", b"\x00", b"\xff", b'"', b"\\", b"{", b"}", b"[", b",", b"0", b"-", b"null", b"Z"]
    )

    def replace(at: int, count: int, by: bytes) -> Edit:
        return lambda raw: raw[: at % len(raw)] + by + raw[at % len(raw) + count :]

    def double(at: int, count: int) -> Edit:
        return lambda raw: raw[: at % len(raw) + count] + raw[at % len(raw) :]

    return st.builds(replace, place, length, replacement) | st.builds(double, place, length)


@given(events, st.lists(_edits(), min_size=1, max_size=4), st.booleans())
def test_an_event_with_damage_is_read_or_refused(
    sent: Event, edits: list[Edit], in_header: bool
) -> None:
    raw = encode(sent)
    topic, key = CATALOGUE.topic_of(type_of(sent)), sent.partitionkey.encode()
    headers: Headers = ()
    if in_header:
        attributes = json.loads(raw)
        headers, raw = binary(attributes), orjson.dumps(attributes["data"])
    for edit in edits:
        raw = edit(raw) or b" "
    refusal = tried(raw, key, headers, topic, ARRIVAL)
    assert refusal is None or refusal.detail


def outcome(*record: Any) -> tuple[Any, ...]:
    """What comes of decoding a record, in every detail."""
    try:
        return (decode(*record),)
    except Refusal as refusal:
        return refusal.code, refusal.detail, refusal.source, refusal.faults


def check_both_ways(*record: Any) -> None:
    """What is as the entrances write it is not looked through as closely. Nothing depends on it."""
    with patch.object(codec, "_as_we_write", lambda *_: None):
        long = outcome(*record)
    assert outcome(*record) == long


@given(events, st.lists(_edits(), max_size=1))
def test_the_short_way_ends_where_the_long_one_does(sent: Event, edits: list[Edit]) -> None:
    raw, topic = encode(sent), CATALOGUE.topic_of(type_of(sent))
    for edit in edits:
        raw = edit(raw) or b" "
    check_both_ways(raw, sent.partitionkey.encode(), (), topic, ARRIVAL)


@pytest.mark.parametrize(
    ("spot", "instead"),
    [
        (b'"id":"e1"', b'"id":"%s"' % CARD_NUMBER.encode()),
        (b'"id":"e1"', b'"id":"e1","id":"e1"'),
        (b'"id":"e1"', b'"id":"\\u0000"'),
        (b'"id":"e1"', b'"id":"e1","supersedes":"\\u0000"'),
        (b'"id":"e1"', b'"id":"e1\xff"'),
        (b'"sequence":"7"', b'"sequence":"007"'),
        (b'"sequence":"7"', b'"sequence":"0"'),
        (b"nat-result", b"case"),
        (b"nat-result.reported", b"nat-result.retracted"),
        (builders.PERSON.encode(), OTHER_PERSON.encode()),
    ],
)
def test_a_spot_is_found_on_the_short_way_too(spot: bytes, instead: bytes) -> None:
    raw = encode(event()).replace(spot, instead)
    assert raw != encode(event())
    check_both_ways(raw, builders.PERSON.encode(), (), LABORATORY_RESULTS, NOW)


def test_a_text_in_a_header_is_no_text_that_is_absent() -> None:
    data = orjson.dumps(whole()["data"])
    refusal = refused(data, *binary({**whole(), "supersedes": "\0"}))
    assert [fault.field for fault in refusal.faults] == ["supersedes"]


@pytest.mark.parametrize("name", ["yk_x", "ce_id", "content-type"])
def test_a_header_is_looked_at_on_the_short_way_too(name: str) -> None:
    headers = [STRUCTURED, (name, CARD_NUMBER.encode())]
    check_both_ways(encode(event()), builders.PERSON.encode(), headers, LABORATORY_RESULTS, NOW)


def test_a_record_s_mac_is_no_number_of_anybody() -> None:
    """Its last header of that name is its MAC; one before that could say anything."""
    mac = ("yk_mac", b"1 /laboratories/1 " + CARD_NUMBER.lower().encode().ljust(64, b"a"))
    for headers in ([mac], [("yk_x", b"1"), mac], [("yk_mac", b"1"), mac]):
        assert read(encode(event()), *headers) == event()
    assert refused(encode(event()), mac, ("yk_mac", b"1")).code is Code.DOCUMENT_NUMBER


@given(
    st.dictionaries(
        st.sampled_from([*whole(), "supersedes", "document", "ce"]),
        json_values | st.datetimes().map(datetime.isoformat),
    ),
    st.dictionaries(st.sampled_from([*whole()["data"], "document", "é"]), json_values),
)
def test_an_event_of_any_content_is_read_or_refused(attributes: Json, fields: Json) -> None:
    raw = orjson.dumps({**having_data(**fields)(whole()), **attributes})
    refusal = tried(raw, builders.PERSON.encode(), (), LABORATORY_RESULTS, NOW)
    assert refusal is None or all(fault.field and fault.detail for fault in refusal.faults)


@given(
    st.lists(st.tuples(st.text(max_size=8) | st.just("ce_x"), st.binary(max_size=8)), max_size=4)
)
def test_any_headers_are_read_or_refused(headers: list[tuple[str, bytes]]) -> None:
    data = orjson.dumps(whole()["data"])
    for more in ((), binary(whole())):
        key = builders.PERSON.encode()
        refusal = tried(data, key, [*more, *headers], LABORATORY_RESULTS, NOW)
        assert refusal is None or refusal.detail


def test_every_code_is_a_problem_over_http() -> None:
    assert {str(code) for code in Code} <= KINDS.keys()


SPECIMEN = b"11010519491231002X"


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (None, SPECIMEN),
        (b"{}", b"H12345678"),
        (b'{"source":"' + SPECIMEN + b'"}', b"p1-x"),
        (b'{"source":"/laboratories/' + SPECIMEN + b'"}', b"p1-x"),
        (b'{"note":"' + SPECIMEN.replace(b"1", b"\\u0031") + b'"', b"p1-x"),
    ],
    ids=["key-of-tombstone", "permit-as-key", "source", "within-source", "escaped-in-broken-json"],
)
def test_a_document_number_is_found_wherever_it_stands_and_never_repeated(
    value: bytes | None, key: bytes
) -> None:
    with pytest.raises(Refusal) as caught:
        decode(value, key, (), CATALOGUE.topics["identities"], NOW)
    assert caught.value.code is Code.DOCUMENT_NUMBER
    assert SPECIMEN.decode() not in f"{caught.value.detail} {caught.value.source}"
