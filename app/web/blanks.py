"""Pages that are filled in: what a template prints of a kind of content is rendered once, and each
page adds its own words.

It is the split into static and dynamic parts that some frameworks make of their templates, with
Jinja as it is. `filled_in` returns the bytes of what `render` prints, in a small part of the time.

A word is a `Text`, or a `str` that is not empty. All else in a context is its form: which words
there are, how many, and each number, bool and enum. A template is rendered once for each language
and form, with a blank in place of each word, and is cut at the blanks.

So whoever writes a context or its template keeps two rules. What differs from person to person is a
word: a number that did would make a form of its own each time. And a template prints a word, or
asks whether it is there. It neither compares nor changes it, and no property of a struct does.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, NamedTuple

from markupsafe import escape
from msgspec import Struct
from msgspec.structs import astuple

from app.web.language import CHINESE, LANGUAGES, Language, Text
from app.web.site import render, said_in

FORMS_MAX = 512
"""Forms that are remembered, those that were asked for last, some 40 KB each. The page of a form
that is not remembered takes Jinja's time, one or two ms."""

_Words = list[str | Text]
_Form = tuple[tuple[str, Any], ...]

_BLANK = "\ue000{}:{}\ue001"  # of Unicode's private use: no template has it
_BLANKS = re.compile("\ue000(\\d+):(\\d+)\ue001")
_BETWEEN = "\ue002"  # likewise; hardly any word has it


class _Skeleton(NamedTuple):
    """What all pages of a form share. `pieces` has an empty one at each blank. `words` has what
    stands there, each once: the number of a word in its context, and the language that says it.
    `blanks` has for each blank its place in `words`."""

    pieces: list[bytes]
    words: list[tuple[int, Language]]
    blanks: list[int]


def filled_in(template: str, language: Language, context: Mapping[str, object]) -> bytes:
    """Return what the template prints of `context`: of words, structs and tuples of them, and what
    a template decides by. Raises `TypeError` if there is an instant, which would be a form of its
    own each time."""
    words: _Words = []
    form = tuple([(name, _blanked(value, words)) for name, value in context.items()])
    skeleton = _skeleton(template, language, form)
    said = _printed((words[number], spoken) for number, spoken in skeleton.words)
    page = skeleton.pieces.copy()
    page[1::2] = [said[place] for place in skeleton.blanks]
    return b"".join(page)


def _blanked(value: Any, words: _Words) -> Any:
    """Return a value with blanks in place of its words, which are added to `words`."""
    kind = type(value)
    if kind is Text or (kind is str and value):
        words.append(value)
        return (_text if kind is Text else _string)(len(words) - 1)
    if kind is tuple:
        return tuple([_blanked(part, words) for part in value])
    if isinstance(value, Struct):
        return kind(*[_blanked(part, words) for part in astuple(value)])
    if isinstance(value, datetime):
        raise TypeError("a page that is filled in says an instant in words, such as moment(at)")
    return value


@cache
def _text(number: int) -> Text:
    return Text(lambda language: _BLANK.format(number, LANGUAGES.index(language)))


@cache
def _string(number: int) -> str:
    return _text(number).of(CHINESE)  # it is the same in every language


@lru_cache(FORMS_MAX)
def _skeleton(template: str, language: Language, form: _Form) -> _Skeleton:
    found = _BLANKS.split(render(template, language, dict(form)))
    fixed, numbers, spoken = found[::3], found[1::3], found[2::3]
    taken = [(int(n), LANGUAGES[int(which)]) for n, which in zip(numbers, spoken, strict=True)]
    pieces = [b""] * (2 * len(fixed) - 1)
    pieces[::2] = [piece.encode() for piece in fixed]
    places = {word: place for place, word in enumerate(dict.fromkeys(taken))}
    return _Skeleton(pieces, list(places), [places[word] for word in taken])


def _printed(words: Iterable[tuple[str | Text, Language]]) -> list[bytes]:
    """Return what a template prints of each word in a language."""
    said = [str(said_in(word, language)) for word, language in words]
    # All at once: to escape one takes a microsecond, whatever its length.
    escaped = str(escape(_BETWEEN.join(said))).split(_BETWEEN)
    if len(escaped) != len(said):
        escaped = [str(escape(one)) for one in said]
    return [one.encode() for one in escaped]
