"""How long, how many, how large, for credentials: our own decisions, all in one place."""

from datetime import timedelta

LIFE = timedelta(hours=24)
"""A credential is good for so long at most, and never beyond the instant at which its code changes
by itself. A phone that is online has a new one every hour (static/wallet.js); a day is for one that
is not."""

PROOF_SECONDS = 30
"""How long the second that a phone signed is good. A photograph of its QR is worth no more."""

PROOF_CLOCK_SECONDS = 5
"""How far the clocks of a phone and of whoever reads its QR may differ. The same as for terminals
(app.view.limits)."""

READ_SECONDS = 0.25
"""A list is read again when it was read longer ago, and signed at once if a bit has changed. A
list can be so much later than a code."""

CACHE_SECONDS = 1
"""How long a cache in front may answer for us: the least that HTTP can say. A red is on a phone so
much later there, and `x-as-of` says so."""

ASK_SECONDS = 5
"""A session has one credential in this time. It is less than anybody needs to log in again."""

SIGN_SECONDS = 15
"""A list in which nothing changed is signed again at each multiple of this that its data come to,
so that it says how old it is; a phone is told that beside it (`x-as-of`). A terminal that asks
every 20 s, and may keep a list for 15 s, is within the minute that is promised."""

LIST_SECONDS_MAX = 15 * 60
"""No terminal believes a list older than this. Who turns red meanwhile would be green at a gate
without a network. Fifteen minutes are a train through a tunnel or a router that starts again; the
policy is the gate's, and its page is told by the list itself (`exp`)."""

NAME_BYTES_MAX = 18
"""Of the masked name: six Chinese characters or 18 letters. A QR of version 12 with level M takes
the longest credential then, and not one byte more (tests/unit/test_credentials.py)."""

TEXT_LENGTH_MAX = 419
"""Characters that a QR of version 12 with level M takes (ISO/IEC 18004, table 7)."""
