"""Every way in which a login fails, with the status of its page."""

from typing import Literal, get_args

Why = Literal[
    "not-set-up",
    "denied",
    "expired",
    "provider-away",
    "provider",
    "document",
    "gateway",
    "sessions",
]

STATUSES: dict[Why, int] = {
    "not-set-up": 503,  # there is no provider in the settings
    "denied": 403,  # the person, or the provider, said no
    "expired": 400,  # the answer is to no question of this browser, or came too late, or twice
    "provider-away": 503,
    "provider": 502,  # its answer cannot be believed, or not be read
    "document": 422,  # it names no document that can exist
    "gateway": 503,
    "sessions": 503,  # whether a session was ended cannot be known, or not be stored
}
assert set(STATUSES) == set(get_args(Why))


class Failed(Exception):
    """A login, or what needs one, fails. `detail` is for the log and names nobody."""

    def __init__(self, why: Why, detail: str = "") -> None:
        super().__init__(f"{why}: {detail}" if detail else why)
        self.why: Why = why
        self.detail = detail
