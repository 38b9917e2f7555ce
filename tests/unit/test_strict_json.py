"""Strict JSON: what is refused under which code, and that all else is read as it should be."""

import json
import math
from collections.abc import Callable
from typing import Any, get_args

import jiter
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.topics.codec import Code
from app.topics.strict_json import FAULTS, NotStrict, Why, parse

REFUSED: list[tuple[bytes, Why]] = [
    (b"", "not-json"),
    (b" ", "not-json"),
    (b"positive, 3 swabs, see fax", "not-json"),
    (b'{"a":1', "not-json"),
    (b'{"a":1,}', "not-json"),
    (b"{a:1}", "not-json"),
    (b"{'a':1}", "not-json"),
    (b"[1] 2", "not-json"),
    (b"[1]//2", "not-json"),
    (b"\xef\xbb\xbf{}", "not-json"),
    (b"NaN", "not-json"),
    (b'{"a":[Infinity]}', "not-json"),
    (b'{"a":-Infinity}', "not-json"),
    (b"01", "not-json"),
    (b"+1", "not-json"),
    (b"1.", "not-json"),
    (b".5", "not-json"),
    (b'"\t"', "not-json"),
    (b'"\\x41"', "not-json"),
    (b'"\\ud800"', "not-json"),
    (b'"\\ude00\\ud83d"', "not-json"),
    (b'{"\\ud800":1}', "not-json"),
    (b"\xff", "not-utf-8"),
    (b'{"a":"\xff"}', "not-utf-8"),
    (b'{"\xff":1}', "not-utf-8"),
    (b'"\xed\xa0\x80"', "not-utf-8"),
    (b'"\xc0\x80"', "not-utf-8"),
    ('{"a":"b"}'.encode("utf-16"), "not-utf-8"),
    (b'{"a":"\x00"}', "nul"),
    (b"[1]\x00", "nul"),
    ('{"a":1}'.encode("utf-16-be"), "nul"),
    (b'{"a":"\\u0000"}', "nul"),
    (b'{"\\u0000":1}', "nul"),
    (b'{"a":{"b":["c\\\\\\u0000"]}}', "nul"),
    (b'{"a":1,"a":2}', "duplicate-key"),
    (b'{"a":1,"\\u0061":2}', "duplicate-key"),
    (b'{"\\u00E9":1,"\xc3\xa9":2}', "duplicate-key"),
    (b'{"":1,"":2}', "duplicate-key"),
    (b'{"a":{"b":[{"c":1,"c":1}]}}', "duplicate-key"),
    (b"[" * 256 + b"]" * 256, "too-deep"),
    (b'{"a":' * 255 + b"1" + b"}" * 255, "too-deep"),
    (b"[ " * 202 + b"]" * 202, "too-deep"),
    (b'{"a": ' * 201 + b"1" + b"}" * 201, "too-deep"),
    (b"[" * 100_000, "too-deep"),
    (b"1e999", "not-json"),
    (b'{"a":[{"b":-1e999}]}', "not-json"),
    (b"1E400", "not-json"),
    (b"9" * 310, "not-json"),
    (b"-" + b"9" * 5_000, "not-json"),
    (b"9" * 400 + b".5", "not-json"),
]

READ: list[tuple[bytes, Any]] = [
    (b" [ ] ", []),
    (b'{"a":1,"A":2,"b":{"a":3}}', {"a": 1, "A": 2, "b": {"a": 3}}),
    (b'"\\u0061\\/\\n\\ud83d\\ude00"', "a/\n\U0001f600"),
    (b'"\\\\u0000"', "\\u0000"),
    (b'["\\\\\\\\u0000","u0000"]', ["\\\\u0000", "u0000"]),
    (b"36.6", 36.6),
    (b"0.1e1", 1.0),
    (b"1e-999", 0.0),
    (b"9007199254740993", 9007199254740993),
    (b"18446744073709551615", 2**64 - 1),
    (b"-9223372036854775808", -(2**63)),
    (b"18446744073709551616", float(2**64)),
    (b"9" * 300, float("9" * 300)),
    (b"[ " * 201 + b"]" * 201, None),
    (b"[" * 254 + b"]" * 254, None),
    (b'{"a": ' * 200 + b"1" + b"}" * 200, None),
]


def shortened(part: object) -> str:
    return repr(part)[:40]


def refused(raw: bytes) -> NotStrict:
    with pytest.raises(NotStrict) as caught:
        parse(raw)
    return caught.value


@pytest.mark.parametrize(("raw", "code"), REFUSED, ids=shortened)
def test_what_is_not_strict_is_refused(raw: bytes, code: Why) -> None:
    assert refused(raw).code == code


