"""The seam to the carrier of messages (短信): what a driver is, which one serves, what is sent.

A carrier's driver is a class of its own package, named in `YUEKANG_SMS_DRIVER` as
`package.module:Class`. It is made without arguments, takes its own settings from its own variables,
and must be safe to use from many tasks at once.
"""

import asyncio
import importlib
import inspect
from typing import Protocol

import structlog

from app.process.settings import Settings, SettingsError, variable_of
from app.travel.bounds import CODE_SECONDS, DRIVER_SECONDS_MAX, RETRY_SECONDS
from app.web.language import Language
from app.web.language import gettext as _
from app.web.problems import retry_later
from models.phones import Phone

TEXT = _(
    "【粤康码】验证码 {code}，{minutes} 分钟内有效，用于查询行程卡。勿告诉他人；非本人操作请忽略。"
)

log = structlog.get_logger()


class SmsDriver(Protocol):
    """Hands messages to a carrier."""

    async def send(self, phone: str, text: str) -> None:
        """Send `text` to `phone`, 11 digits. Return when the carrier has taken it; else raise.

        Of an error only the class is logged: the message may hold the phone.
        """
        ...


class NoCarrier:
    """Takes no message, since the settings name no driver."""

    async def send(self, phone: str, text: str) -> None:
        raise LookupError(f"{variable_of('sms_driver')} is not set")


def driver_of(settings: Settings) -> SmsDriver:
    """Return the driver that the settings name; raise `SettingsError`.

    If they name none, there is no carrier. A province without one has codes and all else; only
    travel cards answer that they cannot be had.
    """
    if not settings.sms_driver:
        log.warning("no_sms_driver", setting=variable_of("sms_driver"))
        return NoCarrier()
    return _load(settings.sms_driver)


def _load(name: str) -> SmsDriver:
    module, _, attribute = name.partition(":")
    try:
        driver: SmsDriver = getattr(importlib.import_module(module), attribute)()
    except (ImportError, AttributeError, TypeError) as error:
        raise SettingsError(
            f"{variable_of('sms_driver')} is {name!r}, but there is no such class that can be made "
            f"without arguments ({type(error).__name__}: {error})."
        ) from None
    if not inspect.iscoroutinefunction(getattr(driver, "send", None)):
        raise SettingsError(
            f"{variable_of('sms_driver')} is {name!r}, which has no method "
            "`async def send(self, phone: str, text: str) -> None`."
        )
    return driver


def code_text(code: str, language: Language) -> str:
    """Return the message with a code."""
    return TEXT.filled(code=code, minutes=str(CODE_SECONDS // 60)).of(language)


async def deliver(driver: SmsDriver, phone: Phone, text: str) -> None:
    """Have the message sent; raise `Refused` (503) if the carrier does not take it in time."""
    try:
        async with asyncio.timeout(DRIVER_SECONDS_MAX):
            await driver.send(phone.number, text)
        return
    except Exception as failure:  # a carrier's own package may raise anything
        why = type(failure).__name__
    # Outside the handler the failure, which may hold the phone, is no longer anybody's context.
    log.warning("message_not_sent", failure=why)
    raise retry_later(
        "message-not-sent",
        "The carrier has not taken the message. This is no fault of yours and counts for nothing; "
        "ask for a code again.",
        RETRY_SECONDS,
    )
