"""Who may ask about a person by key: the operator alone, with the token of its source."""

import os
from typing import Any

from litestar import Request

from app.problems import Refused
from app.settings import Settings, SettingsError
from app.tokens import InvalidToken, Tokens

OPERATOR = "/operator"


def operator_token(settings: Settings) -> str:
    """Return the token that a command asks with: YUEKANG_TOKEN, or one made of the token key.

    Raise `SettingsError` where there is neither.
    """
    if token := os.environ.get("YUEKANG_TOKEN", ""):
        return token
    if not settings.token_key:
        raise SettingsError(
            f"There is no token. Set YUEKANG_TOKEN to that of {OPERATOR}, or YUEKANG_TOKEN_KEY to "
            "the key that makes it."
        )
    return Tokens(settings.token_key).token_for(OPERATOR)


def operator_of(tokens: Tokens, request: Request[Any, Any, Any]) -> str:
    """Return the operator's source, whose token the request carries; raise `Refused` (401, 403)."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        if scheme.lower() != "bearer":
            raise InvalidToken
        source = tokens.source_of(token.strip())
    except InvalidToken:
        raise Refused(
            "unauthenticated",
            "Send the operator's token as `Authorization: Bearer …`; "
            f"`yuekang token {OPERATOR}` makes it.",
            headers={"WWW-Authenticate": "Bearer"},
        ) from None
    if source != OPERATOR:
        raise Refused(
            "no-operator",
            f"The token is of {source}; only {OPERATOR} may ask about a person by key.",
        )
    return source
