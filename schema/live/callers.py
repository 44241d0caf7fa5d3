"""The caller of a stream or socket. Browsers send their cookie from any page, so with a cookie the page matters."""

from collections.abc import Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from resolvers.errors import forbidden
from resolvers.identity import credentials
from resolvers.identity.caller import Caller
from resolvers.instance.addresses import normal_origin, origin_allowed, own_origin
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log

Scope = MutableMapping[str, Any]


def by_address(scope: Scope) -> Caller:
    """The caller by the ticket in `?token=`, because an EventSource cannot send headers; otherwise by headers. Such an
    address allows no mutation.
    """
    token = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("token")
    if token is None:
        return _by_headers(scope, scope["crewship"].headers)
    made = _by_ticket(scope, token)
    made.reads_only = True
    return made


def by_introduction(scope: Scope, payload: Mapping[str, Any]) -> Caller:
    """The caller by the payload of connection_init: `authorization` as in the header, or a ticket; otherwise by the
    upgrade's headers.

    Header names have any letter case. `X-Workspace-ID`, or `workspaceId`, is the workspace of operations without one.
    """
    said = {name.lower(): value for name, value in payload.items() if isinstance(value, str)}
    headers: dict[bytes, bytes] = dict(scope["crewship"].headers)
    workspace = said.get("x-workspace-id") or said.get("workspaceid")
    if workspace:
        headers[b"x-workspace-id"] = workspace.encode("latin-1", "replace")
    token = said.get("token") or said.get("ticket")
    if "authorization" in said:
        headers.pop(b"cookie", None)
        headers[b"authorization"] = said["authorization"].encode("latin-1", "replace")
        return _by_headers(scope, headers)
    return _by_headers(scope, headers) if token is None else _by_ticket(scope, token, headers)


def _by_ticket(scope: Scope, token: str, headers: Mapping[bytes, bytes] | None = None) -> Caller:
    transport = scope["crewship"]
    headers = transport.headers if headers is None else headers
    agent = headers.get(b"user-agent", b"").decode("latin-1")
    made = credentials.ticket(
        token, client=transport.client, forwarded=transport.forwarded, user_agent=agent, path=scope["path"]
    )
    made.workspace = headers.get(b"x-workspace-id", b"").decode("latin-1") or None
    return made


def _by_headers(scope: Scope, headers: Mapping[bytes, bytes]) -> Caller:
    transport = scope["crewship"]
    if headers.get(b"authorization", b"")[:7] != b"Bearer " and b"cookie" in headers and not _origin_allowed(transport):
        log.info("origin refused", method=scope.get("method", "GET"), path=scope["path"], client=transport.client)
        raise forbidden("request origin not allowed")
    origin = f"{transport.scheme}://{transport.host}"
    return credentials.caller_of(
        headers, client=transport.client, forwarded=transport.forwarded, local_socket=transport.local_socket,
        https=transport.https, origin=origin, path=scope["path"]
    )  # fmt: skip


def _origin_allowed(transport: Any) -> bool:
    """The rule of state-changing requests (contract: csrf.origin_check): sockets run mutations. No Origin, no page."""
    allowed = frozenset(map(normal_origin, instance.settings.allowed_origins))
    return origin_allowed(
        transport.headers.get(b"origin"), None, own=own_origin(transport.scheme, transport.host), allowed=allowed
    )
