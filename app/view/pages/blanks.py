"""A page as bytes, from what its template printed before.

Pages of one form differ in their words alone: a name, a telephone, a date. So a template is
rendered once for each language and each form, with every word of its context left blank, and is cut
at the blanks. A page is the pieces between them and its own words. It is the template's page, in a
small part of the time.

The form is what a template may decide by: which words there are, how many, and all that is no word
(numbers, truths, a colour). It cannot decide by a word or an instant, since it sees blanks.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache, lru_cache
from itertools import groupby
from typing import Any, NamedTuple, NoReturn

from msgspec import Struct
from msgspec.structs import astuple

from app.web.language import LANGUAGES, Language, Text
from app.web.site import printed, render

FORMS_MAX = 1_024
"""Forms that are remembered, those that were asked for last; some 20 MB. A green code has four in
each language; a red one has one for each set of reasons and of lines of their checklists that are
met. The page of a form that is not remembered takes Jinja's time."""

Form = tuple[tuple[str, Any], ...]
"""A context by name, with blanks in place of its words."""

_MARK = "\ue000{}:{}\ue001"  # of Unicode's private use: no template has it
_MARKED = re.compile("\ue000(.*?):(.*?)\ue001")
_BY_CODE = {language.code: language for language in LANGUAGES}


class _Cut(NamedTuple):
    """A page of a form. Every second one of its `pieces` is a blank. `words` are those that it
    takes, by the language in which they are said; `blanks` has the number of each blank's word
    among these."""

    pieces: list[bytes]
    words: list[tuple[Language, list[int]]]
    blanks: list[int]


class _Instant:
    """Stands for any instant. A template that printed one would print another's."""

    def __str__(self) -> NoReturn:
        raise TypeError("a template prints an instant as a word, such as moment(at)")


_INSTANT = _Instant()


def filled_in(template: str, language: Language, context: Mapping[str, object]) -> bytes:
    """Return what the template prints of `context`: of structs and tuples, words, what a template
    decides by, and instants, by which it decides nothing but whether there is one."""
    words: list[str | Text] = []
    cut = _cut(template, language, tuple((k, _blanked(v, words)) for k, v in context.items()))
    said: list[bytes] = []
    for spoken, places in cut.words:
        said += map(str.encode, printed([words[place] for place in places], spoken))
    page = [*cut.pieces]
    page[1::2] = [said[blank] for blank in cut.blanks]
    return b"".join(page)


def _blanked(value: Any, words: list[str | Text]) -> Any:
    """Return a value with blanks in place of its words, which are added to `words`. A `Message` is
    no word: there are only so many."""
    kind = type(value)
    if kind is Text or (kind is str and value):
        words.append(value)
        return (_text if kind is Text else _string)(len(words) - 1)
    if kind is tuple:
        return tuple([_blanked(part, words) for part in value])
    if isinstance(value, Struct):
        return kind(*[_blanked(part, words) for part in astuple(value)])
    return _INSTANT if isinstance(value, datetime) else value


@cache
def _text(place: int) -> Text:
    return Text(lambda language: _MARK.format(place, language.code))


@cache
def _string(place: int) -> str:
    return _MARK.format(place, "")


@lru_cache(FORMS_MAX)
def _cut(template: str, language: Language, form: Form) -> _Cut:
    # What lies before the first mark; then of each mark its word, its language, and what follows.
    first, *parts = _MARKED.split(render(template, language, dict(form)))
    pieces, taken = [first.encode()], list[tuple[Language, int]]()
    for place, code, piece in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        pieces += b"", piece.encode()
        taken.append((_BY_CODE.get(code, language), int(place)))
    blanks = list(dict.fromkeys(sorted(taken, key=lambda blank: blank[0].code)))
    words = [
        (spoken, [place for _, place in those])
        for spoken, those in groupby(blanks, key=lambda blank: blank[0])
    ]
    return _Cut(pieces, words, [blanks.index(blank) for blank in taken])
