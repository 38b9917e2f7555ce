"""The kinds of faults, each a coroutine that makes it happen once and heals it.

`WORKER` and `AROUND` list them; a round draws from both. Each draws what is open (which worker,
which moment, how long) from the round's own random numbers.
"""

import signal
from collections.abc import Sequence
from functools import partial

from faults import around, belongings, halting, inputs, workers
from faults.points import POINTS
from faults.scenes import Kind, Scene
from support.clocks import FAKETIME

ZOMBIES = (
    "before changelog send",
    "after changelog send",
    "before confirmation",
    "after confirmation",
)

WORKER: tuple[Kind, ...] = (
    Kind("worker killed", workers.killed),
    Kind("worker ended and started", workers.ended),
    Kind("worker stopped, woken after its session", workers.stopped),
    Kind("third worker joins, second leaves and returns", workers.third_joins_and_leaves),
    *(Kind(f"worker dies {point}", partial(workers.at_point, point=point)) for point in POINTS),
    *(
        Kind(
            f"worker stopped {point}, woken after its session",
            partial(workers.at_point, point=point, act="stop"),
        )
        for point in ZOMBIES
    ),
    Kind(
        "only worker dies before confirmation",
        partial(workers.alone_at_point, point="before confirmation"),
    ),
    Kind(
        "only worker dies after confirmation",
        partial(workers.alone_at_point, point="after confirmation"),
    ),
    *(
        Kind(
            f"only worker dies {point}, its store written out",
            partial(workers.alone_at_point, point=point, act="write-out"),
        )
        for point in ("before confirmation", "after confirmation", "after store write")
    ),
    Kind("worker ends again and again", workers.ends_again_and_again),
    Kind("more workers than partitions", workers.more_than_partitions),
    Kind("worker asks slowly where logs end", workers.slow_ends),
    Kind(
        "worker stopped before confirmation, taken over slowly, woken, killed",
        workers.taken_over_slowly,
    ),
    Kind("end of a transaction comes late, worker dies", workers.late_end),
    Kind("store: disk full", belongings.store_full, isolated=True),
    Kind("store: deleted", belongings.store_deleted),
    Kind("store: deleted while open", belongings.store_deleted_while_open),
    Kind("store: bytes overwritten", belongings.store_corrupted),
    Kind("store: an old copy put back", belongings.store_from_before),
    Kind("clock: stepped back", partial(belongings.clock_stepped, sign=-1), clock=True),
    Kind("clock: stepped forward", partial(belongings.clock_stepped, sign=1), clock=True),
    Kind("clock: 5 minutes ahead", partial(belongings.clock_ahead, seconds=300), clock=True),
    Kind("clock: 30 minutes ahead", partial(belongings.clock_ahead, seconds=1_800), clock=True),
    Kind("network: worker cut off", belongings.cut_off, isolated=True),
    Kind(
        "network: worker cut off from one broker",
        belongings.cut_off_from_one,
        isolated=True,
        brokers=3,
    ),
)

AROUND: tuple[Kind, ...] = (
    Kind("broker killed", partial(around.broker_down, number=signal.SIGKILL), brokers=3),
    Kind("broker ended and started", partial(around.broker_down, number=signal.SIGTERM), brokers=3),
    Kind("broker stopped and woken", around.broker_stopped, brokers=3),
    Kind("leaders moved", around.leaders_moved, brokers=3),
    Kind("input: made again", inputs.made_again),
    Kind("input: cut at its beginning", inputs.cut),
    Kind("input: a transaction stays open", inputs.open_transaction),
    Kind("input: full rows", inputs.full_rows),
    Kind("input: garbage", inputs.garbage),
    Kind("partition: a record cannot be folded", halting.unfolded),
    Kind("partition: a batch is refused", halting.refused),
    Kind("Redis killed, back empty", around.redis_killed),
    Kind("Redis flushed", around.redis_flushed),
    Kind("Redis slow", around.redis_slow),
    Kind("Redis stopped and woken", around.redis_stopped),
    Kind("projection killed", around.projection_killed),
    Kind("projection stopped, replaced, woken", around.projection_replaced),
    Kind(
        "projection stopped before write to Redis, replaced, woken",
        partial(around.projection_at_point, point="before write to Redis"),
    ),
    Kind(
        "projection stopped before write without changes, replaced by one that is killed, woken",
        partial(
            around.projection_at_point,
            point="before write without changes",
            successor_ends_by=signal.SIGKILL,
        ),
    ),
)


PROVOKING: tuple[Kind, ...] = (
    *WORKER,
    *AROUND,
    Kind(
        "worker lingers and dies before confirmation",
        partial(workers.at_point, point="before confirmation", act="linger"),
    ),
    Kind(
        "worker dies after confirmation of rows",
        partial(
            workers.at_point, point="after confirmation", passing=11
        ),  # the others are of what is told
    ),
)
"""What mutants are provoked with."""


def in_turn(names: Sequence[str]) -> Kind:
    """Return the fault that is these, one after another."""
    by_name = {kind.name: kind for kind in PROVOKING}

    async def happen(scene: Scene) -> None:
        for name in names:
            await by_name[name].happen(scene)

    return Kind("; ".join(names), happen)


def possible(kind: Kind, isolated: bool, brokers: int) -> bool:
    """Say whether a fault can happen on such a stage."""
    return (
        (isolated or not kind.isolated)
        and brokers >= kind.brokers
        and (FAKETIME.exists() or not kind.clock)
    )
