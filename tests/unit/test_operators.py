"""Who runs a command: each that acts in an operator's name asks the register of sources first."""

import importlib
import inspect
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from app.audit.trail import command_entry, note_command, note_entries
from app.cli import COMMANDS
from app.cli import app as cli
from app.process.settings import Settings, SettingsError
from app.sources import operators
from app.sources.changes import change
from app.sources.operators import operator_by_token, operator_of_command, operator_running
from app.sources.register import Register
from app.web.issuing import TokenIssuer, login_operator, operator_token, told_by
from app.web.tokens import Role
from models.register import ClosedData, TakenBackData
from support import tokens
from support.macs import ENVIRONMENT
from support.registers import registering
from support.tokens import MAKING, OPERATOR, OTHER_TOKENS, PRIVATE_KEY, TOKENS, TRUSTING

LABORATORY = "/laboratories/440100-001"
LI = "/operators/li"
NOWHERE = "127.0.0.1:1"
BY = "/operators/wang"

ASKING: dict[str, tuple[str, ...]] = {
    "dead-letters show": ("0", "0"),
    "dead-letters resend": ("--all",),
    "parked show": ("0", "0"),
    "parked resend": ("--all",),
    "parked release": (LABORATORY, "--unasked"),
    "held show": ("0", "0"),
    "held approve": ("/cdc/440100", "close-contact", "--reason", "An outbreak."),
    "partitions release": ("people", "0", "--reason", "Mended."),
    "audit resume": ("--reason", "The disk was replaced."),
    "sources load": ("sources.yaml",),
    "sources close": (LABORATORY, "--reason", "Stolen."),
    "sources open": (LABORATORY,),
    "sources take-back": ("a-token", "--reason", "Lost."),
    "sources sign-again": (),
    "sample": (),
}
"""The commands in an operator's name, with arguments: each asks the register itself."""

BY_THE_VIEW = {"explain", "reconciliation", "latency"}
"""In an operator's name too: the view is shown their token, and asks the register."""

IN_NO_NAME = {
    # processes
    *(
        "up",
        "worker",
        "submissions-worker",
        "lists-worker",
        "projection",
        "replica",
        "rows",
        "audit-log",
        "gateway",
        "view",
    ),
    *("development-view", "identity-provider", "outbox"),
    # a source's own, by its own token
    *("publish", "refusals"),
    # what Kafka's rights, a folder's or a key's alone let be read; no line says who did
    *("dead-letters list", "parked list", "parked sources", "held list", "partitions list"),
    *("audit list", "audit checkpoint", "audit key", "audit verify"),
    *("sources list", "sources show"),
    # what makes keys and topics, by whoever has the right on Kafka or the key itself
    *("topics list", "topics create", "topics check", "acls show", "acls apply", "acls check"),
    *("schemas write", "schemas check"),
    *("mac-key", "token", "token-key", "signing-key", "person-key"),
}


