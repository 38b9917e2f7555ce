"""The provider's addresses, and the page on which one says who one is."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from litestar import Litestar, MediaType, Response, get, post
from litestar.response import Redirect
from litestar.static_files import create_static_files_router

from app.development.provider.people import ProviderPerson, What, people_of
from app.development.provider.server import (
    Asked,
    OAuth2Error,
    ProviderAnswer,
    ProviderOptions,
    Server,
)
from app.development.provider.texts import PROVIDER
from app.login.claims import NoDocument
from app.login.guards import origin_of
from app.process.clock import Clock, now
from app.web.language import CHINESE, Text, negotiate
from app.web.problems import on_failure
from app.web.requests import AnyRequest
from app.web.site import HEADERS, STATIC, page

FIELDS = ("number", "type", "name", "birthdate", "city")
BODY_BYTES_MAX = 16 * 1024


def create_provider(options: ProviderOptions, people_path: Path) -> Litestar:
    """Make the application; `people_path` is the file of sample people, read at each login."""
    server = Server(options)
    return Litestar(
        route_handlers=[
            *_protocol(server),
            *_login(server, people_path, now),
            *_probes(options),
            create_static_files_router("/static", directories=[*STATIC]),
        ],
        exception_handlers={Exception: on_failure},
        openapi_config=None,
        request_max_body_size=BODY_BYTES_MAX,
        logging_config=None,
    )


def _protocol(server: Server) -> list[Any]:
    @get("/.well-known/openid-configuration")
    async def metadata() -> dict[str, Any]:
        return server.metadata()

    @get("/jwks")
    async def jwks() -> dict[str, Any]:
        return server.jwks()

    @post("/token")
    async def token(request: AnyRequest) -> Response[Any]:
        return _response(server.create_token_response(await _asked(server, request)))

    @get("/userinfo")
    async def userinfo(request: AnyRequest) -> Response[Any]:
        try:
            return Response(server.userinfo(await _asked(server, request)))
        except OAuth2Error as error:
            return _response(server.handle_error_response(None, error))

    @get("/end-session")
    async def end_session(request: AnyRequest) -> Response[Any]:
        asked = await _asked(server, request)
        answer = server.create_endpoint_response("end_session", asked)
        if answer is None:
            return Redirect(server.options.view_url, status_code=303)
        return _response(answer)

    return [metadata, jwks, token, userinfo, end_session]


def _login(server: Server, people_path: Path, now: Clock) -> list[Any]:
    @get("/authorize", media_type=MediaType.HTML)
    async def ask(request: AnyRequest) -> Response[Any]:
        return await _decide(server, request, lambda asked: _page(asked, people_of(people_path)))

    @post("/authorize", media_type=MediaType.HTML)
    async def answer(request: AnyRequest) -> Response[Any]:
        form = {name: str(value) for name, value in (await request.form()).items()}

        def said(asked: Asked) -> Response[Any]:
            people = people_of(people_path)
            person = _person(form, people)
            grant = server.get_consent_grant(asked)
            if person is not None:
                try:
                    person.identity(now().date())
                except NoDocument:
                    return _page(asked, people, form)
            return _response(server.create_authorization_response(asked, person, grant))

        return await _decide(server, request, said)

    def _page(
        asked: Asked, people: Sequence[ProviderPerson], form: dict[str, str] | None = None
    ) -> Response[str]:
        language = negotiate(None, str(asked.args.get("ui_locales", "")))
        context = {
            "p": PROVIDER,
            "action": asked.uri,
            "people": _by_hint(people, asked.args.get("login_hint")),
            "hinted": asked.args.get("login_hint"),
            "wrong": form is not None,
            "form": {name: (form or {}).get(name, "") for name in FIELDS},
        }
        # Besides the usual address: the form's answer leads to the client.
        action = f"form-action 'self' {origin_of(server.options.view_url)}"
        policy = HEADERS["content-security-policy"].replace("form-action 'self'", action)
        return page(
            "provider.html",
            language,
            context,
            status=422 if form else 200,
            headers={"content-security-policy": policy},
        )

    return [ask, answer]


async def _decide(
    server: Server, request: AnyRequest, answer: Callable[[Asked], Response[Any]]
) -> Response[Any]:
    """Answer a valid request for authorization; else say what is wrong.

    An error goes to the client that asks if it is known, else to the browser.
    """
    asked = await _asked(server, request, with_form=False)
    try:
        server.get_consent_grant(asked)
        return answer(asked)
    except OAuth2Error as error:
        return _response(server.handle_error_response(asked, error))


def _person(form: dict[str, str], people: Sequence[ProviderPerson]) -> ProviderPerson | None:
    """Return who was picked or typed; None if nobody was."""
    known = {_id(person, n): person for n, person in enumerate(people)}
    if "who" in form:
        return known.get(form["who"])
    typed = {name: form.get(name, "").strip() for name in FIELDS}
    if "other" not in form or not typed["number"]:
        return None
    return ProviderPerson(
        number=typed["number"],
        type=typed["type"] or None,
        name=typed["name"],
        birthdate=typed["birthdate"] or None,
        city=typed["city"] or None,
    )


def _said(what: What) -> Text:
    return Text(lambda language: what.zh if language is CHINESE else what.en)


def _by_hint(
    people: Sequence[ProviderPerson], hint: str | None
) -> list[tuple[str, ProviderPerson, Text]]:
    named = [(_id(p, n), p, _said(p.what)) for n, p in enumerate(people)]
    return sorted(named, key=lambda one: one[0] != hint)


def _id(person: ProviderPerson, number: int) -> str:
    return person.id or str(number)


async def _asked(server: Server, request: AnyRequest, with_form: bool = True) -> Asked:
    query = [(str(k), str(v)) for k, v in request.query_params.multi_items()]
    form: list[tuple[str, str]] = []
    if with_form and request.method == "POST":
        form = [(str(k), str(v)) for k, v in (await request.form()).multi_items()]
    path = request.scope["raw_path"].decode().partition("?")[0]
    uri = f"{server.options.issuer}{path}"
    if text := request.scope["query_string"].decode("latin-1"):
        uri += f"?{text}"
    return Asked(request.method, uri, request.headers, query, form)


def _response(answer: ProviderAnswer) -> Response[Any]:
    own = {name.lower(): value for name, value in answer.headers.items()}
    headers = {"cache-control": "no-store", **own}
    media_type = headers.pop("content-type", MediaType.JSON)
    return Response(answer.body, status_code=answer.status, headers=headers, media_type=media_type)


def _probes(options: ProviderOptions) -> list[Any]:
    @get("/readyz", media_type="text/plain")
    async def readyz() -> str:
        return "ready\n"

    @get("/")
    async def home() -> Redirect:
        """Lead to the view: the provider has no page here."""
        return Redirect(options.view_url, status_code=303)

    return [readyz, home]
