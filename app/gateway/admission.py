"""What one event must be to be written, and how it gets its person.

The order matters. The source is checked first, so nobody learns anything about the events of
others. Then the document number, or a telecom's phone number, is taken out, so no later step can
repeat the number.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson
from msgspec import UNSET, Struct, UnsetType

from app.gateway.person_keys import PersonKeys
from app.process.clock import Clock
from app.topics.authentic import SourceKeys
from app.topics.catalogue import CATALOGUE, KeyOf
from app.topics.codec import Refusal, document_number, encode, from_mapping
from app.topics.numbers import carries_personal_number, fields_with_personal_number
from app.topics.records import Record
from app.web.problems import FieldError, Problem, Refused
from models import documents, phones
from models.documents import Document, DocumentError
from models.events import EVENT_ID, EVENT_TYPES, KEYED_BY_PHONE, DocumentType, type_of
from models.phones import MOBILE_PHONE_NUMBER, Phone, PhoneError
from models.policy import ZONE

_EXPECTED = "An object of type (such as resident-identity-card) and number, both text."
_EXPECTED_PHONE = f"An object of type ({MOBILE_PHONE_NUMBER}) and number, both text."


class Admitted(Struct, frozen=True):
    """An event that may be written."""

    id: str
    source: str
    record: Record


class Admission:
    """Judges events and documents one by one. `now` gives the instant, with its zone."""

    def __init__(self, person_keys: PersonKeys, mac_keys: SourceKeys, now: Clock) -> None:
        self._person_keys = person_keys
        self._mac_keys = mac_keys
        self._now = now

    def admit(self, event: Any, source: str) -> Admitted:
        """Return the event as a record, if the token of `source` allows to send it.

        Raise `Refused` or the codec's `Refusal`.
        """
        if isinstance(event, dict):
            event = self._with_person(_of_source(event, source))
            if carries_personal_number(orjson.dumps(event)):
                raise document_number(source, *fields_with_personal_number(event))
        decoded = from_mapping(event, self._now())
        topic = CATALOGUE.topic_of(type_of(decoded))
        value = encode(decoded)
        if len(value) > topic.value_bytes_max:
            raise Refused(
                "too-large",
                f"The event has {len(value)} bytes; {topic.name} takes {topic.value_bytes_max}.",
            )
        record = Record(topic.name, decoded.partitionkey.encode(), value)
        signed = self._mac_keys.signed(record, decoded.source)
        return Admitted(decoded.id, decoded.source, signed)

    def person_key(self, document: Any, path: str, of: KeyOf) -> str:
        """Return the key of a document, or of a phone, as read from JSON; raise `Refused`.

        `of` says which of the two may be asked for, and `path` where it stood: a refusal names it.
        """
        named = self._named(document, path)
        if isinstance(named, Phone) != (of == "phone"):
            types = MOBILE_PHONE_NUMBER if of == "phone" else ", ".join(DocumentType)
            raise Refused(
                "no-keys",
                f"The source is given keys of a {of} alone.",
                (FieldError(f"{path}.type", "It is of the other kind.", f"One of {types}."),),
            )
        return self._person_keys.key(named)

    def _with_person(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return the event with a person key in place of the document, if it has one."""
        data, person = event.get("data"), event.get("partitionkey")
        if not isinstance(data, dict):
            return event  # the codec refuses it: who it is about would have been in its data
        document = data.get("document")
        if document is None:
            # An unknown type is the worse fault: the codec refuses the event for it.
            known = any(event.get("type") == name for name in EVENT_TYPES)
            if known and person is None:
                expected = _EXPECTED_PHONE if event["type"] in KEYED_BY_PHONE else _EXPECTED
                raise Refused(
                    "person",
                    "The event does not say whom it is about.",
                    (FieldError("data.document", "It is missing.", expected),),
                )
            return event
        if person is not None:
            raise Refused(
                "person",
                "The event has both data.document and partitionkey.",
                (FieldError("partitionkey", "It is one too many.", "One of the two."),),
            )
        rest = {name: value for name, value in data.items() if name != "document"}
        named = self._named(document, "data.document")
        _check_kind(named, event.get("type"), rest)
        return {**event, "data": rest, "partitionkey": self._person_keys.key(named)}

    def _named(self, document: Any, path: str) -> Document | Phone:
        match document:
            case {"type": str(type_name), "number": str(number), **rest} if not rest:
                pass
            case _:
                raise Refused(
                    "document",
                    "The document cannot be read.",
                    (FieldError(path, "It is not a document.", _EXPECTED),),
                )
        try:
            if type_name == MOBILE_PHONE_NUMBER:
                return phones.parse_phone(number)
            return documents.parse_document(type_name, number, self._now().astimezone(ZONE).date())
        except PhoneError as error:
            raise Refused(
                "phone",
                f"There is no such phone: {error.detail}",
                (FieldError(f"{path}.number", error.detail, error.expected),),
            ) from None
        except DocumentError as error:
            raise Refused(
                "document",
                f"There is no such document: {error.detail}",
                (FieldError(f"{path}.{error.field}", error.detail, error.expected),),
            ) from None


