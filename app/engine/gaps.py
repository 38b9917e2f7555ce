"""What lies between what was applied of a topic partition and the records that come next.

Mostly nothing, or what is no record to apply: the ends of transactions, and what was aborted. A
chunk that was read on from where the one before ended tells that by itself. Else the log is asked.
What was deleted before it was read is said. What is still there would be skipped, so the consumer
has to go back to it.
"""

from collections.abc import Iterator

import structlog
from faust.types import TP

from app.engine.chunks import Chunk
from app.engine.topics import Topics
from app.process import metrics

log = structlog.get_logger()


def gaps_of(chunk: Chunk, unread: int) -> Iterator[range]:
    """Yield the offsets from `unread` on that no record of a chunk has, up to its last."""
    last = unread - 1
    for record in chunk.records:
        if record.offset > last:
            if record.offset > last + 1:
                yield range(last + 1, record.offset)
            last = record.offset


async def follows(
    topics: Topics, chunk: Chunk, unread: int, followed: dict[str, int], gone: dict[TP, int]
) -> bool:
    """Say whether nothing that can be applied lies between `unread` and a chunk.

    That is looked at once for each topic in `followed`, and then noted there: whatever comes of it
    from then on comes in order. Before that the consumer may be too far: the group's offset may be
    that of a topic that was deleted and made again. What was deleted unread is told once, however
    often the chunk behind it comes: `gone` keeps up to where.
    """
    tp, first = TP(chunk.topic, chunk.partition), chunk.records[0].offset
    begin = await topics.begin(tp)
    where = {"topic": tp.topic, "partition": tp.partition}
    if begin < gone.get(tp, 0):  # it was made again
        del gone[tp]
    for gap in gaps_of(chunk, unread):
        if lost := range(max(gap.start, gone.get(tp, 0)), min(gap.stop, begin)):
            gone[tp] = lost.stop
            metrics.WORKER_RECORDS_GONE.labels(tp.topic).inc(len(lost))
            log.error("records_gone_unread", **where, first=lost[0], last=lost[-1])
    if tp.topic not in followed and begin < first:
        if (comes := await topics.first(tp, unread)) < first:
            log.warning("consumer_too_far", **where, at=first, unread=comes)
            return False
        followed[tp.topic] = 0
    return True
