"""Access tokens as tests make them: of any source, with a key that the servers of tests trust."""

from datetime import timedelta

from app.web.issuing import TOKEN_LIFE, TokenIssuer
from app.web.tokens import Role, Trust

PRIVATE_KEY, OTHER_PRIVATE_KEY = bytes(range(1, 33)), bytes(range(2, 34))
TOKENS, OTHER_TOKENS = TokenIssuer(PRIVATE_KEY), TokenIssuer(OTHER_PRIVATE_KEY)
TRUST = Trust(keys=(TOKENS.public,))
OPERATOR = "/operators/chen"
PORTAL_TOKEN = TOKENS.token_for("/portal")
IDENTITY_PROVIDER_TOKEN = TOKENS.token_for("/identity-providers/gd")

TRUSTING = {"YUEKANG_TOKEN_PUBLIC_KEYS": TOKENS.public.hex()}
"""The settings of a server that believes these tokens."""
MAKING = {"YUEKANG_TOKEN_PRIVATE_KEY": PRIVATE_KEY.hex()}
"""The settings of a command that makes them."""
OF_THE_VIEW = {
    **TRUSTING,
    "YUEKANG_PORTAL_TOKEN": PORTAL_TOKEN,
    "YUEKANG_IDENTITY_PROVIDER_TOKEN": IDENTITY_PROVIDER_TOKEN,
}


def operator_token(*roles: Role, name: str = OPERATOR, life: timedelta = TOKEN_LIFE) -> str:
    """A token of an operator with these roles; with all unless some are named."""
    return TOKENS.token_for(name, roles or Role, life)


def bearer(source: str) -> dict[str, str]:
    """What the request of a source carries; an operator has all roles."""
    token = operator_token(name=source) if source.startswith("/op") else TOKENS.token_for(source)
    return {"authorization": f"Bearer {token}"}


OPERATOR_HEADERS = bearer(OPERATOR)
