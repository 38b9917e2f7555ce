"""What an address may refuse, for its OpenAPI document."""

from litestar.openapi.datastructures import ResponseSpec

from app.web.problems import KINDS, MEDIA_TYPE, Problem


def refusals(*codes: str) -> dict[int, ResponseSpec]:
    """Return the answers that these problems give, by status."""
    found: dict[int, list[str]] = {}
    for code in codes:
        found.setdefault(KINDS[code].status, []).append(KINDS[code].title)
    return {
        status: ResponseSpec(Problem, description="; ".join(titles), media_type=MEDIA_TYPE)
        for status, titles in found.items()
    }
