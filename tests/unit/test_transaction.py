"""What a transaction holds is counted as it comes, and is what there is of it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.engine.store import DUE
from app.engine.transaction import Output, Transaction

KEYS = st.sampled_from([b"a", b"b", b"c"])
VALUES = st.binary(max_size=9)
STORED = {b"a": DUE.pack(0) + b"row", b"b": DUE.pack(7)}


class Kept:
    """A store with two rows."""

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        return [STORED.get(key) for key in keys]


steps = st.one_of(
    st.builds(lambda keys: lambda t: t.read(keys), st.lists(KEYS)),
    st.builds(lambda key: lambda t: t.get(key), KEYS),
    st.builds(lambda key, value: lambda t: t.put(key, value), KEYS, VALUES),
    st.builds(lambda key, value: lambda t: t.emit(Output("t", key, value)), KEYS, VALUES),
    st.builds(
        lambda key, value: lambda t: t.emit_newest(Output("t", key, value)),
        KEYS,
        st.none() | VALUES,
    ),
)


@given(st.lists(steps, max_size=12))
def test_its_size_is_that_of_what_it_read_and_will_write(taken: list[Any]) -> None:
    store: Any = Kept()
    transaction = Transaction(store)
    for step in taken:
        step(transaction)
    assert transaction.size == (
        sum(len(row or b"") for row in transaction._read.values())
        + sum(len(row) for _, row in transaction.rows.values())
        + sum(len(output.value or b"") for output in transaction.outputs)
    )
