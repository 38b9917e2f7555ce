"""What lies between what was applied of a topic partition and the records that come next.

Mostly nothing, or what is no record to apply: the ends of transactions, and what was aborted. What
was deleted before it was read is said. What is still there would be skipped, so the consumer has to
go back to it.
"""

import structlog
from faust.types import TP

from app.engine.chunks import Chunk
from app.engine.topics import Topics
from app.process import metrics

log = structlog.get_logger()


async def follows(
    topics: Topics,
    chunk: Chunk,
    unread: int,
    followed: set[str],
    gone: dict[TP, tuple[int, int]],
) -> bool:
    """Say whether nothing that can be applied lies between `unread` and a chunk.

    That is looked at once for each topic in `followed`, and then noted there: whatever comes of it
    from then on comes in order. Before that the consumer may be too far: the group's offset may be
    that of a topic that was deleted and made again. What was deleted unread is told once, however
    often the chunk behind it comes: `gone` keeps from which unread offset on and up to where that
    was said.
    """
    tp, first = TP(chunk.topic, chunk.partition), chunk.records[0].offset
    begin = await topics.begin(tp)
    where = {"topic": tp.topic, "partition": tp.partition}
    told_from, told_to = gone.get(tp, (None, 0))
    untold = told_to if told_from == unread else unread
    if begin > untold:
        gone[tp] = unread, begin
        metrics.WORKER_RECORDS_GONE.labels(tp.topic).inc(begin - untold)
        log.error("records_gone_unread", **where, first=untold, last=begin - 1)
    if tp.topic not in followed and begin < first:
        if (comes := await topics.first(tp, unread)) < first:
            log.warning("consumer_too_far", **where, at=first, unread=comes)
            return False
        followed.add(tp.topic)
    return True
