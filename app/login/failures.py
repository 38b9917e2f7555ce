"""Every way in which a login can fail, with the status of its page."""

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
    "not-set-up": 503,  # the settings name no provider
    "denied": 403,  # the person, or the provider, said no
    "expired": 400,  # this browser asked nothing, or the answer came too late, or twice
    "provider-away": 503,
    "provider": 502,  # its answer cannot be believed or read
    "document": 422,  # it names no document that can exist
    "gateway": 503,
    "sessions": 503,  # the end of a session cannot be looked up, or cannot be stored
}
assert set(STATUSES) == set(get_args(Why))


class Failed(Exception):
    """A login fails, or something that needs one. `detail` is for the log and names nobody."""

    def __init__(self, why: Why, detail: str = "") -> None:
        super().__init__(f"{why}: {detail}" if detail else why)
        self.why: Why = why
        self.detail = detail
