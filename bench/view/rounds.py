"""How many displays a second there are, what one costs, and how long it takes; round by round.

Of each address a round has: sessions that the view, just started, sees for the first time; the most
answers a second of sessions that it knows, by connections; the same of a constant answer; latencies
at 80% of that, on schedule; and sessions whose cookie is due for renewal. All the while changes of
codes flow. What these cost alone is measured before anybody asks: what folds displays works on for
a while when nobody asks any more.
"""

import gzip
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep

import msgspec
from msgspec import Struct

from app.development.stack.stack import Say
from app.login.sessions import COOKIE, RENEW
from app.process.ports import free_port
from bench.sides import OWN_PYTHON
from bench.view import closed, paced, people
from bench.view.constant import ConstantServer, answer_of
from bench.view.stage import Stage

CONNECTIONS = (16, 64, 256)
SECONDS = 8
COLD_SECONDS = 3
"""Fewer than all are asked within it, so each is seen for the first time."""
SHARE = 0.8
PACED_SECONDS = 10.0
PACED_CONNECTIONS = 256
BASE_SECONDS = 5.0
CHANGES_SECONDS = 20.0
LEAST_CORES = 0.005
TURN_SECONDS = 1.0
CHECKED = 2_000
"""Answers that are read, of each paced run."""


class Address(Struct, frozen=True):
    """What is asked for, and how."""

    name: str
    path: str
    headers: dict[str, str]

    def url(self, port: int) -> str:
        """Return where it is on a port of this machine."""
        return f"http://127.0.0.1:{port}{self.path}"


def addresses(display: str) -> list[Address]:
    """Return what a phone asks for, at the address `display`, and the page."""
    page = {"Accept": "text/html", "Accept-Encoding": "gzip", "Accept-Language": "zh-CN"}
    return [
        Address("display", display, {"Accept": "application/json"}),
        Address("page", "/code", page),
    ]


class Latencies(Struct, frozen=True):
    """A paced run at `rate`. `kinds` are the answers; `faults` what was wrong with the bodies of
    the `checked`. `late_p99_ms` and `busy` are of the generator itself."""

    rate: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    late_p99_ms: float
    busy: float
    kinds: dict[str, int]
    checked: int
    faults: dict[str, int]
    lag_s_max: float | None


class Asked(Struct, frozen=True):
    """One address in one round. Rates are answers of 200 a second.

    `errors` are answers that were none of these, and broken connections, of all closed loops.
    `cost_us` is the CPU time of an answer by process, at the most answers a second, beyond what the
    changes cost alone; `cost_all_us` is with that, of all processes but the generator.
    """

    round: int
    name: str
    body_bytes: int
    cold: float
    warm: dict[int, float]
    constant: dict[int, float]
    due: float
    errors: int
    cost_us: dict[str, float]
    cost_all_us: float
    latencies: Latencies

    @property
    def most(self) -> float:
        """The most answers a second."""
        return max(self.warm.values())

    @property
    def ratio(self) -> float:
        """How many times as many constant answers there are."""
        return max(self.constant.values()) / self.most


class Base(Struct, frozen=True):
    """The cores that each process uses while changes flow and nobody asks."""

    round: int
    cores: dict[str, float]


class Found(Struct, frozen=True):
    """All rounds."""

    display: str
    people: int
    changes_a_second: int
    base: list[Base]
    asked: list[Asked]


def measure(stage: Stage, display: str, rounds: int, changes: int, say: Say) -> Found:
    """Measure on a stage on which changes have flowed for a while (`bench.machine`)."""
    base = [alone(stage, number, BASE_SECONDS) for number in range(1, rounds + 1)]
    asked = list[Asked]()
    for each in base:
        one = _Round(stage, each)
        for address in addresses(display):
            asked.append(one.ask(address))
            say(told(asked[-1]))
    return Found(display, stage.count, changes, base, asked)


def alone(stage: Stage, number: int, seconds: float) -> Base:
    """Return what a stage uses for so many seconds, in which nobody asks."""
    before, begun = stage.cpu(), monotonic()
    sleep(seconds)
    after, took = stage.cpu(), monotonic() - begun
    return Base(number, {name: round((after[name] - before[name]) / took, 4) for name in after})


def measure_changes(stage: Stage, rounds: int, say: Say) -> None:
    """Say what changes cost alone, by process, round by round."""
    for number in range(1, rounds + 1):
        cores = alone(stage, number, CHANGES_SECONDS).cores
        most_first = sorted(cores.items(), key=lambda each: -each[1])
        told = ", ".join(f"{name} {used:.3f}" for name, used in most_first if used >= LEAST_CORES)
        say(f"{number} changes alone: {sum(cores.values()):.2f} cores ({told})")


def too_few(found: Found) -> bool:
    """Say whether somebody was asked for more often than once in `TURN_SECONDS`. A view may count
    whoever asks so often, and a phone does not."""
    most = max(each.most for each in found.asked)
    return found.people < most * TURN_SECONDS


def told(asked: Asked) -> str:
    """Say what a round found of an address, in a line."""
    latencies = asked.latencies
    said = (
        f"{asked.round} {asked.name}: {asked.most:,.0f}/s (constant {asked.ratio:.2f} times that), "
        f"{asked.cost_all_us:.0f} us; p99 {latencies.p99_ms:.1f} ms at {latencies.rate:,.0f}/s"
    )
    return f"{said}; FAULTS: {latencies.faults}" if latencies.faults else said


