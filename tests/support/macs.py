"""The keys of sources in tests, and records as their authors write them."""

from collections.abc import Sequence

from app.process.macs import MAC
from app.topics.authentic import OURS, SourceKeys, mac_variables
from app.topics.catalogue import CATALOGUE
from app.topics.codec import source_in
from app.topics.records import Headers, Record

MAC_KEY = bytes(range(64, 96))
KEYS = SourceKeys.of_master(MAC_KEY)

ENVIRONMENT = mac_variables(MAC_KEY)
"""The settings of every process."""


def author_of(topic: str, value: bytes | None, headers: Headers) -> str:
    """Who writes such a record: the source that it names, or one that may write to the topic."""
    known = CATALOGUE.topics.get(topic)
    if known is None or known.folds_into is None:  # what workers write, a changelog too
        return OURS
    source = source_in(value, headers)
    if source is not None and CATALOGUE.authority_of(source) is not None:
        return source
    authority = "laboratory" if known.takes_every_event else known.authority
    return CATALOGUE.authorities[authority][0].replace("*", "440100-001")


def signed(record: Record, author: str | None = None, name: str | None = None) -> Record:
    """The record with a MAC of its author, unless it has one; `name` is its topic's on a broker."""
    if any(header == MAC for header, _ in record.headers):
        if name in (None, record.topic):
            return record
        author = KEYS.author(record)
        own = tuple((header, raw) for header, raw in record.headers if header != MAC)
        record = Record(record.topic, record.key, record.value, own)
    author = author or author_of(record.topic, record.value, record.headers)
    key = KEYS.of(author)
    header = key.header(name or record.topic, record.key, record.value, record.headers)
    headers: Sequence[tuple[str, bytes]] = (*record.headers, header)
    return Record(record.topic, record.key, record.value, tuple(headers))
