"""How a command asks the view as an operator."""

from collections.abc import Mapping

import httpx
import msgspec
import typer

from app.process.settings import Settings, SettingsError
from app.web.issuing import operator_token
from app.web.problems import Problem

ANSWER_SECONDS_MAX = 20.0
"""An explanation of the fullest rows takes seconds."""

EXIT_USAGE = 2


def ask(settings: Settings, path: str, parameters: Mapping[str, str] | None = None) -> bytes:
    """Return the view's answer. Without one print why, and exit with 1; without a token, with 2."""
    url = settings.view_url
    try:
        token = operator_token(settings)
    except SettingsError as error:
        raise _failed(str(error), EXIT_USAGE) from None
    try:
        answer = httpx.get(
            f"{url}{path}",
            params=parameters,
            headers={"authorization": f"Bearer {token}"},
            timeout=ANSWER_SECONDS_MAX,
            trust_env=False,
        )
    except UnicodeEncodeError:
        raise _failed("YUEKANG_TOKEN is no token: it is not ASCII.", EXIT_USAGE) from None
    except httpx.TransportError as error:
        raise _failed(
            f"The view at {url} does not answer ({error}). Start it, or set YUEKANG_VIEW_URL."
        ) from None
    if answer.status_code == httpx.codes.OK:
        return answer.content
    try:
        problem = msgspec.json.decode(answer.content, type=Problem)
    except msgspec.DecodeError:
        raise _failed(f"{url} is not a view: it answers {answer.status_code}.") from None
    again = answer.headers.get("retry-after")
    raise _failed(
        f"{problem.title}: {problem.detail}" + (f" Try again in {again} s." if again else "")
    )


def _failed(message: str, code: int = 1) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(code)
