"""The open loop: requests go out on schedule, whether or not those before them were answered.

A latency counts from when its request was due, so that a view that stalls is not asked less, and
looks no better (coordinated omission). The generator is as a proxy in front of views: it has so
many connections, each with one request at a time; what is due while all are in use waits for
`QUEUE_SECONDS`; and a request whose connection breaks before the answer is asked once more, of
another view if there is one. A client gives up after `GIVE_UP_SECONDS`, and its connection is
closed.

It runs as a process of its own, `python -m bench.view.paced`: a plan comes on its standard input, a
`Paced` goes to its standard output. Sockets are polled here and answers read by hand, at some 30 us
a request; a library's client takes ten times as much of the two cores that are measured.
"""

import errno
import gc
import math
import re
import resource
import select
import socket
import subprocess
import sys
import time
from array import array
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from app.development.stack.processes import StackError
from app.login.sessions import COOKIE

GIVE_UP_SECONDS = 4.0
"""As long as a page's script waits for an answer (static/code.js)."""
QUEUE_SECONDS = 1.0
"""As long as a proxy keeps a request for which it has no connection (docs/operations.md)."""
AWAY_SECONDS = 0.5
"""A view that refused a connection is left alone for so long, unless there is no other."""
POLL_MS_MAX = 20.0
SECONDS_OVER = 60.0
FIRST_BYTES = 65_536
SAMPLES_MAX = 5_000

GOOD, OLD, REFUSED = "200", "200, stale", "503"
NO_RETRY = "503 without Retry-After"
NO_ANSWER, BROKEN, NOT_SENT = "no answer in time", "broken off", "no connection in time"


class Phase(Struct, frozen=True):
    """So many requests a second for so long."""

    rate: float
    seconds: float


class Plan(Struct, frozen=True):
    """What to ask, and at which ports. One in `check_every` answers is kept."""

    ports: list[int]
    path: str
    headers: dict[str, str]
    cookies: str
    phases: list[Phase]
    connections: int = 256
    first: int = 0
    check_every: int = 100
    begin_at: float = 0.0
    """By `time.monotonic`, which all processes have in common; at once unless given."""


class Second(Struct, frozen=True):
    """What came within a second: answers by kind; latencies of the good ones, from when due."""

    kinds: dict[str, int]
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None


class Sample(Struct, frozen=True):
    """An answer, and the number of the person whose session asked."""

    number: int
    kind: str
    body: bytes


class Paced(Struct, frozen=True):
    """What was found, as a whole and by second.

    `late_p99_ms` is how long after it was due the generator itself got to a request. `busy` is the
    share of a core that it used.
    """

    asked: int
    seconds: float
    kinds: dict[str, int]
    p50_ms: float
    p99_ms: float
    max_ms: float
    late_p99_ms: float
    busy: float
    again: int
    by_second: list[Second]
    samples: list[Sample]


def ask(plan: Plan, python: Path) -> Paced:
    """Run the generator; raise `StackError` if it fails."""
    seconds = sum(phase.seconds for phase in plan.phases)
    done = subprocess.run(
        [str(python), "-m", "bench.view.paced"],
        input=msgspec.json.encode(plan),
        capture_output=True,
        timeout=seconds + SECONDS_OVER,
        check=False,
    )
    if done.returncode:
        raise StackError(f"The generator failed:\n{done.stderr.decode()}")
    return msgspec.msgpack.decode(done.stdout, type=Paced)


class _Request:
    """One request. `number` is whose session it is; `due` is by `time.monotonic`."""

    __slots__ = ("again", "due", "number")

    def __init__(self, number: int, due: float) -> None:
        self.number = number
        self.due = due
        self.again = False


class _Connection:
    """A connection to a view, and the request that is on it."""

    __slots__ = ("buffer", "open", "port", "request", "sock")

    def __init__(self, sock: socket.socket, port: int) -> None:
        self.sock = sock
        self.port = port
        self.open = False
        self.request: _Request | None = None
        self.buffer = b""


_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_RETRY = re.compile(rb"\r\nretry-after: *\d", re.IGNORECASE)
_STALE = b'"stale":true'


def whole(answer: bytes) -> int | None:
    """Return where the body of an answer begins if all of it is here, else None."""
    end = answer.find(_HEAD_END)
    if end < 0:
        return None
    body = end + len(_HEAD_END)
    if (length := _LENGTH.search(answer, 0, body)) is not None:
        return body if len(answer) >= body + int(length[1]) else None
    if _CHUNKED.search(answer, 0, body) is not None:
        return body if answer.endswith(b"0\r\n\r\n") else None
    return body


