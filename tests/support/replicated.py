"""A replica of the codes that a test writes itself."""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import lmdb
import msgspec

from app.projection.codes import stored
from app.projection.replica import CURRENT, STATE_KEY
from app.projection.state import FORMAT, Position, State, encode_state
from app.topics.catalogue import CATALOGUE, HEALTH_CODES, partition_of
from models.codes import HealthCode


def put(folder: Path, codes: Sequence[HealthCode], as_of: float, written_at: float) -> None:
    """Begin a replica again, of codes that are complete up to `as_of`, last written at
    `written_at` (s since 1970)."""
    name = secrets.token_hex(4)
    generation = folder / name
    generation.mkdir(parents=True)
    reached = (Position(1, as_of, as_of),) * CATALOGUE.partitions
    state = State(
        "log", FORMAT, "epoch", "boot", "test", written_at, True, 0, {HEALTH_CODES: reached}
    )
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
