"""A record is authentic for the source whose key has made its MAC, and for no other."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from typer.testing import CliRunner

from app.cli import app
from app.process.macs import MAC, message
from app.process.settings import Settings
from app.topics.authentic import (
    OURS,
    NotAuthentic,
    SourceKeys,
    authority_key,
    mac_variables,
    source_key,
    source_keys,
)
from app.topics.records import Headers, Record, binary, structured
from support import builders as b
from support.macs import ENVIRONMENT, KEYS, MAC_KEY

DOCUMENT = Path("docs/kafka.md").read_text()
LABORATORY, OTHER = "/laboratories/440100-001", "/laboratories/440100-002"
KEY = source_key(authority_key(MAC_KEY, "laboratory"), LABORATORY)

headers = st.lists(
    st.tuples(
        st.sampled_from(["content-type", "Content-Type", "ce_id", "ce_source", "trace"]),
        st.binary(max_size=8),
    ),
    max_size=4,
)
written = st.builds(
    Record,
    st.sampled_from(["laboratory-results", "scans"]),
    st.none() | st.binary(max_size=8),
    st.none() | st.binary(max_size=40),
    headers.map(tuple),
)


@given(written)
def test_its_author_is_whose_key_was_used(record: Record) -> None:
    assert KEYS.author(KEYS.signed(record, LABORATORY)) == LABORATORY


def _hashed(headers: Headers) -> list[Any]:
    return [(n, v) for n, v in headers if n.startswith("ce_") or n.lower() == "content-type"]


@given(written, written)
def test_no_other_record_has_the_same_mac(one: Record, other: Record) -> None:
    """Wherever a byte is moved from a field to its neighbour."""
    alike = (one.topic, one.key, one.value, _hashed(one.headers)) == (
        other.topic,
        other.key,
        other.value,
        _hashed(other.headers),
    )
    of = [message(r.topic, r.key, r.value, r.headers) for r in (one, other)]
    assert (of[0] == of[1]) == alike


@pytest.mark.parametrize("mode", [structured, binary])
def test_whatever_is_changed_of_it_is_noticed(mode: Any) -> None:
    sent = KEYS.signed(mode(b.positive(b.day(2), source=LABORATORY)), LABORATORY)
    assert sent.value is not None
    changed = [
        replace(sent, topic="scans"),
        replace(sent, key=None),
        replace(sent, key=b"p1-other"),
        replace(sent, value=None),
        replace(sent, headers=sent.headers[1:]),
        replace(sent, headers=sent.headers[:-1]),
        replace(sent, headers=(("ce_id", b"x"), *sent.headers)),
    ]
    for place in range(len(sent.value)):
        value = bytearray(sent.value)
        value[place] ^= 1
        changed.append(replace(sent, value=bytes(value)))
    mac = dict(sent.headers)[MAC]
    for place in range(len(mac)):
        other = bytearray(mac)
        other[place] ^= 1
        changed.append(replace(sent, headers=(*sent.headers[:-1], (MAC, bytes(other)))))
    for record in changed:
        with pytest.raises(NotAuthentic):
            KEYS.author(record)
    assert KEYS.author(replace(sent, headers=(*sent.headers, ("traceparent", b"x")))) == LABORATORY


@pytest.mark.parametrize(
    "mac",
    [
        b"",
        b" ",
        b"1",
        b"\xff \xfe x",
        b"1 /laboratories/440100-001",
        b"1 /nobody " + b"0" * 64,
        b"2 /laboratories/440100-001 " + b"0" * 64,
        b"01 /laboratories/440100-001 " + b"0" * 64,
        b"-1 /laboratories/440100-001 " + b"0" * 64,
        "\u0661 /laboratories/440100-001 ".encode() + b"0" * 64,
        b"9" * 5_000 + b" /laboratories/440100-001 " + b"0" * 64,
        b"1 " + b"/" * 100_000 + b" 0",
    ],
)
def test_what_is_no_mac_is_not_authentic(mac: bytes) -> None:
    with pytest.raises(NotAuthentic):
        KEYS.author(Record("scans", b"k", b"v", ((MAC, mac),)))


def test_who_has_a_key_speaks_for_that_source_alone() -> None:
    of_one = SourceKeys({1: {"terminal": authority_key(MAC_KEY, "terminal")}})
    record = Record("scans", b"k", b"v")
    assert KEYS.author(of_one.signed(record, "/terminals/1")) == "/terminals/1"
    for another in (LABORATORY, "/yuekang", "/nobody", ""):
        with pytest.raises(KeyError):
            of_one.signed(record, another)
        with pytest.raises(NotAuthentic):
            of_one.author(KEYS.signed(record, LABORATORY))
    keys = [
        source_key(authority_key(MAC_KEY, a), s)
        for a, s in (("laboratory", LABORATORY), ("laboratory", OTHER), ("cdc", LABORATORY))
    ]
    assert len({*keys, MAC_KEY, authority_key(MAC_KEY, "laboratory")}) == 5


def test_while_the_master_key_is_changed_both_are_taken() -> None:
    record, newer = Record("scans", b"k", b"v"), bytes(range(32))
    both = SourceKeys.of_master(newer, 2, MAC_KEY)
    old, new = KEYS.signed(record, LABORATORY), both.signed(record, LABORATORY)
    assert both.author(old) == both.author(new) == LABORATORY
    for keys, refused in ((SourceKeys.of_master(newer, 2), old), (KEYS, new)):
        with pytest.raises(NotAuthentic, match="version"):
            keys.author(refused)


def test_the_command_gives_a_source_its_own_key() -> None:
    done = CliRunner().invoke(app, ["mac-key", LABORATORY], env=ENVIRONMENT)
    assert done.stdout == f"{KEY.hex()}\n"
    refused = CliRunner().invoke(app, ["mac-key", "/nobody"], env=ENVIRONMENT)
    assert refused.exit_code == 2
    assert "no source" in refused.output


# The document's own examples


def _example(language: str) -> str:
    [found] = re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.S)
    return str(found)


def test_the_lines_in_python_make_it() -> None:
    names: dict[str, Any] = {}
    exec(_example("python"), names)
    for record in (
        structured(b.positive(b.day(2), source=LABORATORY)),
        binary(b.positive(b.day(2), source=LABORATORY)),
        Record("scans", None, None, (("trace", b"x"),)),
    ):
        header = names["mac_header"](
            KEY.hex(), 1, LABORATORY, record.topic, record.key, record.value, record.headers
        )
        assert (*record.headers, header) == KEYS.signed(record, LABORATORY).headers


JAVA = """
import static java.nio.charset.StandardCharsets.UTF_8;
import java.security.GeneralSecurityException;
import java.util.*;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

