"""Displays on their way: what a request does, what is dropped, what the writer's process makes."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from app.process import metrics
from app.process.scheduling import NICENESS
from app.topics.catalogue import CATALOGUE, PORTAL
from app.topics.codec import decode
from app.view import recorder
from app.view.display_writer import (
    ANSWER,
    SIZE,
    Frame,
    Row,
    count,
    records_of,
    settings_of,
    sized,
)
from app.view.recorder import Recorder
from models.events import DisplayDetail, DisplayRecorded, Outcome
from support.brokers import NO_BROKERS
from support.macs import KEYS

AT = datetime(2022, 3, 4, 8, 0, tzinfo=UTC)
FEW = 100
PATIENCE_SECONDS = 60.0

people = st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=32, max_size=32).map("p1-{}".format)
displays = st.tuples(
    people,
    st.integers(0, 10**14).map(lambda micros: AT + timedelta(microseconds=micros)),
    st.sampled_from(DisplayDetail),
)


def person(number: int) -> str:
    return f"p1-{'a' * 31}{'abcdefgh'[number % 8]}"


def outcomes() -> dict[str, float]:
    """How many displays were counted so far, by outcome."""
    return {
        outcome: metrics.VIEW_DISPLAYS.labels(outcome)._value.get()
        for outcome in ("shown", "failed", "lost")
    }


def counted_since(before: dict[str, float]) -> dict[str, float]:
    return {outcome: count - before[outcome] for outcome, count in outcomes().items()}


# What the process makes


@given(st.lists(displays, min_size=1, max_size=30))
def test_each_display_is_one_event_that_a_worker_takes(rows: list[Row]) -> None:
    frame = Frame("0" * 20, rows)
    records = list(records_of(frame, KEYS))
    events = []
    for record, (_, at, _) in zip(records, rows, strict=True):
        topic = CATALOGUE.topics["displays"]
        event = decode(record.value, record.key, record.headers, topic, at)
        assert isinstance(event, DisplayRecorded)
        events.append(event)
    assert {KEYS.author(record) for record in records} == {PORTAL}
    assert len({event.id for event in events}) == len(rows)
    for event, (who, at, detail) in zip(events, rows, strict=True):
        assert (event.partitionkey, event.time, event.data.displayed_at) == (who, at, at)
        assert event.data.detail is detail
        shown = detail in {DisplayDetail.GREEN, DisplayDetail.RED}
        assert event.data.outcome is (Outcome.SHOWN if shown else Outcome.FAILED)
    assert count(frame) == (
        sum(event.data.outcome is Outcome.SHOWN for event in events),
        sum(event.data.outcome is Outcome.FAILED for event in events),
    )
    assert list(records_of(frame, KEYS)) == records, "made again they are the same displays"


def test_what_the_process_is_told_has_no_key_but_the_portals_and_shows_none() -> None:
    asked = settings_of(NO_BROKERS, KEYS, "INFO")
    assert asked.mac_key == KEYS.alone("portal")[1]
    assert asked.mac_key.hex() not in repr(asked)
    assert repr(asked.mac_key) not in repr(asked)


# What a request does, and what is dropped


def test_what_finds_the_queue_full_is_dropped_and_counted_and_said_once_a_stretch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recorder, "WAITING_MAX", FEW)
    clock = [1_000.0]
    monkeypatch.setattr("app.view.recorder.time.monotonic", lambda: clock[0])
    full = Recorder(NO_BROKERS, KEYS)
    before = outcomes()
    with capture_logs() as lines:
        for number in range(FEW + 7):
            full.record(person(number), AT, DisplayDetail.GREEN)
            clock[0] += recorder.STRETCH_SECONDS / 10
        full._dropping.over(recorder.STRETCH_SECONDS)
        assert [line["event"] for line in lines] == ["displays_dropped"], "it is not over yet"
        clock[0] += recorder.STRETCH_SECONDS
        full._dropping.over(recorder.STRETCH_SECONDS)
        full._dropping.over(recorder.STRETCH_SECONDS)
        full.record(person(0), AT, DisplayDetail.RED)
    assert [(line["event"], line.get("count")) for line in lines] == [
        ("displays_dropped", None),
        ("displays_dropped_no_more", 7),
        ("displays_dropped", None),
    ]
    assert counted_since(before) == {"shown": 0, "failed": 0, "lost": 8}
    assert "p1-" not in str(lines)


async def test_what_is_left_at_the_end_is_counted_as_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no Kafka: the process can write nothing, and is given up."""
    monkeypatch.setattr(recorder, "END_SECONDS_MAX", 0.2)
    monkeypatch.setattr(recorder, "PROCESS_END_SECONDS_MAX", 0.2)
    away = Recorder(NO_BROKERS, KEYS)
    before = outcomes()
    away.start()
    for number in range(FEW):
        away.record(person(number), AT, DisplayDetail.GREEN)
    with capture_logs() as lines:
        await away.stop()
    assert [(line["event"], line["count"]) for line in lines] == [("displays_lost", FEW)]
    assert counted_since(before) == {"shown": 0, "failed": 0, "lost": FEW}


# The process may end at any time

STAND_IN = f"""
import os, struct, sys
import msgspec

path, dies = sys.argv[1:]
size = struct.Struct({SIZE.format!r})


def message():
    [length] = size.unpack(sys.stdin.buffer.read(size.size))
    return msgspec.msgpack.decode(sys.stdin.buffer.read(length))


def death(where):
    if where != dies:
        return
    with open(path + ".frames", "ab") as begun:
        begun.write(b".")
    if os.path.getsize(path + ".frames") % 3 == 0:
        os._exit(1)


message()
while True:
    frame, rows = message()
    death("before")
    with open(path, "a") as out:
        for number, row in enumerate(rows):
            print(f"{{frame}}{{number:04x}}", row[0], row[1].timestamp(), file=out)
            if number == len(rows) // 2:
                out.flush()
                death("within")
    death("after")
    os.write(1, struct.pack({ANSWER.format!r}, len(rows), 0))
"""
"""Takes frames as the process does, and writes their rows to a file; ends at a third of them."""


