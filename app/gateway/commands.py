"""`yuekang token`, `yuekang token-key`, `yuekang signing-key` and `yuekang person-key`."""

import secrets
import sys
from datetime import timedelta
from typing import Annotated

import typer
from msgspec.structs import replace

from app.gateway.person_keys import PersonKeys
from app.gateway.signatures import RequestSigner
from app.process.clock import now
from app.process.settings import Settings
from app.web.issuing import KEY_BYTES, TOKEN_LIFE, issuer_of, told_by
from app.web.tokens import LIFE_MAX, Role, is_source
from models.documents import DocumentError, parse_document
from models.events import DocumentType
from models.policy import ZONE


def token(
    source: Annotated[
        str, typer.Argument(help="Such as /laboratories/440100-001, or /operators/chen.")
    ],
    days: Annotated[
        int, typer.Option(min=1, max=LIFE_MAX.days, help="How long it is good.")
    ] = TOKEN_LIFE.days,
    role: Annotated[
        list[Role] | None, typer.Option(help="What an operator may do; once for each role.")
    ] = None,
) -> None:
    """Print an access token of a source. Whoever has it may publish as that source.

    Its id, by which it can be taken back, and its end are told on standard error: keep them.
    """
    issuer = issuer_of(Settings.from_environment("token_private_key"))
    try:
        made = issuer.token_for(source, role or (), timedelta(days=days))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    token_id, until = told_by(made)
    ends = until.astimezone(ZONE)
    typer.echo(f"{source}: id {token_id}, good until {ends:%Y-%m-%d %H:%M}.", err=True)
    print(made)


def token_key() -> None:
    """Print a new key of tokens: the private half, for `yuekang token` alone, and the public one.

    With YUEKANG_TOKEN_PRIVATE_KEY set it prints the public half of that.
    """
    settings = Settings.from_environment()
    private = settings.token_private_key or secrets.token_bytes(KEY_BYTES)
    issuer = issuer_of(replace(settings, token_private_key=private))
    if not settings.token_private_key:
        print(f"YUEKANG_TOKEN_PRIVATE_KEY={private.hex()}")
    print(f"YUEKANG_TOKEN_PUBLIC_KEYS={issuer.public.hex()}")


def signing_key(
    source: Annotated[str, typer.Argument(help="Who signs, such as /provinces/43.")],
) -> None:
    """Print a new key with which a source signs its requests, and what the gateway is told of it.

    The source makes it: the private half stays there, and the other half goes to the operator.
    """
    if not is_source(source):
        raise typer.BadParameter(f"{source!r} is no source, such as /provinces/43.")
    private = secrets.token_bytes(KEY_BYTES)
    print(f"YUEKANG_SIGNING_KEY={private.hex()}")
    print(f"YUEKANG_SIGNING_KEYS={source}={RequestSigner(private).public.hex()}")


def person_key(
    document_type: Annotated[
        DocumentType, typer.Option("--type", help="The kind of document.")
    ] = DocumentType.RESIDENT_IDENTITY_CARD,
) -> None:
    """Print the person key of a document number, which is asked for or read from standard input.

    For development: it needs the gateway's secret. The number is never an argument, so neither the
    shell's history nor the list of processes keeps it.
    """
    settings = Settings.from_environment("person_key_secret")
    if sys.stdin.isatty():
        number = typer.prompt("Document number", hide_input=True)
    else:
        number = sys.stdin.readline().rstrip("\r\n")
    try:
        document = parse_document(document_type, number, now().date())
    except DocumentError as error:
        typer.echo(f"{error.detail} {error.expected}", err=True)
        raise typer.Exit(1) from None
    secret = settings.person_key_secret
    print(PersonKeys(secret, settings.person_key_version).key(document))
