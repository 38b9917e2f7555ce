"""What schemathesis imports, beside its own: how it asks, and one more check of answers."""

from typing import Any

import hypothesis
import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response

from app.gateway.messages import BATCH, ONE, PREFIX
from app.web.problems import MEDIA_TYPE


def aim_at_nothing(observation: float, *, label: str = "") -> float:
    """Take the place of `hypothesis.target`, by which schemathesis asks for answers of 2xx.

    The requests are as many either way. With an aim half of them are one that was accepted, changed
    a little again and again, and to look for such changes takes 11 s of CPU time.
    """
    return observation


hypothesis.target = aim_at_nothing


@schemathesis.hook
def before_call(_: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Leave out the headers of binary mode beside a whole event, where they mean nothing."""
    if case.media_type in (ONE, BATCH):
        for name in [name for name in case.headers if name.startswith(PREFIX.decode())]:
            del case.headers[name]


@schemathesis.check
def problem_is_named(_: CheckContext, response: Response, case: Case[Any]) -> None:
    """Fail for a problem that the operation does not name under the answer's status."""
    answer = case.operation.definition.raw["responses"].get(str(response.status_code), {})
    if MEDIA_TYPE in answer.get("content", {}):
        code = response.json()["code"]
        told = f" {answer['description']}"
        assert f" {code}: " in told, f"{code} is not among its problems"