@pytest.mark.parametrize("dies", ["before", "within", "after"])
async def test_a_process_that_ends_loses_no_display_and_makes_none_twice(
    dies: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "rows"
    monkeypatch.setattr(recorder, "WRITER", (sys.executable, "-c", STAND_IN, str(out), dies))
    monkeypatch.setattr(recorder, "ROWS_MAX", 10)
    monkeypatch.setattr(recorder, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(recorder, "GATHER_SECONDS", 0.001)
    before = outcomes()
    writing = Recorder(NO_BROKERS, KEYS)
    writing.start()
    for number in range(FEW):
        at = AT + timedelta(seconds=number)
        writing.record(person(number), at, DisplayDetail.GREEN)
    await until(lambda: not writing._left())
    await writing.stop()
    assert counted_since(before) == {"shown": FEW, "failed": 0, "lost": 0}
    seconds: dict[str, Counter[float]] = defaultdict(Counter)
    found: dict[str, tuple[str, float]] = {}
    for line in out.read_text().splitlines():
        id_, who, at_seconds = line.split()
        assert found.setdefault(id_, (who, float(at_seconds))) == (who, float(at_seconds))
        seconds[who][float(at_seconds)] += 1
    assert len(found) == FEW
    assert {at for _, at in found.values()} == {AT.timestamp() + n for n in range(FEW)}
    by_person: dict[str, list[float]] = defaultdict(list)
    for who, at_ in found.values():
        by_person[who].append(at_)
    assert all(ats == sorted(ats) for ats in by_person.values()), "a person's keep their order"
    again = sum(count - 1 for counts in seconds.values() for count in counts.values())
    assert (again > 0) == (dies != "before"), "what was written and not said is written again"


@pytest.mark.parametrize("new_loop", [uvloop.new_event_loop, asyncio.new_event_loop])
@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.5])
def test_a_process_that_ends_while_nothing_is_shown_is_followed_by_another(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
    seconds: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the loop that the view has, and on Python's: a pipe that is closed is not the same."""
    out = tmp_path / "rows"
    monkeypatch.setattr(recorder, "WRITER", (sys.executable, "-c", STAND_IN, str(out), "never"))
    monkeypatch.setattr(recorder, "AGAIN_SECONDS", 0.0)

    async def show_and_kill() -> None:
        writing = Recorder(NO_BROKERS, KEYS)
        writing.start()
        for number in range(3):
            writing.record(person(number), AT, DisplayDetail.GREEN)
            await until(lambda: not writing._left())
            for pid in started_by(os.getpid(), str(out)):
                os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(seconds)
        writing.check()
        await writing.stop()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(show_and_kill())
    assert len(out.read_text().splitlines()) == 3


async def test_a_machine_without_a_process_to_spare_drops_displays_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recorder, "WRITER", ("/nowhere/python",))
    monkeypatch.setattr(recorder, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(recorder, "GATHER_SECONDS", 0.01)
    monkeypatch.setattr(recorder, "END_SECONDS_MAX", 0.1)
    writing = Recorder(NO_BROKERS, KEYS)
    writing.start()
    writing.record(person(0), AT, DisplayDetail.GREEN)
    with capture_logs() as lines:
        await until(lambda: len(lines) > 1)
        writing.check()  # does not raise
        await writing.stop()
    assert {line["event"] for line in lines} == {"display_writer_ended", "displays_lost"}


VIEW = """
import asyncio
from app.process.kafka import Brokers
from app.topics.authentic import SourceKeys
from app.view.recorder import Recorder
from models.events import DisplayDetail
from datetime import UTC, datetime

async def main():
    recorder = Recorder(Brokers("127.0.0.1:1"), SourceKeys.of_master(bytes(32)))
    recorder.start()
    recorder.record("p1-" + "a" * 32, datetime.now(UTC), DisplayDetail.GREEN)
    await asyncio.sleep(600)

asyncio.run(main())
"""
"""A view that shows one code; there is no Kafka."""


def test_the_writer_of_a_view_that_is_killed_ends_by_itself() -> None:
    with subprocess.Popen([sys.executable, "-c", VIEW], stderr=subprocess.DEVNULL) as view:
        try:
            [writer] = asyncio.run(seen(lambda: children(view.pid)))
            assert os.getpriority(os.PRIO_PROCESS, writer) >= NICENESS
            for number in (signal.SIGINT, signal.SIGTERM):  # as a terminal and systemd send to all
                os.kill(writer, number)
        finally:
            view.kill()
    asyncio.run(until(lambda: not is_there(writer)))


def children(pid: int) -> list[int]:
    """The writers that a process has started, once they heed no signal."""
    return [
        child
        for child in started_by(pid, "app.view.display_writer")
        if int(status_of(child)["SigIgn"], 16) >> (signal.SIGTERM - 1) & 1
    ]


def started_by(pid: int, named: str) -> list[int]:
    """The processes that one has started and whose command line holds `named`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, KeyError):
            child = int(entry.name)
            if int(status_of(child)["PPid"]) == pid and named in (entry / "cmdline").read_text():
                found.append(child)
    return found


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def seen(look: Callable[[], list[int]]) -> list[int]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (those := look()):
            await asyncio.sleep(0.01)
    return those


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():
            await asyncio.sleep(0.01)


def test_a_message_has_its_length_before_it() -> None:
    assert sized(b"abc") == b"\0\0\0\3abc"
