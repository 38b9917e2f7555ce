"""Who asks, as the view's process tells it to the application."""

from typing import Any

import pytest

from app.view.server import behind_proxies

PROXY, STRANGER, RESIDENT = "10.0.0.5", "192.0.2.9", "192.0.2.1"


@pytest.mark.parametrize(
    ("trusted", "asks", "forwarded", "seen"),
    [
        ("", PROXY, RESIDENT, PROXY),
        (PROXY, PROXY, RESIDENT, RESIDENT),
        ("10.0.0.0/8", PROXY, RESIDENT, RESIDENT),
        (PROXY, STRANGER, RESIDENT, STRANGER),
        (PROXY, PROXY, f"127.0.0.1, {RESIDENT}", RESIDENT),
    ],
    ids=["none", "address", "network", "not the proxy", "what the proxy was told before"],
)
async def test_only_a_trusted_proxy_says_who_asks(
    trusted: str, asks: str, forwarded: str, seen: str
) -> None:
    clients = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        clients.append(scope["client"][0])

    headers = [(b"x-forwarded-for", forwarded.encode())]
    scope: Any = {"type": "http", "client": (asks, 1), "headers": headers}
    nothing: Any = None  # the application neither receives nor sends
    await behind_proxies(app, trusted)(scope, nothing, nothing)
    assert clients == [seen]
