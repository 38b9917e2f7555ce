"""What the clients of a view see while something is too much, slow or gone.

In each scene a generator asks on schedule for the display, half as often as the view can answer,
unless the scene says more. At known seconds something is done to the stack, and undone. What came
in each second is kept by kind, with the latencies of what was answered.
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from statistics import median

from msgspec import Struct

from app.development.stack.processes import HttpProcess, Process, StackError
from app.development.stack.stack import Say
from bench.sides import OWN_PYTHON
from bench.view import closed, paced, people
from bench.view.paced import GOOD, NOT_SENT, OLD, REFUSED, Phase, Second
from bench.view.quota import bounding
from bench.view.rounds import Address, addresses, checked
from bench.view.stage import Stage, signal_group

BEFORE, DURING, AFTER = 10, 20, 40
"""Seconds of a scene: as usual, with something done, and after that is undone. A broker that comes
back is there after some 10 s, and then what waited is caught up with."""

BOUNDED_RATE = 1_000.0
"""What a view is bounded to, answers a second, so that two cores can offer ten times as many."""
TENFOLD = 10
TENFOLD_SECONDS = 60
TENFOLD_CONNECTIONS_MAX = 4_000
"""As many as a view takes (app.view.server); fewer where it answers fewer in a second, as a proxy
is told (docs/operations.md)."""
CONNECTIONS = 64
MOST_SECONDS = 4
NORMAL_P99_MS = 50.0
NORMAL_SECONDS = 5
RUN = 5
"""A second here or there is slow before anything is done, too: the machine is shared."""
HONEST_SHARE = 0.9
CHECKED = 2_000
SETTLE_SECONDS = 2.0
READY_SECONDS_MAX = 120.0
AGAIN_SECONDS = 1.0
VIEWS = 3


class Mark(Struct, frozen=True):
    """What was done to the stack, at which second of the scene."""

    second: float
    what: str


class Scene(Struct, frozen=True):
    """One scene. `most` is what the view answers a second at most, by wrk, as it was bounded.

    `good_share` is the part of what was asked, between the first and the last mark, that was
    answered with 200. `dishonest` counts what was sent, and neither answered nor refused with a 503
    and Retry-After; `not_sent` what found no connection in time, so that no view heard of it.
    """

    name: str
    title: str
    most: float
    rate: float
    marks: list[Mark]
    seconds: list[Second]
    kinds: dict[str, int]
    good_a_second: float
    good_share: float
    dishonest: int
    not_sent: int
    worst_p99_ms: float | None
    again: int
    busy: float
    checked: int
    faults: dict[str, int]
    cores: float | None = None

    @property
    def normal_after_s(self) -> int | None:
        """How long after the last mark all is as before; None if it never was."""
        first, last = (int(mark.second) for mark in (self.marks[0], self.marks[-1]))
        return normal_after(self.seconds, first, last)


HONEST = (GOOD, OLD, REFUSED, NOT_SENT)

Act = tuple[float, str, Callable[[], None]]
"""When, what, and how."""


class Scenes:
    """Plays scenes on a stage on which changes flow."""

    def __init__(self, stage: Stage, display: str, say: Say) -> None:
        self._stage = stage
        self._say = say
        self._address: Address = addresses(display)[0]
        self._cookies = stage.folder / "cookies.txt"
        self._held: set[str] = set()

    def play(self, names: Sequence[str]) -> Iterator[Scene]:
        """Yield the scenes of these names, one after another; raise `KeyError` for another."""
        for name in names:
            people.write_cookies(
                self._stage.settings, self._cookies, self._stage.count, timedelta(0)
            )
            with self._mended():
                scene = SCENES[name](self)
                yield scene
            self._say(told(scene))
            # What was held up is caught up with alone: it is no part of the next scene.
            with self._stage.no_changes():
                self._ready()

    # The scenes

    def tenfold(self) -> Scene:
        """Ten times as many displays as the view can answer, for a minute."""
        stage = self._stage
        most = self._most(stage.view_port)
        # As at a peak, when each phone asks every five seconds: the most is measured so, too.
        self._ask(stage.view_port, math.ceil(1.2 * stage.count / most))
        cores = min(1.0, BOUNDED_RATE / most)
        with bounding(stage.stack.view, cores):
            most = self._most(stage.view_port)
            phases = [
                Phase(most / 2, BEFORE),
                Phase(most * TENFOLD, TENFOLD_SECONDS),
                Phase(most / 2, AFTER),
            ]
            acts: list[Act] = [
                (BEFORE, f"{TENFOLD} times the maximum", _nothing),
                (BEFORE + TENFOLD_SECONDS, "half the maximum", _nothing),
            ]
            connections = min(TENFOLD_CONNECTIONS_MAX, round(most))
            scene = self._scene("tenfold", "Ten times the maximum", phases, acts, most=most,
                                connections=connections, cores=cores)  # fmt: skip
        return scene

    def redis_paused(self) -> Scene:
        """Redis stands still, as under a slow command or a full disk of its host."""
        redis = self._stage.stack.redis
        return self._usual(
            "redis-paused",
            "Redis stands still",
            ("stands still", lambda: signal_group(redis, signal.SIGSTOP)),
            ("goes on", lambda: signal_group(redis, signal.SIGCONT)),
        )

    def redis_gone(self) -> Scene:
        """Redis is killed, and an empty one takes its place, as where it is failed over."""
        redis = self._stage.stack.redis
        return self._usual(
            "redis-gone",
            "Redis is gone, then empty",
            ("is killed", self._killed(redis)),
            ("an empty one", self._started(redis)),
        )

    def kafka_gone(self) -> Scene:
        """Kafka is killed and comes back."""
        broker = self._stage.stack.broker
        return self._usual(
            "kafka-gone",
            "Kafka is gone",
            ("is killed", self._killed(broker)),
            ("comes back", self._started(broker)),
        )

    def behind(self) -> Scene:
        """What brings codes to the view stands still: the projection, and a replica if there is."""
        found = [self._stage.process(name) for name in ("projection", "replica")]
        follow = [each for each in found if each is not None]

        def send(number: signal.Signals) -> Callable[[], None]:
            def act() -> None:
                for each in follow:
                    signal_group(each, number)

            return act

        names = " and ".join(each.name for each in follow)
        return self._usual(
            "behind",
            f"The {names} stands still" if len(follow) == 1 else f"{names} stand still",
            ("stands still", send(signal.SIGSTOP)),
            ("goes on", send(signal.SIGCONT)),
        )

    def view_killed(self) -> Scene:
        """One of three views is killed, and comes back."""
        stage = self._stage
        with stage.views(VIEWS) as views:
            victim, _ = views[-1]
            return self._usual(
                "view-killed",
                "One of three views is killed",
                ("is killed", self._killed(victim)),
                ("comes back", self._started(victim)),
                ports=[port for _, port in views],
            )

    # How they are played

    def _usual(
        self,
        name: str,
        title: str,
        begin: tuple[str, Callable[[], None]],
        end: tuple[str, Callable[[], None]],
        ports: Sequence[int] = (),
    ) -> Scene:
        most = self._most(self._stage.view_port)
        phases = [Phase(most / 2, BEFORE + DURING + AFTER)]
        acts: list[Act] = [(BEFORE, *begin), (BEFORE + DURING, *end)]
        return self._scene(name, title, phases, acts, most=most, ports=ports)

    def _scene(
        self,
        name: str,
        title: str,
        phases: Sequence[Phase],
        acts: Sequence[Act],
        *,
        most: float,
        ports: Sequence[int] = (),
        connections: int = CONNECTIONS,
        cores: float | None = None,
    ) -> Scene:
        begin_at = time.monotonic() + SETTLE_SECONDS
        asked = sum(phase.rate * phase.seconds for phase in phases)
        plan = paced.Plan(
            list(ports) or [self._stage.view_port],
            self._address.path,
            self._address.headers,
            str(self._cookies),
            list(phases),
            connections=connections,
            check_every=max(1, round(asked / CHECKED)),
            begin_at=begin_at,
        )
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(paced.ask, plan, OWN_PYTHON)
            marks = []
            for second, what, act in acts:
                time.sleep(max(0.0, begin_at + second - time.monotonic()))
                act()
                marks.append(Mark(round(time.monotonic() - begin_at, 1), what))
            found = asking.result()
        first, last = acts[0][0], acts[-1][0]
        faults, _ = checked(self._stage, found.samples)
        within = found.by_second[int(first) : int(last)]
        good = sum(_good(each) for each in within)
        return Scene(
            name=name,
            title=title,
            most=round(most, 1),
            rate=round(phases[-1].rate, 1),
            marks=marks,
            seconds=found.by_second,
            kinds=found.kinds,
            good_a_second=round(good / len(within), 1),
            good_share=round(good / _asked(phases, first, last), 4),
            dishonest=sum(n for kind, n in found.kinds.items() if kind not in HONEST),
            not_sent=found.kinds.get(NOT_SENT, 0),
            worst_p99_ms=max((s.p99_ms for s in within if s.p99_ms is not None), default=None),
            again=found.again,
            busy=found.busy,
            checked=len(found.samples),
            faults=dict(faults),
            cores=cores,
        )

    def _most(self, port: int) -> float:
        """Return how many answers a second the view gives at most, once it knows the sessions."""
        return median(self._ask(port, MOST_SECONDS) for _ in range(3))

    def _ask(self, port: int, seconds: int) -> float:
        """Ask for everybody's display in turn; return how many answers came a second."""
        url, headers = self._address.url(port), self._address.headers
        return closed.ask(url, headers, self._cookies, CONNECTIONS, seconds).rate

    def _killed(self, process: Process) -> Callable[[], None]:
        def kill() -> None:
            self._held.add(process.name)
            signal_group(process, signal.SIGKILL)

        return kill

    def _started(self, process: Process) -> Callable[[], None]:
        def start() -> None:
            process.exited()  # it is reaped, and its group is over
            process.start()
            self._held.discard(process.name)

        return start

    @contextmanager
    def _mended(self) -> Iterator[None]:
        """Start again meanwhile what ends by itself, as `yuekang up` does."""
        over = threading.Event()

        def mend() -> None:
            stack = self._stage.stack
            while not over.wait(AGAIN_SECONDS):
                for process in stack.services:
                    # While what they need is down they would end again and again.
                    if not self._held and process.exited() is not None:
                        process.start()

        thread = threading.Thread(target=mend, name="mend", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _ready(self) -> None:
        """Return when everything is ready again; raise `StackError` if it is not in time."""
        until = time.monotonic() + READY_SECONDS_MAX
        waiting: list[HttpProcess] = list(self._stage.stack.services)
        while waiting := [each for each in waiting if not each.ready()]:
            if time.monotonic() > until:
                raise StackError(
                    f"{waiting[0].name} did not get ready again: {waiting[0].answer}\n"
                    f"{waiting[0].tail()}"
                )
            for each in waiting:
                if each.exited() is not None:
                    each.start()
            time.sleep(AGAIN_SECONDS)


SCENES: dict[str, Callable[[Scenes], Scene]] = {
    "tenfold": Scenes.tenfold,
    "redis-paused": Scenes.redis_paused,
    "redis-gone": Scenes.redis_gone,
    "kafka-gone": Scenes.kafka_gone,
    "behind": Scenes.behind,
    "view-killed": Scenes.view_killed,
}


def told(scene: Scene) -> str:
    """Say what a scene found, in a line."""
    after = "never" if scene.normal_after_s is None else f"after {scene.normal_after_s} s"
    return (
        f"{scene.title}: {scene.good_share:.1%} answered ({scene.good_a_second:,.0f}/s of at most "
        f"{scene.most:,.0f}), {scene.dishonest:,} neither answered nor refused, normal {after}; "
        f"{scene.kinds}; faults {scene.faults}"
    )


def _good(second: Second) -> int:
    return second.kinds.get(GOOD, 0) + second.kinds.get(OLD, 0)


def _asked(phases: Sequence[Phase], first: float, last: float) -> float:
    """Return how many requests were due between two seconds."""
    asked, at = 0.0, 0.0
    for phase in phases:
        within = min(last, at + phase.seconds) - max(first, at)
        asked += max(0.0, within) * phase.rate
        at += phase.seconds
    return asked


def normal_after(seconds: Sequence[Second], first: int, last: int) -> int | None:
    """Return after how many seconds from `last` on every answer is good, and of any `RUN` seconds
    most are as fast as before `first`, the first of all among them: a p99 of at most twice that, or
    of `NORMAL_P99_MS`. None if that never comes."""
    usual = [each.p99_ms for each in seconds[1:first] if each.p99_ms is not None]
    limit = max(NORMAL_P99_MS, 2 * median(usual)) if usual else NORMAL_P99_MS
    after = [each for each in seconds if each.kinds][last:-1]  # the last is a part of one
    fast = [each.p99_ms is not None and each.p99_ms <= limit for each in after]
    for at in range(len(after)):
        runs = (fast[i : i + RUN] for i in range(at, max(at + 1, len(after) - RUN + 1)))
        good = all(each.kinds.keys() == {GOOD} for each in after[at:])
        if fast[at] and good and all(2 * sum(run) > len(run) for run in runs):
            return at
    return None


def _nothing() -> None:
    pass
