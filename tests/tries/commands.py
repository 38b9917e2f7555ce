"""Tries with an operator's commands, whose token lacks the role, is over, or is no operator's."""

import asyncio
import subprocess
from collections.abc import Iterator
from random import Random

from app.web.tokens import Role
from support.gateways import LABORATORY, command
from support.tokens import OTHER_TOKENS, TOKENS, TRUSTING, operator_token
from tries.counting import Kind
from tries.forged import misissued, tampered
from tries.stage import CLOSED, ENEMY, PARKED, Stage

End = tuple[str, bool]

COMMANDS = (
    (Role.RELEASE, "parked", "release", PARKED, "--unasked"),
    (Role.REGISTER, "sources", "close", LABORATORY, "--reason", "Tried."),
    (Role.REGISTER, "sources", "open", CLOSED),
    (Role.REGISTER, "sources", "take-back", "a-token", "--reason", "Tried."),
)
RUNNING_SECONDS_MAX = 60.0


class Commands:
    """Runs commands as an enemy does, two at a time."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._running = asyncio.Semaphore(2)

    def kinds(self) -> Iterator[Kind]:
        """Yield the kind, with its share."""
        yield Kind("an operator's command without the role", 0.5, self.command)

    async def command(self, random: Random) -> End:
        """Run one; its exit code says that nothing was done."""
        role, *arguments = random.choice(COMMANDS)
        others = [other for other in Role if other is not role]
        name = "/operators/chen"
        token = random.choice(
            [
                operator_token(*others),
                operator_token(random.choice(others)),
                TOKENS.token_for(ENEMY),
                tampered(operator_token(random.choice(others)), random),
                misissued(name, random),
                OTHER_TOKENS.token_for(name, Role),
            ]
        )
        environment = {
            **self._stage.kafka.environment_of("operator"),
            **TRUSTING,
            "YUEKANG_TOKEN": token,
        }
        async with self._running:
            done = await asyncio.to_thread(
                subprocess.run,
                command(*arguments),
                env=environment,
                capture_output=True,
                text=True,
                timeout=RUNNING_SECONDS_MAX,
                check=False,
            )
        said = done.stderr.strip().splitlines()
        right = done.returncode in (1, 2) and "YUEKANG_TOKEN" in done.stderr
        return f"exit {done.returncode}", right and "Traceback" not in "".join(said)
