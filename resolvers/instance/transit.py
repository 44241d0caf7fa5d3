"""Data keys wrapped by the transit engine of OpenBao or HashiCorp Vault, whose keys never leave it.

    POST /v1/<mount>/encrypt/<key>   plaintext, associated_data -> ciphertext, such as vault:v3:…
    POST /v1/<mount>/decrypt/<key>   ciphertext, associated_data -> plaintext
    POST /v1/auth/approle/login      role_id, secret_id -> a token, and for how long it is good

Which version of its key has wrapped a data key stands in the ciphertext, and in the name that is stored beside it.
"""

import base64
import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from resolvers.errors import Code, Refusal
from resolvers.instance.outbound import Answered, Outbound, Policy
from resolvers.instance.wrapping import Unwrappable, Wrapped

log = logging.getLogger("crewship.transit")
PREFIX = "transit/"
TIMEOUT, MOST = 5.0, 64 * 1024
DENIED = 403
LARGEST_TOKEN = 16 * 1024  # bytes
TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class Login:
    """The sign-in of this server: a token, or a role. Values in files are read on use, so that a file may be renewed at
    any time.
    """

    token: str | None = None
    token_file: Path | None = None
    role_id: str | None = None
    secret_id: str | None = None
    secret_id_file: Path | None = None


class Transit:
    """Keys that wrap, in another server."""

    def __init__(
        self,
        address: str,
        key: str,
        login: Login,
        *,
        mount: str = "transit",
        namespace: str | None = None,
        http: type[Outbound] = Outbound,
    ) -> None:
        self._address, self._key, self._login = address.rstrip("/"), key, login
        self._mount, self._namespace, self._http = quote(mount.strip("/")), namespace, http
        self._token, self._until = "", 0.0  # of a role

    def knows(self, by: str) -> bool:
        return by.startswith(PREFIX)

    async def wrap(self, key: bytes, place: bytes) -> Wrapped:
        asked = {"plaintext": _base64(key), "associated_data": _base64(place)}
        answer = await self._call(f"{self._mount}/encrypt/{quote(self._key, safe='')}", asked)
        ciphertext = _text(answer, "ciphertext")
        if answer.status != 200 or ciphertext.count(":") != 2:
            raise self._unavailable(answer)
        version = ciphertext.split(":")[1]
        return Wrapped(f"{PREFIX}{self._key}:{version}", ciphertext.encode())

    async def unwrap(self, wrapped: Wrapped, place: bytes) -> bytes:
        key = wrapped.by.removeprefix(PREFIX).rpartition(":")[0]
        asked = {"ciphertext": wrapped.key.decode(errors="replace"), "associated_data": _base64(place)}
        answer = await self._call(f"{self._mount}/decrypt/{quote(key, safe='')}", asked)
        if answer.status == 400:
            raise Unwrappable(f"A data key cannot be unwrapped with {wrapped.by}")
        try:
            plain = base64.b64decode(_text(answer, "plaintext"), validate=True)
        except ValueError:
            plain = b""
        if answer.status != 200 or not plain:
            raise self._unavailable(answer)
        return plain

    async def _call(self, path: str, asked: dict[str, str]) -> Answered:
        """Repeats the call with a new token if the role's token is refused."""
        answer = await self._post(path, asked, await self._signed_in())
        if answer.status == DENIED and self._login.role_id is not None:
            self._until = 0.0
            answer = await self._post(path, asked, await self._signed_in())
        return answer

    async def _signed_in(self) -> str:
        if self._login.role_id is None:
            token = self._login.token or _read(self._login.token_file)
            if not TOKEN.fullmatch(token):  # without one it says that the request is bad, as of what it cannot unwrap
                raise _unavailable("the token is empty")
            return token
        if self._until <= time.monotonic():
            secret = self._login.secret_id or _read(self._login.secret_id_file)
            asked = {"role_id": self._login.role_id, "secret_id": secret}
            answer = await self._post("auth/approle/login", asked, None)
            made = _object(answer).get("auth")
            if answer.status != 200 or not isinstance(made, dict) or not isinstance(made.get("client_token"), str):
                raise self._unavailable(answer)
            lease = made.get("lease_duration")
            good = lease if isinstance(lease, int) and lease > 0 else 60
            self._token, self._until = made["client_token"], time.monotonic() + good * 2 / 3
        return self._token

    async def _post(self, path: str, asked: dict[str, str], token: str | None) -> Answered:
        headers = {"content-type": "application/json", "x-vault-request": "true"}
        headers |= {} if token is None else {"x-vault-token": token}
        headers |= {} if self._namespace is None else {"x-vault-namespace": self._namespace}
        try:
            async with self._http(Policy.CONFIGURED, timeout=TIMEOUT, most=MOST) as http:
                return await http.post(f"{self._address}/v1/{path}", orjson.dumps(asked), headers=headers)
        except Refusal as refusal:
            log.error("the transit engine cannot be reached: %s", refusal.detail)
            raise _unavailable(refusal.detail) from None

    def _unavailable(self, answer: Answered) -> Refusal:
        log.error("the transit engine refused: status %s", answer.status)
        return _unavailable(f"it answered with status {answer.status}")


def _unavailable(why: str) -> Refusal:
    return Refusal(Code.UNAVAILABLE, f"The key service is unavailable: {why}")


def _object(answer: Answered) -> dict[str, Any]:
    try:
        found = answer.json()
    except Refusal:
        return {}
    return found if isinstance(found, dict) else {}


def _text(answer: Answered, name: str) -> str:
    data = _object(answer).get("data")
    text = data.get(name) if isinstance(data, dict) else None
    return text if isinstance(text, str) else ""


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _read(path: Path | None) -> str:
    try:
        with (path or Path()).open("rb") as file:
            return file.read(LARGEST_TOKEN).decode().strip()
    except (OSError, ValueError):
        log.error("the file with the token or secret for transit cannot be read")
        raise _unavailable("its token cannot be read") from None
