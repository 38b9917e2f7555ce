"""The Java peer does the same work: what it tells is held against models/, world by world."""

import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from msgspec.structs import replace

from app.topics.codec import Refusal, decode
from bench import workload
from bench.sides import PEER, java, numbers
from models import policy
from models.codes import Colour, HealthCode, StatusChange, StatusChanged, changed
from models.events import StatusEvent
from models.notices import Objection
from models.person import Person, fold, unknown
from models.policy import POLICIES, Policy
from support import builders, strategies
from support.strategies import identities, inconclusives, negatives, positives

TARGET = PEER / "target"

KINDS: Sequence[Sequence[strategies.Kind]] = (
    (identities, positives, negatives, negatives, inconclusives),
    (positives, *[negatives] * 5),
    (identities, positives),
)
"""The slice's kinds; some worlds keep to two of them, so that they clash more often."""

POLICY_SETS = (
    POLICIES,
    strategies.POLICY_SETS["stricter-later"],
    (
        replace(
            POLICIES[0],
            version="other",
            negatives_apart=timedelta(hours=12),
            correction_wait=timedelta(hours=6),
            ended_kept=timedelta(days=5),
        ),
    ),
)
"""The policies as they are, with a stricter one later, and another in which each duration differs.
The peer has no easing (docs/decisions/0014-java-slice.md)."""

Arrival = tuple[int, bytes]
"""When a record arrived, in milliseconds, and its value."""

Told = tuple[list[HealthCode], list[StatusChange], list[str]]
"""The codes, the changes, and the reasons of dead letters, each in order."""


class Peer:
    """The Java peer, folding what it is given. One process serves all worlds."""

    def __init__(self) -> None:
        jar = TARGET / "bench-peer.jar"
        assert jar.exists(), f"{jar} is missing; make test builds it, and so does make bench-setup"
        self._process = subprocess.Popen(
            [java(), "-cp", f"{jar}:{TARGET}/libs/*", "yuekang.bench.Main", "replay"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def told(self, arrivals: Sequence[Arrival], policies: Sequence[Policy] = POLICIES) -> Told:
        """Return what it tells of one person."""
        lines = [b"%s\n" % numbers(policies).encode(), *(b"%d\t%s\n" % one for one in arrivals)]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"".join([*lines, b"\n"]))
        self._process.stdin.flush()
        codes, changes, refused = (self._process.stdout.readline() for _ in range(3))
        return (
            msgspec.json.decode(codes, type=list[HealthCode]),
            [event.data for event in msgspec.json.decode(changes, type=list[StatusChanged])],
            [reason for reason in refused.decode().strip().split(",") if reason],
        )

    def stop(self) -> None:
        """End it; it must end well."""
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()
            assert self._process.wait(30) == 0


def told_by_models(arrivals: Sequence[Arrival], policies: Sequence[Policy] = POLICIES) -> Told:
    """Return what app.topics.codec and models tell of one person."""
    row: Person | None = None
    codes: list[HealthCode] = []
    changes: list[StatusChange] = []
    refused: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policy, "POLICIES", policies)
        for stamp, value in arrivals:
            at = datetime.fromtimestamp(stamp / 1000, UTC)
            key = builders.PERSON.encode()
            try:
                event: Any = decode(value, key, (), workload.INPUT, at)
            except Refusal as refusal:
                refused.append(str(refusal.code))
                continue
            before = row or unknown(builders.PERSON, at)
            outcome = fold(before, event, at)
            row = outcome.person
            codes += [row.code] if row.code.version != before.code.version else []
            changes += (changed(change).data for change in outcome.changes)
            # The peer does not tell what was corrected already, or was over when it was reported.
            told = (str(notice.objection) for notice in outcome.notices)
            refused += (objection for objection in told if objection != Objection.NO_EFFECT)
    return codes, changes, refused


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    running = Peer()
    yield running
    running.stop()


@st.composite
def corrections(draw: DrawFn, target: StatusEvent, now: int) -> StatusEvent:
    """An event of the same source that takes back `target`, and may say something else."""
    fields = {"id": draw(st.sampled_from(strategies.IDS)), "supersedes": target.id}
    fields["sequence"] = str(int(target.sequence) + 1)
    if draw(st.booleans()):
        made = strategies.retract(target, id="any", sequence=0)
        return replace(made, time=target.time, **fields)
    of_person = target.source in strategies.IDENTITY_PROVIDERS
    kinds = (identities,) if of_person else (positives, negatives)
    said = draw(strategies.status_events(now, kinds, corrections=False))
    return replace(said, source=target.source, **fields)


@st.composite
def arrivals_of(draw: DrawFn, event: StatusEvent, prompt: bool) -> Arrival:
    """When an event arrives: at any time once it has happened, or within two days of that."""
    if prompt:
        at = getattr(event.data, "reported_at", getattr(event.data, "verified_at", event.time))
        event = replace(event, time=at)
        arrived_at = at + draw(st.integers(0, 8)) * strategies.STEP
    else:
        arrived_at = draw(strategies.arrivals(event))
    return round(arrived_at.timestamp() * 1000), msgspec.json.encode(event)


