"""A replica of the codes that a test writes itself."""

import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

import lmdb
import msgspec

from app.projection.codes import stored
from app.projection.replica import CURRENT, STATE_KEY
from app.projection.state import FORMAT, Position, State, encode_state
from app.topics.catalogue import CATALOGUE, HEALTH_CODES, partition_of
from models.codes import HealthCode


def put(folder: Path, codes: Sequence[HealthCode], told_until: float, applied_until: float) -> None:
    """Begin a replica again, of all codes that workers told up to `told_until`, when they had
    applied their inputs up to `applied_until` (s since 1970)."""
    name = secrets.token_hex(4)
    generation = folder / name
    generation.mkdir(parents=True)
    reached = (Position(1, told_until, applied_until),) * CATALOGUE.partitions
    at = time.time()  # when it was written says nothing of what is in it
    state = State("log", FORMAT, "epoch", "boot", "test", at, True, 0, {HEALTH_CODES: reached})
    environment = lmdb.open(str(generation), map_size=1 << 24, sync=False)
    with environment.begin(write=True) as batch:
        for code in codes:
            key = code.person.encode()
            value = stored(msgspec.json.encode(code), partition_of(key, CATALOGUE.partitions))
            batch.put(key, value)
        batch.put(STATE_KEY, encode_state(state))
    environment.close()
    os.symlink(name, folder / f"{name}.link")
    os.replace(folder / f"{name}.link", folder / CURRENT)
