"""Finds the authorization server of an MCP server: from the server's metadata (RFC 9728) and the authorization server's
own (RFC 8414).

Every address on the way is checked like one from a client. An unreachable or inconsistent document counts as missing:
the caller learns that nothing was found, and nothing about the network.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final, TypeGuard
from urllib.parse import SplitResult, urlsplit

from pydantic import Field

from models import bounds
from resolvers.instance.outbound import Outbound
from resolvers.kernel import Absent, Action, Code, Context, Input, Output, Refusal, Tenancy, instance, log, procedure
from resolvers.resources.integrations.testing import policy
from resolvers.resources.oauth.providers import provider_of
from resolvers.rules.mcp_endpoint import endpoint_fault

SECONDS, LARGEST = 10.0, 64 * 1024
RESOURCE: Final = "/.well-known/oauth-protected-resource"
SERVER: Final = "/.well-known/oauth-authorization-server"
OPENID: Final = "/.well-known/openid-configuration"
NOTHING: Final = "No authorization server was found for this URL"
S256: Final = "S256"


class DiscoverySource(StrEnum):
    """The source of the endpoints: the server's metadata, or a built-in provider."""

    discovery = "discovery"
    known_provider = "known_provider"


class DiscoverOAuth(Input):
    """`mcp_url` is the address of an MCP server."""

    mcp_url: Annotated[str, Field(strict=True, min_length=1, max_length=bounds.URL)]


class DiscoveryResult(Output):
    """The endpoints of an authorization server for consent. `registration_endpoint` is null or absent for built-in
    providers.
    """

    auth_url: str
    token_url: str
    registration_endpoint: Annotated[str | None, Absent()] = None
    scopes: str
    supports_dcr: bool
    supports_pkce: bool
    source: DiscoverySource


@dataclass(frozen=True, slots=True)
class AuthorizationServer:
    """`resource`: what tokens are asked for (RFC 8707); `names_itself`: in its answers (RFC 9207)."""

    auth_url: str
    token_url: str
    scopes: str
    issuer: str | None = None
    registration_endpoint: str = ""
    supports_pkce: bool = True
    names_itself: bool = False
    resource: str | None = None
    source: DiscoverySource = DiscoverySource.discovery


@procedure("oauth.discover", Action.NONE, tenancy=Tenancy.NONE, errors=(Code.NOT_FOUND,), late=True)
async def discover_oauth(ctx: Context, data: DiscoverOAuth) -> DiscoveryResult:
    """Check the consent endpoints of an MCP server.

    Asks the MCP server (RFC 9728) and its authorization server (RFC 8414), and falls back to built-in providers
    by host. Private addresses are not called.
    """
    found = await discovered(data.mcp_url)
    if found is None:
        raise Refusal(Code.NOT_FOUND, NOTHING)
    asked = found.source is DiscoverySource.discovery
    return DiscoveryResult(
        auth_url=found.auth_url,
        token_url=found.token_url,
        registration_endpoint=found.registration_endpoint if asked else None,
        scopes=found.scopes,
        supports_dcr=bool(found.registration_endpoint),
        supports_pkce=found.supports_pkce,
        source=found.source,
    )


def may_call(url: Any) -> TypeGuard[str]:
    fits = isinstance(url, str) and len(url) <= bounds.URL and url.isascii() and "#" not in url
    return fits and endpoint_fault(url, private=instance.settings.mcp_allow_private) is None


async def discovered(mcp_url: str) -> AuthorizationServer | None:
    """The server's own metadata, otherwise the known provider of its host."""
    if not may_call(mcp_url):
        return None
    try:
        async with asyncio.timeout(SECONDS), instance.http(policy(), timeout=SECONDS, most=LARGEST) as http:
            found = await _asked(http, mcp_url)
    except TimeoutError:
        found = None
    if found is not None:
        return found
    known = provider_of(urlsplit(mcp_url).hostname or "")
    if known is None:
        return None
    return AuthorizationServer(
        known.auth_url, known.token_url, known.default_scopes, source=DiscoverySource.known_provider
    )


async def _asked(http: Outbound, mcp_url: str) -> AuthorizationServer | None:
    parts = urlsplit(mcp_url)
    origin = f"{parts.scheme}://{parts.netloc}"
    told = await _resource(http, parts, origin)
    listed = told.get("authorization_servers")
    named = listed[0] if isinstance(listed, list) and listed else origin
    if not may_call(named):
        return None
    for issuer, url in _places(named, origin):
        document = await _read(http, url)
        if (made := _server(document, issuer, told)) is not None:
            return made
    return None


async def _resource(http: Outbound, parts: SplitResult, origin: str) -> dict[str, Any]:
    """The MCP server's metadata; empty if it describes another resource (RFC 9728, 3.3)."""
    path = parts.path.rstrip("/")
    for url in dict.fromkeys((f"{origin}{RESOURCE}{path}", f"{origin}{RESOURCE}")):
        document = await _read(http, url)
        if document and _is_of(document.get("resource"), parts):
            return document
    return {}


def _is_of(resource: Any, parts: SplitResult) -> bool:
    """Returns true if the MCP server is the resource or lies below it: tokens for other resources must not be
    requested.
    """
    if not may_call(resource):
        return False
    named = urlsplit(resource)
    below = parts.path == named.path or parts.path.startswith(f"{named.path.rstrip('/')}/")
    return (named.scheme, named.netloc.lower()) == (parts.scheme, parts.netloc.lower()) and (below or not parts.path)


def _places(server: str, origin: str) -> Iterator[tuple[str, str]]:
    """The possible issuers, and where each publishes its metadata."""
    parts = urlsplit(server)
    host, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    yield server, f"{host}{SERVER}{path}"
    if path:
        yield server, f"{host}{path}{SERVER}"
    yield server, f"{host}{path}{OPENID}"
    if host != origin:
        yield origin, f"{origin}{SERVER}"


async def _read(http: Outbound, url: str) -> dict[str, Any]:
    try:
        answer = await http.get(url, headers={"accept": "application/json"})
        said = answer.json() if answer.status == 200 else {}
    except Refusal:
        return {}
    return said if isinstance(said, dict) else {}


def _server(document: dict[str, Any], issuer: str, told: dict[str, Any]) -> AuthorizationServer | None:
    """None for an incomplete document, or one that names another issuer (RFC 8414, 3.3)."""
    auth_url, token_url = document.get("authorization_endpoint"), document.get("token_endpoint")
    if not may_call(auth_url) or not may_call(token_url):
        return None
    called = document.get("issuer")
    if called is not None and (not isinstance(called, str) or called.rstrip("/") != issuer.rstrip("/")):
        log.warning("an authorization server returned metadata of another issuer")
        return None
    registration, resource = document.get("registration_endpoint"), told.get("resource")
    scopes = _texts(document.get("scopes_supported")) or _texts(told.get("scopes_supported"))
    return AuthorizationServer(
        auth_url=auth_url,
        token_url=token_url,
        scopes=bounds.cut(" ".join(scopes), bounds.URL),
        issuer=called,
        registration_endpoint=registration if may_call(registration) else "",
        supports_pkce=S256 in _texts(document.get("code_challenge_methods_supported")),
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
        resource=resource if isinstance(resource, str) else None,
    )


def _texts(value: Any) -> list[str]:
    listed = value[: bounds.ENTRIES] if isinstance(value, list) else []
    return [text for text in listed if isinstance(text, str) and "\0" not in text]
