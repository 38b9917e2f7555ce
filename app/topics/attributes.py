"""What CloudEvents lets a source write in more than one way, and the one way that is kept here.

Both entrances read attributes by the same rules, in structured and in binary mode:

- an attribute that is null was not set (JSON format, 2.2);
- an attribute that is not ours is an extension, or the context of a relay. It is passed over;
- a media type ignores case, and JSON may say that it is UTF-8 (RFC 9110, 8.3);
- zeros before a sequence do not make it another number (extension `sequence`);
- a header that occurs twice with one value says it once.

What no attribute may be called stays, so that it is refused: a misspelt name would be lost unseen.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from email.message import Message
from functools import lru_cache
from typing import Any

from models.events import Envelope

JSON = "application/json"

OWN = frozenset({*Envelope.__struct_fields__, "type", "data"})
"""The attributes that an event of ours has, and its data."""

_ATTRIBUTE = re.compile(r"[a-z0-9]+")
"""What CloudEvents lets an attribute be called."""

_LIKE_SUPERSEDES = 0.8
"""`supersedes` alone may be left out, so nobody would miss it if it were misspelt. Names as like it
as this are no extensions: supercedes is 0.9, superseded 0.9, supersede 0.95."""

_LIKE_LENGTH_MAX = 15
"""No longer name is so like it: twice the 10 letters in common, over 10 and the name's, is 0.8."""

_PADDED = re.compile(r"\A0+(?=[0-9])")


class TwoValues(ValueError):
    """Two headers give one attribute different values."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def in_one_way(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event with its own attributes as they are kept, and without what is passed over."""
    kept = {
        name: value
        for name, value in event.items()
        if value is not None and (name in OWN or not _is_extension(name))
    }
    if isinstance(sequence := kept.get("sequence"), str):
        kept["sequence"] = _PADDED.sub("", sequence)
    if isinstance(content_type := kept.get("datacontenttype"), str):
        kept["datacontenttype"] = _data_type(content_type)
    return kept


def of_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the attributes that headers give, by name; raise `TwoValues`."""
    attributes: dict[str, str] = {}
    for name, value in headers:
        said = _data_type(value) if name == "datacontenttype" else value
        if attributes.setdefault(name, said) != said:
            raise TwoValues(name)
    return attributes


def media_type(written: str) -> tuple[str, bool]:
    """Return a media type in lower case without its parameters, and whether it may be UTF-8."""
    message = Message()
    message["content-type"] = written
    kind = written.partition(";")[0].strip().lower()
    return kind, message.get_content_charset("utf-8") in ("utf-8", "utf8")


def likely(name: str) -> str | None:
    """Return which of our attributes a name that is not ours may mean."""
    return next(iter(get_close_matches(name.lower(), OWN, 1, _LIKE_SUPERSEDES)), None)


def _is_extension(name: str) -> bool:
    return _ATTRIBUTE.fullmatch(name) is not None and not (
        len(name) <= _LIKE_LENGTH_MAX and _is_misspelt(name)
    )


@lru_cache(maxsize=1_000)
def _is_misspelt(name: str) -> bool:
    """Say whether `supersedes` may be meant. It takes 5 µs, half as long as to decode an event."""
    return bool(get_close_matches(name, ("supersedes",), cutoff=_LIKE_SUPERSEDES))


def _data_type(written: str) -> str:
    """Return the content type of data; JSON in UTF-8 has one spelling."""
    return JSON if written == JSON or media_type(written) == (JSON, True) else written
