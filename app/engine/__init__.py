"""What this project changes in Faust, and why. Written for faust-streaming 0.15 on aiokafka 0.14.

Faust keeps what it does well: agents, streams, the consumer group and its assignor, offset
commits, the life of the process. Three things are done otherwise, because as they are they lose,
repeat, stop or crawl (docs/decisions/0001 to 0003):

- `chunks`: agents get one event per partition and fetched batch, not one per record. Faust spends
  about 77 µs on each event in tasks and callbacks; per chunk that cost vanishes. An agent acks by
  hand, after everything the chunk caused is in the log.
- `table`, `store`: state goes to the log first and to RocksDB second, one Kafka transaction for a
  chunk's rows, its place in the input, and all it tells. The transactional producer of a partition
  is its fence: whoever takes the partition over shuts the predecessor out. Faust's own tables write
  the store first, are not fenced, and recover one record at a time with two idle time-outs.
- `records`: a header name that is not UTF-8 ends aiokafka's fetch, and so the worker, for good.
  Here it is read with its bytes escaped.

`app` makes an app of all that, and takes and gives up its tables with the group's partitions.

Each override has a test that fails when upstream changes underneath (tests/topology).
"""

from importlib.metadata import version

TESTED_WITH = {"faust-streaming": "0.15.", "mode-streaming": "0.7.", "aiokafka": "0.14."}


def check_versions() -> None:
    """Raise `RuntimeError` where an installed version is not one the overrides were made for."""
    for package, series in TESTED_WITH.items():
        if not version(package).startswith(series):
            raise RuntimeError(
                f"app.engine overrides {package} {series}x, but {version(package)} is installed; "
                "install from requirements.lock, or check each override in app/engine first."
            )
