"""What an absent Kafka repeats is said once a minute, with the count of what was left out."""

import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from app.process.logs import KINDS_MAX, SELDOM_SECONDS, Seldom, configure


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def seldom(clock: Clock) -> Seldom:
    return Seldom(clock)


def line(text: object, *values: object, logger: str = "aiokafka.conn") -> logging.LogRecord:
    return logging.LogRecord(logger, logging.ERROR, "", 0, text, values or None, None)


def test_a_kind_is_written_once_a_minute_and_counted(seldom: Seldom, clock: Clock) -> None:
    shown = [seldom.filter(line("no connection to %s", port)) for port in range(100)]
    assert shown == [True] + [False] * 99
    clock.now += SELDOM_SECONDS
    again = line("no connection to %s", 7)
    assert seldom.filter(again)
    assert again.getMessage() == "no connection to 7 (99 more like it were left out)"
    clock.now += SELDOM_SECONDS
    alone = line("no connection to %s", 8)
    assert seldom.filter(alone)
    assert alone.getMessage() == "no connection to 8"


def test_kinds_are_told_apart(seldom: Seldom) -> None:
    assert seldom.filter(line("one"))
    assert seldom.filter(line("another"))
    assert seldom.filter(line("one", logger="faust"))
    assert not seldom.filter(line("one"))


def raising(error: type[Exception]) -> logging.LogRecord:
    try:
        raise error("?")
    except Exception:
        return logging.LogRecord(
            "aiokafka.consumer", logging.ERROR, "", 0, "Unexpected error", None, sys.exc_info()
        )


def test_another_exception_is_another_kind(seldom: Seldom) -> None:
    """So its traceback is not lost, although the text is the same."""
    shown = [seldom.filter(raising(error)) for error in (KeyError, OSError, KeyError, OSError)]
    assert shown == [True, True, False, False]
    try:
        raise KeyError
    except KeyError:
        elsewhere = line("Unexpected error", logger="aiokafka.consumer")
        elsewhere.exc_info = sys.exc_info()
    assert seldom.filter(elsewhere)


def test_so_are_events_of_ours_that_are_marked(seldom: Seldom, clock: Clock) -> None:
    away = {"event": "kafka_away", "seldom": True}
    first = line(away | {"partition": 1}, logger="app.x")
    assert seldom.filter(first)
    assert first.msg == {"event": "kafka_away", "partition": 1}, "the mark is for nobody to read"
    assert not seldom.filter(line(away | {"partition": 2}, logger="app.x"))
    clock.now += 100 * SELDOM_SECONDS
    again = line(away, logger="app.x")
    assert seldom.filter(again)
    assert again.msg == {"event": "kafka_away", "left_out": 1}


def test_all_else_is_written_each_time(seldom: Seldom) -> None:
    for _ in range(3):
        assert seldom.filter(line({"event": "partition_halted"}, logger="app.engine.lanes"))
        assert seldom.filter(line("the same", logger="app.worker"))


def test_more_kinds_than_there_are_lose_nothing(seldom: Seldom) -> None:
    for number in range(KINDS_MAX):
        assert seldom.filter(line(f"kind {number}"))
    for _ in range(2):
        assert seldom.filter(line("one kind more"))


@pytest.fixture
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_process_writes_so(capfd: pytest.CaptureFixture[str], as_before: None) -> None:
    configure("info")
    for port in range(50):
        logging.getLogger("aiokafka.client").error("Unable connect to %s", port)
        structlog.get_logger("app.x").warning("lag_unknown", seldom=True, error=str(port))
        structlog.get_logger("app.x").warning("fenced", partition=port)
    written = [json.loads(each)["event"] for each in capfd.readouterr().err.splitlines()]
    assert written.count("Unable connect to 0") == 1
    assert written.count("lag_unknown") == 1
    assert written.count("fenced") == 50
    assert len(written) == 52
