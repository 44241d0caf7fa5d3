"""The client of the commands that use a server: it knows the server's API, and has one kind of error that a person can
resolve.
"""

import ipaddress
import uuid
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import httpx2

from crewship.cli.profiles import ClientError, Profile

PATIENCE = 30.0  # seconds for an answer
UNKNOWN = ("Cannot query field", "Unknown argument", "Unknown type", "Unknown fragment", "Field ")
"""The beginnings of a server's errors about a document that does not fit its schema."""


class Unreachable(ClientError):
    """There was no answer; a later try may get one."""


class RequestRefused(ClientError):
    """The server has refused the request, with a reason."""


def is_loopback(server: str) -> bool:
    """Returns true if the server is this machine, which is reached without a proxy."""
    host = urlsplit(server).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Client:
    """The API of one server. Every method raises ClientError when it is refused or gets no answer."""

    def __init__(self, profile: Profile) -> None:
        self.profile, self.server = profile, profile.server.rstrip("/")
        headers = {"accept": "application/json"} | (
            {"authorization": f"Bearer {profile.token}"} if profile.token else {}
        )
        # an unneeded one costs 70 ms; SSL_CERT_FILE counts for this machine, too
        self._tls = httpx2.create_ssl_context() if urlsplit(self.server).scheme == "https" else None
        self._http = httpx2.AsyncClient(
            base_url=self.server,
            headers=headers,
            timeout=PATIENCE,
            verify=self._tls or False,
            trust_env=not is_loopback(self.server),
        )

    @property
    def of_sockets(self) -> dict[str, Any]:
        """The connection parameters of a WebSocket: the same as for everything else."""
        return {"proxy": None if is_loopback(self.server) else True, "ssl": self._tls}

    async def close(self) -> None:
        await self._http.aclose()

    async def rest(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, /, *, key: str = "", **query: str | int
    ) -> Any:
        """`key`: of a write, which counts once under it."""
        try:
            answer = await self._asked(method, path, body, query, {"idempotency-key": key} if key else {})
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            if "CERTIFICATE" in str(error):
                raise ClientError(f"the certificate of {self.server} is not trusted ({error})") from None
            raise Unreachable(
                f"{self.server} does not answer; start it with `crewship serve`,"
                " or name another with --server or CREWSHIP_SERVER"
            ) from None
        except httpx2.HTTPError as error:
            raise Unreachable(f"{self.server} does not answer ({str(error) or type(error).__name__})") from None
        if answer.status_code == 401:
            raise ClientError(self._unauthenticated())
        try:
            value = answer.json() if answer.content else None
        except ValueError:
            raise ClientError(
                f"{self.server} answered {answer.status_code} to {path} and is not a Crewship server; "
                "correct --server or CREWSHIP_SERVER"
            ) from None
        if answer.is_error:
            raise ClientError(_reason(value) or f"{self.server} answers {answer.status_code} to {path}")
        return value

    async def _asked(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, str | int],
        headers: dict[str, str],
    ) -> httpx2.Response:
        """Requests that only read, or that count once, are repeated if a kept connection is dead: all GraphQL of this
        client is such.
        """
        asked: dict[str, Any] = {"json": body, "params": query, "headers": headers}
        try:
            return await self._http.request(method, path, **asked)
        except (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError):
            if method != "GET" and path != "/graphql":
                raise
            return await self._http.request(method, path, **asked)

    async def graphql(self, document: str, key: str = "", /, **variables: Any) -> dict[str, Any]:
        """The `data` of an answer without errors. `key`: of a write that is sent again where it had no answer; each has
        one.
        """
        if document.startswith("mutation"):
            key = key or uuid.uuid4().hex
        answer = await self.rest("POST", "/graphql", {"query": document, "variables": variables}, key=key)
        errors = answer.get("errors") or []
        if any(error.get("extensions", {}).get("code") == "UNAUTHENTICATED" for error in errors):
            raise ClientError(self._unauthenticated())
        if errors and any(str(error["message"]).startswith(UNKNOWN) for error in errors):
            raise ClientError(await self._other_release(str(errors[0]["message"])))
        if errors and errors[0]["message"] == "Forbidden":
            raise ClientError("your role or the token's scopes do not allow this")
        if errors:
            raise RequestRefused(str(errors[0]["message"]))
        return dict(answer["data"])

    async def _other_release(self, said: str) -> str:
        """Documents of this client are good for the schema of its own release."""
        own = f"this command is of release {version('crewship')}"
        try:
            theirs = (await self.rest("GET", "/api/v1/system/version"))["current"]
        except (ClientError, KeyError, TypeError):
            return f"{self.server} has another release, and {own}: {said}"
        return f"{self.server} is of release {theirs}, and {own}: install that one ({said})"

    async def ticket(self) -> str:
        """A ticket for a WebSocket, valid for some minutes."""
        return str((await self.rest("GET", "/api/v1/ws-token"))["token"])

    def _unauthenticated(self) -> str:
        if self.profile.token is None:
            return (
                f"{self.server} requires a login: run `crewship login`, or set --token or CREWSHIP_TOKEN "
                "(create a token on the web page or with POST /api/v1/auth/cli-token)"
            )
        return (
            f"{self.server} does not accept this token: run `crewship login`, or set a valid one with "
            "--token or CREWSHIP_TOKEN"
        )


def _reason(value: Any) -> str | None:
    """The text of a refusal."""
    said = value.get("error") or value.get("detail") if isinstance(value, dict) else None
    return said if isinstance(said, str) else None