def commands() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every command that there is, by what is typed."""
    for name, (place, _) in COMMANDS.items():
        module, _, attribute = place.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if not isinstance(found, typer.Typer):
            yield name, found
            continue
        assert not found.registered_groups
        for each in found.registered_commands:
            assert each.callback is not None
            yield f"{name} {each.name or each.callback.__name__.replace('_', '-')}", each.callback


CALLBACKS = dict(commands())


def reached(function: Callable[..., Any]) -> set[Any]:
    """The functions of ours that a function names, and those that these name, and so on."""
    found: set[Any] = set()
    left: list[Any] = [function]
    while left:
        one = left.pop()
        if one in found:
            continue
        found.add(one)
        codes = [one.__code__]
        while codes:
            code = codes.pop()
            codes += filter(inspect.iscode, code.co_consts)
            named = (one.__globals__.get(name) for name in code.co_names)
            left += (
                each
                for each in named
                if inspect.isfunction(each) and each.__module__.startswith("app.")
            )
    return found


REACHED = {name: reached(callback) for name, callback in CALLBACKS.items()}
ASKS = {operator_of_command, operator_by_token, operator_running}


def test_each_command_is_in_an_operators_name_or_in_nobodys() -> None:
    """A new one has to be written into one of the three."""
    assert sorted(CALLBACKS) == sorted([*ASKING, *BY_THE_VIEW, *IN_NO_NAME])
    assert {name for name, all_of in REACHED.items() if all_of & ASKS} == ASKING.keys()
    assert {name for name, all_of in REACHED.items() if operator_token in all_of} == BY_THE_VIEW


@pytest.mark.parametrize("name", CALLBACKS)
def test_what_leaves_a_line_asks_the_register_who_runs_it(name: str) -> None:
    if REACHED[name] & {note_command, note_entries, command_entry}:
        assert REACHED[name] & ASKS


# Each command


def invoked(name: str) -> Result:
    return CliRunner().invoke(cli, [*name.split(), *ASKING[name]])


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Register:
    """What commands read, of an operator with a token; Kafka is away for all else."""
    settings = {**ENVIRONMENT, **TRUSTING, **MAKING, "YUEKANG_KAFKA": NOWHERE}
    settings |= {"YUEKANG_TOKEN": tokens.operator_token(), "YUEKANG_DATA_DIR": str(tmp_path)}
    for key, value in settings.items():
        monkeypatch.setenv(key, value)
    monkeypatch.chdir(tmp_path)
    Path("sources.yaml").write_text("{}")
    return registering(monkeypatch)


def close(register: Register, source: str) -> None:
    register.take(change(ClosedData(source, "Left the service."), BY))


def take_back(register: Register, token: str) -> None:
    until = datetime.now(UTC) + timedelta(days=1)
    register.take(change(TakenBackData(told_by(token)[0], until, "Lost."), BY))


@pytest.mark.parametrize("name", ASKING)
def test_a_closed_operator_can_run_no_command(register: Register, name: str) -> None:
    close(register, OPERATOR)
    done = invoked(name)
    assert isinstance(done.exception, SettingsError), done.output
    says = f"The register of sources refuses {OPERATOR}. {OPERATOR} is closed: Left the service."
    assert str(done.exception) == says
    assert not done.stdout


@pytest.mark.parametrize("name", ASKING)
def test_a_token_taken_back_runs_no_command(
    register: Register, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    lost = tokens.operator_token()
    take_back(register, lost)
    monkeypatch.setenv("YUEKANG_TOKEN", lost)
    done = invoked(name)
    assert isinstance(done.exception, SettingsError), done.output
    assert "The token was taken back: Lost." in str(done.exception)
    assert not done.stdout


@pytest.mark.parametrize("name", ASKING)
def test_who_is_neither_goes_on(register: Register, name: str) -> None:
    """As far as what it asks next: Kafka, or a worker; both are away."""
    close(register, LI)
    take_back(register, tokens.operator_token())
    done = invoked(name)
    assert not isinstance(done.exception, SettingsError), done.exception
    assert "The register" not in done.output
    assert any(said in done.output for said in (NOWHERE, "Kafka", "worker"))


@pytest.mark.parametrize("name", ASKING)
def test_without_a_register_no_command_is_run(
    monkeypatch: pytest.MonkeyPatch, register: Register, name: str
) -> None:
    """It says what is away, where, and what to do."""

    async def away(*_: object) -> Register:
        raise ConnectionRefusedError("Connection refused")

    monkeypatch.setattr(operators, "read_register", away)
    done = invoked(name)
    assert done.exit_code == 1
    assert done.output == (
        f"Whether {OPERATOR} is let in is not known, so nothing is done: the register of sources "
        f"cannot be read. Kafka at {NOWHERE}: Connection refused. Start it, or set YUEKANG_KAFKA. "
        "Then run this again.\n"
    )


# Who it is


def settings(**changes: Any) -> Settings:
    key = {"register_mac_key": bytes.fromhex(ENVIRONMENT["YUEKANG_REGISTER_MAC_KEY"])}
    return Settings(**{"token_public_keys": TOKENS.public.hex(), **key, **changes})


def test_a_release_has_the_operator_of_the_token(
    monkeypatch: pytest.MonkeyPatch, register: Register
) -> None:
    def with_token(token: str) -> str:
        monkeypatch.setenv("YUEKANG_TOKEN", token)
        return operator_of_command(settings(), Role.RELEASE)

    assert with_token(tokens.operator_token(Role.RELEASE)) == OPERATOR
    for token, says in (
        (tokens.operator_token(Role.READ), "role release"),
        (TOKENS.token_for(LABORATORY), "role release"),
        (OTHER_TOKENS.token_for(OPERATOR, Role), "no valid token"),
        ("", "There is no token"),
    ):
        with pytest.raises(SettingsError, match=says):
            with_token(token)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("chen", "chen"),
        ("Chen.Li", "chen-li"),
        ("陈", "operator"),
        ("-", "operator"),
        (31 * "a" + "-b", 31 * "a"),
    ],
)
def test_where_the_key_is_at_hand_a_release_has_who_runs_it_unless_they_are_closed(
    monkeypatch: pytest.MonkeyPatch, register: Register, name: str, source: str
) -> None:
    monkeypatch.delenv("YUEKANG_TOKEN")
    monkeypatch.setenv("LOGNAME", name)
    making = settings(token_private_key=PRIVATE_KEY)
    assert operator_of_command(making, Role.RELEASE) == f"/operators/{source}" == login_operator()
    close(register, f"/operators/{source}")
    with pytest.raises(SettingsError, match=f"{source} is closed"):
        operator_of_command(making, Role.RELEASE)


def test_a_command_that_needs_no_role_is_written_down_as_the_token_or_the_login(
    monkeypatch: pytest.MonkeyPatch, register: Register
) -> None:
    monkeypatch.setenv("LOGNAME", "li")
    monkeypatch.setenv("YUEKANG_TOKEN", "")
    assert operator_running(settings()) == LI
    close(register, LI)
    with pytest.raises(SettingsError, match=f"{LI} is closed"):
        operator_running(settings())
    monkeypatch.setenv("YUEKANG_TOKEN", tokens.operator_token(Role.READ))
    assert operator_running(settings()) == OPERATOR
    for token, says in (
        (OTHER_TOKENS.token_for(OPERATOR, Role), "no valid token"),
        (TOKENS.token_for(LABORATORY), f"{LABORATORY}, which is no operator"),
    ):
        monkeypatch.setenv("YUEKANG_TOKEN", token)
        with pytest.raises(SettingsError, match=says):
            operator_running(settings())


def test_without_the_key_of_the_register_nothing_is_done(
    monkeypatch: pytest.MonkeyPatch, register: Register
) -> None:
    """Without it each record would be passed over, and nobody would seem closed."""
    with pytest.raises(SettingsError, match="Set YUEKANG_REGISTER_MAC_KEY"):
        operator_running(settings(register_mac_key=b""))


# Two operators are two people


def test_the_key_that_makes_tokens_makes_no_second_operator(
    monkeypatch: pytest.MonkeyPatch, register: Register
) -> None:
    monkeypatch.delenv("YUEKANG_TOKEN")
    for login in ("chen", "li"):
        monkeypatch.setenv("LOGNAME", login)
        done = invoked("held approve")
        assert isinstance(done.exception, SettingsError), done.output
        assert str(done.exception) == (
            "This takes two operators, each with a token of their own, and here is none. Set "
            "YUEKANG_TOKEN, or YUEKANG_TOKEN_FILE, to yours; whoever keeps the private key of "
            "tokens makes it: `yuekang token /operators/NAME --role approve`."
        )


def test_a_token_in_a_file_names_who_approves(
    monkeypatch: pytest.MonkeyPatch, register: Register, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(tokens.operator_token(Role.APPROVE, name=LI) + "\n")
    monkeypatch.delenv("YUEKANG_TOKEN")
    monkeypatch.setenv("YUEKANG_TOKEN_FILE", str(file))
    assert operator_by_token(settings(), Role.APPROVE).source == LI


@pytest.mark.parametrize(
    "name",
    ["/operators/Chen", "/operators/chen/2", "/operators/chen-", "/operators/chen\n", "/operator"],
)
def test_no_token_with_roles_is_made_of_another_spelling(name: str) -> None:
    with pytest.raises(ValueError, match=r"no source|other source has any"):
        TokenIssuer(PRIVATE_KEY).token_for(name, [Role.APPROVE])
