"""A store without RocksDB, for what folds a record outside of the topology."""

from collections.abc import Sequence
from typing import Any

from app.engine.transaction import Output, Transaction


class Store(dict[bytes, bytes]):
    """Stands for RocksDB: what was committed, with the due time in front."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    def commit(self, transaction: Transaction) -> list[Output]:
        for key, row in transaction.rows.items():
            self[key] = row[0].to_bytes(8, "big") + row[1]
        return transaction.outputs


def transaction_on(store: Store) -> Transaction:
    """Return a transaction that reads from `store`."""
    stands_in: Any = store
    return Transaction(stands_in)