class _Round:
    """One round, beside what changes cost alone."""

    def __init__(self, stage: Stage, base: Base) -> None:
        self._stage = stage
        self._base = base
        self._known = stage.folder / "cookies.txt"
        self._due = stage.folder / "due.txt"
        self._errors = 0

    def ask(self, address: Address) -> Asked:
        """Measure an address."""
        stage, self._errors = self._stage, 0
        people.write_cookies(stage.settings, self._known, stage.count, timedelta(0))
        stage.restart_view()
        cold = self._closed(address, self._known, CONNECTIONS[1], COLD_SECONDS)
        self._closed(address, self._known, CONNECTIONS[1], SECONDS)  # the others are seen too
        warm, costs = dict[int, float](), dict[int, tuple[dict[str, float], float]]()
        for connections in CONNECTIONS:
            before, begun = stage.cpu(), monotonic()
            found = self._closed(address, self._known, connections, SECONDS)
            after, took = stage.cpu(), monotonic() - begun
            warm[connections] = round(found.rate, 1)
            used = {name: after[name] - before[name] for name in after}
            costs[connections] = self._costs(used, took, found)
        constant, size = self._constant(address)
        most = max(warm, key=lambda connections: warm[connections])
        latencies = self._paced(address, SHARE * warm[most])
        people.write_cookies(stage.settings, self._due, stage.count, RENEW + timedelta(minutes=1))
        self._closed(address, self._due, CONNECTIONS[1], SECONDS)
        due = self._closed(address, self._due, CONNECTIONS[1], SECONDS)
        return Asked(
            round=self._base.round,
            name=address.name,
            body_bytes=size,
            cold=round(cold.rate, 1),
            warm=warm,
            constant=constant,
            due=round(due.rate, 1),
            errors=self._errors,
            cost_us=costs[most][0],
            cost_all_us=costs[most][1],
            latencies=latencies,
        )

    def _closed(
        self, address: Address, cookies: Path, connections: int, seconds: int
    ) -> closed.Closed:
        url = address.url(self._stage.view_port)
        found = closed.ask(url, address.headers, cookies, connections, seconds)
        self._errors += found.not_200 + found.connect + found.read + found.write + found.timeout
        return found

    def _costs(
        self, used: dict[str, float], took: float, found: closed.Closed
    ) -> tuple[dict[str, float], float]:
        """Return the CPU time of an answer, by process and in all."""
        base, to_us = self._base.cores, 1e6 / found.answers
        # wrk takes a while to write its requests, in which nothing but changes is done.
        own = {name: used[name] - base.get(name, 0.0) * took for name in used}
        all_ = sum(own.values()) + sum(base.values()) * found.seconds
        by_process = {name: round(seconds * to_us, 2) for name, seconds in own.items()}
        return by_process, round(all_ * to_us, 2)

    def _constant(self, address: Address) -> tuple[dict[int, float], int]:
        stage = self._stage
        cookie = self._known.read_text().split("\n", 1)[0]
        url = address.url(stage.view_port)
        answer = answer_of(url, address.headers, f"{COOKIE}={cookie}")
        port = free_port()
        server = ConstantServer(answer, port, stage.folder, "constant", stage.view_cpu)
        server.start()
        try:
            server.wait_ready()
            url = address.url(port)
            closed.ask(url, address.headers, self._known, CONNECTIONS[1], 2)
            rates = {
                each: round(closed.ask(url, address.headers, self._known, each, SECONDS).rate, 1)
                for each in CONNECTIONS
            }
        finally:
            server.stop()
        return rates, len(answer.body)

    def _paced(self, address: Address, rate: float) -> Latencies:
        every = max(1, round(rate * PACED_SECONDS / CHECKED))
        plan = paced.Plan(
            [self._stage.view_port],
            address.path,
            address.headers,
            str(self._known),
            [paced.Phase(rate, PACED_SECONDS)],
            connections=PACED_CONNECTIONS,
            check_every=every,
        )
        found = paced.ask(plan, OWN_PYTHON)
        faults, lags = checked(self._stage, found.samples)
        return Latencies(
            rate=round(rate, 1),
            p50_ms=found.p50_ms,
            p99_ms=found.p99_ms,
            max_ms=found.max_ms,
            late_p99_ms=found.late_p99_ms,
            busy=found.busy,
            kinds=found.kinds,
            checked=len(found.samples),
            faults=dict(faults),
            lag_s_max=max(lags, default=None),
        )


def checked(stage: Stage, samples: Sequence[paced.Sample]) -> tuple[Counter[str], list[float]]:
    """Return what is wrong with answers: a good one is to be the right person's, in the right
    colour; a refusal is to say what failed. And how old each said that its data were, in s."""
    reader, faults, lags = people.Reader(stage.settings), Counter[str](), list[float]()
    for sample in samples:
        head, _, body = sample.body.partition(b"\r\n\r\n")
        if b"content-encoding: gzip" in head.lower():
            body = gzip.decompress(body)
        if sample.kind in (paced.GOOD, paced.OLD):
            fault = reader.fault(sample.number, body)
            lags += _lags(body)
        elif sample.kind == paced.REFUSED:
            fault = None if says_failed(body) else "a 503 says nothing of what failed"
        else:
            fault = f"it is a {sample.kind}"
        if fault is not None:
            faults[fault] += 1
    return faults, lags


def says_failed(body: bytes) -> bool:
    """Say whether a refusal is a page or a problem with the words of one (亮码失败)."""
    return "亮码失败".encode() in body or b'"status":503' in body.replace(b" ", b"")


def _lags(body: bytes) -> Iterator[float]:
    if body.startswith(b"{"):
        answer = msgspec.json.decode(body)
        lag = answer.get("code", answer).get("lag_s")
        if lag is not None:
            yield lag
