"""CBOR (RFC 8949) in its deterministic form (4.2.1): for each value there is one sequence of bytes.

Who signs bytes wants no second form of them to be as good. So what comes from outside is read, and
refused if writing it again gives other bytes.
"""

from typing import Any

import cbor2


class NotCbor(Exception):
    """The bytes are not one CBOR item in its deterministic form."""


def pack(value: object) -> bytes:
    """Return `value` in its deterministic form."""
    return cbor2.dumps(value, canonical=True)


def unpack(raw: bytes) -> Any:
    """Return the value of `raw`; raise `NotCbor`."""
    try:
        value = cbor2.loads(raw)
        same = pack(value) == raw
    # Tags have values of many types, each with errors of its own.
    except (cbor2.CBORError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise NotCbor from error
    if not same:
        raise NotCbor
    return value
