"""What schemathesis imports, beside its own: how it asks, and one more check of answers."""

from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response

from app.gateway.messages import BATCH, ONE, PREFIX
from app.web.problems import MEDIA_TYPE


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
