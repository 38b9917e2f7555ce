"""What this project changes in Faust, and why: for faust-streaming 0.15, mode-streaming 0.7 and
aiokafka 0.14, which are checked at the start.

Faust keeps what it does well: agents, streams, the consumer group and its assignor, when offsets
are committed, the life of the process. Three things are done otherwise, because Faust's own way
loses, repeats, stops or crawls (docs/decisions/0001 to 0003): how records come to an agent, which
offset may be committed (both in `chunks`), and tables with their recovery. `lanes` keeps the chunks
of each topic partition in order, `halts` tells what stands still. `table` has the partitions, and
gives chunks their turns (`turns`). `partition` has the fence and the commit, `producer` says what
is known of its requests, `topics` which topic bears a name, `gaps` what lies before a chunk,
`lineage` which rows of the log are the workers' own, `transaction` what a fold sees, `store` what
RocksDB keeps. `membership` says which member of its group a worker is, `waits` leaves out two
waits. `app` makes an app of all that, and its tables, tied to the partitions that the group gives
it.

Overridden, of Faust's consumer and its thread:

- `getmany`: an event is a `Chunk`, not a record. Faust spends 77 µs on each event in tasks and
  callbacks; per chunk that cost vanishes.
- `force_commit`, `ack`, `_add_gap`: what is committed is how far all was applied. Faust commits
  what was acked. It takes a commit that failed for done, and looks for gaps between acked offsets,
  which transaction markers are to it (robinhood/faust#401, faust-streaming/faust#606).
- `seek_to_committed`: goes to what was not applied, where that is known: the group's offset may be
  of a topic that is no more. It goes to the beginning where nothing is committed. Otherwise records
  that were fetched and dropped are skipped. A partition taken away during a seek ends nothing
  (faust-streaming/faust#54).
- `_read_offset`: keeps nothing. Faust drops in silence what lies before it.
- `on_start` of the thread: hears how each commit ends, whose asker may be gone (`hear_commits`),
  and each error of the group, which would be kept for a fetch that never comes (`hear_errors`);
  fetches what comes together (`app.process.gather`); notes from where each fetch reads, so
  that a chunk that goes on from the one before needs no look at the log (`gaps`).
- `on_thread_stop`: ends the fetches first, or their `CancelledError` ends the thread in silence.
  Leaves the group if the worker will not come back; with an id, aiokafka never does.
- `on_stop`: does not wait for ever for a thread that a crash has ended.
- `_create_worker_consumer`: read_committed, for which Faust has no setting.
- `_fetch_records`: begins with another partition each time, as aiokafka empties one before the
  next; leaves out what has enough waiting (`Lanes.held_back`).

Of its app, `_new_transport` and the transport's `Consumer` put that in place. Also overridden:

- `TableManager.on_start` and `Worker._sentinel_task` (`waits`): each waits a second, for nothing.
- `app.Table` is not used. Faust's tables write the store before the log, are not fenced, and
  recover one record at a time with two idle time-outs.

For the whole process, `make_app` sets three things:

- `aiokafka.consumer.fetcher.MemoryRecords` (`records`): a header name that is not UTF-8 ends
  aiokafka's fetch, and so the worker, for good;
- `aiokafka.producer.sender.BACKOFF_OVERRIDE` (KAFKA-5477);
- how often Python looks for reference cycles.

tests/topology/test_overrides.py fails when upstream changes underneath any of them.
"""

from importlib.metadata import version

TESTED_WITH = {"faust-streaming": "0.15.", "mode-streaming": "0.7.", "aiokafka": "0.14."}


def check_versions() -> None:
    """Raise `RuntimeError` if an installed version is not one that the overrides were made for.

    Faust's streams in pure Python ack what they drop in a rebalance; those in Cython do not.
    """
    # Who reads what the store keeps imports this package, too, and has no use for Faust: 0.3 s.
    from faust import streams

    if getattr(streams, "_CStreamIterator", None) is None:
        raise RuntimeError(
            "Faust runs without its Cython extensions, and then acks chunks that it drops; unset "
            "NO_CYTHON, and install a wheel that has them."
        )
    for package, series in TESTED_WITH.items():
        if not version(package).startswith(series):
            raise RuntimeError(
                f"app.engine overrides {package} {series}x, but {version(package)} is installed; "
                "install from requirements.lock, or check each override in app/engine first."
            )
