"""The addresses of credentials: a phone gets its own; status lists and keys are for anybody."""

import base64
from datetime import datetime
from typing import Annotated, Any

from litestar import Response, get, post
from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, PathParameter
from msgspec import Struct

from app.credentials.bounds import LIST_SECONDS_MAX
from app.credentials.claims import PhoneKey
from app.credentials.issuing import Issuer, asker_of
from app.credentials.keys import IssuerKeys, KeysAnswer
from app.credentials.statuses import ANYBODY, LIST_TYPE, STATUS_LISTS, ListsAnswer, Statuses
from app.login.guards import LoggedIn
from app.web.refusals import refusals
from app.web.requests import AnyRequest
from models.codes import Colour

KEPT = {**ANYBODY, "cache-control": "public, max-age=60"}

Chunk = Annotated[
    str, PathParameter(pattern="^[0-9a-f]{6}$", description="The last part of a list's `uri`.")
]


class CredentialRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The public key of a phone; the private one never leaves it."""

    key: PhoneKey

    def __repr__(self) -> str:
        return "CredentialRequest()"


class CredentialAnswer(Struct, frozen=True):
    """A credential (a CWT in a COSE_Sign1, in base64url), until when it is good, and the code that
    it tells."""

    credential: str
    valid_until: datetime
    colour: Colour
    version: int

    def __repr__(self) -> str:
        return "CredentialAnswer()"


def credential_routes(issuer: Issuer) -> list[Any]:
    """Return the handler of a resident's own, which the login's guard must protect."""

    @post(
        "/v1/me/credential",
        status_code=200,
        operation_id="issueMyCredential",
        summary="Get a credential of my code for this phone's key",
        response_description="A credential that this phone alone can show.",
        responses=refusals(
            "bad-request",
            "too-deep",
            "body-too-large",
            "invalid",
            "no-session",
            "cross-site",
            "sessions-away",
            "no-code",
            "credentials-too-often",
            "credentials-away",
            "code-unavailable",
        ),
        response_headers=[ResponseHeader(name="cache-control", value="no-store")],
    )
    async def issue(session: LoggedIn, data: JSONBody[CredentialRequest]) -> CredentialAnswer:
        """It is turned off as soon as the code has another version, and with the end of the session
        or the own phone that asked for it. Ask again then, and every hour: each has another place
        in the status lists."""
        issued = await issuer.issue(
            asker_of(session.family or session.id),
            session.person,
            session.name,
            session.ending,
            data.key,
        )
        text = base64.urlsafe_b64encode(issued.credential).decode().rstrip("=")
        return CredentialAnswer(text, issued.valid_until, issued.colour, issued.version)

    return [issue]


def status_routes(statuses: Statuses, keys: IssuerKeys) -> list[Any]:
    """Return the handlers for anybody."""

    @get(
        "/v1/s",
        operation_id="listStatusLists",
        summary="List the status lists",
        response_description="Their addresses, relative to /v1/, and our time in ms since 1970.",
        responses=refusals("credentials-away"),
    )
    async def lists() -> Response[ListsAnswer]:
        """A terminal fetches all of them while it has a network, so that nobody learns which one
        it needed."""
        return Response(await statuses.all(), headers={**ANYBODY, "cache-control": "no-store"})

    @get(
        STATUS_LISTS + "{chunk:str}",
        operation_id="readStatusList",
        summary="Read a status list",
        media_type=LIST_TYPE,
        responses={
            200: ResponseSpec(
                bytes,
                generate_examples=False,
                description=(
                    "A status list token (draft-ietf-oauth-status-list-20) in CBOR. It is good for "
                    f"{LIST_SECONDS_MAX // 60} minutes after its `iat`."
                ),
                media_type=LIST_TYPE,
            ),
            **refusals("invalid", "not-found", "credentials-away"),
        },
    )
    async def status_list(request: AnyRequest, chunk: Chunk) -> Response[bytes]:
        """Anybody may keep it for as long as its headers say. What it tells is so by all that was
        appended until `x-as-of` (ms since 1970); a signed list says of itself an earlier instant.
        """
        found = await statuses.read(chunk)
        same = found.is_known(request.headers.get("if-none-match", ""))
        return Response(
            b"" if same else found.content,
            status_code=304 if same else 200,
            media_type=LIST_TYPE,
            headers=found.headers(),
        )

    @get(
        "/v1/credential-keys",
        operation_id="readCredentialKeys",
        summary="Read the keys that credentials and status lists are signed with",
        response_description="A JWK Set; the key in use comes first.",
    )
    async def public_keys() -> Response[KeysAnswer]:
        """Keep them: a terminal without a network verifies with them."""
        return Response(keys.answer(), headers=KEPT)

    return [lists, status_list, public_keys]
