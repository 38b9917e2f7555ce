"""How long, how often, how much, for travel cards: own decisions, all in one place."""

from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerHour, RateLimitItemPerMinute
from msgspec import Struct

CODE_DIGITS = 6
"""OWASP ASVS 5.0, 6.5.4: 20 bits, for which six random digits are enough."""

CODE_SECONDS = 5 * 60
"""ASVS 5.0, 6.5.5: at most ten minutes."""

TRIES_MAX = 5
"""Five tries of ten codes a day are 50 in a million: one asker who tries every day guesses the code
of a phone that is not theirs once in 55 years, and its owner has had ten messages on each day."""

CODE_KEPT_SECONDS = 60 * 60
"""For so long a code that is used, spent or expired is told apart from one that never was."""

SENDING_SECONDS_MAX = 20.0
"""A send that has not ended after this long no longer holds back the asker's next one."""

DRIVER_SECONDS_MAX = 5.0
GATEWAY_SECONDS_MAX = 3.0
RETRY_SECONDS = 5

PHONE_TEXT_MAX, CODE_TEXT_MAX = 32, 16
"""Longest texts that are looked at as a phone number and as a code."""


class Bounds(Struct, frozen=True):
    """How often one may ask; each limit is kept by itself.

    `sends` counts messages sent for one asker, whatever the phone: one a minute is what a page's
    "send again" counts down; ten a day are what a household's phones need. `address_sends` counts
    them for one address, or one /64 of IPv6: hundreds of people may have one, so a single asker
    takes a hundredth of it at most. `asks` counts requests of one asker, failed ones too.
    """

    sends: tuple[RateLimitItem, ...] = (
        RateLimitItemPerMinute(1),
        RateLimitItemPerHour(5),
        RateLimitItemPerDay(10),
    )
    address_sends: tuple[RateLimitItem, ...] = (RateLimitItemPerHour(1_000),)
    asks: tuple[RateLimitItem, ...] = (RateLimitItemPerMinute(30, 10),)
