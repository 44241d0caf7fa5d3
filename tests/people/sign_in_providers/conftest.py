"""A world whose people may sign in with several providers, all of them on loopback."""

import json
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest
from pydantic import SecretStr

from models.kernel import InstanceFact
from models.people.auth import User
from resolvers.instance.running import BOOTSTRAPPED
from tests.people.auth.browsers import Browser, new_user
from tests.people.sign_in_providers.provider import CLIENT, SECRET, Issuer, Provider, providing
from tests.world import World, now, world_on

HTML = {"accept": "text/html,application/xhtml+xml"}


def configuration(provider: Provider) -> list[dict[str, Any]]:
    """Providers by id, each with an issuer of its own."""
    more: dict[str, dict[str, Any]] = {
        "google": {},
        "open": {"name": "Open House", "signup": True},
        "staff": {"allowed_domains": ["corp.example"], "signup": True},
        "public": {"client_secret": None, "signup": True},
        "groups": {
            "signup": True,
            "workspace": "workspace",
            "groups_claim": "realm_access.roles",
            "roles": {"crew-admins": "ADMIN", "crew-members": "MEMBER"},
        },
        "owners": {
            "signup": True,
            "workspace": "owned",
            "roles": {"chiefs": "OWNER"},
            "default_role": "VIEWER",
        },
    }
    return [
        {"id": id, "issuer": provider.issuer(id).url, "client_id": CLIENT, "client_secret": SECRET} | values
        for id, values in more.items()
    ]


def email() -> str:
    return f"{secrets.token_hex(6)}@corp.example"


async def verified_user(world: World, **values: Any) -> User:
    return await new_user(world, email_verified=now(), **values)


@pytest.fixture(scope="module")
async def provider(anyio_backend: str) -> AsyncIterator[Provider]:
    async with providing() as made:
        yield made


@pytest.fixture(autouse=True)
def _mended(provider: Provider) -> Iterator[None]:
    yield
    for issuer in provider.issuers.values():
        issuer.mend()


@pytest.fixture(scope="module")
async def world(
    module_database: Any, provider: Provider, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[World]:
    listed = configuration(provider)
    provider.issuer("public").secret = None
    settings = {"sign_in_providers": SecretStr(json.dumps(listed))}
    async with world_on(module_database, tmp_path_factory.mktemp("data"), **settings) as made:
        await made.add(InstanceFact(name=BOOTSTRAPPED, value=made.owner.user_id))
        yield made


@dataclass
class Visitor:
    """Somebody with a browser, at one provider."""

    world: World
    issuer: Issuer
    id: str
    browser: Browser = field(init=False)

    def __post_init__(self) -> None:
        self.browser = Browser(self.world.url)

    @property
    def path(self) -> str:
        return "/api/v1/auth/google" if self.id == "google" else f"/api/v1/auth/oidc/{self.id}"

    async def start(self, redirect: str = "/crews?tab=1") -> str:
        """The address of the provider that the browser is sent to."""
        answer = await self.browser.send("GET", f"{self.path}/redirect", params={"redirect": redirect})
        assert answer.status_code == 307, answer.text
        location: str = answer.headers["location"]
        return location

    async def come_back(
        self, location: str, code: str | None, *, html: bool = False, **changes: str | None
    ) -> httpx2.Response:
        """`changes`: of the address that the provider sends the browser to; None leaves a part out."""
        query = {"state": parse_qs(urlsplit(location).query)["state"][0], "code": code, **changes}
        sent = urlencode({name: value for name, value in query.items() if value is not None})
        return await self.browser.send("GET", f"{self.path}/callback?{sent}", headers=HTML if html else {})

    async def sign_in(
        self, subject: str, told: dict[str, Any] | None = None, *, html: bool = False, **claims: Any
    ) -> httpx2.Response:
        location = await self.start()
        return await self.come_back(location, self.issuer.grant(location, subject, told, **claims), html=html)

    async def user_id(self) -> str | None:
        """Who the browser is signed in as."""
        session = (await self.browser.send("GET", "/api/auth/session")).json()
        return session["user"]["id"] if session else None


@dataclass
class Visits:
    world: World
    provider: Provider

    def __call__(self, id: str) -> Visitor:
        return Visitor(self.world, self.provider.issuer(id), id)


@pytest.fixture
def visitor(world: World, provider: Provider) -> Visits:
    return Visits(world, provider)
