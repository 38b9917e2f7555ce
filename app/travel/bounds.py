"""How long, how often, how much, for travel cards: our own decisions, all in one place."""

from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerHour, RateLimitItemPerMinute
from msgspec import Struct

CODE_DIGITS = 6
"""OWASP ASVS 5.0, 6.5.4 asks for 20 bits, and accepts six random digits."""

CODE_SECONDS = 5 * 60
"""ASVS 5.0, 6.5.5 allows ten minutes at most."""

TRIES_MAX = 5
"""Five tries of ten codes a day are 50 chances in a million. One asker who tries every day guesses
the code of another's phone once in 55 years, and its owner gets ten messages on each of those
days."""

CODE_KEPT_SECONDS = 60 * 60
"""How long a used, spent or expired code is told apart from one that never was."""

SENDING_SECONDS_MAX = 20.0
"""A send that takes longer than this no longer holds back the asker's next one."""

DRIVER_SECONDS_MAX = 5.0
GATEWAY_SECONDS_MAX = 3.0
RETRY_SECONDS = 5

PHONE_TEXT_MAX, CODE_TEXT_MAX = 32, 16
"""The longest texts that are read as a phone number, and as a code."""


class Bounds(Struct, frozen=True):
    """How often one may ask. Each limit counts by itself.

    `sends` counts the messages sent for one asker, to whatever phone. One a minute is what a page's
    "send again" counts down; ten a day are what a household's phones need. `address_sends` counts
    them for one address, or one /64 of IPv6. Hundreds of people may share an address, so a single
    asker takes a hundredth of it at most. `asks` counts the requests of one asker, failed ones too.
    """

    sends: tuple[RateLimitItem, ...] = (
        RateLimitItemPerMinute(1),
        RateLimitItemPerHour(5),
        RateLimitItemPerDay(10),
    )
    address_sends: tuple[RateLimitItem, ...] = (RateLimitItemPerHour(1_000),)
    asks: tuple[RateLimitItem, ...] = (RateLimitItemPerMinute(30, 10),)
