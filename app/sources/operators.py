"""Who runs a command: an operator by name, whom the register of sources lets in.

Every command that acts or reads in an operator's name asks here. What is closed or taken back is
refused by the same rule as over HTTP (`Register.refused`), from the register as it is now. As over
HTTP, operators need no entry there: a register without them must not stop the one who mends it.

Whoever runs a command says by YUEKANG_TOKEN who they are. Where that is not set, the login's name
stands for it: where the private key of tokens is at hand, as in development, and where Kafka's
rights alone let the command be run. A login is no proof of a person, so what needs two operators
takes a token alone.
"""

import asyncio

from app.process.asking import ask_kafka
from app.process.settings import Settings, SettingsError, text_of
from app.sources.changes import read_register
from app.sources.register import Register
from app.topics.authentic import REGISTER, source_keys
from app.web.issuing import login_operator
from app.web.tokens import OPERATORS, Access, InvalidToken, Role, Tokens, is_operator, trust_of


def operator_of_command(settings: Settings, role: Role) -> str:
    """Return the operator who runs a command, `/operators/…`, by a token that has the role, or by
    the login where the private key of tokens is at hand.

    Raise `SettingsError` for a token that is not valid, that lacks the role, or that the register
    refuses. Exit with 1 if the register cannot be read.
    """
    if text_of("YUEKANG_TOKEN"):
        return operator_by_token(settings, role).source
    if not settings.token_private_key:
        raise SettingsError(
            f"There is no token. Set YUEKANG_TOKEN to your own ({OPERATORS}NAME), or "
            "YUEKANG_TOKEN_PRIVATE_KEY to the key that makes it."
        )
    return _let_in(settings, login_operator())


def operator_by_token(settings: Settings, role: Role) -> Access:
    """Return what says who runs a command that needs two operators: a token and nothing else, since
    whoever has the private key of tokens could be a second one by another login.

    Raise and exit as `operator_of_command` does.
    """
    if not (token := text_of("YUEKANG_TOKEN")):
        raise SettingsError(
            "This takes two operators, each with a token of their own, and here is none. Set "
            "YUEKANG_TOKEN, or YUEKANG_TOKEN_FILE, to yours; whoever keeps the private key of "
            f"tokens makes it: `yuekang token {OPERATORS}NAME --role {role}`."
        )
    access = _access_of(settings, token)
    if role not in access.roles:
        has = ", ".join(sorted(access.roles)) or "none"
        raise SettingsError(
            f"YUEKANG_TOKEN is of {access.source}, whose roles are: {has}. This needs an operator "
            f"({OPERATORS}NAME) with the role {role}."
        )
    _let_in(settings, access.source, access.token_id)
    return access


def operator_running(settings: Settings) -> str:
    """Return as whom a command is written down that Kafka's rights alone let be run: as the token
    says, and without one by the login's name.

    Raise `SettingsError` for a token that is not valid or no operator's, and for whom the register
    refuses. Exit with 1 if the register cannot be read.
    """
    if not (token := text_of("YUEKANG_TOKEN")):
        return _let_in(settings, login_operator())
    access = _access_of(settings, token)
    if not is_operator(access.source):
        raise SettingsError(
            f"YUEKANG_TOKEN is of {access.source}, which is no operator. Set it to your own "
            f"({OPERATORS}NAME), or leave it out."
        )
    return _let_in(settings, access.source, access.token_id)


def _access_of(settings: Settings, token: str) -> Access:
    try:
        return asyncio.run(Tokens(trust_of(settings)).access_of(token))
    except InvalidToken as invalid:
        raise SettingsError(f"YUEKANG_TOKEN is no valid token. {invalid}") from None


def _let_in(settings: Settings, operator: str, token_id: str = "") -> str:
    """Return the operator, unless the register refuses them."""
    if why := _register(settings, operator).refused(operator, token_id):
        raise SettingsError(f"The register of sources refuses {operator}. {why}")
    return operator


def _register(settings: Settings, operator: str) -> Register:
    """Return the register as it is now. Without it nobody knows who is closed, so nothing is done:
    what a command writes or shows goes through Kafka too, and so waits for nothing more."""
    unknown = f"Whether {operator} is let in is not known, so nothing is done: the register of "
    keys = source_keys(settings)
    try:
        keys.of(REGISTER)
    except KeyError:
        raise SettingsError(
            f"{unknown}sources cannot be checked without a key. Set YUEKANG_REGISTER_MAC_KEY, or "
            "YUEKANG_MAC_KEY, as the gateway and the view have it."
        ) from None
    return ask_kafka(
        lambda brokers: read_register(brokers, keys), f"{unknown}sources cannot be read."
    )
