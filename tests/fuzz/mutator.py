"""Honest inputs, changed: as bytes, as JSON, as lines of a header."""

import json
from random import Random
from typing import Any

TOKENS = (
    *(b"\x00", b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xf4\x90\x80\x80"),
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\\u0000", b"\\ud800", b"\\/"),
    *(b"null", b"true", b"1e999", b"-0", b"1" * 400, b"NaN", b"Infinity", b"0x1", b"01"),
    *(b"[" * 300, b'{"a":' * 300, b" " * 300, b"a" * 3_000, b"\r\n", b"\t", b"%00", b"../"),
    *("粤康码".encode(), "‮".encode(), "１１０".encode(), "\U0001f600".encode()),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**30, 0.1, 1e308, -0.0),
    *(
        "",
        " ",
        "a",
        "a" * 300,
        "a" * 70_000,
        "\x00",
        "\u2028",
        "\u202e",
        "粤",
        "１",
        "\ufeff",
        "\x7f",
    ),
    *("0000-00-00T00:00:00Z", "9999-12-31T23:59:60Z", "0001-01-01T00:00:00+23:59", "2022-03-01"),
    *("2022-03-01T08:00:00", "2022-02-30T08:00:00Z", "9999-12-31T23:59:59-23:59", "2022-W09-2"),
    *("/laboratories/1", "/cdc/440100", "//", "/", "p1-" + "a" * 32, "p99999-" + "a" * 32),
    *("11010519491231002X", "13800138000", "1101 0519 4912 3100 2X", "H1234567890"),
    *([], {}, [[]], [{}], {"": ""}, {"type": 1}, ["a"] * 300, {str(n): n for n in range(300)}),
)


def mutated(raw: bytes, random: Random, others: tuple[bytes, ...] = ()) -> bytes:
    """Return `raw` with one to four changes of its bytes."""
    found = bytearray(raw)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        at = random.randrange(len(found) + 1)
        match random.randrange(8):
            case 0 if at < len(found):
                found[at] ^= 1 << random.randrange(8)
            case 1 if at < len(found):
                found[at] = random.randrange(256)
            case 2:
                del found[at : at + random.choice((1, 1, 2, 8, 64))]
            case 3:
                found[at:at] = random.choice(TOKENS)
            case 4:
                found[at:at] = found[at : at + random.choice((1, 4, 32))]
            case 5:
                del found[at:]
            case 6 if others:
                other = random.choice(others)
                found[at:] = other[random.randrange(len(other) + 1) :]
            case _:
                found[at : at + 1] = random.randbytes(random.choice((1, 2, 8)))
    return bytes(found)


def mutated_json(value: Any, random: Random) -> Any:
    """Return a copy of a JSON value with one to three of its parts changed."""
    whole: Any = {"": _copied(value)}
    for _ in range(random.choice((1, 1, 2, 3))):
        places = list(_places(whole))
        within, name = random.choice(places)
        match random.randrange(6):
            case 0 | 1:
                within[name] = _copied(random.choice(VALUES))
            case 2 if isinstance(within, dict) and within is not whole:
                del within[name]
            case 3 if isinstance(within, dict) and within is not whole:
                within[f"{name}{random.choice(('x', ' ', '', 'X', '.'))}"] = within.pop(name)
            case 4 if isinstance(within, dict):
                within[random.choice(("x", "document", "source", "id", "", "é"))] = _copied(
                    random.choice(VALUES)
                )
            case _ if isinstance(within[name], str):
                text = list(within[name])
                at = random.randrange(len(text) + 1)
                text[at : at + random.randrange(2)] = random.choice(
                    ("", "0", "A", "\x00", "é", "-")
                )
                within[name] = "".join(text)
            case _:
                within[name] = [within[name]]
    return whole.get("")


def written(value: Any, random: Random) -> bytes:
    """Write a JSON value in one of several ways, at times with a name twice."""
    text = json.dumps(value, ensure_ascii=random.random() < 0.3, indent=random.choice((None, 1)))
    raw = text.encode(errors="surrogatepass")
    if random.random() < 0.05 and raw[:1] == b"{":
        raw = b'{"id":"twice",' + raw[1:]
    return raw


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(each) for name, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


def _places(value: Any, depth: int = 0) -> Any:
    """Yield each container with each name or index in it."""
    if depth > 6:
        return
    names: Any = ()
    if isinstance(value, dict):
        names = list(value)
    elif isinstance(value, list):
        names = range(min(len(value), 20))
    for name in names:
        yield value, name
        yield from _places(value[name], depth + 1)
