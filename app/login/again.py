"""The addresses of one's own phone: make it so, log in again with it, list and end such phones.

POST /login/device     this phone is mine; a moment after a face scan
POST /login/again      a session for a challenge that the phone signed
GET  /me/devices       my phones
POST /me/devices/end   one of them no longer
"""

from datetime import timedelta
from typing import Any, TypeVar

import msgspec
import structlog
from litestar import MediaType, Response, Router, get, post
from litestar.response import Redirect
from msgspec import Struct

from app.login.devices import Device, Devices, NoDevice, PublicKey
from app.login.guards import Guard, LoggedIn, with_return
from app.login.sessions import DEVICE_COOKIE, Away, Sessions, host_cookie
from app.login.texts import DEVICES_AWAY
from app.process import metrics
from app.web.language import moment
from app.web.problems import Refused, retry_later
from app.web.requests import AnyRequest
from app.web.site import FORM_HEADERS, language_of, page

OWN_DEVICES = "/me/devices"

LOGGED_OUT = "/logged-out"

FORGET = {"clear-site-data": '"storage"'}
"""What pages kept in the browser is about a person too: a last code for offline, drafts."""

RETRY_SECONDS_DEVICE = 5

T = TypeVar("T", bound=Struct)

log = structlog.get_logger()


class SignedChallenge(Struct, frozen=True, forbid_unknown_fields=True):
    """A challenge, and its signature in hexadecimal digits."""

    challenge: str
    signature: str


def again_page(request: AnyRequest, devices: Devices, return_to: str) -> Response[str] | None:
    """Return the page that logs one's own phone in again; None for any other browser."""
    device = devices.read(request.cookies.get(DEVICE_COOKIE))
    if device is None:
        return None
    context = {
        "challenge": devices.challenge(device),
        "login": with_return("/login", return_to),
    }
    return page("again.html", language_of(request), context, status=401, headers=FORM_HEADERS)


def device_routes(devices: Devices, sessions: Sessions, guard: Guard) -> list[Any]:
    """Return the handlers, for the application's `route_handlers`."""

    @post("/login/device", status_code=204, include_in_schema=False)
    async def begin(request: AnyRequest, session: LoggedIn) -> Response[None]:
        key = await _body(request, PublicKey)
        try:
            session, cookie = await devices.begin(session, key)
        except NoDevice as refused:
            raise _refused(refused) from None
        except Away:
            raise _away() from None
        metrics.VIEW_DEVICES.labels("made").inc()
        return Response(None, status_code=204, cookies=[sessions.cookie(session), cookie])

    @post("/login/again", status_code=204, guards=[guard.same_origin], include_in_schema=False)
    async def again(request: AnyRequest) -> Response[None]:
        device = devices.read(request.cookies.get(DEVICE_COOKIE))
        signed = await _body(request, SignedChallenge)
        try:
            if device is None:
                raise NoDevice("cookie")
            signature = _signature_of(signed.signature)
            turned, cookie = await devices.again(device, signed.challenge, signature)
        except NoDevice as refused:
            metrics.VIEW_DEVICES.labels(refused.why).inc()
            log.warning("device_refused", why=refused.why)
            # A challenge that came too late is no reason to forget a phone.
            gone = (
                [] if refused.why == "challenge" else [host_cookie(DEVICE_COOKIE, "", timedelta(0))]
            )
            return Response(None, status_code=401, cookies=gone)
        except Away:
            raise _away() from None
        metrics.VIEW_DEVICES.labels("again").inc()
        session = sessions.begin(
            turned.person,
            turned.name,
            turned.adult_from,
            turned.document_type,
            turned.ending,
            seen_at=turned.seen_at,
            family=turned.family,
        )
        return Response(None, status_code=204, cookies=[sessions.cookie(session), cookie])

    @get(OWN_DEVICES, media_type=MediaType.HTML, include_in_schema=False)
    async def show(request: AnyRequest, session: LoggedIn) -> Response[str]:
        here = devices.read(request.cookies.get(DEVICE_COOKIE))
        try:
            found = await devices.of(session.person)
        except Away:
            found = None
        language = language_of(request)
        context = {
            "devices": [
                (one.family, moment(one.since), moment(one.used_at), _is_here(one.family, here))
                for one in found or ()
            ],
            "failure": DEVICES_AWAY if found is None else None,
            "is_own": any(_is_here(one.family, here) for one in found or ()),
            "may_begin": devices.may_begin(session),
            "login": with_return("/login", OWN_DEVICES),
        }
        return page("devices.html", language, context, headers=FORM_HEADERS)

    @post(f"{OWN_DEVICES}/end", include_in_schema=False)
    async def end(request: AnyRequest, session: LoggedIn) -> Redirect:
        family = (await request.form()).get("family", "")
        here = devices.read(request.cookies.get(DEVICE_COOKIE))
        try:
            await devices.end(session.person, family if isinstance(family, str) else "")
        except Away:
            raise _away() from None
        metrics.VIEW_DEVICES.labels("ended").inc()
        if session.family and family == session.family:  # this session ended with it
            return Redirect(
                LOGGED_OUT, status_code=303, cookies=sessions.no_cookies(), headers=FORGET
            )
        over = _is_here(family, here)
        cookies = [host_cookie(DEVICE_COOKIE, "", timedelta(0))] if over else []
        address = f"{OWN_DEVICES}?lang={language_of(request).code}"
        return Redirect(address, status_code=303, cookies=cookies)

    pages = Router("/", route_handlers=[again], include_in_schema=False)
    return [pages, guard.protect(begin, show, end)]


def _is_here(family: object, here: Device | None) -> bool:
    return here is not None and family == here.family


def _signature_of(digits: str) -> bytes:
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise NoDevice("signature") from None


async def _body(request: AnyRequest, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Refused("bad-request", "See static/own.js for what is sent here.") from None


def _refused(refused: NoDevice) -> Refused:
    if refused.why == "late":
        return Refused("login-again", "Log in by face or password first, at /login.")
    return Refused("bad-request", "It is no public key of P-256.")


def _away() -> Refused:
    return retry_later(
        "sessions-away", "Phones cannot be known at this moment.", RETRY_SECONDS_DEVICE
    )
