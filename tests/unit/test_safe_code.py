"""What code of production never does, whatever it is given: read from the sources, nothing is run.

docs/security/asvs.md names these tests where a requirement is held by a thing's not being there.
Each exception stands beside its rule, with a reason.
"""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from app.development.stack.broker import ROOT
from app.login.duty import DUTY_COOKIE
from app.login.routes import LOGIN_COOKIE_PREFIX
from app.login.sessions import COOKIE, DEVICE_COOKIE, PHONE_COOKIE
from app.web.site import HEADERS, LANGUAGE_COOKIE

ROOMS = ("app", "agents", "models")
DEVELOPMENT = Path("app", "development")


@cache
def sources() -> dict[str, ast.Module]:
    """Path of each file of production → its tree."""
    return {
        str(path.relative_to(ROOT)): ast.parse(path.read_text())
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
        if not path.relative_to(ROOT).is_relative_to(DEVELOPMENT)
    }


def imports() -> Iterator[tuple[str, str]]:
    """Yield each import: file, module."""
    for path, tree in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield path, node.module or ""


def calls() -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield each call: file, what is called, its named arguments as they are written."""
    for path, tree in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                named = {one.arg: ast.unparse(one.value) for one in node.keywords if one.arg}
                yield path, ast.unparse(node.func), named


def scripts() -> dict[str, str]:
    """Scripts of ours that pages load, by name."""
    return {
        path.name: path.read_text()
        for path in (ROOT / "app").rglob("*.js")
        if not re.search(r"-\d+\.\d+\.\d+", path.name)  # others'; test_vendored holds them
    }


def test_each_of_many_files_is_read() -> None:
    assert len(sources()) > 200
    assert len([*calls()]) > 3_000
    assert len(scripts()) > 20


def starts_unguarded(tree: ast.Module) -> bool:
    """Say whether a Kafka client is started outside a `try`: a start that fails leaves what it had
    begun behind."""
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.Try)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    return any(
        re.fullmatch(r".*(producer|consumer|admin)\.start", ast.unparse(node.func))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and id(node) not in guarded
    )


FENCING = {"app/engine/partition.py"}
"""Begins to start outside, awaits it within: a start that is cancelled is given time to end."""


def test_a_kafka_client_whose_start_fails_is_closed() -> None:
    assert {path for path, tree in sources().items() if starts_unguarded(tree)} == FENCING


def test_no_text_is_run_as_code() -> None:
    found = [(path, name) for path, name, _ in calls() if name in ("eval", "exec", "compile")]
    assert found == []


OWN_WRITER = ("app/view/recorder.py", ("sys.executable", "-m", "app.view.display_writer"))
"""Where a program is started: our own, by words that nothing from outside can change, and without a
shell. All that it is told goes through a pipe."""


def test_no_program_is_started_but_one_of_ours() -> None:
    started = {"subprocess", "pty", "pexpect"}
    assert [one for one in imports() if one[1].partition(".")[0] in started] == []
    asked = re.compile(r"os\.(system|popen|spawn\w*|exec\w*|posix_spawn\w*)|.*create_subprocess\w*")
    path, words = OWN_WRITER
    assert [path for path, name, _ in calls() if asked.fullmatch(name)] == [path]
    source = (ROOT / path).read_text()
    assert f"WRITER = ({words[0]}, " + ", ".join(f'"{word}"' for word in words[1:]) + ")" in source
    assert source.count("WRITER") == 2
    assert "create_subprocess_exec(*WRITER, stdin=PIPE, stdout=PIPE)" in source


@pytest.mark.parametrize(
    "reader",
    [
        *("pickle", "marshal", "shelve", "dill", "jsonpickle"),  # makes objects of any kind
        *("xml", "lxml", "defusedxml"),  # entities
        *("ldap", "ldap3", "smtplib", "imaplib", "pymemcache", "sqlite3", "graphql"),
    ],
)
def test_what_this_reads_or_asks_is_not_used(reader: str) -> None:
    assert [one for one in imports() if one[1].partition(".")[0] == reader] == []


def test_yaml_is_read_into_types_alone() -> None:
    assert [
        one for one in calls() if re.fullmatch(r"yaml\.(unsafe_|full_)?load(_all)?", one[1])
    ] == []


GUESSABLE = {
    "app/gateway/client.py": "how long to wait before the next try",
    "app/process/ports.py": "which free port to try first",
    "app/view/shedding.py": "how long to wait for room",
}


def test_what_nobody_may_guess_is_from_the_operating_system() -> None:
    assert {path for path, module in imports() if module == "random"} == GUESSABLE.keys()


def test_hashes_are_those_that_are_approved() -> None:
    used = {
        name.removeprefix("hashlib.")
        for _, name, _ in calls()
        if re.fullmatch(r"hashlib\.\w+", name)
    }
    assert used == {"sha256", "blake2b", "pbkdf2_hmac"}
    weak = re.compile(r"(MD5|SHA1|DES|ARC4|ECB|PKCS1v15)", re.IGNORECASE)
    named = {(path, name) for path, name, _ in calls() if weak.fullmatch(name.rpartition(".")[2])}
    assert named == set()


def test_no_client_takes_any_certificate_or_follows_where_it_is_sent() -> None:
    for path, name, named in calls():
        assert named.get("verify") != "False", (path, name)
        assert named.get("follow_redirects") in (None, "False"), (path, name)
        assert "check_hostname" not in named, (path, name)
        assert "unverified" not in name, (path, name)


def test_nothing_is_served_with_debugging_on() -> None:
    assert [(path, name) for path, name, named in calls() if "debug" in named] == []


def test_no_template_prints_what_is_not_escaped() -> None:
    marked = re.compile(r"\|\s*safe\b|autoescape\s+false", re.IGNORECASE)
    pages = [path for ending in ("html", "svg") for path in (ROOT / "app").rglob(f"*.{ending}")]
    assert len(pages) > 50
    assert [path.name for path in pages if marked.search(path.read_text())] == []


def test_no_template_is_made_of_what_was_sent() -> None:
    made = [one for one in calls() if one[1].endswith("from_string") or one[1] == "Template"]
    assert made == []


def test_handlers_are_of_named_methods_alone() -> None:
    """Litestar answers 405 to any other, TRACE and CONNECT among them."""
    named = {"get", "post", "put", "patch", "delete"}
    taken = {
        alias.name
        for tree in sources().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("litestar")
        for alias in node.names
        if alias.name.islower()
    }
    assert named & taken
    assert not {"route", "asgi", "websocket", "websocket_listener", "head"} & taken


INSERTS_MARKUP = {
    "charts.js": "a picture that our own server drew, with autoescape",
    "dashboard.js": "a part of the page as our own server rendered it, with autoescape",
}


def test_scripts_put_text_into_pages_and_no_markup() -> None:
    inserts = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write")
    assert {name for name, text in scripts().items() if inserts.search(text)} == {*INSERTS_MARKUP}


@pytest.mark.parametrize("word", [r"\beval\(", r"new Function", r"postMessage", r"__proto__"])
def test_scripts_never_use(word: str) -> None:
    assert [name for name, text in scripts().items() if re.search(word, text)] == []


def test_what_is_logged_makes_no_line_of_its_own() -> None:
    forged = 'x"}\n{"event": "forged"}\r\u2028'
    program = (
        "import logging, structlog, sys; from app.process.logs import configure; configure('info');"
        "structlog.get_logger('a').warning('seen', value=sys.argv[1]);"
        "logging.getLogger('b').warning('seen %s', sys.argv[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, forged], capture_output=True, text=True, check=True
    )
    lines = [json.loads(line) for line in done.stderr.split("\n") if line]
    assert lines[0]["value"] == forged
    assert lines[1]["event"] == f"seen {forged}"
    assert len(lines) == 2
    assert all(line["timestamp"].endswith("Z") for line in lines)


def test_a_pages_policy_lets_nothing_foreign_in_and_nobody_frame_it() -> None:
    policy = {directive.strip() for directive in HEADERS["content-security-policy"].split(";")}
    assert {
        "default-src 'self'",
        "base-uri 'none'",
        "object-src 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    } == policy


MAKES_COOKIES = {
    "app/login/sessions.py": "host_cookie, for all that have to do with a login",
    "app/web/site.py": "the language that a reader chose",
}


def test_every_cookie_is_bound_to_this_host() -> None:
    assert {path for path, name, _ in calls() if name == "Cookie"} == MAKES_COOKIES.keys()
    for name in (
        COOKIE,
        PHONE_COOKIE,
        DEVICE_COOKIE,
        DUTY_COOKIE,
        LOGIN_COOKIE_PREFIX,
        LANGUAGE_COOKIE,
    ):
        assert name.startswith("__Host-"), name