def kind_of(answer: bytes, body: int) -> str:
    """Return what an answer is: its status, and what is to be told apart of it."""
    status = answer[9:12]
    if status == b"200":
        return OLD if answer.find(_STALE, body) >= 0 else GOOD
    if status == b"503":
        return REFUSED if _RETRY.search(answer, 0, body) is not None else NO_RETRY
    return status.decode("ascii", "replace")


class _Told:
    """What came, by the second in which it came."""

    def __init__(self, begun: float, seconds: int) -> None:
        self._begun = begun
        self.kinds = [Counter[str]() for _ in range(seconds)]
        self.latencies = [array("d") for _ in range(seconds)]

    def add(self, kind: str, request: _Request, now: float) -> None:
        """Add what became of a request."""
        at = min(int(now - self._begun), len(self.kinds) - 1)
        self.kinds[at][kind] += 1
        if kind in (GOOD, OLD):
            self.latencies[at].append(now - request.due)

    def by_second(self) -> Iterator[Second]:
        """Yield each second."""
        for kinds, latencies in zip(self.kinds, self.latencies, strict=True):
            found = sorted(latencies)
            yield Second(dict(kinds), *(_ms(found, share) for share in (0.5, 0.99, 1.0)))


def _ms(values: Sequence[float], share: float) -> float | None:
    """Return the nearest-rank percentile of sorted seconds, in ms."""
    if not values:
        return None
    return round(values[max(0, math.ceil(share * len(values)) - 1)] * 1_000, 3)


def _due(phases: Sequence[Phase], begun: float) -> Iterator[float]:
    for phase in phases:
        for number in range(round(phase.rate * phase.seconds)):
            yield begun + number / phase.rate
        begun += phase.seconds


