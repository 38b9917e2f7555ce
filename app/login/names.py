"""A name as a gate may see it: enough to recognise one's own, too little to tell another's.

Chinese names keep the first and the last character (陈小明 → 陈*明; 李四 → 李*), others the first
letter of each word (Ana Rosa → A** R***). Every part of a name loses at least one character. What
tells two of one name apart is the ending of their document number.
"""

import re
import unicodedata

NAME_LENGTH_MAX = 100
"""Longer than any name that fits on a document; characters beyond it are not looked at."""

ENDING_LENGTH = 4
"""As tickets and receipts show it. Of a resident identity card these are a serial number within a
place and a day, and the check character: no birthday, no place."""

_PARTS = re.compile(r"([\s·・.\-]+)")
"""What stands between the parts of a name, such as the dot in 买买提·艾力."""


def mask(name: str) -> str:
    """Return the masked name; an empty name stays empty."""
    shown = unicodedata.normalize("NFC", name[:NAME_LENGTH_MAX])
    shown = "".join(c for c in shown if unicodedata.category(c) not in _UNSEEN).strip()
    return "".join(
        part if _PARTS.fullmatch(part) else _mask_part(part) for part in _PARTS.split(shown)
    )


def ending_of(number: str) -> str:
    """Return the last characters of a document number."""
    return number[-ENDING_LENGTH:]


_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn"})
"""Categories of characters that show nothing, or reverse the order of those that do."""


def _mask_part(part: str) -> str:
    # A combining accent belongs to the letter before it.
    letters: list[str] = re.findall(r"\w[\u0300-\u036f]*|.", part, re.DOTALL)
    if len(letters) < 2:
        return "*" * len(letters)
    if len(letters) > 2 and _is_ideograph(letters[0]):
        return letters[0] + "*" * (len(letters) - 2) + letters[-1]
    return letters[0] + "*" * (len(letters) - 1)


def _is_ideograph(character: str) -> bool:
    return unicodedata.name(character[0], "").startswith("CJK ")
