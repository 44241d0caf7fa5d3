"""The server of a runner: three requests, each authenticated by the runner's token. It opens no port."""

import platform
import secrets
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2

from crewship.cli.client import is_loopback

PATIENCE: Final = 15.0
POLL: Final = 20


class RunnerEnded(Exception):
    """The runner cannot go on; the text gives the reason."""


class Busy(Exception):
    """Another process is connected with the token."""


class Unanswered(Exception):
    """There was no usable answer; `after` seconds a later try may get one."""

    def __init__(self, text: str, after: float = 2.0) -> None:
        super().__init__(text)
        self.after = after


class RunnerServer:
    """`instance` is this process's own secret: a copy of the token does not have it."""

    def __init__(self, server: str, token: str) -> None:
        tls = httpx2.create_ssl_context() if urlsplit(server).scheme == "https" else False
        self.server = server.rstrip("/")
        self._token, self._instance, self._generation = token, secrets.token_hex(32), 0
        self._http = httpx2.AsyncClient(
            base_url=self.server,
            timeout=PATIENCE,
            verify=tls,
            trust_env=not is_loopback(server),
            follow_redirects=False,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def connect(self) -> dict[str, Any]:
        """Raises Busy while another process is connected."""
        told = f"{platform.system()} {platform.release()} {platform.machine()}, crewship {version('crewship')}"
        asked = {"token": self._token, "instance": self._instance, "platform": told[:200]}
        answer = await self._ask("connect", asked, PATIENCE, Busy)
        self._generation = int(answer["generation"])
        return answer

    async def disconnect(self) -> None:
        await self._ask("disconnect", self._whose(), PATIENCE, RunnerEnded)

    async def poll(self, room: int) -> Sequence[Mapping[str, Any]]:
        asked = {**self._whose(), "room": room, "wait": POLL}
        answer = await self._ask("calls/poll", asked, POLL + PATIENCE, RunnerEnded)
        return list(answer["calls"])

    async def report(self, calls: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        answer = await self._ask("calls/report", {**self._whose(), "calls": list(calls)}, PATIENCE, RunnerEnded)
        return list(answer["calls"])

    def _whose(self) -> dict[str, Any]:
        return {"token": self._token, "instance": self._instance, "generation": self._generation}

    async def _ask(
        self, path: str, body: Mapping[str, Any], patience: float, conflict: type[Exception]
    ) -> dict[str, Any]:
        try:
            answer = await self._http.post(f"/api/v1/runner/{path}", json=body, timeout=patience)
            told = answer.json()
        except (TimeoutError, httpx2.HTTPError, ValueError) as error:
            raise Unanswered(f"{self.server} does not answer ({type(error).__name__})") from None
        if answer.is_success and isinstance(told, dict):
            return told
        reason = str(told.get("detail") or told.get("error") or answer.status_code) if isinstance(told, dict) else ""
        if answer.status_code == 409:
            raise conflict(reason)
        if answer.status_code == 429 or answer.status_code >= 500:
            raise Unanswered(f"{self.server} answers {answer.status_code}", _seconds(answer.headers.get("retry-after")))
        raise RunnerEnded(reason or f"{self.server} answers {answer.status_code}")


def _seconds(text: str | None) -> float:
    return min(float(text), 60.0) if text is not None and text.isdecimal() else 2.0
