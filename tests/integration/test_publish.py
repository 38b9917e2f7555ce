"""`yuekang publish`, as a process: what goes in, what is reported, and going on after a break."""

import asyncio
import io
import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.gateway import body
from app.process.ports import free_port
from app.publish import lines
from app.publish.lines import LINE_BYTES_MAX, EventToSend, Input, batches
from app.web.tokens import Tokens
from support.brokers import Kafka
from support.gateways import (
    CARD,
    LABORATORY,
    NUMBER,
    PERSON,
    PROVINCE,
    PROVINCE_KEY,
    Json,
    command,
    environment,
    event,
    result,
    running_gateway,
)
from support.tokens import TOKENS, TRUST

CDC = "/cdc/440100"
FINISHED_SECONDS_MAX = 60


@pytest.fixture(scope="module")
def url(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_gateway(kafka, tmp_path_factory.mktemp("gateway")) as address:
        yield address


class Publication:
    """What a run of the command left behind."""

    def __init__(self, run: subprocess.CompletedProcess[bytes], path: Path) -> None:
        self.code = run.returncode
        self.screen = run.stderr.decode()
        self.out = run.stdout.decode()
        report = path.with_name(f"{path.name}.refused.ndjson")
        self.report: list[Json] = (
            [json.loads(line) for line in report.read_text().splitlines()]
            if report.exists()
            else []
        )
        self.place = path.with_name(f"{path.name}.progress")
        everything = self.screen + self.out + json.dumps(self.report)
        assert NUMBER not in everything, "a document number is shown or reported"
        assert "Traceback" not in everything

    @property
    def summary(self) -> Json:
        summary: Json = json.loads(self.out)
        return summary


def start(
    path: Path | str,
    url: str,
    *options: str,
    more: Mapping[str, str] | None = None,
    **kw: Any,
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command("publish", str(path), "--gateway", url, "--json", *options),
        env={**environment(Kafka(), 1), **(more or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell that runs the tests in its background has SIGINT ignored, and so all below it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **kw,
    )


def publish(path: Path, url: str, *options: str, **more: str) -> Publication:
    process = start(path, url, *options, more=more)
    out, err = process.communicate(timeout=FINISHED_SECONDS_MAX)
    return Publication(subprocess.CompletedProcess([], process.returncode, out, err), path)


def listing(**attributes: Any) -> Json:
    """A contact listing of the CDC."""
    data = {
        "listing": "L1",
        "last_exposure_at": "2022-03-01T08:00:00+08:00",
        "listed_at": "2022-03-01T14:00:00+08:00",
        "document": CARD,
    }
    return event(source=CDC, type="yuekang.contact.listed.v1", data=data, **attributes)


def write(path: Path, entries: list[Json | bytes]) -> Path:
    raw = [e if isinstance(e, bytes) else msgspec.json.encode(e) for e in entries]
    path.write_bytes(b"".join(line + b"\n" for line in raw))
    return path


def test_a_file_of_several_sources_is_accepted(url: str, tmp_path: Path) -> None:
    entries: list[Json | bytes] = []
    for _ in range(30):
        entries += [event(), listing()]
    done = publish(write(tmp_path / "day.ndjson", entries), url)
    assert done.code == 0, done.screen
    assert (done.summary["accepted"], done.summary["refused"]) == (60, 0)
    assert done.summary["complete"] is True
    assert done.report == []
    assert not done.place.exists(), "a file that is sent has no place to go on from"


def test_every_refused_line_is_named_and_the_others_go_in(url: str, tmp_path: Path) -> None:
    entries: list[Json | bytes] = [
        event(),
        b"not json",
        b'{"source":"\xff"}',
        b"",
        event(data=result(document={**CARD, "number": "11010519491231002x"})),
        b'{"id":"' + b"x" * (LINE_BYTES_MAX + 5) + b'"}',
        event(source=None),
        event(source="/Nobody"),
        listing(),
        event(source="/terminals/1"),
        b'{"a":1,"a":2}',
        b"[1]",
        b"[" * 10_000 + b"]" * 10_000,
        event(),
    ]
    done = publish(write(tmp_path / "bad.ndjson", entries), url)
    assert done.code == 1
    assert (done.summary["lines"], done.summary["accepted"]) == (14, 3)
    assert {r["line"]: r["code"] for r in done.report} == {
        2: "not-json",
        3: "not-utf-8",
        5: "document",
        6: "too-large",
        7: "invalid",
        8: "invalid",
        10: "no-authority",
        11: "duplicate-key",
        12: "not-a-cloudevent",
        13: "too-deep",
    }
    by_line = {r["line"]: r for r in done.report}
    bad_document = entries[4]
    assert isinstance(bad_document, dict)
    assert by_line[5]["id"] == bad_document["id"]
    assert by_line[5]["source"] == LABORATORY
    assert by_line[5]["errors"][0]["expected"] == "Write X."
    assert "line 5" in done.screen
    assert "Write X." in done.screen


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_it_goes_on_where_it_was(url: str, tmp_path: Path, how: signal.Signals) -> None:
    count = 12_000
    entries: list[Json | bytes] = [event() for _ in range(count)]
    entries[10] = b"bad, early"
    entries[-1] = b"bad, late"
    path = write(tmp_path / "long.ndjson", entries)
    first = start(path, url)
    place = path.with_name("long.ndjson.progress")
    until = time.monotonic() + FINISHED_SECONDS_MAX
    while not place.exists():
        assert time.monotonic() < until
        time.sleep(0.005)
    first.send_signal(how)
    said = first.communicate(timeout=FINISHED_SECONDS_MAX)
    assert first.returncode == (130 if how is signal.SIGINT else -signal.SIGKILL), said
    assert 0 < json.loads(place.read_text())["line"] < count
    done = publish(path, url)
    assert done.code == 1
    assert done.summary["accepted"] == count - 2
    assert [r["line"] for r in done.report] == [11, count], "each once, over both runs"


def test_a_file_that_was_changed_before_its_place_is_not_gone_on_with(
    url: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "changed.ndjson", [event(), event()])
    place = {"gateway": url, "offset": 10, "line": 1, "sha256": "0" * 64}
    path.with_name("changed.ndjson.progress").write_text(json.dumps(place))
    done = publish(path, url)
    assert done.code == 2
    assert "--restart" in done.screen
    assert publish(path, url, "--restart").code == 0


def test_the_place_of_another_gateway_is_not_taken(url: str, tmp_path: Path) -> None:
    path = write(tmp_path / "other.ndjson", [event()])
    place = {"gateway": "http://elsewhere", "offset": 10, "line": 1, "sha256": "0" * 64}
    path.with_name("other.ndjson.progress").write_text(json.dumps(place))
    assert publish(path, url).summary["accepted"] == 1


def test_with_one_token_the_events_of_others_are_refused(url: str, tmp_path: Path) -> None:
    path = write(tmp_path / "mixed.ndjson", [event(), listing(), event()])
    done = publish(path, url, "--token", TOKENS.token_for(LABORATORY))
    assert done.code == 1
    assert [(r["line"], r["code"]) for r in done.report] == [(2, "wrong-source")]


def test_what_a_province_publishes_is_signed(url: str, tmp_path: Path) -> None:
    data = {"province": "43", "colour": "red", "reported_at": "2022-03-01T14:00:00+08:00"}
    told = event(
        source=PROVINCE,
        type="yuekang.provincial-code.reported.v1",
        data={**data, "document": CARD},
    )
    path = write(tmp_path / "province.ndjson", [told])
    refused = publish(path, url)
    assert refused.code == 2
    assert "Sign with RFC 9421" in refused.screen
    done = publish(path, url, YUEKANG_SIGNING_KEY=PROVINCE_KEY.hex())
    assert (done.code, done.summary["accepted"]) == (0, 1), done.screen


def test_a_wrong_token_or_no_file_is_wrong_usage(url: str, tmp_path: Path) -> None:
    path = write(tmp_path / "token.ndjson", [event()])
    assert publish(path, url, "--token", "no.such.token").code == 2
    assert publish(tmp_path / "nowhere.ndjson", url).code == 2
    assert publish(tmp_path, url).code == 2


def test_standard_input_is_read_too(url: str) -> None:
    process = start("-", url, stdin=subprocess.PIPE)
    out, _ = process.communicate(msgspec.json.encode(event()), timeout=FINISHED_SECONDS_MAX)
    assert (process.returncode, json.loads(out)["accepted"]) == (0, 1)


def test_a_gateway_that_is_not_there_is_told_in_time(tmp_path: Path) -> None:
    path = write(tmp_path / "away.ndjson", [event()])
    done = publish(path, f"http://127.0.0.1:{free_port()}", "--patience", "0.5")
    assert done.code == 3
    assert done.summary["complete"] is False
    assert "go on" in done.screen


@contextmanager
def gateway_that_answers(answers: list[tuple[int, dict[str, str]]]) -> Iterator[str]:
    """A gateway that gives these answers in turn, then accepts everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            events = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, headers = answers.pop(0) if answers else (202, {})
            told: Json = {"detail": "Later."}
            if status == 202:
                place = {"topic": "laboratory-results", "partition": 0, "offset": 0}
                told = {"results": [{"status": 202, **place} for _ in events]}
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(json.dumps(told).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_busy_gateway_is_asked_again_when_it_says(tmp_path: Path) -> None:
    path = write(tmp_path / "busy.ndjson", [event()])
    busy = [(503, {"Retry-After": "1"}), (429, {}), (503, {"Retry-After": "soon"})]
    with gateway_that_answers(busy) as url:
        started = time.monotonic()
        done = publish(path, url)
    assert (done.code, done.summary["accepted"]) == (0, 1)
    assert time.monotonic() - started > 1


def test_a_gateway_that_answers_what_it_should_not_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "odd.ndjson", [event()])
    with gateway_that_answers([(500, {})]) as url:
        done = publish(path, url)
    assert done.code == 3
    assert "500" in done.screen


def test_help_and_usage_are_quick() -> None:
    started = time.monotonic()
    shown = subprocess.run(command("--help"), capture_output=True, check=True).stdout.decode()
    assert "publish" in shown
    assert time.monotonic() - started < 2
    assert subprocess.run(command("nonsense"), capture_output=True, check=False).returncode == 2


def test_token_and_person_key_print_what_the_gateway_takes() -> None:
    def run(*arguments: str, given: str = "") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command(*arguments),
            env=environment(Kafka(), 1),
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )

    token = run("token", LABORATORY).stdout.strip()
    assert asyncio.run(Tokens(TRUST).access_of(token)).source == LABORATORY
    assert run("token", "Nobody").returncode == 2
    assert run("person-key", given=NUMBER).stdout.strip() == PERSON
    refused = run("person-key", given=NUMBER.lower())
    assert refused.returncode == 1
    assert "Write X." in refused.stderr


def test_a_batch_is_never_more_than_the_gateway_takes() -> None:
    assert lines.BATCH_BYTES_MAX + LINE_BYTES_MAX < body.BODY_BYTES_MAX


# Reading


@given(st.lists(st.sampled_from([b"", b"a", b"bb\r", b"x" * 300_000]), max_size=8), st.booleans())
def test_windows_hold_every_line_once_in_order(content: list[bytes], ended: bool) -> None:
    data = b"\n".join(content) + (b"\n" if ended and content else b"")
    source = Input(io.BytesIO(data))
    got = []
    while (window := source.window()) is not None:
        got += window
    expected = [
        (number, None if len(line) > LINE_BYTES_MAX else line.strip(b"\r"))
        for number, line in enumerate(content, 1)
        if line.strip()
    ]
    assert [(line.number, line.content) for line in got] == expected
    assert source.offset == len(data)
    again = Input(io.BytesIO(data))
    again.skip(len(data))
    assert again.sha256 == source.sha256


@given(st.lists(st.integers(1, LINE_BYTES_MAX), max_size=40))
def test_batches_hold_every_event_once_in_order(sizes: list[int]) -> None:
    items = [EventToSend(n, None, None, bytes(size), "") for n, size in enumerate(sizes)]
    cut = list(batches(items))
    assert [item for batch in cut for item in batch] == items
    assert all(sum(len(i.content) for i in b) <= lines.BATCH_BYTES_MAX for b in cut)
    assert all(cut)
