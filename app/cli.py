"""The command `yuekang`: a line for each subcommand, whose code lives in the module that owns it.

A module is imported only when its command runs, so `yuekang --help` reads this list alone. The
image of production has no app/development, and so no command of it.
"""

import gc
import importlib
import sys
from importlib.util import find_spec
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

COMMANDS: dict[str, tuple[str, str]] = {
    # name: (module:function or module:Typer, one line of help)
    "up": ("app.development.stack.up:up", "Start everything on this machine, until Ctrl-C."),
    "worker": ("app.worker.process:worker", "Run the stream processor that codes come from."),
    "submissions-worker": (
        "app.worker.process:submissions_worker",
        "Check what agencies write to Kafka themselves.",
    ),
    "lists-worker": ("app.worker.process:lists_worker", "Run the stream processor of all else."),
    "projection": (
        "app.projection.commands:projection",
        "Keep the codes in Redis up to date with the log.",
    ),
    "replica": (
        "app.projection.commands:replica",
        "Keep the codes in files of this machine up to date with the log.",
    ),
    "rows": ("app.projection.commands:rows", "Keep all else in Redis up to date with the log."),
    "audit-log": ("app.audit.process:audit_log", "Keep the audit log's tree, and sign it."),
    "gateway": ("app.gateway.server:gateway", "Serve the entrance for agencies over HTTP."),
    "view": ("app.view.server:view", "Serve codes, the dashboard and the API pages."),
    "development-view": (
        "app.development.view:development_view",
        "The same with the sample's people and the outbox, for development.",
    ),
    "identity-provider": (
        "app.development.provider.command:identity_provider",
        "Serve an OpenID provider for development.",
    ),
    "publish": ("app.publish.command:publish", "Publish a file of events through the gateway."),
    "refusals": ("app.publish.refusals:tell_refusals", "Show what became of what a source sent."),
    "sample": (
        "app.development.sample.command:sample",
        "Publish the sample day of a synthetic city.",
    ),
    "dead-letters": (
        "app.letters.commands:dead_letters",
        "List, show, send again what was refused.",
    ),
    "parked": ("app.letters.commands:parked", "The same for parked sources; release one."),
    "held": (
        "app.letters.commands:held",
        "What is above a source's limit: list, show, approve it.",
    ),
    "partitions": (
        "app.letters.partitions:partitions",
        "What workers hold and what stands still; let it go on.",
    ),
    "audit": ("app.operator.audit:audit", "Who asked about whom: list it, verify it."),
    "sources": ("app.sources.commands:sources", "The register: list, load, close, take back."),
    "topics": ("app.topics.commands:topics", "Make or check the topics of topics.yaml."),
    "acls": ("app.access.commands:acls", "Who may do what on Kafka: show, apply or check it."),
    "schemas": ("app.topics.commands:schemas", "Write the JSON Schemas and AsyncAPI document."),
    "mac-key": ("app.topics.commands:mac_key", "Print the key of a source that writes to Kafka."),
    "token": ("app.gateway.commands:token", "Print an access token of a source."),
    "token-key": ("app.gateway.commands:token_key", "Make a key of such tokens."),
    "signing-key": ("app.gateway.commands:signing_key", "Make a key that signs requests."),
    "person-key": ("app.gateway.commands:person_key", "Print the person key of a document."),
    "outbox": ("app.development.outbox:outbox", "Show messages to phones, in development."),
    "explain": ("app.operator.explain:explain", "Say why a person's code is what it is."),
    "reconciliation": (
        "app.operator.reconciliation:reconciliation",
        "List whose data wait to be pushed to the national platform.",
    ),
    "latency": (
        "app.operator.latency.command:latency",
        "Measure from append on Kafka to visible over HTTP.",
    ),
}


DEVELOPMENT = "app.development"

if find_spec(DEVELOPMENT) is None:
    COMMANDS = {
        name: (target, said)
        for name, (target, said) in COMMANDS.items()
        if not target.startswith(DEVELOPMENT)
    }


class LazyGroup(TyperGroup):
    """Lists commands without importing them; imports the one that runs."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order above."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:
        """Return a command as the list of commands shows it."""
        if cmd_name not in COMMANDS:
            return None
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name][1])

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Import the command that is to run; fail with usage for an unknown one."""
        name, command, rest = super().resolve_command(ctx, args)
        if name in COMMANDS:
            command = _load(name)
        return name, command, rest


def _load(name: str) -> Any:
    module, _, attribute = COMMANDS[name][0].partition(":")
    gc.disable()  # what is imported stays: a tenth of the time went to looking through it
    try:
        target: Any = getattr(importlib.import_module(module), attribute)
    finally:
        gc.enable()
    if isinstance(target, typer.Typer):
        return get_command(target)
    single = typer.Typer(add_completion=False)
    single.command(name)(target)
    return get_command(single)


app = typer.Typer(cls=LazyGroup, add_completion=False, no_args_is_help=True)


@app.callback()
def _yuekang() -> None:
    """粤康码: a provincial health code as an event-driven stream processor.

    Exit codes: 0 done, 1 failed, 2 wrong usage or settings; `publish` has more, see there.
    """


def main() -> None:
    """Run the command line."""
    from app.process.settings import SettingsError

    try:
        get_command(app)()
    except SettingsError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
