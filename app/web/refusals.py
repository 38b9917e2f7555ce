"""What an address may refuse, for its OpenAPI document, and what each refusal means."""

from typing import Annotated

from litestar import get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter

from app.web.problems import KINDS, MEDIA_TYPE, Problem, ProblemType, explain_problem


def refusals(*codes: str) -> dict[int, ResponseSpec]:
    """Return the answers that these problems give, by status; each names its problems."""
    found: dict[int, list[str]] = {}
    for code in codes:
        found.setdefault(KINDS[code].status, []).append(f"{code}: {KINDS[code].title}.")
    return {
        status: ResponseSpec(
            Problem, generate_examples=False, description=" ".join(told), media_type=MEDIA_TYPE
        )
        for status, told in found.items()
    }


@get(
    "/problems/{code:str}",
    operation_id="explainProblem",
    summary="Say what a problem's type means",
    response_description="What all problems of this type have in common.",
    responses=refusals("not-found"),
)
async def explanation(
    code: Annotated[
        str,
        PathParameter(
            description="The last part of a problem's `type`.",
            schema_extra={"enum": sorted(KINDS)},
        ),
    ],
) -> ProblemType:
    """Anybody may ask."""
    return explain_problem(code)
