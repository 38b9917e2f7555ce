"""Access tokens and signed requests as an enemy makes them."""

import base64
import hashlib
import hmac
import json
import time
from random import Random
from typing import Any

from joserfc import jwt
from joserfc.jwk import OKPKey
from joserfc.jws import JWSRegistry

from app.gateway.signatures import RequestSigner
from support.tokens import OTHER_PRIVATE_KEY, PRIVATE_KEY, TOKENS

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def changed(text: str, random: Random) -> str:
    """Return a text of letters with another one at one place; not the last, since Base64 reads some
    bits of it alone."""
    at = random.randrange(len(text) - 1)
    other = random.choice([letter for letter in LETTERS if letter != text[at]])
    return text[:at] + other + text[at + 1 :]


def _read(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def _written(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


CLAIMS: dict[str, Any] = {
    "iss": "other",
    "aud": "other",
    "sub": "/cdc/440100",
    "client_id": "/cdc/440100",
    "iat": 0,
    "exp": 4_000_000_000,
    "jti": "other",
    "roles": ["read", "release", "register", "approve", "explain"],
    "source": "/cdc/440100",
}


def tampered(token: str, random: Random) -> str:
    """A token with one claim or one letter changed, under the signature that it had."""
    head, body, mac = token.split(".")
    if random.random() < 0.5:
        claims = _read(body)
        name = random.choice(list(CLAIMS))
        return f"{head}.{_written({**claims, name: CLAIMS[name]})}.{mac}"
    at = random.randrange(3)
    parts = [head, body, mac]
    parts[at] = changed(parts[at], random)
    return ".".join(parts)


def unsigned(source: str, random: Random) -> str:
    """A token by no private key: without a signature, or with a MAC by what everybody knows."""
    token = TOKENS.token_for(source)
    head, body, mac = token.split(".")
    said = _read(head)
    algorithm = random.choice(["none", "None", "HS256", "HS512", "EdDSA", "ES256", ""])
    begun = f"{_written({**said, 'alg': algorithm})}.{body}"
    if algorithm.startswith("HS"):
        public = random.choice([TOKENS.public, TOKENS.public.hex().encode(), b"", b"yuekang"])
        digest = hashlib.sha256 if algorithm == "HS256" else hashlib.sha512
        return f"{begun}.{_written(hmac.digest(public, begun.encode(), digest))}"
    return f"{begun}.{random.choice(['', mac, _written(random.randbytes(64))])}"


HEADERS: dict[str, Any] = {"typ": "JWT", "kid": "other", "crit": ["b64"], "b64": False}


def misissued(source: str, random: Random) -> str:
    """A token by another key, or by ours and not as an access token of now has to be."""
    at = int(time.time())
    claims: dict[str, Any] = {
        "iss": "yuekang",
        "aud": "yuekang",
        "sub": source,
        "iat": at,
        "exp": at + 3_600,
        "jti": str(random.random()),
    }
    key, head = PRIVATE_KEY, {"alg": "Ed25519", "typ": "at+jwt"}
    wrong: list[dict[str, Any]] = [
        {"iat": at - 7_200, "exp": at - 3_600},
        {"iat": at + 3_600, "exp": at + 7_200},
        {"nbf": at + 3_600},
        {"exp": at + 400 * 86_400},
        {"iss": "https://idp.example"},
        {"aud": "another"},
        {"aud": ["another", "third"]},
        {"sub": "laboratories"},
        {"sub": "/laboratories/../cdc/440100"},
        {"sub": None},
        {"exp": None},
        {"iat": "now"},
        {"jti": ""},
    ]
    match random.randrange(3):
        case 0:
            key = OTHER_PRIVATE_KEY
        case 1:
            head["typ"] = random.choice(["JWT", "at+jws", "", "id+jwt"])
        case _:
            claims |= random.choice(wrong)
    own = TOKENS if key == PRIVATE_KEY else None
    members = {"kty": "OKP", "crv": "Ed25519"}
    public = TOKENS.public if own else RequestSigner(key).public
    made = OKPKey.import_key({**members, "x": _written(public), "d": _written(key)})
    made.ensure_kid()
    named = OKPKey.import_key({**members, "x": _written(TOKENS.public)})
    named.ensure_kid()
    head["kid"] = str(named.kid)
    return jwt.encode(head, claims, made, registry=JWSRegistry(algorithms=["Ed25519"]))