@pytest.mark.parametrize(("raw", "value"), READ, ids=shortened)
def test_what_is_strict_is_read(raw: bytes, value: Any) -> None:
    found = parse(raw)
    assert value is None or same(found, value)


def test_every_code_is_one_of_the_codec() -> None:
    assert set(get_args(Why)) <= set(Code)


# What jiter says


@pytest.mark.parametrize(
    ("raw", "number"),
    [
        (b'{"status":1,"status":2}', 0),
        (b'{"data":{"x-y_Z":1,\n"x-y_Z":2}}', 0),
        (b'{"\xe8\xb5\xb5":1,"\xe8\xb5\xb5":2}', 1),
        (b'{"a b":1,"a b":2}', 1),
        (b'{"":1,"":2}', 1),
        (b'{"a\\" at line 1 column 1":1,"a\\" at line 1 column 1":2}', 1),
        (b'{"\\n":1,"\\n":2}', 1),
        (b"[" * 300, 2),
        (b'[{"a":' * 300, 2),
        (b'{"recursion limit exceeded":1', 3),
        (b"[Detected duplicate key]", 3),
    ],
    ids=shortened,
)
def test_the_table_knows_what_the_jiter_that_is_installed_says(raw: bytes, number: int) -> None:
    with pytest.raises(ValueError, match="at line") as caught:
        jiter.from_json(raw, catch_duplicate_keys=True)
    matching = [n for n, (said, _, _) in enumerate(FAULTS) if said.fullmatch(str(caught.value))]
    assert matching[0] == number


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        (b'{"a":1,"a":2}', "The name a occurs twice in an object."),
        ('{"赵":1,"赵":2}'.encode(), "A name occurs twice in an object."),
        (b"[" * 300, "Objects and arrays lie too deep in one another."),
        (b'{"a":\nsecret}', "This is not JSON: expected value at line 2 column 1."),
        (b'"\xff"', "Byte 1 is not UTF-8."),
        (b'"\x00"', "Character 1 is a NUL."),
        (b'"\\u0000"', "A text has a NUL."),
    ],
    ids=shortened,
)
def test_a_refusal_says_where_and_repeats_nothing(raw: bytes, detail: str) -> None:
    assert refused(raw).detail == detail


# Whatever comes, beside the standard library made strict


LEVELS_READ = 200
"""Below the outermost: jiter reads as many, however they are spelt."""
LEVELS_MAX = 254
"""orjson writes as many."""

_PIECES = ["a", "b", "é", "粤", "😀", " ", "\x7f", "/", "u0000", "\\u0061", "\\u00E9", "\\u00e9"]
_PIECES += ["\\\\", "\\/", "\\n", '\\"', "\\ud83d\\ude00", "\\\\u0000", "\\\\\\\\u0000"]
_SPOILT = ["\\u0000", "\\\\\\u0000", "\\ud83d", "\\ude00", "\\x", "\t", "\\", '"', "\\u00"]
_NUMBERS = ["0", "-0", "7", "-1", "36.6", "1e5", "1E-5", "0.1e+2", "1e308", "1e-999", "9" * 18]
_NUMBERS += ["18446744073709551615", "18446744073709551616", "-9223372036854775809", "9" * 300]
_NO_NUMBERS = ["1e999", "-1e999", "1E400", "9" * 310, "-" + "9" * 5_000, "9" * 400 + ".5", "NaN"]
_NO_NUMBERS += ["Infinity", "-Infinity", "01", "+1", "1.", ".5", "1e", "-", "0x1", "nul", "True"]

_blanks = st.sampled_from(["", "", "", " ", "\n", "\t\r "])


def _texts(pieces: list[str]) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(pieces), max_size=3).map(lambda p: f'"{"".join(p)}"')