def _check_kind(named: Document | Phone, type_: Any, data: Mapping[str, Any]) -> None:
    """Raise `Refused` for a phone in an event about a person, for a document in one about a phone,
    and for a document of another type than `data` says.

    The first two would be folded, in silence, into a row that belongs to nobody. Unknown event
    types are refused by the codec.
    """
    if not isinstance(type_, str) or type_ not in EVENT_TYPES:
        return
    about_phone = type_ in KEYED_BY_PHONE
    if about_phone != isinstance(named, Phone):
        types = MOBILE_PHONE_NUMBER if about_phone else ", ".join(DocumentType)
        about = "a phone" if about_phone else "a person"
        raise Refused(
            "person",
            f"The event is about {about}, and data.document is not of that kind.",
            (FieldError("data.document.type", "It is of the other kind.", f"One of {types}."),),
        )
    said = data.get("document_type")
    if isinstance(named, Document) and said in [*DocumentType] and said != named.type:
        raise Refused(
            "invalid",
            "data.document_type and data.document.type differ.",
            (FieldError("data.document_type", "It is another type.", f"{named.type}."),),
        )


def _of_source(event: dict[str, Any], source: str) -> dict[str, Any]:
    """Return the event if it is of this source, or names no source: the codec refuses that."""
    claimed = event.get("source")
    if isinstance(claimed, str) and claimed != source:
        raise Refused(
            "wrong-source",
            f"The token is of {source}; it speaks for that source alone.",
            (FieldError("source", "It is another source.", source),),
        )
    return event


def one_content_each(judged: Iterable[Admitted | Problem]) -> Iterator[Admitted | Problem]:
    """Yield the results of a batch; refuse an event whose id stands before it with other content.

    What arrived before this batch only the fold knows (models.person.conflict).
    """
    taken: dict[tuple[str, str], Record] = {}
    for item in judged:
        if isinstance(item, Admitted):
            first = taken.setdefault((item.source, item.id), item.record)
            if first != item.record:
                yield _CONFLICT.problem(item.id)
                continue
        yield item


_CONFLICT = Refused(
    "conflict",
    "An earlier event of this batch has this id and another content; that one is taken. Send this "
    "one with an id of its own. If it corrects the other, let it supersede it.",
    (FieldError("id", "It occurs twice.", "An id of its own."),),
)


def as_refused(refusal: Refused | Refusal) -> Refused:
    """Return the codec's refusal as one of HTTP."""
    if isinstance(refusal, Refused):
        return refusal
    errors = tuple(FieldError(fault.field, fault.detail) for fault in refusal.faults)
    return Refused(refusal.code, refusal.detail, errors)


def readable_id(event: Any) -> str | UnsetType:
    """Return the event's id for its answer, if it is well-formed and not a document number."""
    id_ = event.get("id") if isinstance(event, dict) else None
    if not isinstance(id_, str) or not EVENT_ID.fullmatch(id_):
        return UNSET
    return UNSET if carries_personal_number(orjson.dumps(id_)) else id_
