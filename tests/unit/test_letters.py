"""What of a letter is sent again, and what is not; which letters are marked; what is shown."""

import dataclasses
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import structlog
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaConnectionError
from nacl.public import PrivateKey, SealedBox
from typer import Exit
from typer.testing import CliRunner

from agents import people, submissions
from agents.dead_letters import DeadLetters
from app.engine.transaction import Fold, Output, Records, Transaction
from app.letters import commands
from app.letters.marks import Marks, mark_of
from app.letters.mend import NotSentError, mend
from app.letters.show import print_letter
from app.process.asking import ask_kafka
from app.process.kafka import Brokers
from app.process.producers import FENCED
from app.process.terminal import escaped
from app.topics.catalogue import CATALOGUE, SUBMISSIONS, partition_of
from app.topics.codec import Code, Refusal, encode
from app.topics.letters import Letter, LetterFilter, NotOpenedError, letter_in, opened
from app.topics.reading import Range
from app.topics.records import KafkaPlace, Record
from support import builders as b
from support.macs import KEYS
from support.records import PARTITIONS, record
from support.stores import Store, transaction_on

KEY = PrivateKey(bytes(range(32)))
LETTERS = DeadLetters(bytes(KEY.public_key))
TOPIC = "laboratory-results"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
OTHER = "p1-" + "b" * 32
SOURCE = "/laboratories/1"


def written(told: Output, offset: int = 7) -> Letter:
    """The letter as it is read again."""
    return letter_in(
        ConsumerRecord(
            told.topic, 2, offset, 1_000, 0, told.key, told.value, None, 0, 0, tuple(told.headers)
        )
    )


def run(fold: Fold, transaction: Transaction, records: Records) -> None:
    for _ in fold(transaction, records):
        pass


def refused(
    value: bytes | None, key: bytes | None = b.PERSON.encode(), headers: Any = ()
) -> Letter:
    """The dead letter of a record as the agent writes it, opened."""
    return opened(sealed(value, key, headers), bytes(KEY))


def sealed(value: bytes | None, key: bytes | None = b.PERSON.encode(), headers: Any = ()) -> Letter:
    """The same as it lies in its topic."""
    transaction = transaction_on(Store())
    one = record(value, b.day(20), 5, TOPIC, key, headers, SOURCE)
    run(people.chunk_fold(CATALOGUE.topics[TOPIC], LETTERS, KEYS), transaction, [one])
    [told] = transaction.outputs
    return written(told)


def valid(**kw: Any) -> bytes:
    return encode(b.negative(b.day(2), source=SOURCE, **kw))


BROKEN = valid().replace(b"negative", b"probably")


def why_not(letter: Letter, *args: Any) -> str:
    with pytest.raises(NotSentError) as caught:
        mend(letter, KEYS, NOW, *args)
    return str(caught.value)


def test_what_was_refused_and_is_valid_goes_as_it_came_to_where_it_came_from() -> None:
    """The reader was at fault, say, and is mended."""
    value = valid()
    headers = (("content-type", b"application/cloudevents+json"), ("trace", b"1"))
    transaction = transaction_on(Store())
    one = record(value, b.day(20), 5, TOPIC, b.PERSON.encode(), headers)
    LETTERS.refuse(transaction, one, Refusal(Code.NOT_JSON, "It was a bug.", SOURCE))
    sending = mend(opened(written(transaction.outputs[0]), bytes(KEY)), KEYS, NOW)
    assert (sending.topic, sending.partition) == (TOPIC, one.partition)
    assert (sending.key, sending.value) == (b.PERSON.encode(), value)
    *own, mac, origin = sending.headers
    assert (*own,) == headers
    assert origin == ("yk_resent_from", b"dead-letters/2/7")
    assert KEYS.author(Record(TOPIC, sending.key, sending.value, (*own, mac))) == SOURCE


def test_what_is_put_aside_goes_as_it_came() -> None:
    transaction = transaction_on(Store())
    one = record(valid(), b.day(20), 5, TOPIC, b.PERSON.encode())
    LETTERS.park(transaction, one, SOURCE)
    letter = written(transaction.outputs[0])
    assert not letter.refused
    assert mend(letter, KEYS, NOW).value == one.value


@pytest.mark.parametrize(
    ("letter", "says"),
    [
        (refused(BROKEN), "would be refused again: invalid: data.result"),
        (refused(b"{"), "would be refused again: not-json"),
        (refused(None), "would be refused again: tombstone"),
        (refused(valid(), None), "would be refused again: key"),
        (refused(valid().replace(b"Laboratory 1", b"11010519491231002X")), "must not be sent"),
        (sealed(valid()[:-1]), "YUEKANG_DEAD_LETTER_PRIVATE_KEY, or --key-file"),
        (refused(b"x" * 3_200_000), "54272 of its bytes were left out"),
    ],
)
def test_what_would_be_refused_again_is_not_sent(letter: Letter, says: str) -> None:
    assert says in why_not(letter)