class Example {
    %s
    public static void main(String[] a) throws Exception {
        var hex = HexFormat.of();
        var r = new ProducerRecord<byte[], byte[]>(a[2], null, hex.parseHex(a[3]), a.length > 4
            ? hex.parseHex(a[4]) : null);
        for (int i = 5; i < a.length; i += 2) r.headers().add(a[i], hex.parseHex(a[i + 1]));
        System.out.print(new String(mac(a[0], 1, a[1], r).value(), UTF_8));
    }
}
"""


def test_the_lines_in_java_make_it(tmp_path: Path) -> None:
    file = tmp_path / "Example.java"
    file.write_text(JAVA % _example("java"))
    record = binary(b.positive(b.day(2), source=LABORATORY))
    assert record.key is not None
    assert record.value is not None
    arguments = [KEY.hex(), LABORATORY, record.topic, record.key.hex(), record.value.hex()]
    for name, raw in record.headers:
        arguments += [name, raw.hex()]
    done = subprocess.run(
        ["java", "-cp", ".run/kafka/libs/*", str(file), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.encode() == dict(KEYS.signed(record, LABORATORY).headers)[MAC]


def test_who_has_single_keys_takes_those_of_the_master_key_before_too() -> None:
    """A projection that is built again reads codes of both."""
    former, master = bytes(32), bytes(range(32))
    variables = mac_variables(master, former) | {"YUEKANG_MAC_KEY_VERSION": "2"}
    masters = {"YUEKANG_MAC_KEY", "YUEKANG_FORMER_MAC_KEY"}
    assert variables.keys() > masters
    single = {name: value for name, value in variables.items() if name not in masters}
    keys = source_keys(Settings.from_environment(environ=single))
    code = Record("health-codes", b"p", b"{}", ())
    for of, version in ((former, 1), (master, 2)):
        assert keys.is_ours(SourceKeys.of_master(of, version).signed(code, OURS))
    assert keys.of(OURS).head == b"2 /yuekang"
    stranger = SourceKeys.of_master(bytes(31) + b"1", 1)
    assert not keys.is_ours(stranger.signed(code, OURS))
