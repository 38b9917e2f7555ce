"""The seam to the carrier of messages: which driver is used, and what the outbox keeps."""

import asyncio
import json
import stat
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from app.cli import app
from app.development.outbox import MESSAGES_MAX, Outbox
from app.development.view import development_options, settings_of_development
from app.process.settings import Settings, SettingsError
from app.travel import sms
from app.travel.sms import NoCarrier, code_text, deliver, driver_of
from app.view.server import VIEW_SECRETS
from app.web.language import LANGUAGES
from app.web.problems import Refused
from models.phones import Phone
from support.tokens import OF_THE_VIEW

PHONE = Phone("13800138000")

Environment: TypeAlias = Literal["production", "development"]


def settings(driver: str = "", environment: Environment = "development", **kw: Any) -> Settings:
    return Settings(sms_driver=driver, environment=environment, **kw)


class Carrier:
    """A carrier's driver."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    async def send(self, phone: str, text: str) -> None:
        self.sent.append((phone, text))


class Mute:
    """No driver: it has another method of that name."""

    def send(self, phone: str, text: str) -> None: ...


class Needy(Carrier):
    """A driver that cannot be made without arguments."""

    def __init__(self, account: str) -> None:
        super().__init__()


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A carrier's package."""
    module = ModuleType("carrier")
    vars(module).update(Carrier=Carrier, Mute=Mute, Needy=Needy)
    monkeypatch.setitem(sys.modules, "carrier", module)


# Which driver


def test_development_has_the_outbox_unless_a_carrier_is_named(
    tmp_path: Path, package: None
) -> None:
    def driver(name: str) -> object:
        made = settings(
            name, data_dir=str(tmp_path), session_key=bytes(32), token_public_keys="0f" * 32
        )
        options = development_options(made)
        make_cards: Any = options.make_cards
        return make_cards.args[0]

    assert isinstance(driver(""), Outbox)
    assert isinstance(driver("carrier:Carrier"), Carrier)


def test_production_refuses_the_view_of_development(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VIEW_SECRETS:
        monkeypatch.setenv(f"YUEKANG_{name.upper()}", "ab" * 32)
    for variable, text in OF_THE_VIEW.items():
        monkeypatch.setenv(variable, text)
    monkeypatch.setenv("YUEKANG_ENVIRONMENT", "production")
    with pytest.raises(SettingsError, match="in development alone"):
        settings_of_development()


async def test_production_without_a_carrier_starts_and_sends_nothing() -> None:
    driver = driver_of(settings("", "production"))
    assert isinstance(driver, NoCarrier)
    with pytest.raises(Refused) as caught:
        await deliver(driver, PHONE, "text")
    assert caught.value.code == "message-not-sent"


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("environment", ["development", "production"])
async def test_a_carriers_driver_is_named(environment: Environment) -> None:
    driver = driver_of(settings("carrier:Carrier", environment))
    await deliver(driver, PHONE, "text")
    assert isinstance(driver, Carrier)
    assert driver.sent == [("13800138000", "text")]


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere.at_all:Carrier", "ModuleNotFoundError"),
        ("carrier:Missing", "AttributeError"),
        ("carrier:Needy", "account"),
        ("carrier:Mute", "async def send"),
    ],
)
def test_a_driver_that_cannot_be_had_ends_the_start_with_why(name: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        driver_of(settings(name))
    assert "YUEKANG_SMS_DRIVER" in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "name", ["outbox", "Outbox", "carrier", "a:b:c", "a b:C", "../x:C", "carrier:"]
)
def test_what_names_no_driver_is_no_setting(name: str) -> None:
    with pytest.raises(SettingsError, match=r"package\.module:Class"):
        Settings.from_environment(environ={"YUEKANG_SMS_DRIVER": name})


# What is sent


def test_the_message_says_what_the_code_is_for_and_that_it_can_be_ignored() -> None:
    chinese, english = (code_text("012345", language) for language in LANGUAGES)
    assert "012345" in chinese
    assert "012345" in english
    assert "5 分钟" in chinese
    assert "忽略" in chinese
    assert "5 minutes" in english
    assert len(chinese) <= 70, "one message of 70 characters, not two"
    assert len(english) <= 160, "one message of 160 characters of GSM 03.38"


async def test_a_driver_may_fail_in_any_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sms, "DRIVER_SECONDS_MAX", 0.05)

    class Failing:
        def __init__(self, failure: Exception | None) -> None:
            self.failure = failure

        async def send(self, phone: str, text: str) -> None:
            if self.failure is None:
                await asyncio.sleep(60)
            else:
                raise self.failure

    logged: list[Any] = []
    failures = [OSError("no route for 13800138000"), KeyError("13800138000"), Exception("no"), None]
    for failure in failures:
        with capture_logs() as lines, pytest.raises(Refused) as caught:
            await deliver(Failing(failure), PHONE, "code 012345")
        problem = caught.value.problem()
        assert (problem.status, problem.code) == (503, "message-not-sent")
        assert caught.value.headers["Retry-After"] == "5"
        assert caught.value.__context__ is None
        logged += lines
        assert "13800138000" not in str(caught.value)
    said = str(logged)
    assert "KeyError" in said
    assert "13800138000" not in said
    assert "012345" not in said


# The outbox


async def test_only_its_owner_reads_the_outbox(tmp_path: Path) -> None:
    await Outbox(tmp_path / "data").send("13800138000", "text")
    folder = tmp_path / "data" / "outbox"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    [path] = folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_the_outbox_is_bounded_and_keeps_the_newest(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    for number in range(MESSAGES_MAX + 7):
        await outbox.send("13800138000", str(number))
    texts = [message.text for message in outbox.newest()]
    assert texts == [str(number) for number in range(MESSAGES_MAX + 6, 6, -1)]
    assert len(list((tmp_path / "outbox").iterdir())) == MESSAGES_MAX
    assert [message.text for message in outbox.newest(2)] == texts[:2]


async def test_many_can_write_the_outbox_at_once(tmp_path: Path) -> None:
    outboxes = [Outbox(tmp_path) for _ in range(3)]
    await asyncio.gather(
        *(outboxes[number % 3].send("13800138000", str(number)) for number in range(90))
    )
    assert {message.text for message in outboxes[0].newest()} == set(map(str, range(90)))


async def test_an_outbox_that_cannot_be_written_sends_nothing(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("a file is in the way")
    with pytest.raises(Refused) as caught:
        await deliver(Outbox(tmp_path), PHONE, "text")
    assert caught.value.code == "message-not-sent"


async def test_the_command_shows_the_newest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YUEKANG_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("YUEKANG_ENVIRONMENT", "development")
    run = CliRunner().invoke
    assert run(app, ["outbox"]).output == ""
    await Outbox(tmp_path).send("13800138000", "first")
    await Outbox(tmp_path).send("13900139000", "second")
    lines = run(app, ["outbox"]).output.splitlines()
    assert [line.split("  ")[1:] for line in lines] == [
        ["13900139000", "second"],
        ["13800138000", "first"],
    ]
    [line] = run(app, ["outbox", "--count", "1", "--json"]).output.splitlines()
    assert json.loads(line)["text"] == "second"


def test_the_command_has_nothing_to_show_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("YUEKANG_ENVIRONMENT", raising=False)
    refused = CliRunner().invoke(app, ["outbox"])
    assert refused.exit_code == 1
    assert "development" in refused.output
