"""Who may ask about a person by key: an operator by name, whose token has the role for it."""

from app.web.problems import Refused
from app.web.requests import AnyConnection
from app.web.tokens import OPERATORS, Access, InvalidToken, Role, Tokens


async def access_of(tokens: Tokens, request: AnyConnection, whose: str, example: str) -> Access:
    """Return what the request's token says; raise `Refused` (401), which asks for `whose` token and
    says with what `yuekang token` makes one."""
    authorization = request.headers.get("authorization", "")
    try:
        return await tokens.access_in(authorization)
    except InvalidToken as invalid:
        # RFC 6750, 3.1: no error where nothing was tried.
        said = 'Bearer error="invalid_token"' if authorization else "Bearer"
        raise Refused(
            "unauthenticated",
            f"{invalid} Send {whose} token as `Authorization: Bearer …`; an operator makes it with "
            f"`yuekang token {example}`, or the authorization server gives it.",
            headers={"WWW-Authenticate": said},
        ) from None


async def operator_of(tokens: Tokens, request: AnyConnection, role: Role) -> str:
    """Return the source of the operator whose token the request carries, `/operators/…`.

    Raise `Refused`: 401 without a valid token, 403 if it is of no operator with this role.
    """
    access = await access_of(tokens, request, "an operator's", f"{OPERATORS}NAME --role {role}")
    check_role(access, role)
    return access.source


def check_role(access: Access, role: Role) -> None:
    """Raise `Refused` (403) unless an operator with this role asks."""
    if role not in access.roles:
        has = ", ".join(sorted(access.roles)) or "none"
        raise Refused(
            "no-operator",
            f"The token is of {access.source}, whose roles are: {has}. This needs an operator "
            f"({OPERATORS}NAME) with the role {role}.",
        )