def test_force_sends_what_would_be_refused_to_where_it_came_from() -> None:
    sending = mend(refused(BROKEN), KEYS, NOW, None, True)
    assert (sending.value, sending.partition) == (
        BROKEN,
        partition_of(b.PERSON.encode(), PARTITIONS),
    )
    assert mend(refused(None), KEYS, NOW, None, True).value is None


@pytest.mark.parametrize(
    "letter", [refused(valid().replace(b"Laboratory 1", b"11010519491231002X"))]
)
def test_force_sends_no_document_number(letter: Letter) -> None:
    assert "must not be sent" in why_not(letter, None, True)


def test_a_mended_event_goes_where_it_belongs() -> None:
    for letter in (refused(BROKEN), refused(b"{"), refused(valid(), OTHER.encode())):
        sending = mend(letter, KEYS, NOW, valid(person=OTHER))
        assert (sending.topic, sending.key) == (TOPIC, OTHER.encode())
        assert sending.partition == partition_of(OTHER.encode(), PARTITIONS)
    moved = encode(b.suspected(b.day(2), source=SOURCE))
    assert "no-authority" in why_not(refused(BROKEN), moved)
    moved = encode(b.suspected(b.day(2)))
    letter = msgspec.structs.replace(refused(BROKEN), source=None)
    assert mend(letter, KEYS, NOW, moved).topic == "case-reports"


def test_a_record_on_the_wrong_partition_goes_to_the_right_one() -> None:
    right = partition_of(b.PERSON.encode(), PARTITIONS)
    place = KafkaPlace(TOPIC, (right + 1) % 4, 5)
    letter = msgspec.structs.replace(refused(BROKEN), value=valid(), came_from=place)
    assert mend(letter, KEYS, NOW).partition == right


def of_submission(value: bytes) -> Letter:
    """The letter of what an agency wrote to Kafka itself, opened."""
    transaction = transaction_on(Store())
    one = record(value, b.day(20), 5, SUBMISSIONS, b.PERSON.encode(), (), SOURCE)
    run(submissions.chunk_copy(LETTERS, KEYS), transaction, [one])
    [told] = transaction.outputs
    return opened(written(told), bytes(KEY))


def test_a_submission_goes_back_to_submissions_where_it_is_checked_again() -> None:
    broken, right = of_submission(BROKEN), valid()
    assert "would be refused again: invalid" in why_not(broken)
    for letter, value, force in (
        (msgspec.structs.replace(broken, value=right), right, False),
        (broken, BROKEN, True),
    ):
        sending = mend(letter, KEYS, NOW, None, force)
        assert (sending.topic, sending.value) == (SUBMISSIONS, value)
        sent = Record(sending.topic, sending.key, sending.value, sending.headers)
        assert KEYS.author(sent) == SOURCE


def test_a_mended_submission_goes_to_its_input_since_it_is_checked_here() -> None:
    right = valid()
    sending = mend(of_submission(BROKEN), KEYS, NOW, right)
    assert (sending.topic, sending.value) == (TOPIC, right)
    assert KEYS.author(Record(TOPIC, sending.key, sending.value, sending.headers)) == SOURCE


@pytest.mark.parametrize(
    ("replacement", "says"),
    [
        (b"", "would be refused: not-json"),
        (BROKEN, "would be refused: invalid"),
        (valid().replace(b"Laboratory 1", b"11010519491231002X"), "document-number"),
        (
            encode(b.negative(b.day(2), source="/laboratories/2")),
            "from /laboratories/2, the record was from /laboratories/1",
        ),
    ],
)
def test_a_replacement_that_is_wrong_is_not_sent(replacement: bytes, says: str) -> None:
    assert says in why_not(refused(BROKEN), replacement)


def test_what_the_fold_refused_is_not_sent_as_it_was() -> None:
    store = Store()
    transaction = transaction_on(store)
    event = b.negative(b.day(2), source=SOURCE, id="twice")
    other = b.positive(b.day(2), source=SOURCE, id="twice")
    fold = people.chunk_fold(CATALOGUE.topics[TOPIC], LETTERS, KEYS, limited=False)
    run(fold, transaction, [record(event, b.day(20)), record(other, b.day(20), 1)])
    told = next(t for t in transaction.outputs if t.topic == "dead-letters")
    letter = opened(written(told), bytes(KEY))
    assert "was refused beside the person's other events (conflict)" in why_not(letter)
    assert mend(letter, KEYS, NOW, None, True).value == letter.value


def test_what_was_forwarded_has_nothing_to_send() -> None:
    """Neither as it came, nor mended: it counts, and a mended event would be another."""
    transaction = transaction_on(Store())
    right = record(b.negative(b.day(2), source=SOURCE), b.day(20))
    lying = dataclasses.replace(right, partition=(right.partition + 1) % PARTITIONS)
    run(people.chunk_fold(CATALOGUE.topics[TOPIC], LETTERS, KEYS), transaction, [lying])
    letter = written(next(t for t in transaction.outputs if t.topic == "dead-letters"))
    for args in ((), (valid(),), (None, True)):
        assert "forwarded to its own partition" in why_not(letter, *args)