@st.composite
def worlds(draw: DrawFn) -> list[Arrival]:
    """Events of the slice as they arrive: some twice, some with another content under a known
    identity, some corrections before what they correct; in order of arrival or against it."""
    now = draw(st.sampled_from([8, 40, 100, strategies.STEPS_MAX]))
    kinds, claims, prompt = draw(st.sampled_from(KINDS)), draw(st.booleans()), draw(st.booleans())
    one, least = strategies.status_events(now, kinds, corrections=claims), draw(st.integers(0, 8))
    identity = attrgetter("source", "id")
    events = draw(st.lists(one, min_size=least, max_size=16, unique_by=identity))
    for place in draw(st.lists(st.integers(0, 20), max_size=6)) if events else ():
        target = events[place % len(events)]
        correction = draw(corrections(target, now))
        if correction.id != target.id:
            events.append(correction)
    found = [draw(arrivals_of(event, prompt)) for event in events]
    if found:
        found += draw(st.lists(st.sampled_from(found), max_size=3))
    return sorted(found) if draw(st.booleans()) else found


def test_the_java_peer_tells_what_the_models_tell(peer: Peer) -> None:
    colours: set[tuple[Colour, Colour]] = set()
    causes: set[tuple[str | None, bool]] = set()
    objections: set[str] = set()
    lifted: set[bool] = set()

    @settings(max_examples=2 * settings().max_examples)
    @given(arrivals=worlds(), policies=st.sampled_from(POLICY_SETS))
    def check(arrivals: list[Arrival], policies: Sequence[Policy]) -> None:
        told = codes, changes, refused = told_by_models(arrivals, policies)
        assert peer.told(arrivals, policies) == told
        colours.update((change.before.colour, change.after.colour) for change in changes)
        causes.update((c.cause.type, c.cause.corrects is not None) for c in changes)
        objections.update(refused)
        lifted.update(i.end is not None for code in codes for i in code.intervals)

    check()
    # The worlds came to all that is not rare; else it would be held against nothing.
    none, green, red = Colour.NONE, Colour.GREEN, Colour.RED
    assert colours >= {(none, green), (none, red), (green, red), (red, green)}
    assert causes >= {
        ("yuekang.identity.verified.v1", False),
        ("yuekang.nat-result.reported.v1", False),
        ("yuekang.nat-result.reported.v1", True),
        ("yuekang.nat-result.retracted.v1", True),
    }
    # The slice has no files, a source of one kind alone and without a limit, no swab of weeks ago,
    # and small rows.
    outside = {
        "closes-nothing",
        "correction-of-other-kind",
        "held",
        "impossible-date",
        "no-effect",
        "row-full",
    }
    assert objections == {str(o) for o in Objection} - outside
    assert lifted == {False, True}


VERIFIED = builders.verified()
POSITIVE = builders.positive(builders.day(2))

RARE = {
    "a verification taken back while green": (builders.retracted(VERIFIED, builders.day(2)),),
    "a verification taken back while red": (
        POSITIVE,
        builders.retracted(VERIFIED, builders.day(3)),
    ),
    "a positive that is reported after what lifts it": (
        builders.negative(builders.day(3)),
        builders.negative(builders.day(5)),
        builders.positive(builders.day(2), builders.day(6)),
    ),
    "the first negative is reported after the second": (
        POSITIVE,
        builders.negative(builders.day(5), builders.day(6)),
        builders.negative(builders.day(3), builders.day(9)),
    ),
    "of two first negatives the later one is reported first": (
        POSITIVE,
        builders.negative(builders.day(4), builders.day(5)),
        builders.negative(builders.day(6), builders.day(7)),
        builders.negative(builders.day(3), builders.day(8)),
    ),
    "a claim of no effect that opens a reason": (
        builders.negative(builders.day(2), id="n", sequence=9),
        builders.positive(builders.day(3), sequence=3, supersedes="n"),
    ),
}
"""What the worlds hardly ever come to."""


@pytest.mark.parametrize("events", RARE.values(), ids=RARE.keys())
def test_the_java_peer_tells_it_of_what_is_rare(peer: Peer, events: Sequence[StatusEvent]) -> None:
    arrivals = [
        (round(event.time.timestamp() * 1000), msgspec.json.encode(event))
        for event in (VERIFIED, *events)
    ]
    assert peer.told(arrivals) == told_by_models(arrivals)


@pytest.mark.parametrize("breakage", workload.BREAKAGES)
def test_the_java_peer_refuses_what_the_codec_refuses(peer: Peer, breakage: Any) -> None:
    value = breakage(msgspec.to_builtins(builders.negative(builders.day(2))))
    arrivals = [(round(builders.day(6).timestamp() * 1000), value)]
    told = told_by_models(arrivals)
    assert told[2], "the breakage is none"
    assert peer.told(arrivals) == told
