"""Who may ask about a person by key: the operator alone, with the token of its source."""

from typing import Any

from litestar.connection import ASGIConnection

from app.web.problems import Refused
from app.web.tokens import InvalidToken, Tokens

OPERATOR = "/operator"


def operator_of(tokens: Tokens, request: ASGIConnection[Any, Any, Any, Any]) -> str:
    """Return the operator's source if the request carries its token; raise `Refused` (401, 403)."""
    try:
        source = tokens.source_in(request.headers.get("authorization", ""))
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
            f"The token is of {source}; only {OPERATOR} may ask this.",
        )
    return source
