"""`yuekang token` and `yuekang person-key`."""

import sys
from typing import Annotated

import typer

from app.gateway.person_keys import PersonKeys
from app.process.clock import now
from app.process.settings import Settings
from app.web.tokens import Tokens
from models.documents import DocumentError, parse_document
from models.events import DocumentType


def token(source: Annotated[str, typer.Argument(help="Such as /laboratories/440100-001.")]) -> None:
    """Print the bearer token of a source. Whoever has it may publish as that source."""
    settings = Settings.from_environment("token_key")
    try:
        print(Tokens(settings.token_key).token_for(source))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


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
