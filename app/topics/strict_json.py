"""JSON as RFC 8259 and I-JSON (RFC 7493) want it. Any other text is refused, with what is wrong.

Most texts are byte for byte what orjson writes of their value. Nothing in them occurs twice or is
spelt in another way, so they are strict, except for an escaped NUL. Of the others jiter says
whether they are strict, and what is wrong. It takes twice as long, and lets two things pass: an
escaped NUL, and a number that no float holds.
"""

import re
from typing import Any, Literal

import jiter
import orjson

Why = Literal["not-utf-8", "nul", "not-json", "too-deep", "duplicate-key"]


class NotStrict(Exception):
    """A text is not strict JSON. `detail` is a sentence; it repeats no text and no value."""

    def __init__(self, code: Why, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


def parse(raw: bytes) -> Any:
    """Return what `raw` says; an integer of more than 64 bits becomes a float.

    Raise `NotStrict` if `raw` is not UTF-8 or not JSON, has a byte order mark, a name twice in an
    object, half a surrogate pair, a NUL or a number beyond a float, or is nested too deep. 200
    levels below the outermost are read in any spelling, and never more than 254.
    """
    try:
        value = orjson.loads(raw)
        usual = orjson.dumps(value) == raw
    except (orjson.JSONDecodeError, orjson.JSONEncodeError) as error:
        _check(raw)
        raise NotStrict("not-json", f"This is not JSON: {error}.") from None
    if not usual:
        _check(raw)
    if b"\\" in raw and b"u0000" in _ESCAPES.findall(raw):
        raise NotStrict("nul", "A text has a NUL.")
    return value


def _check(raw: bytes) -> None:
    """Raise `NotStrict` for what jiter finds."""
    try:
        # Only names are cached: a text may be private.
        jiter.from_json(raw, catch_duplicate_keys=True, allow_inf_nan=False, cache_mode="keys")
    except ValueError as error:
        raise _not_strict(raw, str(error)) from None


FAULTS: tuple[tuple[re.Pattern[str], Why, str], ...] = (
    (
        re.compile(r'Detected duplicate key "(?P<name>[A-Za-z_-]{1,64})" at line \d+ column \d+'),
        "duplicate-key",
        "The name {name} occurs twice in an object.",
    ),
    (
        # A name may be anything; it is repeated only if it can be a field's.
        re.compile(r"(?s)Detected duplicate key .*"),
        "duplicate-key",
        "A name occurs twice in an object.",
    ),
    (
        re.compile(r"recursion limit exceeded at line \d+ column \d+"),
        "too-deep",
        "Objects and arrays lie too deep in one another.",
    ),
    (re.compile(r"(?s)(?P<fault>.*)"), "not-json", "This is not JSON: {fault}."),
)
"""What jiter says, its code and our sentence; the first that matches counts. A test holds this
against the jiter that is installed, which may only be of one minor version (setup.cfg)."""

_ESCAPES = re.compile(rb"\\(u0000|.)")
"""What follows each backslash that begins an escape; a text's own backslash is an escape too."""


def _not_strict(raw: bytes, said: str) -> NotStrict:
    """Return what is wrong with `raw`; `said` is jiter's message about it."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as bad:
        return NotStrict("not-utf-8", f"Byte {bad.start} is not UTF-8.")
    if "\x00" in text:
        return NotStrict("nul", f"Character {text.index(chr(0))} is a NUL.")
    matches = ((pattern.fullmatch(said), code, sentence) for pattern, code, sentence in FAULTS)
    return next(
        NotStrict(code, sentence.format(**match.groupdict()))
        for match, code, sentence in matches
        if match is not None
    )
