"""What the register of sources holds, and how an operator changes it: typed events.

Each event replaces what an earlier one said of the same thing: who a source is, whether it is let
in, whether a token was taken back. So the newest of each is the whole register, in any order, and a
compacted topic keeps it (`key_of` says by which key). Whether a source is let in is apart from who
it is: nobody who mends a telephone opens what was closed.
"""

from datetime import datetime
from typing import Annotated, Final

from msgspec import Meta, Struct

from models.events import SOURCE, SOURCE_LENGTH_MAX, Instant
from models.operators import OperatorEvent

SOURCE_REGISTERED: Final = "yuekang.source.registered.v1"
SOURCE_CLOSED: Final = "yuekang.source.closed.v1"
SOURCE_OPENED: Final = "yuekang.source.opened.v1"
TOKEN_TAKEN_BACK: Final = "yuekang.token.taken-back.v1"


def _whole(pattern: str) -> str:
    """Return the pattern for a whole text: `$` alone lets a line's end stand behind it."""
    return pattern.removesuffix("$") + r"$(?!\n)"


SourcePath = Annotated[
    str,
    Meta(
        pattern=_whole(SOURCE.pattern),
        max_length=SOURCE_LENGTH_MAX,
        description="The source, such as /laboratories/440100-001.",
    ),
]
_LINE = _whole(r"^[^\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*$")
"""One line, without signs that nobody sees or that turn the order of others around."""
OfficialName = Annotated[
    str,
    Meta(
        pattern=_LINE,
        min_length=1,
        max_length=100,
        description="The name of an institution or a place, never of a person; 1 to 100 signs.",
    ),
]
Telephone = Annotated[
    str,
    Meta(
        pattern=_whole(r"^(\+[1-9][0-9]{0,2}-)?[0-9]{3,12}(-[0-9]{1,10}){0,2}$"),
        max_length=32,
        description="Digits and hyphens, with the area code, such as 020-12345.",
    ),
]
CityCode = Annotated[
    str,
    Meta(
        pattern=_whole(r"^[1-8][0-9]([0-9]{2}00|90[0-9]{2})$"),
        description="City or province, GB/T 2260, such as 440100.",
    ),
]
KeyId = Annotated[
    str,
    Meta(
        pattern=_whole(r"^[A-Za-z0-9_-]{1,64}$"),
        description="Letters, digits, - and _, at most 64, such as the thumbprint of a key.",
    ),
]
TokenId = Annotated[
    str,
    Meta(pattern=_whole(r"^[!-~]{1,256}$"), description="The jti of a token; printable ASCII."),
]
Why = Annotated[
    str,
    Meta(
        pattern=_LINE,
        min_length=1,
        max_length=200,
        description="Why; the source is told it. It names no person.",
    ),
]
Count = Annotated[int, Meta(ge=1, le=1_000_000_000, description="A number above 0.")]

KEYS_MAX = 8
"""Keys of one source. Two overlap while one is changed; the rest are of before."""


class OfficialNames(Struct, frozen=True, forbid_unknown_fields=True):
    """The name in Chinese and in English."""

    zh: OfficialName
    en: OfficialName


class SourceKey(Struct, frozen=True, forbid_unknown_fields=True):
    """A key of a source by its id, and when it is valid: from an instant on, until before another.

    The key itself is nowhere here.
    """

    id: KeyId
    valid_from: Instant
    valid_until: Instant | None = None

    def is_valid(self, at: datetime) -> bool:
        """Say whether the key is valid at an instant."""
        return self.valid_from <= at and (self.valid_until is None or at < self.valid_until)


class SourceLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """How much a source may send and ask for; None leaves it to what holds for all."""

    events_per_minute: Count | None = None
    person_keys_per_day: Count | None = None


class RegisteredSource(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Who a source is. Without a telephone, that of its city is called."""

    source: SourcePath
    name: OfficialNames
    city: CityCode
    telephone: Telephone | None = None
    keys: Annotated[tuple[SourceKey, ...], Meta(max_length=KEYS_MAX)] = ()
    limits: SourceLimits = SourceLimits()


class ClosedData(Struct, frozen=True, forbid_unknown_fields=True):
    """A source, registered or not, that is let in nowhere; and why."""

    source: SourcePath
    reason: Why


class OpenedData(Struct, frozen=True, forbid_unknown_fields=True):
    """A source that is let in again."""

    source: SourcePath


class TakenBackData(Struct, frozen=True, forbid_unknown_fields=True):
    """A token that is good no more; and until when it would have been, so that it is forgotten."""

    token: TokenId
    until: Instant
    reason: Why


class SourceRegistered(OperatorEvent, frozen=True, kw_only=True, tag=SOURCE_REGISTERED):
    """Who a source is. It takes the place of what was said of it before."""

    data: RegisteredSource


class SourceClosed(OperatorEvent, frozen=True, kw_only=True, tag=SOURCE_CLOSED):
    """A source is let in no more, whatever token it shows."""

    data: ClosedData


class SourceOpened(OperatorEvent, frozen=True, kw_only=True, tag=SOURCE_OPENED):
    """A source that was closed is let in again."""

    data: OpenedData


class TokenTakenBack(OperatorEvent, frozen=True, kw_only=True, tag=TOKEN_TAKEN_BACK):
    """One token is good no more. Its source has others, or gets another."""

    data: TakenBackData


RegisterChange = SourceRegistered | SourceClosed | SourceOpened | TokenTakenBack
"""What may happen to the register."""


def key_of(change: RegisterChange) -> str:
    """Return the key of the change's record: what it is about. A later one takes its place."""
    match change:
        case SourceRegistered(data=data):
            return f"entry {data.source}"
        case SourceClosed(data=data) | SourceOpened(data=data):
            return f"switch {data.source}"
        case TokenTakenBack(data=data):
            return f"token {data.token}"