class Generator:
    """One run of a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        head = f"GET {plan.path} HTTP/1.1\r\nHost: 127.0.0.1:{plan.ports[0]}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in plan.headers.items())
        self._head = f"{head}Cookie: {COOKIE}=".encode()
        self._cookies = Path(plan.cookies).read_bytes().split()
        self._epoll = select.epoll()
        self._all: dict[int, _Connection] = {}
        self._free: deque[_Connection] = deque()  # taken in turn, so that views are too
        self._waiting: deque[_Request] = deque()
        self._asked: deque[tuple[_Connection, _Request]] = deque()
        self._away: dict[int, float] = dict.fromkeys(plan.ports, 0.0)
        self._late = array("d")
        self._again = 0
        self._good = 0
        self._samples: list[Sample] = []

    def run(self) -> Paced:
        """Ask as planned, and wait for the last answers as long as a client would."""
        plan = self._plan
        length = sum(phase.seconds for phase in plan.phases)
        self._settle()
        time.sleep(max(0.0, plan.begin_at - time.monotonic()))
        begun, used = time.monotonic(), time.process_time()
        self._told = told = _Told(begun, math.ceil(length + GIVE_UP_SECONDS) + 1)
        due = _due(plan.phases, begun)
        upcoming = next(due, None)
        number, asked = plan.first, 0
        while upcoming is not None or self._waiting or self._asked:
            now = time.monotonic()
            while upcoming is not None and upcoming <= now:
                self._waiting.append(_Request(number % len(self._cookies), upcoming))
                self._late.append(now - upcoming)
                number, asked, upcoming = number + 1, asked + 1, next(due, None)
            self._give_up(now)
            self._send()
            wait = POLL_MS_MAX if upcoming is None else (upcoming - time.monotonic()) * 1_000
            self._poll(min(max(wait, 0.0), POLL_MS_MAX))
        seconds = time.monotonic() - begun
        for connection in list(self._all.values()):
            self._close(connection)
        self._epoll.close()
        kinds = sum(told.kinds, Counter[str]())
        latencies = sorted(value for second in told.latencies for value in second)
        return Paced(
            asked=asked,
            seconds=round(seconds, 2),
            kinds=dict(kinds),
            p50_ms=_ms(latencies, 0.5) or 0.0,
            p99_ms=_ms(latencies, 0.99) or 0.0,
            max_ms=_ms(latencies, 1.0) or 0.0,
            late_p99_ms=_ms(sorted(self._late), 0.99) or 0.0,
            busy=round((time.process_time() - used) / seconds, 3),
            again=self._again,
            by_second=list(told.by_second()),
            samples=self._samples,
        )

    # Connections

    def _connect(self) -> None:
        """Open connections until there are as many as planned, to the views that have fewest."""
        now = time.monotonic()
        open_to = Counter(connection.port for connection in self._all.values())
        while len(self._all) < self._plan.connections:
            there = [port for port, until in self._away.items() if until <= now]
            if not there:
                return
            port = min(there, key=lambda each: open_to[each])
            open_to[port] += 1
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            error = sock.connect_ex(("127.0.0.1", port))
            if error not in (0, errno.EINPROGRESS):
                sock.close()
                self._away[port] = now + AWAY_SECONDS
                continue
            connection = _Connection(sock, port)
            self._all[sock.fileno()] = connection
            self._epoll.register(sock.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def _settle(self) -> None:
        """Wait until the connections are there, so that none is made in what is measured."""
        until = time.monotonic() + GIVE_UP_SECONDS
        while len(self._free) < self._plan.connections and time.monotonic() < until:
            self._connect()
            self._poll(POLL_MS_MAX)

    def _close(self, connection: _Connection) -> None:
        del self._all[connection.sock.fileno()]
        connection.open = False
        connection.sock.close()

    def _lose(self, connection: _Connection, now: float) -> None:
        """A connection is gone. What was asked on it is asked once more."""
        self._away[connection.port] = now + AWAY_SECONDS
        if connection in self._free:
            self._free.remove(connection)
        request, connection.request = connection.request, None
        self._close(connection)
        if request is None:
            return
        if request.again:
            self._told.add(BROKEN, request, now)
        else:
            request.again = True
            self._again += 1
            self._waiting.appendleft(request)

    # Requests and answers

    def _send(self) -> None:
        if len(self._all) < self._plan.connections:
            self._connect()
        while self._waiting and self._free:
            request, connection = self._waiting.popleft(), self._free.popleft()
            connection.request = request
            try:
                connection.sock.send(self._head + self._cookies[request.number] + _HEAD_END)
            except OSError:
                self._lose(connection, time.monotonic())
                continue
            self._asked.append((connection, request))

    def _give_up(self, now: float) -> None:
        limit = now - GIVE_UP_SECONDS
        while self._asked and (
            self._asked[0][0].request is not self._asked[0][1] or self._asked[0][1].due < limit
        ):
            connection, request = self._asked.popleft()
            if connection.request is request:
                self._told.add(NO_ANSWER, request, now)
                self._close(connection)
        while self._waiting and self._waiting[0].due < now - QUEUE_SECONDS:
            self._told.add(NOT_SENT, self._waiting.popleft(), now)

    def _poll(self, wait_ms: float) -> None:
        for fd, event in self._epoll.poll(wait_ms / 1_000):
            connection = self._all.get(fd)
            if connection is None:  # it was closed in this turn
                continue
            if not connection.open and event & select.EPOLLOUT and not event & select.EPOLLERR:
                connection.open = True
                self._epoll.modify(fd, select.EPOLLIN)
                self._free.append(connection)
            elif event & (select.EPOLLIN | select.EPOLLERR | select.EPOLLHUP):
                self._receive(connection)

    def _receive(self, connection: _Connection) -> None:
        now = time.monotonic()
        try:
            more = connection.sock.recv(FIRST_BYTES)
        except BlockingIOError:
            return
        except OSError:
            more = b""
        request = connection.request
        if not more:
            self._lose(connection, now)
            return
        answer = connection.buffer + more if connection.buffer else more
        body = whole(answer)
        if body is None or request is None:
            connection.buffer = answer
            return
        connection.buffer, connection.request = b"", None
        kind = kind_of(answer, body)
        self._told.add(kind, request, now)
        self._sample(kind, request, answer)
        if answer.find(b"\r\nconnection: close", 0, body) >= 0:
            self._close(connection)
        else:
            self._free.append(connection)

    def _sample(self, kind: str, request: _Request, answer: bytes) -> None:
        self._good += 1
        if self._good % self._plan.check_every == 0 and len(self._samples) < SAMPLES_MAX:
            self._samples.append(Sample(request.number, kind, answer))


def main() -> None:
    """Run the plan on the standard input."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    generator = Generator(plan)
    gc.disable()  # it makes no cycles, and a collection would be a stall of its own
    sys.stdout.buffer.write(msgspec.msgpack.encode(generator.run()))


if __name__ == "__main__":
    main()
