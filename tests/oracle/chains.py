"""What was told of each person, one change after another."""

from collections.abc import Sequence

from models.codes import NO_CODE, HealthCode, Status, StatusChanged
from models.person import Person
from oracle.found import Differences


class Chains:
    """The last change told of each person, and its version."""

    def __init__(self) -> None:
        self._last: dict[bytes, tuple[Status, int]] = {}

    def take(self, key: bytes, change: StatusChanged, found: Differences) -> None:
        """Check that a told change goes on from the one told before."""
        status, version = self._last.get(key, (NO_CODE, 0))
        data = change.data
        if data.before != status or data.previous_version != version:
            found.add(
                "chain", f"{key!r}: {data.version} follows {data.previous_version}, not {version}"
            )
        elif data.after == data.before:
            found.add("chain", f"{key!r}: {data.version} tells no change")
        self._last[key] = data.after, data.version

    def compare(self, key: bytes, code: HealthCode, found: Differences) -> None:
        """Check that the last change told is what a row says was told."""
        if (Status(code.colour, code.reasons), code.told_version) != self._last.get(
            key, (NO_CODE, 0)
        ):
            found.add("chain", f"{key!r}: the last change told is not what the row says")


def unlike(row: Person, expected: Person) -> str:
    """Say in what two rows differ."""
    return ", ".join(
        name
        for name, same in (
            ("facts", row.facts == expected.facts),
            ("outstanding", row.outstanding == expected.outstanding),
            (f"code v{row.code.version} not v{expected.code.version}", row.code == expected.code),
            (
                f"judged {row.judged_at} not {expected.judged_at}",
                row.judged_at == expected.judged_at,
            ),
        )
        if not same
    )


def versions(told: Sequence[HealthCode | StatusChanged]) -> str:
    """Name what was told by its versions."""
    return str([t.data.version if isinstance(t, StatusChanged) else t.version for t in told])
