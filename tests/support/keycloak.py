"""Keycloak, as a provider that nobody here wrote: started, given a realm, asked by its own API."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import httpx

from app.development.stack.broker import ROOT
from app.development.stack.processes import Process
from app.process.ports import free_port
from support.gateways import PLAIN

HOME = ROOT / ".run" / "keycloak"
REALM, ADMIN = "gd", "admin"
PASSWORD = "a password of theirs"
HEAP = "-Xms64m -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1"

Json = dict[str, Any]


class Keycloak(Process):
    """A server with an empty database in memory and one realm, on the loopback address."""

    ready_seconds_max = 400.0  # 20 s alone on two cores; other tests run beside it

    def __init__(self, directory: Path, realm: Json) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.issuer = f"{self.url}/realms/{REALM}"
        file = directory / "realm.json"
        file.write_text(json.dumps(realm))
        command = [
            "env",
            f"JAVA_OPTS={HEAP}",
            f"KC_BOOTSTRAP_ADMIN_USERNAME={ADMIN}",
            f"KC_BOOTSTRAP_ADMIN_PASSWORD={PASSWORD}",
            "bash",
            str(HOME / "bin" / "kc.sh"),
            "start-dev",
            "--http-host=127.0.0.1",
            f"--http-port={port}",
            "--db=dev-mem",
            "--cache=local",
        ]
        self._realm = realm
        super().__init__("keycloak", command, directory)

    def ready(self) -> bool:
        """Say whether it answers, and give it the realm when it first does."""
        try:
            httpx.get(f"{self.url}/realms/master", timeout=5, verify=PLAIN).raise_for_status()
        except httpx.HTTPError:
            return False
        self.admin("POST", "/admin/realms", self._realm)
        return True

    def access_token(self, client: str) -> str:
        """Return a token that a client gets for itself."""
        form = {"grant_type": "client_credentials", "client_id": client, "client_secret": PASSWORD}
        address = f"{self.issuer}/protocol/openid-connect/token"
        token: str = (
            httpx.post(address, data=form, timeout=60).raise_for_status().json()["access_token"]
        )
        return token

    def admin(self, method: str, path: str, body: Json) -> httpx.Response:
        """Ask its administration API."""
        form = {
            "grant_type": "password",
            "client_id": "admin-cli",
            "username": ADMIN,
            "password": PASSWORD,
        }
        address = f"{self.url}/realms/master/protocol/openid-connect/token"
        token = httpx.post(address, data=form, timeout=60).raise_for_status().json()
        headers = {"authorization": f"Bearer {token['access_token']}"}
        answer = httpx.request(method, self.url + path, json=body, headers=headers, timeout=60)
        assert answer.is_success, answer.text
        return answer


def realm(view_url: str, clients: list[Json], users: list[Json]) -> Json:
    """A realm with clients of ours and people whose attributes are their documents."""
    attributes = ("document_number", "legal_name", "birthdate")
    profile = {
        "attributes": [
            {"name": name, "permissions": {"view": ["admin", "user"], "edit": ["admin"]}}
            for name in ("username", "email", "firstName", "lastName", *attributes)
        ]
    }
    return {
        "realm": REALM,
        "enabled": True,
        "sslRequired": "none",
        "components": {
            "org.keycloak.userprofile.UserProfileProvider": [
                {
                    "providerId": "declarative-user-profile",
                    "config": {"kc.user.profile.config": [json.dumps(profile)]},
                }
            ]
        },
        "clients": [
            {
                "standardFlowEnabled": True,
                "directAccessGrantsEnabled": False,
                "redirectUris": [f"{view_url}/login/callback"],
                "attributes": {
                    "pkce.code.challenge.method": "S256",
                    "post.logout.redirect.uris": f"{view_url}/logged-out",
                },
                "protocolMappers": [_mapper(name) for name in attributes],
                **client,
            }
            for client in clients
        ],
        "users": [
            {
                "enabled": True,
                "credentials": [{"type": "password", "value": PASSWORD}],
                **user,
            }
            for user in users
        ],
    }


def service(name: str, *mappers: Json, header: str = "true") -> Json:
    """A client that gets access tokens for itself (client credentials), as docs/secrets.md says."""
    return {
        "clientId": name,
        "secret": PASSWORD,
        "publicClient": False,
        "standardFlowEnabled": False,
        "serviceAccountsEnabled": True,
        "attributes": {"access.token.header.type.rfc9068": header},
        "protocolMappers": list(mappers),
    }


def claim(name: str, value: str, kind: str = "String") -> Json:
    """A mapper that puts a fixed claim into access tokens."""
    config = {
        "claim.name": name,
        "claim.value": value,
        "jsonType.label": kind,
        "access.token.claim": "true",
    }
    return {
        "name": name,
        "protocol": "openid-connect",
        "protocolMapper": "oidc-hardcoded-claim-mapper",
        "config": config,
    }


def audience(name: str) -> Json:
    """A mapper that says for whom access tokens are."""
    return {
        "name": "audience",
        "protocol": "openid-connect",
        "protocolMapper": "oidc-audience-mapper",
        "config": {"included.custom.audience": name, "access.token.claim": "true"},
    }


def _mapper(name: str) -> Json:
    return {
        "name": name,
        "protocol": "openid-connect",
        "protocolMapper": "oidc-usermodel-attribute-mapper",
        "config": {
            "user.attribute": name,
            "claim.name": name,
            "jsonType.label": "String",
            "id.token.claim": "false",
            "access.token.claim": "false",
            "userinfo.token.claim": "true",
        },
    }


def form_of(page: httpx.Response) -> tuple[str, dict[str, str]]:
    """Where the page's form goes, and its hidden fields."""
    match = re.search(r'<form[^>]*\baction="([^"]+)"', page.text)
    assert match, page.text
    hidden = re.findall(r'<input type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"', page.text)
    return unescape(match[1]), {name: unescape(value) for name, value in hidden}