def test_a_claim_in_vain_has_nothing_to_send() -> None:
    transaction = transaction_on(Store())
    one = b.negative(b.day(2), source=SOURCE, supersedes="p", sequence=9)
    other = b.negative(b.day(2), source="/laboratories/2", id="p", sequence=8)
    fold = people.chunk_fold(CATALOGUE.topics[TOPIC], LETTERS, KEYS)
    run(fold, transaction, [record(other, b.day(20)), record(one, b.day(20), 1)])
    letter = written(next(t for t in transaction.outputs if t.topic == "dead-letters"))
    assert not letter.refused
    for args in ((), (valid(),), (None, True)):
        assert "stands" in why_not(letter, *args)


# Which letters are wanted, and marked


def test_a_filter_takes_what_fits_in_all() -> None:
    letter = refused(BROKEN)
    assert LetterFilter().takes(letter)
    assert LetterFilter(TOPIC, "invalid", SOURCE, letter.at).takes(letter)
    assert not LetterFilter(topic="scans").takes(letter)
    assert not LetterFilter(reason="not-json").takes(letter)
    assert not LetterFilter(source="/laboratories/2").takes(letter)
    assert not LetterFilter(since=NOW).takes(letter)


def test_marks_are_of_one_topic_and_of_letters_that_are_kept() -> None:
    marks = Marks("parked", {0: Range(10, 30), 1: Range(0, 0)})
    for offset in (10, 17, 18, 29):
        marks.add(mark_of(KafkaPlace("parked", 0, offset)), 0)
    marks.add(mark_of(KafkaPlace("dead-letters", 0, 20)), 0)
    marks.add(mark_of(KafkaPlace("parked", 0, 9)), 0)  # gone
    marks.add(mark_of(KafkaPlace("parked", 0, 30)), 0)  # later than what is read
    found = [n for n in range(10, 30) if KafkaPlace("parked", 0, n) in marks]
    assert found == [10, 17, 18, 29]


# What is shown, and what is asked for


def test_what_outsiders_wrote_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    assert escaped("a\x1b[2J\r\nb\u202e粤") == r"a\x1b[2J\r\nb\u202e粤"
    letter = refused(b"\x1b[31m\xff{", headers=[("trace\x07", b"\x1b]0;x")])
    print_letter(letter)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert r"\x1b[31m\xff{" in shown
    assert "reason: not-utf-8" in shown


def test_a_sealed_letter_says_what_opens_it(capsys: pytest.CaptureFixture[str]) -> None:
    value = valid().replace(b"Laboratory 1", b"11010519491231002X")
    letter = sealed(value)
    print_letter(letter)
    shown = capsys.readouterr().out
    assert f"Sealed, {len(value)} bytes. The private key opens it" in shown
    assert "11010519491231002X" not in shown


def test_another_key_opens_nothing() -> None:
    for key in (bytes(32), b"", b"short"):
        with pytest.raises(NotOpenedError):
            opened(sealed(b"{"), key)


def test_a_letter_of_before_whose_value_alone_is_sealed_is_opened() -> None:
    box = SealedBox(KEY.public_key)
    headers = (("yk_reason", b"document-number"), ("yk_refused", b"true"), ("yk_sealed", b"true"))
    told = written(Output("dead-letters", None, box.encrypt(b"as it was"), headers))
    assert (told.sealed, told.bytes_kept, told.bytes_left_out) == (True, 9, 0)
    assert opened(told, bytes(KEY)).value == b"as it was"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["resend"], "Say which"),
        (["resend", "1"], "OFFSET is missing"),
        (["resend", "--all", "--force"], "are for one"),
        (["resend", "--all", "--replace", "x"], "are for one"),
        (["resend", "1", "2", "--all"], "leave the other options out"),
        (["resend", "1", "2", "--replace", "/no/such"], "No such file"),
        (["list", "--since", "yesterday"], "is no time"),
        (["list", "--from", "health-codes"], "There is no input topic"),
        (["release", "laboratories"], "is no source"),
    ],
)
def test_wrong_usage_is_told_before_kafka_is_asked(arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(commands.parked, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert says in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("error", "said"),
    [*((error, "shut this one out") for error in FENCED), (KafkaConnectionError, "Start it")],
)
def test_what_kafka_refuses_is_said_in_one_line(
    error: type[Exception], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first refusal of a fence may reach another task; this one then hears what it brings."""

    async def question(brokers: Brokers) -> None:
        raise error()

    with pytest.raises(Exit):
        ask_kafka(question)
    out, err = capsys.readouterr()
    assert not out
    assert said in err
    assert err.count("\n") == 1


def test_what_is_logged_while_kafka_is_asked_is_no_answer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def question(brokers: Brokers) -> str:
        structlog.get_logger().warning("passed_over", topic="dead-letters")
        return "answer"

    structlog.reset_defaults()
    try:
        assert ask_kafka(question) == "answer"
    finally:
        structlog.reset_defaults()
    out, err = capsys.readouterr()
    assert not out
    assert "passed_over" in err
