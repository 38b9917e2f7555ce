"""Which record is sent again for a letter: its own bytes, mended ones, or none, and why."""

from datetime import datetime

from msgspec import Struct

from app.process.settings import variable_of
from app.topics.authentic import SourceKeys
from app.topics.catalogue import CATALOGUE, DEAD_LETTERS, partition_of
from app.topics.codec import Code, Refusal, decode, from_mapping, parse_strict
from app.topics.letters import Letter
from app.topics.numbers import carries_personal_number, searchable
from app.topics.openings import RESENT_FROM, as_it_lay, openings_partition
from app.topics.records import CLOUDEVENT, Header, Record
from models.events import type_of
from models.notices import Objection


class NotSentError(Exception):
    """A letter is not sent again; the message says why, and what to do instead."""


class Sending(Struct, frozen=True):
    """A record as it is sent again."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]


def mend(
    letter: Letter,
    keys: SourceKeys,
    now: datetime,
    replacement: bytes | None = None,
    force: bool = False,
) -> Sending:
    """Return the record to send for `letter`, or raise `NotSentError`.

    Without a `replacement` the record goes as it came, to its own topic and partition. A
    `replacement` is sent as an event, to the topic and partition of its type and person. With
    `force` a record is sent even if it would be refused again. Either gets a MAC of its source by
    `keys`: the operator answers for it. What is held goes to openings as it lay there, with the MAC
    of the worker that wrote it; two operators must have approved it, or it is held again.
    """
    if letter.opening_mac is not None:
        return _opening(letter, letter.opening_mac, keys)
    if letter.reason == Objection.HELD:
        raise NotSentError(
            "Its event is held, and goes on once two operators have approved it "
            f"(yuekang held approve {letter.source} …)."
        )
    if letter.reason == Code.WRONG_PARTITION and not letter.refused:
        raise NotSentError(
            "Its event was forwarded to its own partition and counts there. Nothing is there to "
            "send again."
        )
    if letter.came_from is None or (letter.place.topic == DEAD_LETTERS and not letter.refused):
        raise NotSentError(
            "Its event was not refused and stands; only its claim on another is of no effect. "
            "Nothing is there to send again."
        )
    if replacement is not None:
        return _replaced(letter, keys, replacement, now, force)
    return _as_it_came(letter, keys, now, force)


def _opening(letter: Letter, mac: bytes, keys: SourceKeys) -> Sending:
    back = as_it_lay(letter.source or "", letter.value, mac)
    if not keys.is_ours(back):
        raise NotSentError(
            "The key with which a worker signed it is not here, so the workers would refuse it. "
            f"Give the master key of that time ({variable_of('former_mac_key')})."
        )
    headers = (*back.headers, (RESENT_FROM, _origin(letter)))
    return Sending(
        back.topic, openings_partition(letter.source or ""), back.key, back.value, headers
    )


def _as_it_came(letter: Letter, keys: SourceKeys, now: datetime, force: bool) -> Sending:
    place = letter.came_from
    assert place is not None
    if letter.reason == Code.NOT_AUTHENTIC and not force:
        raise NotSentError(
            "Nobody knows who made it. Ask the source that it names whether it is theirs; if so, "
            "have it sent again by them, or use --force and answer for it."
        )
    if letter.sealed:
        raise NotSentError(
            "It is sealed, and the private key that opens it is missing. Give it "
            f"({variable_of('dead_letter_private_key')}, or --key-file); or send mended bytes with "
            "--replace."
        )
    if letter.reason == Code.DOCUMENT_NUMBER and carries_personal_number(
        searchable(letter.value, letter.key, letter.own_headers)
    ):
        raise NotSentError(
            "It carries the number of a document or a phone; as it is it must not be sent. Mend it "
            "(show --open --raw), and send that with --replace."
        )
    if letter.bytes_left_out:
        raise NotSentError(
            f"{letter.bytes_left_out} of its bytes were left out. Take the record from {place}, "
            "or mended bytes, and send that with --replace."
        )
    if letter.reason in set(Objection) and not force:
        raise NotSentError(
            f"It is valid by itself, and was refused beside the person's other events "
            f"({letter.reason}): {letter.detail} Mend it and use --replace, or --force where those "
            "are others now."
        )
    topic = CATALOGUE.topics[place.topic]
    partition, source = place.partition, letter.source
    try:
        source = decode(letter.value, letter.key, letter.own_headers, topic, now).source
        # If the partition was the fault, the record goes to another than it came from.
        partition = partition_of(letter.key or b"", topic.partitions)
    except Refusal as refusal:
        if not force:
            raise NotSentError(
                f"It would be refused again: {refusal} Mend it (show --raw) and use --replace, or "
                "--force."
            ) from None
    record = Record(topic.name, letter.key, letter.value, letter.own_headers)
    return _sending(letter, keys, record, source, partition)


def _replaced(
    letter: Letter, keys: SourceKeys, replacement: bytes, now: datetime, force: bool
) -> Sending:
    try:
        event = from_mapping(parse_strict(replacement), now)
        topic = CATALOGUE.topic_of(type_of(event))
        key = event.partitionkey.encode()
        decode(replacement, key, CLOUDEVENT, topic, now)
    except Refusal as refusal:
        raise NotSentError(f"The replacement would be refused: {refusal}") from None
    if letter.source not in (None, event.source) and not force:
        raise NotSentError(
            f"The replacement is from {event.source}, the record was from {letter.source}. A "
            "mended event has the source that sent it; with --force it need not."
        )
    partition = partition_of(key, topic.partitions)
    record = Record(topic.name, key, replacement)
    return _sending(letter, keys, record, event.source, partition)


def _sending(
    letter: Letter, keys: SourceKeys, record: Record, source: str | None, partition: int
) -> Sending:
    try:
        signed = keys.signed(record, source or "")
    except KeyError:
        raise NotSentError(
            f"{source or 'The source that it names'} is no source, so the worker would not know "
            "who made it. Mend it, and use --replace."
        ) from None
    headers = (*signed.headers, (RESENT_FROM, _origin(letter)))
    return Sending(record.topic, partition, record.key, record.value, headers)


def _origin(letter: Letter) -> bytes:
    return f"{letter.place.topic}/{letter.place.partition}/{letter.place.offset}".encode()
