"""Where a text carries the number of a person's document or phone, however it is written.

What is found:

| Number | Where | What must be right |
|---|---|---|
| card or residence permit, 18 characters | by itself | region, day of birth, check character |
| the same | in a longer run of digits | these, and born before `EARLIEST_DAY` |
| card of before 1999, 15 digits | beside no digit | region, day of birth, born since 1924 |
| Mainland travel permit | beside no letter or digit | H or M, 8 or 10 digits, no day since 2020 |
| mobile phone | beside no digit | 13 to 19, and 9 digits; 86 may stand before it |

First a text is read in one way. JSON's escapes, compatible forms of a character (full-width,
circled, superscript: Unicode's NFKC) and the digits of all scripts become what they stand for.
Characters without a width are left out. Separators
within a number (blanks, dots, hyphens, slashes, lines) say nothing.

A UUID, and 16 or more hexadecimal characters with a letter, are no old card and no phone: of such
every hundredth would be. Nor is a person key. In `sequence` the 18 characters alone are
looked for, since a counter of 11 or 15 digits is one.

Nobody is looked up, so other numbers have these forms too. The bounds keep the honest ones out.
Born before `EARLIEST_DAY`: no barcode of division, day and count is a card. Born since 1924: no
time of day, whose hour is 00 to 23, is the year of an old one. How often something honest is still
refused, and what cannot be found, is in docs/decisions/0028-personal-numbers.md.
"""

import re
import unicodedata
from datetime import date

from stdnum.iso7064 import mod_11_2

from models.checks import EARLIEST_DAY
from models.documents import RESIDENCE_PERMIT_REGIONS
from models.events import PROVINCES

_RESIDENCE = "|".join(RESIDENCE_PERMIT_REGIONS.values())
_GAP = r"[ \t._/\-]"
_GAPS = re.compile(_GAP)

_CARD = re.compile(
    rf"(?=((?:(?:{PROVINCES})[0-9]{{4}}|{_RESIDENCE})"
    r"((?:189[2-9]|19[0-9][0-9]|20[0-9][0-9])(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01]))"
    r"[0-9]{3}[0-9X]))"
)
_OLD_CARD = re.compile(
    rf"[1-7](?<![0-9].)(?<=(?={PROVINCES}).)[0-9]{{5}}{_GAP}?((?:2[4-9]|[3-9][0-9])[0-9]{{4}}){_GAP}?[0-9]{{3}}"
    r"(?![0-9])"
)
_PERMIT = re.compile(
    rf"[HM](?<![0-9A-Z].){_GAP}?([0-9]{{4}}){_GAP}?([0-9]{{4}})(?:{_GAP}?[0-9]{{2}})?(?![0-9A-Z])"
)
_PHONE = re.compile(
    rf"1(?:(?<![0-9].)|(?<=(?<![0-9])86.)|(?<=(?<![0-9])86{_GAP}.)"
    rf"|(?<=(?<![0-9])0086.)|(?<=(?<![0-9])0086{_GAP}.))"
    rf"(?:[3-9][0-9]{_GAP}?[0-9]{{4}}{_GAP}?[0-9]{{4}}"
    rf"|(?= *[3-9])(?: *[0-9]){{10}}|(?={_GAP}[3-9])(?:{_GAP}[0-9]){{10}})(?![0-9])"
)
"""As telephones group it; with blanks anywhere; with something between any two digits. Hyphens
anywhere would make a phone of 15-20220420-7."""

_MACHINE = re.compile(
    r"\b(?:[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}|(?=[0-9]*[A-F])[0-9A-F]{16,})\b",
    re.ASCII,
)
_PERSON_KEY = re.compile(r"P[1-9][0-9]{0,3}-[A-Z2-7]{32}")
_SEQUENCE = re.compile(r'"SEQUENCE"\s*:\s*"[0-9]*"')

_ESCAPED = re.compile(r"\\+(?:u([0-9a-fA-F]{4})|[bfnrt])")


_OTHER = re.compile(r"[^\x00-\x7f\u4000-\u9fff]")


def respelt(text: str) -> str:
    """Return `text` with one spelling for each digit, letter and separator; all in capitals."""
    if "\\" in text:
        text = _ESCAPED.sub(lambda it: chr(int(it[1], 16)) if it[1] else " ", text)
    if not text.isascii():
        text = _OTHER.sub(_plain, unicodedata.normalize("NFKC", text))
    return text.upper()


def _plain(match: re.Match[str]) -> str:
    """Return what a character that NFKC leaves stands for; "" if it has no width."""
    character = match[0]
    match unicodedata.category(character):
        case "Nd":
            return str(unicodedata.decimal(character))
        case "Cf" | "Mn" | "Me":
            return ""
        case "Pd" | "Sm":
            return "-"
        case "Zs" | "Zl" | "Zp" | "Cc":
            return " "
        case "Po" if character in "·•‧∙。":
            return "."
        case _:
            return character


def holds_personal_number(text: str) -> bool:
    """Say whether `text`, JSON or any other, holds a document's or a phone's number.

    It is slow; app.topics.numbers asks for suspicious texts only.
    """
    text = respelt(text)
    if _holds_card(_GAPS.sub("", text)):
        return True
    rest = _SEQUENCE.sub("", _MACHINE.sub("", _PERSON_KEY.sub("", text)))
    if _PHONE.search(rest):
        return True
    if any(_is_day(f"19{it[1]}") for it in _OLD_CARD.finditer(rest)):
        return True
    return any(
        it[1] < "2020" or it[1] > "2099" or not _is_day(it[1] + it[2])
        for it in _PERMIT.finditer(rest)
    )


_EARLIEST = EARLIEST_DAY.replace("-", "")


def _holds_card(digits: str) -> bool:
    for it in _CARD.finditer(digits):
        number, born = it[1], it[2]
        by_itself = not (
            digits[it.start() - 1 : it.start()].isdigit()
            or digits[it.end(1) : it.end(1) + 1].isdigit()
        )
        if (by_itself or born < _EARLIEST) and _is_day(born) and mod_11_2.is_valid(number):
            return True
    return False


def _is_day(digits: str) -> bool:
    try:
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return True
