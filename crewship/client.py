"""How the commands that talk to a server reach it: by what they know of it, over its API, with one kind of error that a
person can act on.
"""

import ipaddress
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

DEFAULT_SERVER = "http://127.0.0.1:8080"
PATIENCE = 30.0  # seconds for an answer


class ClientError(Exception):
    """What was asked for cannot be had; the text says why, and what to do."""


class Unreachable(ClientError):
    """There was no answer; a later try may get one."""


@dataclass(frozen=True)
class Profile:
    """Which server, as whom, and in which of its workspaces."""

    server: str = DEFAULT_SERVER
    token: str | None = field(default=None, repr=False)
    workspace: str | None = None


VARIABLES = {"server": "CREWSHIP_SERVER", "token": "CREWSHIP_TOKEN", "workspace": "CREWSHIP_WORKSPACE"}


def default_profile() -> Path:
    """Where `crewship login` keeps a profile."""
    place = os.environ.get("XDG_CONFIG_HOME") or ""
    return (Path(place) if place.startswith("/") else Path.home() / ".config") / "crewship" / "profile"


def find_profile(given: Mapping[str, str | None], file: Path | None = None) -> Profile:
    """What the command line gives wins over a profile file that it names, that over the environment, and that over the
    profile of `crewship login`, which is good for its own server alone. Raises ClientError for a file that is none.
    """
    kept = {} if file is None else read_profile(file)
    found = {
        name: given.get(name) or kept.get(variable) or os.environ.get(variable) or None
        for name, variable in VARIABLES.items()
    }
    if file is None and found["token"] is None and _is_file(place := default_profile()):
        kept = read_profile(place)
        if found["server"] in (None, kept.get(VARIABLES["server"])):
            found = {name: found[name] or kept.get(variable) for name, variable in VARIABLES.items()}
    profile = Profile(found["server"] or DEFAULT_SERVER, found["token"], found["workspace"])
    parts = urlsplit(profile.server)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ClientError(f"the server {profile.server!r} is no URL; give one such as {DEFAULT_SERVER}")
    return profile


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # of a home that may not be looked into
        return False


def read_profile(file: Path) -> dict[str, str]:
    """The variables of a profile: lines `NAME=value`, as a shell reads them."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        words = [word for line in lines for word in shlex.split(line, comments=True)]
    except OSError as error:
        raise ClientError(f"the profile {file} cannot be read ({error.strerror})") from None
    except ValueError:
        raise ClientError(
            f"the profile {file} cannot be read: it takes lines such as CREWSHIP_SERVER={DEFAULT_SERVER}"
        ) from None
    return dict(word.split("=", 1) for word in words if "=" in word)


def write_profile(file: Path, profile: Profile) -> None:
    """A file that only its owner may read."""
    from crewship.postgres import write_secret

    said = {
        VARIABLES[name]: value
        for name, value in (("server", profile.server), ("token", profile.token), ("workspace", profile.workspace))
        if value
    }
    write_secret(file, "".join(f"{name}={shlex.quote(value)}\n" for name, value in said.items()))


def is_loopback(server: str) -> bool:
    """Whether the server is this machine, which no proxy stands before."""
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
        secure = urlsplit(self.server).scheme == "https"  # a TLS context nobody needs costs 70 ms
        self._http = httpx2.AsyncClient(
            base_url=self.server,
            headers=headers,
            timeout=PATIENCE,
            verify=secure,
            trust_env=not is_loopback(self.server),
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def rest(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str | int) -> Any:
        try:
            answer = await self._asked(method, path, body, query)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            raise Unreachable(
                f"{self.server} does not answer; start it with `crewship serve`,"
                " or name another with --server or CREWSHIP_SERVER"
            ) from None
        except httpx2.HTTPError as error:
            raise Unreachable(f"{self.server} does not answer ({error or type(error).__name__})") from None
        if answer.status_code == 401:
            raise ClientError(self._unauthenticated())
        try:
            value = answer.json() if answer.content else None
        except ValueError:
            raise ClientError(
                f"{self.server} answers {answer.status_code} to {path}, and not as Crewship does;"
                " correct --server or CREWSHIP_SERVER"
            ) from None
        if answer.is_error:
            raise ClientError(_reason(value) or f"{self.server} answers {answer.status_code} to {path}")
        return value

    async def _asked(
        self, method: str, path: str, body: Mapping[str, Any] | None, query: Mapping[str, str | int]
    ) -> httpx2.Response:
        """What only reads is asked again when a kept connection turns out dead: all GraphQL of this client does."""
        try:
            return await self._http.request(method, path, json=body, params=query)
        except (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError):
            if method != "GET" and path != "/graphql":
                raise
            return await self._http.request(method, path, json=body, params=query)

    async def graphql(self, document: str, **variables: Any) -> dict[str, Any]:
        """The `data` of an answer without errors."""
        answer = await self.rest("POST", "/graphql", {"query": document, "variables": variables})
        errors = answer.get("errors") or []
        if any(error.get("extensions", {}).get("code") == "UNAUTHENTICATED" for error in errors):
            raise ClientError(self._unauthenticated())
        if errors:
            raise ClientError(str(errors[0]["message"]))
        return dict(answer["data"])

    async def ticket(self) -> str:
        """What opens a WebSocket, for some minutes."""
        return str((await self.rest("GET", "/api/v1/ws-token"))["token"])

    def _unauthenticated(self) -> str:
        if self.profile.token is None:
            return (
                f"{self.server} asks who you are: `crewship login`, or give a token with --token"
                " or CREWSHIP_TOKEN (the web page or POST /api/v1/auth/cli-token makes one)"
            )
        return f"{self.server} does not know this token; give a valid one with --token or CREWSHIP_TOKEN"


def _reason(value: Any) -> str | None:
    """The text of a refusal."""
    said = value.get("error") or value.get("detail") if isinstance(value, dict) else None
    return said if isinstance(said, str) else None