def _json_texts(spoilt: bool) -> st.SearchStrategy[str]:
    """Texts of JSON in any spelling. Names are few, so some occur twice."""
    names = _texts(_PIECES + _SPOILT if spoilt else _PIECES)
    scalars = st.one_of(
        st.sampled_from(_NUMBERS + _NO_NUMBERS if spoilt else _NUMBERS),
        st.sampled_from(["true", "false", "null"]),
        st.integers().map(str),
        st.floats(allow_nan=False, allow_infinity=False).map(repr),
        names,
        st.text(st.characters(exclude_categories=["Cs"]), max_size=5).map(json.dumps),
    )

    def within(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        items = st.tuples(_blanks, inner, _blanks).map("".join)
        members = st.tuples(_blanks, names, _blanks, st.just(":"), items).map("".join)
        return st.lists(items, max_size=4).map(lambda parts: f"[{','.join(parts)}]") | st.lists(
            members, max_size=4
        ).map(lambda parts: f"{{{','.join(parts)}}}")

    def wrapped(text: str, levels: int, array: bool) -> str:
        return ("[" if array else '{"a":') * levels + text + ("]" if array else "}") * levels

    levels = st.one_of(st.just(0), st.sampled_from([1, 196, 198, 199, 200, 201, 254, 255, 1_100]))
    return st.builds(wrapped, st.recursive(scalars, within, max_leaves=12), levels, st.booleans())


def _edits() -> st.SearchStrategy[Callable[[bytes], bytes]]:
    """Put some bytes in the place of others."""
    parts = [
        b"",
        b"\x00",
        b"\xff",
        b"\xef\xbb\xbf",
        b'"',
        b"\\",
        b"{",
        b"}",
        b"[",
        b",",
        b":",
        b"0",
    ]

    def edit(at: int, count: int, by: bytes) -> Callable[[bytes], bytes]:
        return lambda raw: raw[: at % (len(raw) + 1)] + by + raw[at % (len(raw) + 1) + count :]

    return st.builds(edit, st.integers(0, 300), st.integers(0, 3), st.sampled_from(parts))


def _edited(text: str, edits: list[Callable[[bytes], bytes]]) -> bytes:
    raw = text.encode()
    for edit in edits:
        raw = edit(raw)
    return raw


class Members(list[tuple[str, Any]]):
    """An object as it was written: each name, also one that occurs again."""


def reference(raw: bytes) -> tuple[Any, set[Why | None]]:
    """Return what the standard library reads, and every code under which `raw` may be refused; None
    is among them if it may be read.

    Which of several faults is told is free: the first in the text, mostly.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None, {"not-utf-8"}
    if "\x00" in text:
        return None, {"nul"}
    found: set[Why | None] = set()

    def number(digits: str) -> float:
        value = float(digits)
        if math.isinf(value):
            found.add("not-json")
        return value

    def integer(digits: str) -> int | float:
        if len(digits) < 30 and -(2**63) <= int(digits) < 2**64:
            return int(digits)
        return number(digits)

    def constant(_: str) -> None:
        found.add("not-json")

    try:
        value = json.loads(
            text,
            object_pairs_hook=Members,
            parse_float=number,
            parse_int=integer,
            parse_constant=constant,
        )
    except RecursionError:
        return None, {"too-deep", "not-json", "duplicate-key"}
    except ValueError:
        return None, {"not-json", "duplicate-key", "too-deep"}
    deepest = 0
    left = [(value, 0)]
    while left:
        part, level = left.pop()
        deepest = max(deepest, level)
        match part:
            case str():
                if "\x00" in part:
                    found.add("nul")
                if any("\ud800" <= letter <= "\udfff" for letter in part):
                    found.add("not-json")
            case Members():
                left += [(name, level) for name, _ in part]
                left += [(member, level + 1) for _, member in part]
                if len(dict(part)) < len(part):
                    found.add("duplicate-key")
            case list():
                left += [(item, level + 1) for item in part]
    if not found and deepest <= LEVELS_MAX:
        found.add(None)
    if deepest > LEVELS_READ:
        found.add("too-deep")
    return (plain(value) if None in found else None), found


def plain(value: Any) -> Any:
    """Return what was read, with dicts for objects."""
    match value:
        case Members():
            return {name: plain(member) for name, member in value}
        case list():
            return [plain(item) for item in value]
        case _:
            return value


def tried(raw: bytes) -> tuple[Any, Why | None]:
    """Return what is read, or None and the code under which it is refused."""
    try:
        return parse(raw), None
    except NotStrict as error:
        return None, error.code


def same(one: Any, other: Any) -> bool:
    """Say whether both are the same, numbers also in their type."""
    match one, other:
        case dict(), dict():
            return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
        case list(), list():
            return len(one) == len(other) and all(map(same, one, other))
        case _:
            return type(one) is type(other) and bool(one == other)


@given(
    st.one_of(
        st.builds(_edited, _json_texts(spoilt=False), st.just([])),
        st.builds(_edited, _json_texts(spoilt=True), st.just([])),
        st.builds(_edited, _json_texts(spoilt=False), st.lists(_edits(), min_size=1, max_size=2)),
        st.binary(max_size=40),
        st.text(st.sampled_from('[]{},:"\\u0ae1.-tN '), max_size=60).map(str.encode),
    )
)
@example(b'{"a":1,"a":1e999}')
@example(b'{"a":"\\u0000","a":1}')
def test_any_text_is_read_as_the_standard_library_made_strict_reads_it(raw: bytes) -> None:
    value, allowed = reference(raw)
    parsed, code = tried(raw)
    assert code in allowed
    assert code or same(parsed, value)
