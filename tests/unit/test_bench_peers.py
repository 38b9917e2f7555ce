"""The peers do the same work: what the Java one judges is held against models/, world by world."""

import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from app.development.stack.broker import ROOT
from app.topics.codec import Refusal, decode
from bench import workload
from models.codes import HealthCode, StatusChanged, changed
from models.person import Person, fold, unknown
from models.policy import POLICIES
from support import builders, strategies

TARGET = ROOT / "bench" / "peers" / "java" / "target"

pytestmark = pytest.mark.skipif(
    not (TARGET / "bench-peer.jar").exists(), reason="the peers are not built: make bench-setup"
)

Arrival = tuple[int, bytes]


class Peer:
    """The Java peer, folding what it is given."""

    def __init__(self) -> None:
        java = shutil.which("java")
        assert java is not None
        classes = f"{TARGET}/bench-peer.jar:{TARGET}/libs/*"
        self._process = subprocess.Popen(
            [java, "-cp", classes, "yuekang.bench.Main", "replay"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def told(self, arrivals: list[Arrival]) -> tuple[Any, Any, list[str]]:
        """Return the code, the changes and the reasons of dead letters, for one person."""
        lines = [b"%d\t%s\n" % arrival for arrival in arrivals]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"".join([*lines, b"\n"]))
        self._process.stdin.flush()
        code, changes, refused = (self._process.stdout.readline() for _ in range(3))
        return (
            msgspec.json.decode(code, type=HealthCode | None),
            [event.data for event in msgspec.json.decode(changes, type=list[StatusChanged])],
            [reason for reason in refused.decode().strip().split(",") if reason],
        )

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(30) == 0


def told_by_models(arrivals: list[Arrival]) -> tuple[Any, Any, list[str]]:
    """Return the same, by app.topics.codec and models."""
    row: Person | None = None
    changes: list[Any] = []
    refused: list[str] = []
    for stamp, value in arrivals:
        at = datetime.fromtimestamp(stamp / 1000, tz=workload.BEGIN.tzinfo)
        key = builders.PERSON.encode()
        try:
            event: Any = decode(value, key, (), workload.INPUT, at)
        except Refusal as refusal:
            refused.append(str(refusal.code))
            continue
        outcome = fold(row or unknown(builders.PERSON, at), event, at)
        row = outcome.person
        changes += (changed(change).data for change in outcome.changes)
        refused += (str(notice.objection) for notice in outcome.notices)
    return row.code if row else None, changes, refused


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    running = Peer()
    yield running
    running.stop()


@st.composite
def arrivals(draw: DrawFn) -> list[Arrival]:
    """A world's events as they arrive, some twice, in order of arrival or against it."""
    events = draw(strategies.worlds())
    found = [
        (round(draw(strategies.arrivals(event)).timestamp() * 1000), msgspec.json.encode(event))
        for event in events
    ]
    if found:
        found += draw(st.lists(st.sampled_from(found), max_size=3))
    return sorted(found) if draw(st.booleans()) else found


@settings(max_examples=300, deadline=None)
@given(arrivals=arrivals())
def test_the_java_peer_tells_what_the_models_tell(peer: Peer, arrivals: list[Arrival]) -> None:
    assert peer.told(arrivals) == told_by_models(arrivals)


def test_of_a_full_row_the_java_peer_lets_go_of_what_the_models_let_go_of(peer: Peer) -> None:
    def daily(number: int, reported: int) -> Any:
        at = builders.day(number)
        return builders.negative(at, builders.day(number, reported), id=f"day-{number}")

    days = range(3, POLICIES[0].facts_max + 50)
    first = [builders.verified(builders.day(1)), builders.positive(builders.day(2))]
    events = [*first, *(daily(number, 12) for number in days)]
    # Once more with another content: a conflict where it is held, and none where it has left.
    events += [daily(number, 13) for number in days]
    at = round(builders.day(days[-1] + 1).timestamp() * 1000)
    given_ = [(at + n, msgspec.json.encode(event)) for n, event in enumerate(events)]
    told = told_by_models(given_)
    assert 0 < told[2].count("conflict") < len(days)
    assert peer.told(given_) == told


def broken() -> Iterator[bytes]:
    """A result, broken in each way that a line can carry and that is not of the record's key."""
    event = msgspec.to_builtins(builders.negative(builders.day(2)))
    for breakage in workload.BREAKAGES:
        value = breakage(event)
        if value is not None and b"\xff" not in value and builders.PERSON.encode() in value:
            yield value


@pytest.mark.parametrize("value", [*broken()])
def test_the_java_peer_refuses_what_the_codec_refuses(peer: Peer, value: bytes) -> None:
    given_ = [(round(builders.day(6).timestamp() * 1000), value)]
    code, changes, refused = told_by_models(given_)
    assert refused, "the breakage is none"
    assert peer.told(given_) == (code, changes, refused)


NUMBERS = [
    b"11010519491231002X",
    b"110105194912310021",
    b"M12345678",
    b"H1234567890",
    b"h12345678",
    b"1234567890123456789",
]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("place", [b'"institution":"', b'"sequence":"', b'"institution":"x '])
def test_the_java_peer_finds_the_document_numbers_that_the_codec_finds(
    peer: Peer, number: bytes, place: bytes
) -> None:
    value = msgspec.json.encode(builders.negative(builders.day(2)))
    start = value.find(place.partition(b":")[0] + b':"')
    end = value.find(b'"', start + len(place.partition(b":")[0]) + 2)
    text = place.partition(b':"')[2] + number
    name = place.partition(b":")[0]
    changed_value = value[:start] + name + b':"' + text + value[end:]
    given_ = [(round(builders.day(6).timestamp() * 1000), changed_value)]
    assert peer.told(given_)[2] == told_by_models(given_)[2]
