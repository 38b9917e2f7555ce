"""What measures the view: the generator that asks on schedule, and what is made of its answers."""

import socketserver
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from app.login.sessions import COOKIE
from app.process.ports import free_port
from app.process.settings import Settings
from app.view.displays import Displays
from bench.view import paced, people, profile, scenes
from bench.view.curves import TOP, UPPER, Curve, over_time
from bench.view.paced import Phase, Plan, Second
from bench.view.phones import LISTS

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
REFUSAL = b"HTTP/1.1 503 X\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n"
Answer = Callable[[bytes], bytes | None]
"""The answer to a request; None breaks the connection."""


@contextmanager
def serving(answer: Answer) -> Iterator[int]:
    """A server that answers so; yields its port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            head = b""
            while more := self.request.recv(65_536):
                head += more
                if head.endswith(b"\r\n\r\n"):
                    said = answer(head)
                    if said is None:
                        return
                    self.request.sendall(said)
                    head = b""

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True
        request_queue_size = 64

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield int(server.server_address[1])
        server.shutdown()


@pytest.fixture
def cookies(tmp_path: Path) -> str:
    path = tmp_path / "cookies.txt"
    path.write_text("".join(f"c{number}\n" for number in range(10)))
    return str(path)


def asked(cookies: str, ports: list[int], *phases: Phase, **more: int) -> paced.Paced:
    plan = Plan(ports, "/v1/me/display", {"Accept": "application/json"}, cookies, list(phases),
                **{"connections": 4, "check_every": 1, **more})  # fmt: skip
    return paced.Generator(plan).run()


# The generator


def test_each_request_is_another_persons_and_all_are_asked(cookies: str) -> None:
    seen: list[bytes] = []

    def answer(head: bytes) -> bytes:
        seen.append(head)
        return OK

    with serving(answer) as port:
        found = asked(cookies, [port], Phase(200, 0.1), connections=1, first=8)
    assert found.kinds == {paced.GOOD: 20}
    wanted = [f"Cookie: {COOKIE}=c{(8 + n) % 10}\r\n".encode() for n in range(20)]
    assert all(cookie in head for cookie, head in zip(wanted, seen, strict=True))
    assert seen[0].startswith(b"GET /v1/me/display HTTP/1.1\r\n")
    assert b"\r\nAccept: application/json\r\n" in seen[0]
    assert [sample.number for sample in found.samples] == [(8 + n) % 10 for n in range(20)]


def test_a_latency_counts_from_when_its_request_was_due(cookies: str) -> None:
    """One answer takes half a second, and those behind it on the one connection wait for it."""
    stalls = iter([True])

    def answer(_: bytes) -> bytes:
        if next(stalls, False):
            time.sleep(0.5)
        return OK

    with serving(answer) as port:
        found = asked(cookies, [port], Phase(50, 0.5), connections=1)
    assert found.kinds == {paced.GOOD: 25}
    assert found.max_ms >= 500
    assert found.p50_ms >= 200  # they were due within the stall, and it was not they who took long


def test_answers_are_told_apart(cookies: str) -> None:
    said = iter(
        [
            OK,
            REFUSAL,
            b"HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n",
            b'HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{"stale":true}',
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            b"HTTP/1.1 429 X\r\ncontent-length: 0\r\n\r\n",
        ]
    )
    with serving(lambda _: next(said)) as port:
        found = asked(cookies, [port], Phase(60, 0.1), connections=1)
    assert found.kinds == {
        paced.GOOD: 2,
        paced.OLD: 1,
        paced.REFUSED: 1,
        paced.NO_RETRY: 1,
        "429": 1,
    }


def test_an_answer_in_pieces_is_one_answer(cookies: str) -> None:
    for end in range(len(OK)):
        assert paced.whole(OK[:end]) is None
    assert paced.whole(OK) == len(OK) - 2


def test_what_breaks_off_is_asked_once_more_of_another_view(cookies: str) -> None:
    with serving(lambda _: None) as broken, serving(lambda _: OK) as other:
        found = asked(cookies, [broken, other], Phase(100, 0.3))
        alone = asked(cookies, [broken], Phase(20, 0.1), connections=1)
    assert found.kinds == {paced.GOOD: 30}
    assert found.again >= 1
    assert paced.GOOD not in alone.kinds
    assert sum(alone.kinds.values()) == 2


def test_a_view_that_does_not_listen_is_left_out(cookies: str) -> None:
    with serving(lambda _: OK) as port:
        found = asked(cookies, [free_port(), port], Phase(100, 0.2))
    assert found.kinds == {paced.GOOD: 20}


def test_a_client_gives_up(cookies: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paced, "GIVE_UP_SECONDS", 0.3)

    def answer(_: bytes) -> bytes:
        time.sleep(1.0)
        return OK

    with serving(answer) as port:
        found = asked(cookies, [port], Phase(30, 0.1), connections=1)
    assert found.kinds[paced.NO_ANSWER] >= 1
    assert sum(found.kinds.values()) == 3
    assert set(found.kinds) <= {paced.NO_ANSWER, paced.NOT_SENT}


def test_phases_follow_each_other(cookies: str) -> None:
    with serving(lambda _: OK) as port:
        found = asked(cookies, [port], Phase(10, 1.0), Phase(40, 1.0))
    answered = [sum(second.kinds.values()) for second in found.by_second]
    assert found.asked == 50
    assert answered[:2] == pytest.approx([10, 40], abs=4)


# What answers say


SETTINGS = Settings(display_key=bytes(range(32)))


def body_of(number: int, colour: str) -> bytes:
    token = Displays(SETTINGS.display_keys).token(people.person(number), "样*甲", "123X")
    return msgspec.json.encode({"code": {"colour": colour}, "token": token})


@pytest.mark.parametrize(
    ("number", "body", "fault"),
    [
        (8, body_of(8, "green"), None),
        (102, body_of(102, "red"), None),
        (9, body_of(9, "red"), None),  # changes all the time
        (8, body_of(8, "red"), "it is red, and should be green"),
        (8, body_of(18, "green"), "it is another person's"),
        (8, body_of(8, "none"), "it has the colour none"),
        (8, msgspec.json.encode({"person": people.person(8), "colour": "green"}), None),
        (8, b"{}", "it says no person and colour"),
        (8, b"[]", "it says no person and colour"),
        (8, b"<!doctype html>", "it says no person and colour"),
    ],
)
def test_an_answer_is_the_right_persons_in_the_right_colour(
    number: int, body: bytes, fault: str | None
) -> None:
    assert people.Reader(SETTINGS).fault(number, body) == fault


def test_of_a_hundred_people_three_are_red_and_half_change() -> None:
    colours = [people.colour(number) for number in range(100)]
    assert (colours.count("red"), colours.count(None)) == (3, 50)


async def test_a_thousand_of_those_who_change_are_red_at_a_time() -> None:
    red, changed = set[str](), Counter[str]()
    async for record in people.changes(10_000, 1_000_000, count()):
        assert record.value is not None
        told = msgspec.json.decode(record.value)
        (red.add if told["data"]["colour"] == "red" else red.discard)(told["partitionkey"])
        changed[told["partitionkey"]] += 1
        if changed.total() == 20_000:
            break
    assert len(red) == people.REDS_MAX
    assert changed.keys() == {people.person(number) for number in range(1, 10_000, 2)}
    assert set(changed.values()) == {4}


# What scenes come to


def second(p99_ms: float | None, **kinds: int) -> Second:
    return Second({kind.lstrip("_"): n for kind, n in kinds.items()}, p99_ms, p99_ms, p99_ms)


@pytest.mark.parametrize(
    ("during", "after", "seconds"),
    [
        ([second(9, _200=5)], [second(9, _200=5)] * 4, 0),
        ([second(None, _503=5)], [second(None, _503=5), *[second(9, _200=5)] * 4], 1),
        ([second(9, _200=5)], [second(900, _200=5), *[second(9, _200=5)] * 4], 1),
        ([second(9, _200=5)], [*[second(9, _200=5)] * 2, *[second(None, _503=5)] * 3], None),
        ([second(9, _200=5)], [second(9 if i % 4 else 900, _200=5) for i in range(1, 12)], 0),
        ([second(9, _200=5)], [second(9 if i % 2 else 900, _200=5) for i in range(1, 12)], None),
        ([second(9, _200=5)], [*[second(900, _200=5)] * 4, *[second(9, _200=5)] * 8], 4),
    ],
    ids=[
        "never otherwise",
        "refused for a second more",
        "slow for a second more",
        "never again",
        "slow now and then, as before",
        "slow half of the time",
        "slow for four seconds more",
    ],
)
def test_when_all_is_as_before(
    during: list[Second], after: list[Second], seconds: int | None
) -> None:
    before = [second(8, _200=5)] * 3
    assert scenes.normal_after([*before, *during, *after], 3, 4) == seconds


# Stages and plots


def test_a_sample_counts_for_one_stage_of_the_main_thread() -> None:
    stacks = "\n".join(
        [
            "thread (7): MainThread;__call__ (litestar/app.py:1);find (redis/asyncio.py:2) 3",
            "thread (7): MainThread;is_over (app/login/x.py:1);find (redis/asyncio.py:2) 2",
            "thread (7): MainThread;run (somewhere.py:2) 1",
            "thread (8): other;find (redis/asyncio.py:2) 50",
        ]
    )
    stages, unnamed = profile.staged(stacks, 7)
    assert stages == {"reading from Redis": 3, "was the session ended": 2, profile.OTHER: 1}
    assert unnamed == {"run (somewhere.py:2)": 1}


def test_a_plot_over_time_is_to_scale_and_leaves_gaps() -> None:
    upper = [Curve("200", [100, 50, None, 100]), Curve("a & b", [0, 0, 25, 0])]
    text = over_time("t <1>", upper, Curve("p99", [1.0, 10.0, None, 100.0]), {2.0: "gone"}, "ms")
    root = ElementTree.fromstring(text)
    lines = [p.get("d") for p in root.iter("{http://www.w3.org/2000/svg}path") if p.get("fill")]
    first, second_, low = (str(line) for line in lines)
    assert [each.count("M") for each in (first, second_, low)] == [2, 1, 2]
    heights = [float(point.split(" ")[1]) for point in first.split("M")[1].split("L")]
    assert heights == pytest.approx([TOP, TOP + UPPER / 2])
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"t <1>", "200", "a & b", "gone", "100 ms"} <= set(texts)


@pytest.mark.parametrize(
    ("address", "is_list"),
    [
        ("/v1/s", True),
        ("/v1/s/00ff1a", True),
        ("/v1/credential-keys", True),
        ("/v1/scans", False),
        ("/v1/me/code", False),
        ("/livez", False),
    ],
)
def test_only_status_lists_are_lists(address: str, is_list: bool) -> None:
    assert (LISTS.fullmatch(address) is not None) is is_list
